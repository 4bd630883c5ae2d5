//! `traitwire call` and `traitwire schema show`, as a person meets them: what does not fit is said before anything is sent.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use common::kv_cluster::soon;
use common::process::ServerProcess;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use traitwire_kv::index::SERVICES;

/// Exit code, standard output, standard error.
type Ended = (i32, String, String);

fn ended(Output { status, stdout, stderr }: Output) -> Ended {
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traitwire"));
    command.args(arguments).env("TRAITWIRE_ENDPOINTS", url).kill_on_drop(true);
    command
}

async fn traitwire(url: &str, arguments: &[&str]) -> Ended {
    ended(soon(command(url, arguments).output()).await.unwrap())
}

async fn server() -> (ServerProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (ServerProcess::start(["--data".as_ref(), folder.path().as_os_str()]).await, folder)
}

/// A server of these routes; its URL.
async fn foreign(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn what_does_not_fit_is_said_and_not_sent() {
    let (server, _folder) = server().await;
    let good = r#"{"key":"k","value":"v","version":0}"#;
    for (method, arguments, said) in [
        (
            "put",
            r#"{"key":"k","value":"v","version":-1}"#,
            "`version` must be an integer from 0 to 18446744073709551615",
        ),
        ("put", r#"{"key":"k","value":"v","version":18446744073709551616}"#, "`version` must be an integer"),
        ("put", r#"{"key":"k","value":"v"}"#, "`version` is missing"),
        (
            "put",
            r#"{"key":"k","value":"v","vresion":0}"#,
            "`vresion` is no field here; did you mean `version`?",
        ),
        (
            "put",
            r#"{"key":"k","value":"v","version":0,"x":1}"#,
            "`x` is no field here: there are `key`, `value`, `version`",
        ),
        ("put", r#"{"key":"","value":"v","version":0}"#, "`key` must have 1 to 65536 bytes, not 0"),
        ("put", "[1]", "the value must be an object, not a list"),
        (
            "rsm.submit",
            r#"{"ticket":{"session":1,"number":"1","answered_below":0},"command":1}"#,
            "`ticket.number` must be an integer",
        ),
        (
            "raft.append_entries",
            r#"{"sender":{},"args":{"entries":[{"term":1,"payload":"blnk"}]}}"#,
            "did you mean \"blank\"?",
        ),
        ("gte", r#"{"key":"k"}"#, "has no method `gte`; did you mean `get`?"),
        ("unheard_of", "{}", "has no method `unheard_of`; there are "),
        ("put", "{", "the arguments are not JSON"),
    ] {
        let (code, out, error) = traitwire(server.url(), &["call", method, arguments]).await;
        assert_eq!((code, out.as_str()), (2, ""), "{method} {arguments}: {error}");
        assert!(error.contains(said), "{method} {arguments}: {error}");
    }
    let (code, out, error) = traitwire(server.url(), &["call", "put", good]).await;
    assert_eq!(
        (code, error.as_str()),
        (0, ""),
        "something was written before, or the check refuses what is good: {out}"
    );
    assert_eq!(out, "{\n  \"version\": 1,\n  \"err\": null\n}\n");

    // The server's own word, on request: it passes over what it does not know.
    let unchecked = |arguments| ["call", "--no-check", "put", arguments];
    let (code, _, error) =
        traitwire(server.url(), &unchecked(r#"{"key":"k","value":"v","version":-1}"#)).await;
    assert!(code == 1 && error.contains("invalid_argument"), "{code} {error}");
    let more = r#"{"key":"k","value":"v","version":1,"x":1}"#;
    assert_eq!(traitwire(server.url(), &unchecked(more)).await.0, 0);
    let (code, _, error) = traitwire(server.url(), &["call", "--no-check", "gte"]).await;
    assert!(code == 1 && error.contains("unimplemented"), "{code} {error}");
}

#[tokio::test]
async fn arguments_come_from_standard_input_too() {
    let (server, _folder) = server().await;
    let mut child = command(server.url(), &["call", "put", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(br#"{"key":"k","value":"from a pipe","version":0}"#).await.unwrap();
    drop(input);
    let (code, out, error) = ended(soon(child.wait_with_output()).await.unwrap());
    assert_eq!((code, out.contains("\"version\": 1")), (0, true), "{error}");
}

/// What a server shows of itself may lack, be wrong or never come: the call is made, or the next node asked.
#[tokio::test]
async fn a_server_without_schemas_gets_the_call_all_the_same() {
    let called = Arc::new(AtomicUsize::new(0));
    let echo = || {
        let called = called.clone();
        post(move |body: String| async move {
            called.fetch_add(1, Ordering::Relaxed);
            body
        })
    };
    let index = |text: &'static str| Router::new().route("/_schema", get(move || async move { text }));
    let no_document =
        r#"{"services":[{"methods":[{"name":"echo","arguments":{"href":"http://127.0.0.1:9/x"}}]}]}"#;
    let missing =
        r#"{"services":[{"methods":[{"name":"echo","arguments":{"href":"_schema/types/No.json"}}]}]}"#;
    for (documents, said) in [
        (Router::new(), "answers 404"),
        (index("<html>"), "is not JSON"),
        (index("[]"), "shows no schema of any method"),
        (index(no_document), "shows no schema of `echo`"),
        (index(missing), "_schema/types/No.json answers 404"),
    ] {
        let before = called.load(Ordering::Relaxed);
        let url = foreign(documents.route("/echo", echo())).await;
        let (code, out, error) = traitwire(&url, &["call", "echo", r#"{"a":1}"#]).await;
        assert_eq!((code, out.as_str()), (0, "{\n  \"a\": 1\n}\n"), "{error}");
        assert!(error.contains("the arguments are not checked") && error.contains(said), "{error}");
        assert_eq!(called.load(Ordering::Relaxed), before + 1);
    }
    let endless = r##"{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/A"}}}"##;
    let routes = index(missing).route("/_schema/types/No.json", get(move || async move { endless }));
    let (code, _, error) = traitwire(&foreign(routes.route("/echo", echo())).await, &["call", "echo"]).await;
    assert!(code == 0 && error.contains("too intricate"), "{code} {error}");
}

#[tokio::test]
async fn nodes_that_are_away_are_passed_over() {
    let (server, _folder) = server().await;
    let put = ["call", "put", r#"{"key":"k","value":"v","version":0}"#];
    let some = format!("{},{}", nobody(), server.url());
    assert_eq!(traitwire(&some, &put).await.0, 0);
    let (code, _, error) = traitwire(&format!("{},{}", nobody(), nobody()), &put).await;
    assert!(code == 1 && error.matches("efused").count() == 2, "{code} {error}");
    let (code, _, error) = traitwire(&nobody(), &["call", "--no-check", "get"]).await;
    assert!(code == 1 && error.contains("efused"), "{code} {error}");

    // Who answers with something else than a schema is no node that is away, and a call that may have run is not repeated.
    let broken = Router::new().fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR });
    let first_broken = format!("{},{}", foreign(broken).await, server.url());
    assert_eq!(traitwire(&first_broken, &put).await.0, 1);
}

/// A method is shown whole: each of its fields, the types that they are of, examples that the server takes.
#[tokio::test]
async fn methods_and_types_are_shown() {
    let (server, _folder) = server().await;
    for method in SERVICES.iter().flat_map(|service| service.methods) {
        let (code, text, error) = traitwire("", &["schema", "show", method.name]).await;
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(text.contains(method.docs.lines().next().unwrap()), "{text}");
        let (_, curl) = text.rsplit_once("curl ").unwrap();
        let (_, body) = curl.trim_end().rsplit_once(" -d '").unwrap();
        let example = body.trim_end_matches('\'');
        // The example fits; what comes of the call is another matter, as for a message from a stranger.
        let (code, _, error) = traitwire(server.url(), &["call", method.name, example]).await;
        assert!(code != 2 && !error.contains("not fit"), "{}: {error}", method.name);
    }
    let (_, text, _) = traitwire("", &["schema", "show", "raft.append_entries"]).await;
    for said in [
        "sender: Sender",
        "      cluster: string",
        "entries: list of Entry",
        "The entries after `prev_index`, in order.",
        "{ command: Command }",
        "idempotent | compat full",
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    let (_, text, _) = traitwire("", &["schema", "show", "rsm.submit"]).await;
    assert!(text.contains(r#"{"error":{"wrong_leader":"#), "{text}");

    let (code, text, _) = traitwire("", &["schema", "show", "KVError"]).await;
    assert_eq!(code, 0);
    assert!(text.starts_with("KVError\n") && text.contains("\"NoKey\""), "{text}");
    assert!(text.contains("Used by:\n  get (reply)\n  put (reply)\n"), "{text}");
    for (name, near) in
        [("ptu", "did you mean `put`?"), ("PutArg", "did you mean `PutArgs`?"), ("x.y.z", "`schema list`")]
    {
        let (code, _, error) = traitwire("", &["schema", "show", name]).await;
        assert!(code == 2 && error.contains(near), "{code} {error}");
    }
}
