//! Failures for programs, and what is wrong usage.

use serde_json::Value;

use crate::{nobody, server, traitwire};

/// Runs a command that fails; gives its exit code and the error object, which is the last line and alone on both outputs.
async fn failure(url: &str, arguments: &[&str]) -> (i32, Value) {
    let (code, out, error) = traitwire(url, arguments).await;
    let last: Value = serde_json::from_str(out.lines().last().unwrap_or_default())
        .unwrap_or_else(|why| panic!("{arguments:?}: {why}: {out}{error}"));
    assert_eq!(error, "", "{arguments:?}");
    assert!(
        last["error"]["message"].as_str().is_some_and(|message| !message.is_empty()),
        "{arguments:?}: {out}"
    );
    (code, last["error"].clone())
}

#[tokio::test]
async fn failures_are_json_where_the_output_is() {
    let (server, _folder) = server().await;
    for version in 0..3 {
        let version = version.to_string();
        assert_eq!(traitwire(server.url(), &["kv", "put", "k", "v", "--version", &version]).await.0, 0);
    }
    let nobody = nobody();
    let (here, gone) = (server.url(), nobody.as_str());
    for (url, arguments, code, name) in [
        (here, &["kv", "get", "missing", "--json"][..], 3, "no_key"),
        (here, &["kv", "put", "missing", "v", "--version", "7", "--json"], 3, "no_key"),
        (here, &["kv", "put", "k", "v", "--json"], 4, "version"),
        (here, &["kv", "get", "--json"], 2, "usage"),
        (here, &["kv", "put", "k", "--json"], 2, "usage"),
        (here, &["kv", "get", "", "--json"], 2, "usage"),
        (here, &["kv", "get", "k", "--json", "--endpoints", "ftp://h"], 2, "usage"),
        (gone, &["kv", "get", "k", "--json", "--timeout", "300ms"], 1, "unavailable"),
        (gone, &["kv", "put", "k", "v", "--json", "--timeout", "300ms"], 1, "unavailable"),
        (gone, &["status", "--json"], 1, "no_leader"),
        (gone, &["schema", "diff", "no-such-file", "self", "--format", "json"], 2, "usage"),
        (gone, &["schema", "probe", gone, "--format=json"], 2, "usage"),
        (gone, &["debug", "wal", "no-such-folder", "--json"], 1, "failed"),
    ] {
        let (found, error) = failure(url, arguments).await;
        assert_eq!((found, error["code"].as_str()), (code, Some(name)), "{arguments:?}: {error}");
    }
    let (_, error) = failure(here, &["kv", "put", "k", "v", "--version", "1", "--json"]).await;
    assert_eq!(error["version"], 3);
    let (_, error) = failure(gone, &["kv", "put", "k", "v", "--json", "--timeout", "300ms"]).await;
    assert_eq!(error["executed"], "no");
}

/// For people, the same things are sentences, which say each thing once.
#[tokio::test]
async fn messages_say_what_is_wrong() {
    let (server, _folder) = server().await;
    assert_eq!(traitwire(server.url(), &["kv", "put", "k", "v"]).await.0, 0);
    assert_eq!(traitwire(server.url(), &["kv", "put", "k", "v", "--version", "1"]).await.0, 0);
    let (code, out, error) = traitwire(server.url(), &["kv", "put", "k", "v"]).await;
    assert_eq!((code, out.as_str(), error.as_str()), (4, "", "traitwire: the key has another version: 2\n"));
    let nobody = nobody();
    for arguments in
        [&["kv", "get", "k", "--timeout", "300ms"][..], &["lock", "l", "--timeout", "300ms", "--", "true"]]
    {
        let (_, _, error) = traitwire(&nobody, arguments).await;
        assert_eq!(error.matches("unavailable").count(), 1, "{error}");
        assert!(error.contains("refused"), "{error}");
    }
    // A node without a majority.
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let peers = format!("1=http://127.0.0.1:1,2={nobody},3={}", crate::nobody());
    let alone = crate::ServerProcess::start(["--data", folder, "--peers", &peers]).await;
    for arguments in [&["kv", "get", "k", "--timeout", "1"][..], &["kv", "put", "k", "v", "--timeout", "1"]] {
        let (code, _, error) = traitwire(alone.url(), arguments).await;
        assert_eq!((code, error.contains("no leader is known")), (1, true), "{error}");
    }
}

/// Usage is wrong before anything is done, and always with exit code 2.
#[tokio::test]
async fn wrong_usage_has_one_exit_code() {
    let urls =
        ["", "127.0.0.1:7101", "https://127.0.0.1:7101", "http://", "http://h:99999", "http://a,,http://b"];
    let commands: &[&[&str]] = &[
        &["kv", "get", "k"],
        &["kv", "put", "k", "v"],
        &["lock", "l", "--", "true"],
        &["lock", "l", "--break"],
        &["call", "get"],
        &["status"],
    ];
    for url in urls {
        for command in commands {
            let (code, _, error) = traitwire(url, command).await;
            assert_eq!(
                (code, error.contains("is not a valid server URL")),
                (2, true),
                "{url} {command:?}: {error}"
            );
        }
    }
    for arguments in [
        &["schema", "probe", "localhost:7101"][..],
        &["schema", "diff", "https://127.0.0.1:1", "self"],
        &["schema", "show", "no-such-method"],
        &["kv", "get", "k", "--timeout", "0"],
        &["kv", "get", "k", "--timeout", "-1"],
        &["call", "get", "{}", "--timeout", "soon"],
        &["status", "--timeout", "1h"],
    ] {
        assert_eq!(traitwire("http://127.0.0.1:1", arguments).await.0, 2, "{arguments:?}");
    }
}

/// A server that accepts connections and never answers holds nobody up for longer than asked for.
#[tokio::test]
async fn timeouts_hold_for_every_command() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for (arguments, expected) in [
        (&["kv", "get", "k"][..], 1),
        (&["kv", "put", "k", "v"], 1),
        (&["call", "get", "{\"key\":\"k\"}"], 1),
        (&["call", "get", "{\"key\":\"k\"}", "--no-check"], 1),
        (&["status"], 1),
        (&["schema", "probe", &url], 2),
        (&["schema", "diff", &url, "self"], 2),
        (&["lock", "l", "--break"], 125),
    ] {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--timeout", "300ms"]).collect();
        let began = std::time::Instant::now();
        let (code, _, error) = traitwire(&url, &arguments).await;
        assert_eq!(code, expected, "{arguments:?}: {error}");
        assert!(began.elapsed().as_millis() < 2_000, "{arguments:?} took {:?}", began.elapsed());
    }
}
