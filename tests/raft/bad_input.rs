//! Messages that no node should send, from somebody who has one node's address: each gets an answer that says what is wrong
//! with it, and none harms the node.

use serde_json::{Value, json};
use tempfile::TempDir;
use traitwire::{Code, Executed, RpcClient, RpcError};

use crate::cluster::node_arguments;
use crate::common::process::{ServerProcess, example};
use crate::log_node::LogNode;

/// Node 1 of three. The test is the other two.
struct Target {
    process: ServerProcess,
    client: RpcClient,
    _folder: TempDir,
}

impl Target {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = |id| (id, "http://127.0.0.1:9".to_owned());
        let arguments = node_arguments(1, &[nowhere(2), nowhere(3)].into(), folder.path());
        let process = ServerProcess::start_program(example("raft_log"), arguments).await;
        let client = RpcClient::new(process.url().to_owned(), 2);
        Self { process, client, _folder: folder }
    }

    /// Calls a method as node 2, unless `sender` says otherwise.
    async fn call(&self, method: &str, sender: Value, args: Value) -> Result<Value, RpcError> {
        self.client.try_call(method, &json!({ "sender": sender, "args": args })).await
    }

    /// That the node refuses a message with this code, that it has done nothing about it, and that it lives.
    async fn refuses(&self, code: Code, says: &str, method: &str, sender: Value, args: Value) {
        let about = format!("{method} from {sender} with {args}");
        let error = self.call(method, sender, args).await.expect_err(&about);
        assert_eq!((error.code(), error.executed()), (code, Executed::No), "{about}: {error}");
        assert!(error.message().contains(says), "{about}: {error}");
        self.lives(&about).await;
    }

    async fn lives(&self, after: &str) {
        let state = LogNode::new(self.process.url()).state().await;
        state.unwrap_or_else(|error| panic!("the node does not live after {after}: {error}"));
    }
}

fn sender() -> Value {
    json!({ "cluster": "log", "protocol": 1, "from": 2, "to": 1 })
}

/// A good message of each method, in this term.
fn messages(term: u64) -> [(&'static str, Value); 5] {
    let vote = json!({ "term": term, "last_index": 0, "last_term": 0, "transfer": false });
    [
        ("raft.pre_vote", vote.clone()),
        ("raft.request_vote", vote),
        ("raft.append_entries", append(term, json!([]))),
        ("raft.install_snapshot", install(term, json!({}))),
        ("raft.timeout_now", json!({ "term": term })),
    ]
}

fn append(term: u64, entries: Value) -> Value {
    json!({ "term": term, "round": 1, "prev_index": 0, "prev_term": 0, "entries": entries, "commit": 0 })
}

fn install(term: u64, changes: Value) -> Value {
    let mut snapshot = json!({ "last_index": 9, "last_term": term, "membership": { "voters": [1, 2, 3] } });
    for (name, value) in changes.as_object().unwrap() {
        snapshot[name] = value.clone();
    }
    json!({ "term": term, "round": 1, "snapshot": snapshot, "offset": 0, "data": "", "last": false })
}

/// Whatever comes in place of arguments is no reason to end, for any method.
#[tokio::test]
async fn what_is_no_message_gets_an_answer() {
    let target = Target::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies = ["", "{", "nonsense", "null", "7", "\"text\"", "[]", "[1, 2, 3]", "{}", "\u{fffd}", &deep];
    for (method, args) in messages(1) {
        let mut bodies = bodies.map(str::to_owned).to_vec();
        bodies.push(json!({ "sender": sender() }).to_string());
        bodies.push(json!({ "args": args }).to_string());
        // Each field of the message in turn is not there, or is something else.
        for field in args.as_object().unwrap().keys() {
            for wrong in [json!(-1), json!(1.5), json!("text"), json!({}), Value::Null] {
                if args[field] == wrong || (field == "data" && wrong.is_string()) {
                    continue;
                }
                let mut args = args.clone();
                args[field] = wrong;
                bodies.push(json!({ "sender": sender(), "args": args }).to_string());
            }
            let mut args = args.clone();
            args.as_object_mut().unwrap().remove(field);
            bodies.push(json!({ "sender": sender(), "args": args }).to_string());
        }
        for body in bodies {
            let request = http.post(format!("{}/{method}", target.process.url())).body(body.clone());
            let response = request.send().await.expect("an answer");
            let (status, text) = (response.status(), response.text().await.unwrap());
            let start: String = body.chars().take(200).collect();
            let error: RpcError =
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {start}: {status} {text}"));
            assert_eq!(error.code(), Code::InvalidArgument, "{method} {start}: {error}");
            assert_eq!(error.executed(), Executed::No, "{method} {start}: {error}");
        }
        target.lives(method).await;
    }
}

/// A node speaks only to its own cluster, in a protocol that it knows, and only when it is meant.
#[tokio::test]
async fn strangers_are_refused() {
    let target = Target::start().await;
    let cases = [
        ("cluster", json!("another"), "the cluster `log`, not to `another`"),
        ("cluster", json!(""), "the cluster `log`"),
        ("protocol", json!(2), "version 1 of the protocol, not 2"),
        ("protocol", json!(0), "version 1 of the protocol, not 0"),
        ("to", json!(3), "this is node 1, not node 3"),
        ("from", json!(9), "node 9 is not a member of the cluster"),
        ("from", json!(1), "this is node 1 itself"),
    ];
    for (method, args) in messages(1) {
        for (field, value, says) in &cases {
            let mut sender = sender();
            sender[*field] = value.clone();
            target.refuses(Code::FailedPrecondition, says, method, sender, args.clone()).await;
        }
    }
    let state = LogNode::new(target.process.url()).state().await.unwrap();
    assert_eq!((state.term, state.leader), (0, None), "a stranger was listened to");
}

/// What has the right form and contradicts itself, or would leave no room for what comes next, is refused as well. Then the
/// node follows a leader as ever.
#[tokio::test]
async fn messages_that_contradict_themselves_are_refused() {
    const TERM: u64 = 5;
    let target = Target::start().await;
    let blank = |term: u64| json!({ "term": term, "payload": "blank" });
    for (method, _) in messages(TERM) {
        for term in [0, u64::MAX, 1 << 63] {
            let (_, args) = messages(term).into_iter().find(|(name, _)| *name == method).unwrap();
            target.refuses(Code::InvalidArgument, "`term`", method, sender(), args).await;
        }
    }
    let mut late_start = append(TERM, json!([blank(4)]));
    late_start["prev_term"] = json!(5);
    let contradictions = [
        ("raft.append_entries", append(TERM, json!([blank(TERM + 1)]))),
        ("raft.append_entries", append(TERM, json!([blank(4), blank(3)]))),
        ("raft.append_entries", append(TERM, json!([blank(0), blank(u64::MAX), blank(TERM)]))),
        ("raft.append_entries", late_start),
        ("raft.install_snapshot", install(TERM, json!({ "last_term": TERM + 1 }))),
        ("raft.install_snapshot", install(TERM, json!({ "last_index": 0 }))),
        ("raft.install_snapshot", install(TERM, json!({ "last_index": u64::MAX }))),
        ("raft.install_snapshot", install(TERM, json!({ "membership": { "voters": [] } }))),
    ];
    for (method, args) in contradictions {
        target.refuses(Code::InvalidArgument, "`", method, sender(), args).await;
    }

    // These say what a node may say, however odd.
    let mut far = append(TERM, json!([blank(TERM)]));
    far["prev_index"] = json!(u64::MAX);
    far["commit"] = json!(u64::MAX);
    let conflict = target.call("raft.append_entries", sender(), far).await.unwrap();
    assert_eq!(conflict["outcome"]["conflict"]["first_index"], 1, "{conflict}");
    let mut ahead = append(TERM, json!([]));
    ahead["commit"] = json!(u64::MAX);
    let matched = target.call("raft.append_entries", sender(), ahead).await.unwrap();
    assert_eq!(matched["outcome"]["matched"], 0, "{matched}");

    let entries = json!([{ "term": TERM, "payload": { "command": "a record" } }]);
    let matched = target.call("raft.append_entries", sender(), append(TERM, entries)).await.unwrap();
    assert_eq!((&matched["term"], &matched["outcome"]["matched"]), (&json!(TERM), &json!(1)), "{matched}");
    let mut commit = append(TERM, json!([]));
    commit["prev_index"] = json!(1);
    commit["prev_term"] = json!(TERM);
    commit["commit"] = json!(1);
    target.call("raft.append_entries", sender(), commit).await.unwrap();
    let state = LogNode::new(target.process.url()).state().await.unwrap();
    assert_eq!((state.term, state.commit_index), (TERM, 1));
}
