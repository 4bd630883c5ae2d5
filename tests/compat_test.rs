//! This workspace's own services are held to what they promised, and the commands that hold them to it.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::kv_cluster::soon;
use common::process::ServerProcess;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use traitwire_kv::index::SERVICES;
use traitwire_kv::kv_raft::raft::core::Request;
use traitwire_kv::kv_raft::raft::{RpcTransport, Transport};
use traitwire_kv::services::raft::TimeoutNowArgs;
use traitwire_schema::diff::{Report, Style};
use traitwire_schema::{Catalogue, Contract, Lock};

fn own() -> Contract {
    Contract::of(&Catalogue::new(SERVICES).unwrap())
}

/// Runs `traitwire schema`: exit code, standard output, standard error.
async fn schema(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traitwire"));
    let output = command.arg("schema").args(arguments).kill_on_drop(true).output();
    let Output { status, stdout, stderr } = soon(output).await.unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A folder of contracts to compare.
struct Contracts(tempfile::TempDir);

impl Contracts {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The contract of this workspace after a change.
    fn write(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut document = serde_json::to_value(own()).unwrap();
        change(&mut document);
        std::fs::write(self.path(name), document.to_string()).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// Takes a field out of the arguments of `put`, so that it is new in what is compared with this.
fn without_version(document: &mut Value) {
    let arguments = &mut document["types"]["PutArgs"];
    arguments["properties"].as_object_mut().unwrap().remove("version").unwrap();
    arguments["required"].as_array_mut().unwrap().retain(|name| name != "version");
}

#[test]
fn the_services_of_this_workspace_keep_their_promises() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rpc-schema/rpc.lock.json");
    let lock = Lock::from_json(&serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).unwrap();
    let findings = lock.check(&own());
    let report = Report::new(&findings);
    assert!(
        report.is_compatible(),
        "{}To break a promise knowingly, run `cargo run -- schema bless --allow RULE:PATH --reason WHY`.",
        report.text(Style::Plain)
    );
    assert!(lock.contract == own(), "the contract has changed: run `cargo run -- schema bless`");
}

#[tokio::test]
async fn a_difference_is_told_in_three_formats_and_by_the_exit_code() {
    let contracts = Contracts::new();
    let old = contracts.write("old.json", without_version);
    let (code, text, _) = schema(&["diff", &old, "self"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("error[R07] put.arguments.version\n"), "{text}");
    assert!(text.ends_with("\n1 breaking change\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours but on a terminal");
    let (code, lines, _) = schema(&["diff", &old, "self", "--format", "line"]).await;
    let line = lines.lines().find(|line| line.contains("R07")).unwrap();
    let place = SERVICES.iter().find(|service| service.name == "Kv").unwrap();
    let expected = format!("{}:{}: error[R07] put.arguments.version: ", place.file, place.line);
    assert!(code == 1 && line.starts_with(&expected), "{lines}");
    let (code, document, _) = schema(&["diff", &old, "self", "--format", "json"]).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((code, &document["compatible"], &document["errors"]), (1, &json!(false), &json!(1)));
    let finding = document["findings"].as_array().unwrap().iter().find(|it| it["rule"] == "R07").unwrap();
    assert_eq!(finding["breaks"], "B");
    // The other way round the field goes: clients that still send it are not heard, which is no break.
    assert_eq!(schema(&["diff", "self", &old]).await.0, 0);
    assert_eq!(
        schema(&["diff", "self", "."]).await,
        (0, "compatible: nothing of meaning has changed\n".into(), String::new())
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_code_2() {
    let contracts = Contracts::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let absent = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    std::fs::write(contracts.path("text"), "{").unwrap();
    let text = contracts.path("text").to_str().unwrap().to_owned();
    let newer = contracts.write("newer.json", |document| document["format"] = json!(7));
    let other = contracts.write("other.json", |document| *document = json!([]));
    for (old, said) in [
        ("no-such-file", "cannot read no-such-file"),
        (&absent, "cannot read http"),
        (&text, "is not JSON"),
        (&newer, "is of format 7; this program reads format 1"),
        (&other, "it is no contract"),
    ] {
        let (code, _, error) = schema(&["diff", old, "self"]).await;
        assert!(code == 2 && error.contains(said), "{old}: {code} {error}");
    }
    let lock = contracts.path("none.json").to_str().unwrap().to_owned();
    let (code, _, error) = schema(&["check", "--lock", &lock]).await;
    assert!(code == 2 && error.contains("schema bless"), "{error}");
}

#[tokio::test]
async fn a_server_is_read_within_bounds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _head = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Ends when the reader has had enough.
        while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
    });
    let (code, _, error) = schema(&["probe", &url]).await;
    assert!(code == 2 && error.contains("too much for a document"), "{code} {error}");
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn a_running_server_is_compared_with_this_binary() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(["--data".as_ref(), folder.path().as_os_str()]).await;
    let (code, text, _) = schema(&["probe", server.url()]).await;
    assert_eq!((code, text.lines().count()), (0, 1), "{text}");
    assert!(text.contains(&own().fingerprint), "{text}");
    assert_eq!(schema(&["diff", server.url(), "self"]).await.0, 0);
    let contracts = Contracts::new();
    let old = contracts.write("old.json", without_version);
    let (code, text, _) = schema(&["diff", &old, server.url()]).await;
    assert!(code == 1 && text.contains("R07"), "{text}");
}

#[tokio::test]
async fn a_break_is_blessed_with_its_reason_only() {
    let contracts = Contracts::new();
    let lock = contracts.path("lock.json").to_str().unwrap().to_owned();
    assert_eq!(schema(&["bless", "--lock", &lock, "--allow", "R07:put", "--reason", "x"]).await.0, 2);
    assert!(!contracts.path("lock.json").exists());
    assert_eq!(schema(&["bless", "--lock", &lock, "--release", "0.0.1"]).await.0, 0);
    assert_eq!(schema(&["check", "--lock", &lock]).await.0, 0);

    let mut document: Value = serde_json::from_slice(&std::fs::read(&lock).unwrap()).unwrap();
    without_version(&mut document["contract"]);
    std::fs::write(&lock, document.to_string()).unwrap();
    let (code, text, _) = schema(&["check", "--lock", &lock]).await;
    assert!(code == 1 && text.contains("error[R07] put.arguments.version"), "{text}");
    let (code, _, error) = schema(&["bless", "--lock", &lock]).await;
    assert!(code == 1 && error.contains("--allow 'R07:put.arguments.version' --reason"), "{error}");
    let allow = ["bless", "--lock", &lock, "--allow", "R07:put.arguments.version"];
    assert_eq!(schema(&allow).await.0, 2, "no reason");
    let (code, _, error) = schema(&[&allow[..], &["--reason", "first"]].concat()).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(schema(&["check", "--lock", &lock]).await.0, 0);
    let lock = Lock::from_json(&serde_json::from_slice(&std::fs::read(&lock).unwrap()).unwrap()).unwrap();
    assert_eq!(lock.accepted.len(), 1);
    assert_eq!((lock.accepted[0].reason.as_str(), lock.contract == own()), ("first", true));
}

/// So that a node of another schema is told of in the logs of its peers.
#[tokio::test]
async fn a_node_tells_its_peers_its_schema() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let transport = RpcTransport::new("cluster", 1, &[(2, url)].into());
    let sends =
        tokio::spawn(async move { transport.send(2, Request::TimeoutNow(TimeoutNowArgs { term: 1 })).await });
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(soon(stream.read_buf(&mut head)).await.unwrap(), 0);
    }
    let expected = format!("x-traitwire-schema: {}", own().fingerprint);
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.contains(&expected), "{head}");
    drop((stream, listener));
    assert!(soon(sends).await.unwrap().is_err());
}
