//! Every command that prints, with its standard output or standard error closed or full.

use std::fs::File;
use std::process::{Output, Stdio};

use crate::common::kv_cluster::soon;
use crate::{command, server};

/// Every command that prints something at once; `serve` and `cluster` go on serving all the same. Most need a server, or a node's folder in place of `DIR`.
const COMMANDS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["help", "lock"],
    &["kv", "put", "--help"],
    &["kv", "get", "key"],
    &["kv", "get", "key", "--json"],
    &["kv", "put", "new", "value", "--json"],
    &["kv", "put", "new", "value", "--version", "99", "--json"],
    &["call", "get", "{\"key\":\"key\"}"],
    &["status"],
    &["status", "--json"],
    &["schema", "list"],
    &["schema", "list", "--json"],
    &["schema", "show", "put"],
    &["schema", "show", "PutArgs"],
    &["schema", "export", "--html"],
    &["schema", "export", "--openapi", "-"],
    &["schema", "export", "EXPORT"],
    &["schema", "diff", "self", "self"],
    &["schema", "diff", "self", "self", "--format", "json"],
    &["schema", "check"],
    &["schema", "bless", "--lock", "LOCK"],
    &["schema", "probe", "URL"],
    &["schema", "probe", "URL", "--format", "json"],
    &["debug", "wal", "DIR"],
    &["debug", "wal", "DIR", "--json"],
    &["bench", "rpc", "--seconds", "1", "--rounds", "1", "--concurrency", "1"],
    &["demo"],
];

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (_reader, writer) = std::io::pipe().unwrap();
    writer.into()
}

/// A device without space.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

async fn check(stdout: fn() -> Stdio, expected: &[i32], says: &str) {
    let (server, folder) = server().await;
    assert!(command(server.url(), &["kv", "put", "key", "value"]).status().await.unwrap().success());
    let other = tempfile::tempdir().unwrap();
    let below = |name: &str| other.path().join(name).to_str().unwrap().to_owned();
    let (export, lock) = (below("export"), below("lock"));
    for arguments in COMMANDS {
        let arguments = arguments.iter().map(|argument| match *argument {
            "URL" => server.url(),
            "DIR" => folder.path().to_str().unwrap(),
            "EXPORT" => &export,
            "LOCK" => &lock,
            other => other,
        });
        let arguments: Vec<_> = arguments.collect();
        let ended =
            command(server.url(), &arguments).stdout(stdout()).stderr(Stdio::piped()).spawn().unwrap();
        let Output { status, stderr, .. } = soon(ended.wait_with_output()).await.unwrap();
        let error = String::from_utf8(stderr).unwrap();
        let code = status.code();
        assert!(code.is_some_and(|code| expected.contains(&code)), "{arguments:?}: {code:?}, {error}");
        assert!(!error.contains("panicked") && error.contains(says), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn a_closed_pipe_ends_a_command_silently() {
    // 4: a failure of its own, which could not be told.
    check(closed, &[141, 4], "").await;
}

#[tokio::test]
async fn a_full_device_is_reported() {
    check(full, &[1, 4], "").await;
    let (server, _folder) = server().await;
    let listed = command(server.url(), &["schema", "list"]).stdout(full()).stderr(Stdio::piped()).spawn();
    let listed = soon(listed.unwrap().wait_with_output()).await.unwrap();
    let error = String::from_utf8(listed.stderr).unwrap();
    assert!(error.starts_with("traitwire: cannot write to standard output: "), "{error}");
}

/// What is said on standard error is lost there, and nothing else.
#[tokio::test]
async fn standard_error_does_not_matter() {
    let (server, _folder) = server().await;
    for (place, stderr) in [closed as fn() -> Stdio, full].into_iter().enumerate() {
        let key = &*format!("key-{place}");
        for (arguments, expected) in [
            (&["kv", "put", key, "value"][..], 0),
            (&["kv", "put", key, "value"], 4),
            (&["kv", "get", key], 0),
            (&["kv", "get", "missing"], 3),
            (&["kv", "get"], 2),
            (&["no-such-command"], 2),
            (&["call", "get", "{"], 2),
            (&["lock", "l", "--", "sh", "-c", "exit 7"], 7),
            (&["lock", key, "--", "true"], 125),
            (&["lock", key, "--break"], 125),
            (&["lock", "free", "--break"], 0),
        ] {
            let status =
                command(server.url(), arguments).stdout(Stdio::null()).stderr(stderr()).status().await;
            assert_eq!(status.unwrap().code(), Some(expected), "{arguments:?}");
        }
    }
}
