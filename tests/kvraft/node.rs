//! One node as its operator and its callers see it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use traitwire::{Code, Executed, KvClient, RpcClient, RpcError};
use traitwire_kv::call::CallError;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::services::kv::{GetArgs, Kv, KvStub, PutArgs, PutReply};
use traitwire_kv::services::rsm::{ReplyErr, Rsm, RsmStub, SubmitArgs, Ticket};

use crate::common::kv_cluster::{Cluster, ELECTION_TIMEOUT, soon};
use crate::common::network::NetworkConfig;
use crate::common::process::ServerProcess;

/// How long a node may take to end when it is told to.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a test looks whether what it waits for has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a call with a deadline of 300 ms may take.
const SHORT_CALL_TIME_MAX: Duration = Duration::from_millis(800);

/// Fails the test where the future takes longer than `time`.
async fn in_time<T>(time: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(time, future).await.unwrap_or_else(|_| panic!("it has taken longer than {time:?}"))
}

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

/// One node is enough for a client to know, whichever it is and whoever leads.
#[tokio::test]
async fn a_client_may_know_only_followers() {
    const TIME: Duration = Duration::from_secs(10);
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let url = |id| cluster.nodes[&id].url().to_owned();
    let mut known: Vec<Vec<String>> = cluster.ids().into_iter().map(|id| vec![url(id)]).collect();
    known.push(cluster.others(leader).into_iter().map(url).collect());
    let clients: Vec<_> = known.into_iter().map(|urls| ClusterKvClient::new(urls, 1)).collect();
    for (version, client) in clients.iter().enumerate() {
        let version = version as u64;
        assert_eq!(client.try_put("k", "v", version, TIME).await, Ok(()));
        assert_eq!(client.try_get("k", TIME).await, Ok(("v".to_owned(), version + 1)));
        let stale = client.try_put("k", "stale", version, TIME).await;
        assert_eq!(stale, Err(CallError::OtherVersion { version: version + 1 }));
    }
    cluster.kill(leader).await;
    let client = clients.last().unwrap();
    let (_, version) = client.try_get("k", TIME).await.unwrap();
    assert_eq!(client.try_put("k", "after", version, TIME).await, Ok(()));
}

/// Without a majority calls end within their deadline, at a leader and at one that knows of none, and say whether they may
/// have been executed.
#[tokio::test]
async fn without_a_majority_calls_end() {
    // Two seconds, and what it takes to say so.
    const CALL_TIME_MAX: Duration = Duration::from_millis(2_500);
    // With so much time the caller certainly hears what the node says.
    const PATIENCE: Duration = Duration::from_secs(60);
    const NO_ANSWER: [Code; 2] = [Code::Unavailable, Code::DeadlineExceeded];
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    for id in cluster.others(leader) {
        cluster.kill(id).await;
    }
    let url = cluster.nodes[&leader].url().to_owned();
    let stub = KvStub::new(cluster.line(leader));
    // This put may be in the node's log, if it has not noticed yet; when it has answered the get, it has given up to lead.
    let error = in_time(CALL_TIME_MAX, stub.put(put("k", 0))).await.unwrap_err();
    assert!(NO_ANSWER.contains(&error.code()), "{error}");
    let error = in_time(CALL_TIME_MAX, stub.get(GetArgs { key: "k".into() })).await.unwrap_err();
    assert!(NO_ANSWER.contains(&error.code()), "{error}");
    let patient = RpcClient::builder(&url).timeout(PATIENCE).build();
    let args = put("k", 0);
    let second = patient.try_call::<_, PutReply>("put", &args);
    let error = in_time(CALL_TIME_MAX, second).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (Code::Unavailable, Executed::No), "{error}");
    // A caller with less time is answered before its time is over.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for method in ["get", "put"] {
        let request = http
            .post(format!("{url}/{method}"))
            .header("Connect-Timeout-Ms", "300")
            .body(json!(put("k", 0)).to_string());
        let answer = in_time(SHORT_CALL_TIME_MAX, request.send()).await.unwrap();
        let error: RpcError = answer.json().await.unwrap();
        assert!(NO_ANSWER.contains(&error.code()), "{method}: {error}");
    }
}

/// SIGTERM at the leader: another one leads, the service goes on, and the process ends well, idle connections or not.
#[tokio::test]
async fn a_leader_that_is_told_to_end_hands_over() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "v", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    let address = cluster.nodes[&leader].url().strip_prefix("http://").unwrap().to_owned();
    let _idle = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut half = tokio::net::TcpStream::connect(&address).await.unwrap();
    half.write_all(b"POST /put HTTP/1.1\r\nContent-Le").await.unwrap();

    cluster.nodes[&leader].signal("TERM").await;
    let ended = in_time(END_TIME_MAX, cluster.nodes.get_mut(&leader).unwrap().ended());
    let (code, answer) = tokio::join!(ended, soon(client.put("k", "w", 1)));
    assert_eq!((code, answer), (Some(0), Ok(())));
    cluster.leader_among(&cluster.others(leader)).await;
    assert_eq!(soon(client.get("k")).await, Ok(("w".to_owned(), 2)));
    cluster.restart(leader).await;
    cluster.finish().await;
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
    let expected = [
        "applied_index",
        "cluster_id",
        "commit_index",
        "id",
        "incarnation",
        "last_log_index",
        "leader",
        "role",
        "snapshot_index",
        "term",
    ];
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
    let end = Instant::now() + ELECTION_TIMEOUT;
    loop {
        match soon(submit(Some(nobody), command)).await {
            Err(ReplyErr::NoSession) => break,
            Err(ReplyErr::WrongLeader { submitted: false, .. }) if Instant::now() < end => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
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

/// Whatever comes in place of arguments gets an answer that is an error, and the node lives.
#[tokio::test]
async fn what_is_no_call_of_the_state_machine_gets_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(["--data".as_ref(), folder.path().as_os_str()]).await;
    // Without a leader, some of it is answered with "unavailable".
    let client = ClusterKvClient::new([server.url().to_owned()], 1);
    assert_eq!(soon(client.put("k", "v", 0)).await, Ok(()));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deep = format!("{{\"command\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies = ["{", "nonsense", "null", "7", "\"text\"", "[]", "\u{fffd}", &deep];
    let ticket = r#"{"ticket":{"session":-1,"number":1,"answered_below":1},"command":{}}"#;
    let no_arguments = ["", "{}", r#"{"command":7}"#, r#"{"question":7}"#, ticket];
    for method in ["rsm.submit", "rsm.query", "rsm.open_session", "rsm.status"] {
        let mut bodies = bodies.to_vec();
        if ["rsm.submit", "rsm.query"].contains(&method) {
            bodies.extend(no_arguments);
        }
        for body in bodies {
            let start: String = body.chars().take(60).collect();
            let request = http.post(format!("{}/{method}", server.url())).body(body.to_owned());
            let answer = soon(request.send()).await.expect("an answer");
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            // Methods without arguments take an object that has none of theirs.
            if body == deep && status.is_success() && ["rsm.open_session", "rsm.status"].contains(&method) {
                continue;
            }
            let error: RpcError =
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {start}: {text}"));
            let codes = [Code::InvalidArgument, Code::FailedPrecondition];
            assert!(codes.contains(&error.code()) && status == 400, "{method} {start}: {status} {error}");
        }
    }
    assert_eq!(soon(client.put("k", "w", 1)).await, Ok(()));
}

/// A command may have three megabytes and a body four: what is longer is refused before anything of it is in the log.
#[tokio::test]
async fn commands_that_are_too_large_are_refused() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.leader().await;
    let large = |bytes| PutArgs { value: "v".repeat(bytes), ..put("k", 0) };
    for id in cluster.ids() {
        let stub = KvStub::new(cluster.line(id));
        for (bytes, code) in [(3 << 20, Code::InvalidArgument), (5 << 20, Code::ResourceExhausted)] {
            let error = soon(stub.put(large(bytes))).await.unwrap_err();
            assert_eq!(
                (error.code(), error.executed()),
                (code, Executed::No),
                "{bytes} bytes, node {id}: {error}"
            );
        }
    }
    // One that is just short enough goes to all.
    let value = "v".repeat((3 << 20) - 200);
    let client = cluster.client();
    assert_eq!(soon(client.put("k", &value, 0)).await, Ok(()));
    assert_eq!(soon(client.get("k")).await, Ok((value, 1)));
    cluster.finish().await;
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
    for (argument, other, says) in [("--id", "2", "node 1"), ("--cluster", "another", "`traitwire`")] {
        let (code, error) = serve(&["--data", data, argument, other]).await;
        assert_eq!(code, Some(1), "{argument} {other}: {error}");
        for part in [data, "identity.json", says] {
            assert!(error.contains(part), "{part} is not in what is said of {argument} {other}: {error}");
        }
    }
    let (code, error) = serve(&["--data", data, "--peers", "2=http://127.0.0.1:9"]).await;
    assert_eq!(code, Some(2), "{error}");
}

/// Callers that hang up, many of them while their puts are under way, leave nothing behind.
#[tokio::test]
async fn callers_that_leave_are_forgotten() {
    const CALLERS: usize = 10_000;
    const PATIENCE_MAX_US: u64 = 10_000;
    /// Connections that the nodes may have among themselves after work: to and from each of two others, one for each exchange
    /// that a client lets wait (3), and one for an exchange whose answer is on its way.
    const LINKS_MAX: usize = 2 * 2 * 4;
    /// A node under load has more of them, up to its calls under way, until they have been idle for 15 s; that is looked at
    /// every 15 s.
    const FORGET_TIMEOUT: Duration = Duration::from_secs(40);
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "v", 0)).await, Ok(()));
    let before = cluster.nodes[&leader].descriptors();
    let log_before = cluster.status(leader).await.unwrap().last_log_index;
    let mut answered = 0;
    for round in 0..CALLERS / 50 {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..50 {
            // A client of its own, so a connection of its own, which ends with it.
            let stub = KvStub::new(cluster.line(leader));
            callers.spawn(async move {
                let patience = Duration::from_micros(fastrand::u64(0..PATIENCE_MAX_US));
                let answer = stub.put(put(&format!("{round}-{caller}"), 0));
                tokio::time::timeout(patience, answer).await.is_ok()
            });
        }
        answered += callers.join_all().await.into_iter().filter(|answered| *answered).count();
    }
    let end = Instant::now() + FORGET_TIMEOUT;
    while cluster.nodes[&leader].descriptors() > before + LINKS_MAX {
        assert!(Instant::now() < end, "{before} descriptors became {}", cluster.nodes[&leader].descriptors());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let in_log = cluster.status(leader).await.unwrap().last_log_index - log_before;
    println!(
        "of {CALLERS} callers {answered} were answered, and {in_log} puts are in the log; {before} descriptors, now {}",
        cluster.nodes[&leader].descriptors()
    );
    let left_midway = in_log.saturating_sub(answered as u64);
    assert!(
        left_midway >= CALLERS as u64 / 10,
        "only {left_midway} have left while their puts were under way"
    );
    assert_eq!(soon(client.put("k", "w", 1)).await, Ok(()));
    cluster.finish().await;
}
