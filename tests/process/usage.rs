//! Wrong arguments are refused before anything is touched.

use std::process::Output;

use tokio::process::Command;

use crate::common::kv_cluster::soon;
use crate::running::Running;

async fn run(arguments: &[&str], folder: &std::path::Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traitwire"));
    let command = command.args(arguments).current_dir(folder).kill_on_drop(true);
    let Output { status, stderr, .. } = soon(command.output()).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn wrong_arguments_are_usage_errors_that_touch_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let two = "1=http://127.0.0.1:1,2=http://127.0.0.1:2";
    for (arguments, reason) in [
        (&["serve", "--id", "0"][..], "0"),
        (&["serve", "--id", "-1"], "-1"),
        (&["serve", "--id", "x"], "x"),
        (&["serve", "--id", "3", "--peers", two], "node 3, which is this node, is missing"),
        (&["serve", "--peers", "1=http://a:1,1=http://b:1"], "lists node 1 twice"),
        (&["serve", "--peers", "1=http://a:1,2=http://A:1/"], "nodes 1 and 2 have the same URL"),
        (&["serve", "--peers", "0=http://a:1"], "`0` is not a valid node id"),
        (&["serve", "--peers", "1"], "ID=URL"),
        (&["serve", "--peers", "1=127.0.0.1:7101"], "`127.0.0.1:7101` is not a valid server URL"),
        (&["serve", "--peers", "1=https://a:1"], "`https` is not supported"),
        (&["serve", "--peers", "1=grpc://a:1"], "`grpc` is not supported"),
        (&["serve", "--peers", "1=http://a:0"], "port 0"),
        (&["serve", "--peers", "1=http://a:65536"], "invalid port"),
        (&["serve", "--peers", "1=http://"], "no host"),
        (&["serve", "--listen", "127.0.0.1:65536"], "`65536` is not a valid port"),
        (&["serve", "--listen", "7101"], "HOST:PORT"),
        (&["serve", "--listen", "http://127.0.0.1:7101"], "HOST:PORT"),
        (&["cluster", "--port", "0"], "0"),
        (&["cluster", "--port", "65536"], "65536"),
        (&["cluster", "--port", "65534", "--nodes", "3"], "65534"),
        (&["cluster", "--nodes", "0"], "0"),
        (&["cluster", "--nodes", "16"], "16"),
    ] {
        let (code, error) = run(arguments, folder.path()).await;
        assert_eq!((code, error.contains(reason)), (Some(2), true), "{arguments:?}: {error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} has made something");
    }
}

#[tokio::test]
async fn an_invalid_rust_log_is_reported() {
    for (value, is_reported) in [("inof", true), ("traitwire=loud", true), ("warn,=", true), ("debug", false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("env");
        command.arg(format!("RUST_LOG={value}")).arg(env!("CARGO_BIN_EXE_traitwire"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
        let mut node = Running::start_command(&mut command);
        node.url().await;
        node.logged(&["started"]).await;
        let first = &node.log[0];
        assert_eq!(first.contains(&format!("RUST_LOG=`{value}` is ignored")), is_reported, "{first}");
    }
}
