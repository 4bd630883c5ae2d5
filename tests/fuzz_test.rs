//! Calls made from the schemas of all methods, good ones and nearly good ones, to a node in this process.
//!
//! What fits a schema is never refused as not fitting; what does not is refused as such, by a message that names the field,
//! and does nothing. Replies and errors are what the schemas say. Nothing is an internal error, and no message of a peer
//! ends a node. A failure says which seed made the call: `TRAITWIRE_TEST_SEED` makes it again.
#![allow(clippy::unwrap_used)]

#[path = "fuzz/arguments.rs"]
mod arguments;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arguments::Arguments;
use axum::body::Body;
use axum::http::Request as HttpRequest;
use fastrand::Rng;
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use traitwire::{Code, Executed, HttpServer, RpcClient, RpcError, RpcResult, Services};
use traitwire_kv::index::SERVICES;
use traitwire_kv::kv_raft::machine::KvMachine;
use traitwire_kv::kv_raft::raft::core::{Options, Reply, Request, Role};
use traitwire_kv::kv_raft::raft::storage::Memory;
use traitwire_kv::kv_raft::raft::{Applies, PROTOCOL, Raft, Transport};
use traitwire_kv::kv_raft::rsm::{Rsm, RsmOptions};
use traitwire_kv::kv_raft::server::Node;
use traitwire_kv::services::raft::{Membership, NodeId};
use traitwire_schema::{Catalogue, Message, MethodDescriptor, Misfit, MisfitKind, check};

const CLUSTER: &str = "fuzz";
/// How often each method is called by a seed of a leader.
const CALLS: usize = 60;
/// How many nodes get messages from a peer, and how many each.
const NODES: u64 = 40;
const MESSAGES: usize = 100;
/// How long a call may take, and a node to lead.
const PATIENCE: Duration = Duration::from_secs(10);

/// The seed to begin with.
fn seed() -> u64 {
    std::env::var("TRAITWIRE_TEST_SEED").map_or(1, |seed| seed.parse().expect("a seed is a number"))
}

/// The other nodes: none of them can be reached.
struct Nobody;

#[traitwire::async_trait]
impl Transport for Nobody {
    async fn send(&self, _: NodeId, _: Request) -> RpcResult<Reply> {
        Err(RpcError::unavailable("nobody is there"))
    }
}

/// Node 1 of so many.
fn start_raft(nodes: u64, seed: u64) -> (Arc<Raft>, Applies) {
    let options = Options::new(1, Membership::of(1..=nodes), seed);
    Raft::start(CLUSTER, options, Memory::default().open(), Arc::new(Nobody)).unwrap()
}

/// A node in this process, and the ways to it.
struct Target {
    raft: Arc<Raft>,
    /// Without it, there is consensus alone.
    node: Option<Node>,
    client: RpcClient,
    http: TowerToHyperService<axum::Router>,
    catalogue: Catalogue,
}

impl Target {
    /// The only node of the replicated store; it leads.
    async fn leader(seed: u64) -> Self {
        let (raft, applies) = start_raft(1, seed);
        let rsm = Rsm::start(raft.clone(), applies, KvMachine::default(), RsmOptions::default());
        let node = Node::over(1, rsm, []);
        let services = || node.services();
        let target = Self::of(raft, services(), services());
        let mut status = target.raft.watch();
        let led = status.wait_for(|status| status.role == Role::Leader);
        tokio::time::timeout(PATIENCE, led).await.expect("it leads in time").unwrap();
        Self { node: Some(node), ..target }
    }

    /// Node 1 of three, whose state machine takes whatever comes: what entries and snapshots hold is their sender's
    /// word, and consensus does not look at it.
    fn member(seed: u64) -> Self {
        let (raft, mut applies) = start_raft(3, seed);
        tokio::spawn(async move { while applies.next().await.is_some() {} });
        let services = || Services::new().mount(raft.server());
        Self::of(raft.clone(), services(), services())
    }

    fn of(raft: Arc<Raft>, here: Services, there: Services) -> Self {
        let client = RpcClient::in_process(here);
        let http = TowerToHyperService::new(HttpServer::new(there).into_router());
        Self { raft, node: None, client, http, catalogue: Catalogue::new(SERVICES).unwrap() }
    }

    fn methods(&self) -> impl Iterator<Item = &'static MethodDescriptor> {
        self.catalogue.services().to_vec().into_iter().flat_map(|service| service.methods.iter().copied())
    }

    /// Calls a method through `POST /{method}`.
    async fn by_http(&self, method: &str, arguments: &str) -> Result<Value, RpcError> {
        let (status, reply) = self.post(&format!("/{method}"), arguments.to_owned()).await;
        if status == 200 {
            return Ok(reply);
        }
        let error: RpcError = serde_json::from_value(reply).expect("an error is one");
        assert_eq!(status, error.code().http_status().as_u16(), "{error}");
        Err(error)
    }

    /// Calls a method through JSON-RPC, by name.
    async fn by_json_rpc(&self, method: &str, arguments: &str) -> Result<Value, RpcError> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{arguments}}}"#);
        let (status, mut reply) = self.post("/", body).await;
        assert_eq!((status, &reply["id"], &reply["jsonrpc"]), (200, &json!(7), &json!("2.0")), "{reply}");
        match reply.get_mut("error") {
            None => Ok(reply["result"].take()),
            Some(error) => Err(serde_json::from_value(error["data"].take()).expect("an error is one")),
        }
    }

    async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let request = HttpRequest::post(path).body(Body::from(body)).unwrap();
        let response = self.http.call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).expect("an answer is JSON"))
    }

    /// That the node runs and answers.
    async fn lives(&self) {
        if let Ok(ended) = tokio::time::timeout(Duration::ZERO, self.raft.ended()).await {
            panic!("consensus has ended: {ended:?}");
        }
        let inspected = tokio::time::timeout(PATIENCE, self.raft.inspect(|core| core.id())).await;
        assert_eq!(inspected, Ok(Some(1)), "the core does not answer");
        let Some(node) = &self.node else { return };
        if let Ok(failed) = tokio::time::timeout(Duration::ZERO, node.failed()).await {
            panic!("the node has ended: {failed}");
        }
        self.client.try_call::<_, Value>("rsm.status", &json!({})).await.expect("a status");
    }

    /// Calls a method in one of the ways and checks what comes of it.
    async fn call(&self, method: &'static MethodDescriptor, arguments: &Value, way: Way) {
        let text = arguments.to_string();
        let calling = async {
            match way {
                Way::InProcess => {
                    let raw = RawValue::from_string(text.clone()).unwrap();
                    self.client.try_call(method.name, &raw).await
                }
                Way::Http => self.by_http(method.name, &text).await,
                Way::JsonRpc => self.by_json_rpc(method.name, &text).await,
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, calling).await.expect("an answer in time");
        let misfits = check(&self.document(method, Part::Arguments).unwrap(), arguments).unwrap();
        let refusals: Vec<&Misfit> =
            misfits.iter().filter(|misfit| misfit.kind == MisfitKind::Invalid).collect();
        match &outcome {
            Ok(reply) => {
                assert!(refusals.is_empty(), "it was taken, but {}", refusals[0]);
                self.fits(method, Part::Reply, reply);
            }
            Err(error) if refusals.is_empty() => self.is_good_refusal(method, error),
            Err(error) => is_refusal_of(error, &refusals, method),
        }
    }

    /// That an error says something else than that the arguments do not fit.
    fn is_good_refusal(&self, method: &'static MethodDescriptor, error: &RpcError) {
        let broken = [Code::Internal, Code::Unknown, Code::Unimplemented, Code::DataLoss];
        assert!(!broken.contains(&error.code()), "{error}");
        for words in ["not fit", "malformed"] {
            assert!(!error.message().contains(words), "the schema says that it fits: {error}");
        }
        let own = error.details().iter().find_map(|detail| detail.get("error"));
        if let Some(own) = own {
            self.fits(method, Part::Error, own);
        }
    }

    fn fits(&self, method: &'static MethodDescriptor, part: Part, value: &Value) {
        let document = self.document(method, part).expect("only who has an error of its own answers with it");
        let misfits = check(&document, value).unwrap();
        assert!(misfits.is_empty(), "{part:?} {value}: {}", misfits[0]);
    }

    fn document(&self, method: &'static MethodDescriptor, part: Part) -> Option<Value> {
        let messages = self.catalogue.messages(method);
        let message: Option<&Message> = match part {
            Part::Arguments => Some(&messages.arguments),
            Part::Reply => Some(&messages.reply),
            Part::Error => messages.error.as_ref(),
        };
        message.map(|message| self.catalogue.message_document(message))
    }
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Arguments,
    Reply,
    Error,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    InProcess,
    Http,
    JsonRpc,
}

/// That an error refuses the arguments, before anything was done, and names one of the fields that are wrong.
fn is_refusal_of(error: &RpcError, misfits: &[&Misfit], method: &MethodDescriptor) {
    assert_eq!(error.code(), Code::InvalidArgument, "{error}: {}", misfits[0]);
    if !method.is_read_only() {
        assert_eq!(error.executed(), Executed::No, "{error}");
    }
    // An element is named by its list as well, a field too many by what holds it; what has no name is wrong as a whole.
    let named = misfits.iter().any(|misfit| {
        let (holder, field) = misfit.path.rsplit_once('.').unwrap_or(("", &misfit.path));
        let field = field.split('[').next().unwrap_or_default();
        error.message().contains(field) || error.message().contains(&format!("`{holder}`"))
    });
    assert!(named, "{error} does not name {}", misfits[0]);
}

/// Says which call it was that failed.
struct Said(String);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

fn say(seed: u64, way: Way, method: &MethodDescriptor, arguments: &Value) -> Said {
    let mut text = arguments.to_string();
    if let Some((at, _)) = text.char_indices().nth(2_000) {
        text.truncate(at);
    }
    Said(format!("TRAITWIRE_TEST_SEED={seed}: {method} {text} ({way:?})", method = method.name))
}

/// Commands and questions that the store understands, so that more than refusals come of them.
fn known() -> Vec<Value> {
    let key = "\u{1f980}";
    vec![
        json!({ "put": { "key": "a", "value": "b", "version": 0 } }),
        json!({ "put": { "key": key, "value": "\u{0}", "version": 1 } }),
        json!({ "put": { "key": "", "value": "b", "version": 0 } }),
        json!({ "get": { "key": "a" } }),
        json!({ "get": { "key": "" } }),
    ]
}

#[tokio::test]
async fn a_leader_answers_what_the_schemas_say() {
    let seed = seed();
    let target = Target::leader(seed).await;
    let known = known();
    for method in target.methods() {
        let document = target.document(method, Part::Arguments).unwrap();
        let mut random = Rng::with_seed(seed);
        for index in 0..CALLS {
            let way = [Way::InProcess, Way::Http, Way::JsonRpc][index % 3];
            let mut arguments = Arguments::new(&document, &known, &mut random);
            let good = arguments.good();
            let changed = arguments.changed(&good);
            for arguments in [good, changed] {
                // By JSON-RPC a list is arguments by position, and `null` none; in the process they are taken as they are.
                if !arguments.is_object() && !matches!(way, Way::Http) {
                    continue;
                }
                let _said = say(seed, way, method, &arguments);
                target.call(method, &arguments, way).await;
            }
        }
        target.lives().await;
    }
}

/// Messages of the right form from a peer that does not keep the rules: they may make a node believe anything, but not end.
#[tokio::test]
async fn no_message_of_a_peer_ends_a_node() {
    let known = known();
    for seed in seed()..seed() + NODES {
        let target = Target::member(seed);
        let mut random = Rng::with_seed(seed);
        let methods: Vec<_> = target.methods().filter(|method| method.name.starts_with("raft.")).collect();
        let documents: BTreeMap<&str, Value> = methods
            .iter()
            .map(|method| (method.name, target.document(method, Part::Arguments).unwrap()))
            .collect();
        for _ in 0..MESSAGES {
            let method = methods[random.usize(..methods.len())];
            let mut arguments = Arguments::new(&documents[method.name], &known, &mut random);
            let mut message = arguments.good();
            if random.u8(..4) == 0 {
                message = Arguments::new(&documents[method.name], &known, &mut random).changed(&message);
            }
            if message["sender"].is_object() {
                let from = random.u64(2..=3);
                message["sender"] =
                    json!({ "cluster": CLUSTER, "protocol": PROTOCOL, "from": from, "to": 1 });
            }
            let _said = say(seed, Way::Http, method, &message);
            target.call(method, &message, Way::Http).await;
            target.lives().await;
        }
        target.raft.stop().await;
    }
}

/// What is no JSON, or too deep, or not of this world, gets an answer that says so, for every method.
#[tokio::test]
async fn what_is_no_message_is_refused_by_every_method() {
    let target = Target::leader(1).await;
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let bodies = [
        "{",
        "}",
        "nonsense",
        "null",
        "7",
        "\"text\"",
        "[1]",
        "[null]",
        "\u{feff}{}",
        "{}{}",
        "NaN",
        "'",
        "{\"a\":\"\u{1}\"}",
        &deep,
    ];
    for method in target.methods() {
        for body in bodies {
            let start: String = body.chars().take(60).collect();
            match target.by_http(method.name, body).await {
                Err(error) => {
                    assert_eq!(error.code(), Code::InvalidArgument, "{} {start}: {error}", method.name);
                    if !method.is_read_only() {
                        assert_eq!(error.executed(), Executed::No, "{} {start}: {error}", method.name);
                    }
                }
                Ok(reply) => panic!("{} took {start}: {reply}", method.name),
            }
        }
    }
    // Half of a surrogate pair is no text, and a field is named twice by nobody who means it.
    for body in
        [r#"{"key":"\ud800","value":"","version":0}"#, r#"{"key":"k","key":"l","value":"","version":0}"#]
    {
        let error = target.by_http("put", body).await.unwrap_err();
        assert!(error.code() == Code::InvalidArgument && error.message().contains("key"), "{error}");
    }
    // An argument of any form may be as deep as it likes.
    let command = format!(r#"{{"command":{deep}}}"#);
    let error = target.by_http("rsm.submit", &command).await.unwrap_err();
    assert!(error.details().iter().any(|detail| detail["error"]["invalid"].is_string()), "{error:?}");
    target.lives().await;
}
