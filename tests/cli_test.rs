//! The command line as a person or a script meets it: what is printed, and the exit codes.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "cli/help.rs"]
mod help;
#[path = "cli/json.rs"]
mod json;
#[path = "cli/lock.rs"]
mod lock;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/values.rs"]
mod values;

use std::process::{Output, Stdio};

use common::kv_cluster::soon;
use common::process::ServerProcess;
use tokio::process::Command;

/// A command with these endpoints.
fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traitwire"));
    command.args(arguments).env("TRAITWIRE_ENDPOINTS", url).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn traitwire(url: &str, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = soon(command(url, arguments).output()).await.unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A URL at which nothing listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server with a folder for its data, which goes with it.
async fn server() -> (ServerProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (ServerProcess::start(["--data".as_ref(), folder.path().as_os_str()]).await, folder)
}

#[tokio::test]
async fn keys_have_exit_codes() {
    let (server, _folder) = server().await;
    let run = |arguments: &'static [&'static str]| traitwire(server.url(), arguments);
    assert_eq!(run(&["kv", "get", "k"]).await.0, 3);
    assert_eq!(run(&["kv", "put", "k", "v", "--version", "7"]).await.0, 3);
    assert_eq!(run(&["kv", "put", "k", "v", "--version", "0"]).await.0, 0);
    assert_eq!(run(&["kv", "put", "k", "w", "--version", "0"]).await.0, 4);
    let (code, out, _) = run(&["kv", "get", "k", "--json"]).await;
    assert_eq!((code, out.as_str()), (0, "{\"value\":\"v\",\"version\":1}\n"));
    assert_eq!(run(&["kv", "put", "k"]).await.0, 2);
    let longest = [u64::MAX.to_string(), (i64::MAX / 2).to_string()];
    for time in &longest {
        assert_eq!(traitwire(server.url(), &["kv", "get", "k", "--timeout", time]).await.0, 0);
        let put = ["kv", "put", "k", "v", "--version", "0", "--timeout", time];
        assert_eq!(traitwire(server.url(), &put).await.0, 4);
    }
}

#[tokio::test]
async fn calls_show_the_reply_or_what_is_wrong() {
    let (server, _folder) = server().await;
    let run = |arguments: &'static [&'static str]| traitwire(server.url(), arguments);
    let (code, out, _) = run(&["call", "put", r#"{"key":"k","value":"v","version":0}"#]).await;
    assert_eq!((code, out.contains("\"version\": 1")), (0, true), "{out}");
    let (code, _, error) = run(&["call", "put", r#"{"key":"k","value":"v","version":-1}"#]).await;
    assert_eq!((code, error.contains("`version`")), (2, true), "{error}");
    assert_eq!(run(&["call", "put", "{"]).await.0, 2);
    let (code, out, _) = run(&["schema", "list"]).await;
    assert_eq!((code, out.contains("get") && out.contains("src/services/kv.rs")), (0, true), "{out}");
}

/// One process of the whole binary, and its own exit code for a server that is not there.
#[tokio::test]
async fn the_demo_holds_and_an_absent_server_is_said() {
    let (code, out, error) = traitwire("", &["demo"]).await;
    assert_eq!((code, out.ends_with("all of it held\n")), (0, true), "{out}{error}");
    let (code, _, error) = traitwire(&nobody(), &["kv", "get", "k", "--timeout", "1"]).await;
    assert_eq!((code, error.contains("refused")), (1, true), "{error}");
}
