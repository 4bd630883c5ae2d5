//! A message arrives as it was sent: alone, in a batch, in process and by JSON-RPC, whatever JSON it is and whoever serves it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use traitwire::{
    CoalesceLimits, Executed, HttpTransport, InProcess, RpcClient, RpcError, RpcResult, Server, Services,
};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Point {
    x: i64,
    y: Option<u64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Unit;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Wrapped(Vec<Point>);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Any {
    Null,
    Flag(bool),
    Number(f64),
    Many(Vec<i32>),
    One { one: String },
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Tagged {
    Empty,
    Circle { radius: u32 },
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum Named {
    Empty,
    One(u8),
    Pair(u8, u8),
    Fields { a: Option<bool> },
}

/// Gives each message back.
#[traitwire::service(prefix = "shape")]
trait Shape: Send + Sync {
    #[rpc(read_only)]
    async fn list(&self, values: Vec<i64>) -> RpcResult<Vec<i64>>;
    #[rpc(read_only)]
    async fn lists(&self, values: Vec<Vec<Value>>) -> RpcResult<Vec<Vec<Value>>>;
    #[rpc(read_only)]
    async fn optional(&self, value: Option<u32>) -> RpcResult<Option<u32>>;
    #[rpc(read_only)]
    async fn optional_point(&self, value: Option<Point>) -> RpcResult<Option<Point>>;
    #[rpc(read_only)]
    async fn value(&self, value: Value) -> RpcResult<Value>;
    #[rpc(read_only)]
    async fn raw(&self, value: Box<RawValue>) -> RpcResult<Box<RawValue>>;
    #[rpc(read_only)]
    async fn unit(&self, value: ()) -> RpcResult<()>;
    #[rpc(read_only)]
    async fn unit_struct(&self, value: Unit) -> RpcResult<Unit>;
    #[rpc(read_only)]
    async fn nothing(&self, value: Nothing) -> RpcResult<Nothing>;
    #[rpc(read_only)]
    async fn text(&self, value: String) -> RpcResult<String>;
    #[rpc(read_only)]
    async fn flag(&self, value: bool) -> RpcResult<bool>;
    #[rpc(read_only)]
    async fn number(&self, value: f64) -> RpcResult<f64>;
    #[rpc(read_only)]
    async fn tuple(&self, value: (u8, Option<String>)) -> RpcResult<(u8, Option<String>)>;
    #[rpc(read_only)]
    async fn map(&self, value: BTreeMap<String, Value>) -> RpcResult<BTreeMap<String, Value>>;
    #[rpc(read_only)]
    async fn point(&self, value: Point) -> RpcResult<Point>;
    #[rpc(read_only)]
    async fn flat(&self, value: Flat) -> RpcResult<Flat>;
    #[rpc(read_only)]
    async fn wrapped(&self, value: Wrapped) -> RpcResult<Wrapped>;
    #[rpc(read_only)]
    async fn any(&self, value: Any) -> RpcResult<Any>;
    #[rpc(read_only)]
    async fn tagged(&self, value: Tagged) -> RpcResult<Tagged>;
    #[rpc(read_only)]
    async fn named(&self, value: Named) -> RpcResult<Named>;
    /// Nothing but a name.
    #[rpc(read_only)]
    async fn none(&self) -> RpcResult<bool>;
    #[rpc(read_only)]
    async fn both(&self, left: Value, right: Option<i8>) -> RpcResult<(Value, Option<i8>)>;
}

struct Mirror;

macro_rules! mirror {
    ($($method:ident: $ty:ty),* $(,)?) => {
        #[traitwire::async_trait]
        impl Shape for Mirror {
            $(async fn $method(&self, value: $ty) -> RpcResult<$ty> {
                Ok(value)
            })*

            async fn none(&self) -> RpcResult<bool> {
                Ok(true)
            }

            async fn both(&self, left: Value, right: Option<i8>) -> RpcResult<(Value, Option<i8>)> {
                Ok((left, right))
            }
        }

        const METHODS: &[&str] = &[$(stringify!($method),)* "none", "both"];
    };
}

mirror!(
    list: Vec<i64>, lists: Vec<Vec<Value>>, optional: Option<u32>, optional_point: Option<Point>, value: Value,
    raw: Box<RawValue>, unit: (), unit_struct: Unit, nothing: Nothing, text: String, flag: bool, number: f64,
    tuple: (u8, Option<String>), map: BTreeMap<String, Value>, point: Point, flat: Flat, wrapped: Wrapped, any: Any,
    tagged: Tagged, named: Named,
);

/// A server written by hand, of which nothing is known.
struct Echo;

#[traitwire::async_trait]
impl Server for Echo {
    async fn dispatch(&self, _name: &str, args: String) -> String {
        args
    }
}

fn services() -> Services {
    Services::new().mount(ShapeServer::new(Mirror)).mount_at("echo", Echo).fallback(Echo)
}

/// All ways to one server.
struct Ways {
    alone: RpcClient,
    together: RpcClient,
    in_process: RpcClient,
    url: String,
    http: reqwest::Client,
}

impl Ways {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(traitwire::serve(listener, services(), std::future::pending()));
        let mut limits = CoalesceLimits::default();
        // One exchange for all but those that are sent at once.
        limits.unanswered = 1;
        limits.share = limits.items;
        let client =
            |limits| RpcClient::builder("").transport(Arc::new(HttpTransport::new(&url, limits))).build();
        let (alone, together) = (client(CoalesceLimits::off()), client(limits));
        let in_process =
            RpcClient::builder("").transport(Arc::new(InProcess::new(Arc::new(services())))).build();
        Self { alone, together, in_process, url, http: reqwest::Client::new() }
    }

    /// Sends `message` to `methods` in every way: the same comes of each.
    async fn check(&self, methods: &[String], message: &Value) {
        // The last of many calls made at once share an exchange, and the first of them go alone.
        let calls = || methods.iter().map(|method| self.together.try_call::<_, Value>(method, message));
        let together = join_all(calls().chain(calls()).chain(calls())).await;
        for (index, result) in together.iter().enumerate() {
            assert_eq!(result, &together[index % methods.len()], "{}", methods[index % methods.len()]);
        }
        for (method, together) in methods.iter().zip(&together) {
            let alone = self.alone.try_call::<_, Value>(method, message).await;
            assert_eq!(together, &alone, "{method} of {message}, in a batch and alone");
            let in_process = self.in_process.try_call::<_, Value>(method, message).await;
            assert_eq!(in_process, alone, "{method} of {message}, in process and alone");
            for params in self.forms(method, message) {
                let by_hand = self.json_rpc(method, &params).await;
                assert_eq!(by_hand, alone, "{method} of {message}, by hand as {params} and alone");
            }
        }
    }

    /// How the message may stand in `params` for clients of others: by name where it is an object, as the only position
    /// where the method has no named fields.
    fn forms(&self, method: &str, message: &Value) -> Vec<Value> {
        let has_fields = ["point", "flat", "nothing", "none", "both"].map(|name| format!("shape.{name}"));
        let is_by_hand = !method.starts_with("shape.");
        let mut forms = Vec::new();
        if message.is_object() {
            forms.push(message.clone());
        }
        if !is_by_hand && !has_fields.contains(&method.to_owned()) {
            forms.push(json!([message]));
        }
        forms
    }

    async fn json_rpc(&self, method: &str, params: &Value) -> RpcResult<Value> {
        let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7}).to_string();
        let reply: Value =
            self.http.post(&self.url).body(request).send().await.unwrap().json().await.unwrap();
        assert_eq!(reply["id"], 7, "{reply}");
        match reply.get("error") {
            None => Ok(reply["result"].clone()),
            Some(error) => Err(RpcError::deserialize(&error["data"]).unwrap()),
        }
    }
}

/// Any JSON, and more often what the messages look like.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3_i64..300).prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[a-z\\[\\]{}\", \\\\é]{0,6}".prop_map(Value::from),
        Just(json!("Empty")),
        Just(json!("empty")),
    ];
    let key = || prop_oneof!["[a-z]{0,2}", "x|y|id|one|kind|radius|left|right|Fields|One|Pair"];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(0_u8..4, 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Values that once arrived as others.
fn known() -> Vec<Value> {
    let point = json!({"x": 1, "y": 2});
    vec![
        json!(null),
        json!([]),
        json!([[]]),
        json!([[1, 2]]),
        json!(["only"]),
        json!([null]),
        json!([point]),
        point.clone(),
        json!([{"kind": "empty"}]),
        json!({"kind": "circle", "radius": 3}),
        json!(""),
        json!(0),
        json!(true),
        json!({}),
        json!([1, 2]),
        json!([1, "x"]),
        json!({"Fields": {"a": null}}),
        json!({"Pair": [1, 2]}),
        json!([{}]),
        json!([[point]]),
        json!({"id": 1, "x": [1, 2]}),
        json!({"params": [1], "message": true}),
        json!({"left": [1], "right": null}),
    ]
}

#[test]
fn a_message_arrives_as_it_was_sent() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ways = runtime.block_on(Ways::new());
    let mut methods: Vec<String> = METHODS.iter().map(|method| format!("shape.{method}")).collect();
    methods.extend(["echo.it", "anything", "with a/slash?", "%41", "é"].map(str::to_owned));
    for message in known() {
        runtime.block_on(ways.check(&methods, &message));
    }
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() });
    let result = runner.run(&any_json(), |message| {
        runtime.block_on(ways.check(&methods, &message));
        Ok(())
    });
    result.unwrap();
}

/// What arrives is what was sent, and not only the same in all ways.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_objects_arrive_whole() {
    let ways = Ways::new().await;
    let stub = ShapeStub::new(ways.together.clone());
    let sent = join_all((0..64).map(|number| {
        let stub = stub.clone();
        async move {
            assert_eq!(stub.list(vec![number, 2, 3]).await, Ok(vec![number, 2, 3]));
            assert_eq!(stub.list(vec![number]).await, Ok(vec![number]));
            assert_eq!(stub.value(json!(["only", number])).await, Ok(json!(["only", number])));
            assert_eq!(stub.value(json!([[1, number]])).await, Ok(json!([[1, number]])));
            assert_eq!(stub.value(Value::Null).await, Ok(Value::Null));
            assert_eq!(stub.optional(None).await, Ok(None));
            assert_eq!(stub.unit(()).await, Ok(()));
        }
    }));
    sent.await;
    for value in known() {
        let echoed = join_all((0..16).map(|_| ways.together.try_call::<_, Value>("echo.it", &value))).await;
        assert!(echoed.iter().all(|echoed| echoed.as_ref() == Ok(&value)), "{value} came back as {echoed:?}");
    }
}

/// Clients of others may leave `params` out or send null: then a method has no arguments, or null where it takes that.
#[tokio::test(flavor = "multi_thread")]
async fn params_that_are_null_are_none_or_null() {
    let ways = Ways::new().await;
    for (method, result) in
        [("none", json!(true)), ("unit", Value::Null), ("optional", Value::Null), ("nothing", json!({}))]
    {
        assert_eq!(ways.json_rpc(&format!("shape.{method}"), &Value::Null).await, Ok(result), "{method}");
    }
    assert_eq!(ways.json_rpc("echo.it", &Value::Null).await, Ok(Value::Null));
    for params in [json!([]), json!([1, 2]), json!({"a": 1}), json!(1), json!(null)] {
        let request =
            json!({"jsonrpc": "2.0", "method": "echo.it", "params": params, "message": true, "id": 7});
        let reply = ways.http.post(&ways.url).body(request.to_string()).send().await.unwrap();
        let reply: Value = reply.json().await.unwrap();
        assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(7), &json!(-32602)), "{params}: {reply}");
        let error = RpcError::deserialize(&reply["error"]["data"]).unwrap();
        assert_eq!(error.executed(), Executed::No);
    }
}

mod first {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    pub(crate) struct Item {
        number: u64,
    }
}

mod second {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    pub(crate) struct Item {
        text: String,
    }
}

/// Has two types of one name.
#[traitwire::service(prefix = "twice")]
trait Twice: Send + Sync {
    async fn one(&self, item: first::Item) -> RpcResult<Point>;
    async fn two(&self, item: second::Item) -> RpcResult<Point>;
}

struct Refusing;

#[traitwire::async_trait]
impl Twice for Refusing {
    async fn one(&self, _: first::Item) -> RpcResult<Point> {
        Ok(Point { x: 1, y: None })
    }

    async fn two(&self, _: second::Item) -> RpcResult<Point> {
        Ok(Point { x: 2, y: None })
    }
}

/// Keeps the warnings of a thread.
#[derive(Clone, Default)]
struct Warnings(Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Names that are in each other's way are told once, when the server starts, and hide no document.
#[tokio::test]
async fn types_of_one_name_are_told_when_the_server_starts() {
    let warnings = Warnings::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = {
        let _guard = tracing::subscriber::set_default(warnings.clone());
        traitwire::HttpServer::new(TwiceServer::new(Refusing)).into_router()
    };
    tokio::spawn(async move { axum::serve(listener, router).await });
    let told = warnings.0.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0].contains("`Item`"), "{told:?}");
    assert!(told[0].contains("`twice.one`") && told[0].contains("`twice.two`"), "{told:?}");
    for path in [
        "",
        "/openrpc.json",
        "/openapi.json",
        "/contract.json",
        "/fingerprint",
        "/docs",
        "/client.ts",
        "/schema.md",
        "/types/Item.json",
        "/types/Point.json",
    ] {
        let response = reqwest::get(format!("{url}/_schema{path}")).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    let discovered =
        RpcClient::new(url.clone(), 1).try_call::<_, Value>("twice.one", &json!({"number": 1})).await;
    assert_eq!(discovered, Ok(json!({"x": 1, "y": null})));
}
