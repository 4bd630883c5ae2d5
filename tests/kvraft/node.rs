//! One node as its operator and its callers see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
use traitwire::{Code, Executed, KvClient, RpcClient};
use traitwire_kv::services::kv::{GetArgs, Kv, KvStub, PutArgs};
use traitwire_kv::services::rsm::{ReplyErr, Rsm, RsmStub, SubmitArgs, Ticket};

use crate::cluster::{Cluster, soon};
use crate::common::network::NetworkConfig;
use crate::common::process::ServerProcess;

fn put(key: &str, version: u64) -> PutArgs {
    PutArgs { key: key.to_owned(), value: "v".to_owned(), version }
}

/// Any node answers; those that do not lead pass calls on.
#[tokio::test]
async fn every_node_answers() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.leader().await;
    for (version, id) in cluster.ids().into_iter().enumerate() {
        let stub = KvStub::new(cluster.line(id));
        let reply = soon(stub.put(put("k", version as u64))).await.unwrap();
        assert_eq!((reply.version, reply.err), (version as u64 + 1, None), "node {id}");
        assert_eq!(soon(stub.get(GetArgs { key: "k".into() })).await.unwrap().version, version as u64 + 1);
    }
}

/// Without a majority calls end within their deadline, and say whether they may have been executed.
#[tokio::test]
async fn without_a_majority_calls_end() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    for id in cluster.ids().into_iter().filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    let stub = KvStub::new(cluster.line(leader));
    let began = Instant::now();
    let put_error = soon(stub.put(put("k", 0))).await.unwrap_err();
    assert!(matches!(put_error.code(), Code::Unavailable | Code::DeadlineExceeded), "{put_error}");
    assert_eq!(put_error.executed(), Executed::Unknown, "{put_error}");
    let get_error = soon(stub.get(GetArgs { key: "k".into() })).await.unwrap_err();
    assert!(matches!(get_error.code(), Code::Unavailable | Code::DeadlineExceeded), "{get_error}");
    assert!(began.elapsed() < Duration::from_secs(6), "two calls took {:?}", began.elapsed());
}

/// SIGTERM at the leader: another one leads at once, and the process ends well, idle connections or not.
#[tokio::test]
async fn a_leader_that_is_told_to_end_hands_over() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "v", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    let began = Instant::now();
    cluster.nodes[&leader].signal("TERM").await;
    while cluster.nodes.get_mut(&leader).unwrap().is_running() {
        assert!(began.elapsed() < Duration::from_secs(5), "it does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let others: Vec<_> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    cluster.leader_among(&others).await;
    assert_eq!(soon(client.put("k", "w", 1)).await, Ok(()));
    cluster.recorder.check();
}

/// `GET /status` has what the documents promise.
#[tokio::test]
async fn a_status_is_there_to_be_read() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let url = format!("{}/status", cluster.nodes[&leader].url());
    let status: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let mut fields: Vec<_> = status.as_object().unwrap().keys().cloned().collect();
    fields.sort_unstable();
    let expected =
        ["applied_index", "commit_index", "id", "last_log_index", "leader", "role", "snapshot_index", "term"];
    assert_eq!(fields, expected);
    assert_eq!((&status["id"], &status["role"]), (&json!(leader), &json!("leader")));
}

/// What no client should send is refused with a reason.
#[tokio::test]
async fn bad_commands_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(["--data".as_ref(), folder.path().as_os_str()]).await;
    let stub = RsmStub::new(RpcClient::new(server.url().to_owned(), 1));
    let raw = |json: &str| serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
    let submit = |ticket, command: &str| stub.submit(SubmitArgs { ticket, command: raw(command) });
    assert!(matches!(soon(submit(None, "7")).await, Err(ReplyErr::Invalid(_))));
    assert!(matches!(
        soon(submit(None, r#"{"put":{"key":"","value":"","version":0}}"#)).await,
        Err(ReplyErr::Invalid(_))
    ));
    let nobody = Ticket { session: 99, number: 1, answered_below: 1 };
    let command = r#"{"put":{"key":"k","value":"","version":0}}"#;
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match soon(submit(Some(nobody), command)).await {
            Err(ReplyErr::NoSession) => break,
            Err(ReplyErr::WrongLeader { submitted: false, .. }) if Instant::now() < end => {}
            other => panic!("{other:?}"),
        }
    }
    let session = soon(stub.open_session()).await.unwrap().session;
    let ticket = Some(Ticket { session, number: 1, answered_below: 1 });
    let first = soon(submit(ticket, command)).await.unwrap();
    let again = soon(submit(ticket, command)).await.unwrap();
    assert_eq!(
        (first.reply.get(), again.reply.get()),
        (r#"{"put":{"version":1,"err":null}}"#, first.reply.get())
    );
}

async fn serve(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_traitwire"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = soon(output).await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A folder that is in use, or belongs to another node or cluster, is refused with a message that names it.
#[tokio::test]
async fn a_folder_belongs_to_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut server = ServerProcess::start(["--data", data]).await;
    let (code, error) = serve(&["--data", data]).await;
    assert!(code == Some(1) && error.contains(data) && error.contains("in use"), "{code:?} {error}");
    server.kill().await;
    for other in [["--id", "2"], ["--cluster", "another"]] {
        let (code, error) = serve(&["--data", data, other[0], other[1]]).await;
        assert!(code == Some(1) && error.contains(data), "{other:?}: {code:?} {error}");
    }
    let (code, error) = serve(&["--data", data, "--peers", "2=http://127.0.0.1:9"]).await;
    assert_eq!(code, Some(2), "{error}");
}

/// Callers that hang up leave nothing behind.
#[tokio::test]
async fn callers_that_leave_are_forgotten() {
    const CALLERS: usize = 2_000;
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "v", 0)).await, Ok(()));
    let before = cluster.nodes[&leader].descriptors();
    for round in 0..CALLERS / 50 {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..50 {
            // A client of its own, so a connection of its own, which ends with it.
            let stub = KvStub::new(cluster.line(leader));
            callers.spawn(async move {
                let left = Duration::from_micros(fastrand::u64(0..2_000));
                let _left = tokio::time::timeout(left, stub.put(put(&format!("{round}-{caller}"), 0))).await;
            });
        }
        callers.join_all().await;
    }
    let end = Instant::now() + Duration::from_secs(10);
    while cluster.nodes[&leader].descriptors() > before + 20 {
        assert!(Instant::now() < end, "{before} descriptors became {}", cluster.nodes[&leader].descriptors());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(soon(client.put("k", "w", 1)).await, Ok(()));
}
