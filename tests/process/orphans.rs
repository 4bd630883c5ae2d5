//! No server outlives the command that started it, whatever ends that.

use std::os::unix::process::ExitStatusExt;

use tokio::process::Command;

use crate::common::process::free_ports;
use crate::running::{Running, children, gone};

/// The signals, and the exit codes of `demo` and `bench`, which do not end by themselves then.
const SIGNALS: [(&str, Option<i32>); 5] =
    [("TERM", Some(143)), ("INT", Some(130)), ("HUP", Some(129)), ("QUIT", Some(131)), ("KILL", None)];

/// Starts a command, waits for its servers, sends the signal, and waits for the end of all of them.
async fn leaves_nobody(arguments: &[&str], servers: usize, signal: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_traitwire");
    let mut command =
        Running::start_command(Command::new(program).args(arguments).current_dir(folder.path()));
    let servers = children(command.pid(), servers).await;
    command.signal(signal).await;
    let status = command.ended().await;
    for pid in servers {
        gone(pid).await;
    }
    if signal == "KILL" {
        assert_eq!(status.signal(), Some(9));
    } else {
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        let expected: Vec<std::ffi::OsString> =
            if arguments[0] == "cluster" { vec!["traitwire-data".into()] } else { vec![] };
        assert_eq!(left, expected, "{arguments:?} left files behind after {signal}");
    }
    command.child.wait().await.unwrap();
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_its_nodes_with_it() {
    for (signal, _) in SIGNALS {
        let port = free_ports(2).to_string();
        let mut cluster = leaves_nobody(&["cluster", "--nodes", "2", "--port", &port], 2, signal).await;
        let code = cluster.child.wait().await.unwrap().code();
        // A signal is how it is stopped, as long as its nodes have started.
        assert!(matches!(code, None | Some(0 | 129..=143)), "{signal}: {code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_and_a_bench_take_their_servers_with_them() {
    for (signal, code) in SIGNALS {
        for (arguments, servers) in [
            (&["bench", "kv", "--nodes", "2", "--seconds", "600", "--concurrency", "1"][..], 2),
            (&["bench", "rpc", "--seconds", "600", "--concurrency", "1"], 1),
        ] {
            let mut command = leaves_nobody(arguments, servers, signal).await;
            assert_eq!(command.child.wait().await.unwrap().code(), code, "{arguments:?} {signal}");
        }
    }
    for (signal, code) in [SIGNALS[2], SIGNALS[4]] {
        let mut demo = leaves_nobody(&["demo"], 3, signal).await;
        assert_eq!(demo.child.wait().await.unwrap().code(), code, "{signal}");
    }
}

/// The process that started a cluster may itself be killed.
#[tokio::test(flavor = "multi_thread")]
async fn closing_standard_input_stops_what_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let port = free_ports(2).to_string();
    let arguments = ["cluster", "--nodes", "2", "--port", &port, "--data", data, "--stop-with-stdin"];
    let mut cluster = Running::start(arguments);
    cluster.logged(&["node 2", "serves"]).await;
    let nodes = children(cluster.pid(), 2).await;
    drop(cluster.stdin.take());
    assert_eq!(cluster.ended().await.code(), Some(0));
    for pid in nodes {
        gone(pid).await;
    }
    let mut node = Running::start(["serve", "--listen", "127.0.0.1:0", "--data", data, "--stop-with-stdin"]);
    node.url().await;
    node.logged(&["started"]).await;
    drop(node.stdin.take());
    node.logged(&["stopping", "standard input was closed"]).await;
    assert_eq!(node.ended().await.code(), Some(0));
}
