//! What a server takes is what the schemas of its messages say, and what JSON cannot say is an error on either side.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use traitwire::{Bytes, Code, Executed, RpcClient, RpcResult, Server};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Point {
    x: u64,
    y: i8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Named {
    Empty,
    Newtype(Point),
    Pair(u8, u8),
    Fields { a: u8, b: Option<Point> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Inside {
    Empty,
    Circle { radius: u32, center: Option<Point> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", content = "c")]
enum Beside {
    Point(Point),
    List(Vec<u8>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Untagged {
    Point(Point),
    Count(u32),
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Inner {
    place: Point,
    size: u16,
}

/// Everything that serde has a way of its own for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Everything {
    point: Option<Point>,
    points: Vec<Point>,
    by_name: BTreeMap<String, Point>,
    by_number: BTreeMap<u32, u8>,
    pair: Option<(u8, Point)>,
    boxed: Option<Box<Point>>,
    newtype: Option<Wrapped>,
    named: Option<Named>,
    inside: Option<Inside>,
    beside: Option<Beside>,
    untagged: Option<Untagged>,
    value: Value,
    large: u128,
    signed: i128,
    float: f64,
    small: u8,
    #[serde(flatten)]
    flat: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Wrapped(Point);

/// Takes everything and gives it back.
#[traitwire::service(prefix = "fit")]
trait Fit: Send + Sync {
    /// Gives its argument back.
    async fn everything(&self, args: Everything) -> RpcResult<Everything>;
    /// Gives what JSON may lose.
    #[rpc(read_only)]
    async fn lossy(&self, args: Lossy) -> RpcResult<Lossy>;
    /// Gives what `which` says.
    async fn answer(&self, which: u32) -> RpcResult<Lossy>;
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Lossy {
    float: f64,
    small: f32,
    nested: Option<Option<u32>>,
    unit: Option<()>,
    wrapped: Option<Holder>,
    map: HashMap<String, Vec<f64>>,
    raw: Option<Value>,
    /// Null is a value of its own here, and a missing field is none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    patch: Option<Option<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Holder(Option<f64>);

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Values of which JSON would make others, with the path to what would be lost.
fn lossy() -> Vec<(&'static str, Lossy)> {
    let map = |value| HashMap::from([("key".to_owned(), vec![0.0, value])]);
    vec![
        ("float", Lossy { float: f64::NAN, ..Lossy::default() }),
        ("float", Lossy { float: f64::NEG_INFINITY, ..Lossy::default() }),
        ("small", Lossy { small: f32::INFINITY, ..Lossy::default() }),
        ("nested", Lossy { nested: Some(None), ..Lossy::default() }),
        ("unit", Lossy { unit: Some(()), ..Lossy::default() }),
        ("wrapped", Lossy { wrapped: Some(Holder(None)), ..Lossy::default() }),
        ("wrapped", Lossy { wrapped: Some(Holder(Some(f64::NAN))), ..Lossy::default() }),
        ("map.key[1]", Lossy { map: map(f64::NAN), ..Lossy::default() }),
        ("raw", Lossy { raw: Some(Value::Null), ..Lossy::default() }),
    ]
}

/// Values that look like the lossy ones.
fn lossless() -> Vec<Lossy> {
    vec![
        Lossy::default(),
        Lossy { float: f64::MAX, small: f32::MIN_POSITIVE, nested: Some(Some(0)), ..Lossy::default() },
        Lossy { float: -0.0, text: Some("null NaN".to_owned()), ..Lossy::default() },
        Lossy { raw: Some(json!({"a": null, "b": [null]})), ..Lossy::default() },
        Lossy { patch: Some(None), ..Lossy::default() },
        Lossy { patch: Some(Some(1)), wrapped: Some(Holder(Some(1.5))), ..Lossy::default() },
    ]
}

struct Fitting;

#[traitwire::async_trait]
impl Fit for Fitting {
    async fn everything(&self, args: Everything) -> RpcResult<Everything> {
        Ok(args)
    }

    async fn lossy(&self, args: Lossy) -> RpcResult<Lossy> {
        Ok(args)
    }

    async fn answer(&self, which: u32) -> RpcResult<Lossy> {
        let which = usize::try_from(which).unwrap();
        Ok(lossy().into_iter().map(|(_, value)| value).chain(lossless()).nth(which).unwrap())
    }
}

/// What comes of these fields.
async fn everything(fields: &str) -> RpcResult<Value> {
    let server = FitServer::new(Fitting);
    let reply = server.try_dispatch("fit.everything", Bytes::from(fields.to_owned())).await?;
    Ok(serde_json::from_slice(&reply).unwrap())
}

/// Arrays stand for structs nowhere, and objects for names of variants: no schema says so.
#[tokio::test]
async fn no_list_is_taken_for_an_object() {
    for (field, wrong) in [
        ("point", "[1,2]"),
        ("points", "[[1,2]]"),
        ("points", r#"[{"x":1,"y":2},[1,2]]"#),
        ("by_name", r#"{"a":[1,2]}"#),
        ("pair", "[1,[1,2]]"),
        ("boxed", "[1,2]"),
        ("newtype", "[1,2]"),
        ("named", r#"{"Newtype":[1,2]}"#),
        ("named", r#"{"Fields":[1,null]}"#),
        ("named", r#"{"Fields":{"a":1,"b":[1,2]}}"#),
        ("named", r#"{"Empty":null}"#),
        ("inside", r#"["Empty"]"#),
        ("inside", r#"["Circle",1,null]"#),
        ("inside", r#"{"kind":"Circle","radius":1,"center":[1,2]}"#),
        ("beside", r#"["Point",{"x":1,"y":2}]"#),
        ("beside", r#"{"t":"Point","c":[1,2]}"#),
        ("beside", r#"{"c":[1,2],"t":"Point"}"#),
        ("untagged", "[1,2]"),
    ] {
        let error = everything(&format!(r#"{{"{field}":{wrong}}}"#)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.executed()),
            (Code::InvalidArgument, Executed::No),
            "{field}: {wrong}"
        );
        assert!(error.message().contains(field), "{wrong}: {error}");
    }
    let error = everything(r#"{"place":[1,2],"size":3}"#).await.unwrap_err();
    assert!(error.message().contains("`place`"), "{error}");
    assert_eq!(everything("[]").await.unwrap_err().code(), Code::InvalidArgument);
}

/// Lists where lists belong are taken, also beside what serde keeps aside.
#[tokio::test]
async fn a_list_is_taken_where_one_belongs() {
    for (field, right) in [
        ("points", json!([{"x": 1, "y": 2}, {"x": 3, "y": 4}])),
        ("pair", json!([1, {"x": 1, "y": 2}])),
        ("named", json!({"Pair": [1, 2]})),
        ("named", json!("Empty")),
        ("named", json!({"Fields": {"a": 1, "b": {"x": 1, "y": 2}}})),
        ("inside", json!({"kind": "Circle", "radius": 1, "center": {"x": 1, "y": 2}})),
        ("beside", json!({"t": "List", "c": [1, 2]})),
        ("value", json!([[1], {"x": [2]}])),
    ] {
        let reply = everything(&json!({ field: right }).to_string()).await.unwrap();
        assert_eq!(reply[field], right);
    }
}

/// An integer is one by its value, wherever it stands: JSON Schema says so, and JavaScript writes what it likes.
#[tokio::test]
async fn integers_are_taken_by_their_value() {
    for (fields, path, value) in [
        (r#"{"small":1.0}"#, "/small", json!(1)),
        (r#"{"small":2.5e1}"#, "/small", json!(25)),
        (r#"{"small":-0.0}"#, "/small", json!(0)),
        (r#"{"point":{"x":9007199254740993.0,"y":-1e1}}"#, "/point/x", json!(9_007_199_254_740_993_u64)),
        (r#"{"point":{"x":18446744073709551615.000,"y":-1e1}}"#, "/point/y", json!(-10)),
        (r#"{"by_number":{"7":3.0}}"#, "/by_number/7", json!(3)),
        (r#"{"pair":[1E0,{"x":0,"y":0}]}"#, "/pair/0", json!(1)),
        (r#"{"named":{"Pair":[1.0,2]}}"#, "/named/Pair/0", json!(1)),
        (r#"{"named":{"Fields":{"a":1.0}}}"#, "/named/Fields/a", json!(1)),
        (r#"{"inside":{"kind":"Circle","radius":3.0}}"#, "/inside/radius", json!(3)),
        (r#"{"beside":{"c":{"x":4.0,"y":0},"t":"Point"}}"#, "/beside/c/x", json!(4)),
        (r#"{"untagged":5.0}"#, "/untagged", json!(5)),
        (r#"{"place":{"x":6.0,"y":1e0},"size":7.0}"#, "/size", json!(7)),
        (r#"{"large":1e19}"#, "/large", json!(10_000_000_000_000_000_000_u64)),
        // What is no integer stays as it is.
        (r#"{"small":1.0,"float":2.5,"value":[2.0,{"a":3.0}]}"#, "/value", json!([2.0, {"a": 3.0}])),
        (r#"{"small":1.0,"float":-0.0}"#, "/float", json!(-0.0)),
    ] {
        let reply = everything(fields).await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(reply.pointer(path), Some(&value), "{fields}");
    }
    for (fields, field) in [
        (r#"{"small":1.5}"#, "small"),
        (r#"{"small":256.0}"#, "small"),
        (r#"{"small":1e400}"#, "small"),
        (r#"{"small":-1.0}"#, "small"),
        (r#"{"point":{"x":18446744073709551616.0,"y":0}}"#, "point.x"),
        (r#"{"point":{"x":4503599627370496.5,"y":0}}"#, "point.x"),
        (r#"{"point":{"x":1e-400,"y":0}}"#, "point.x"),
        (r#"{"point":{"x":"1","y":0}}"#, "point.x"),
        (r#"{"large":340282366920938463463374607431768211456.0}"#, "large"),
        (r#"{"inside":{"kind":"Circle","radius":3.5}}"#, "inside"),
        (r#"{"float":1e400}"#, "float"),
    ] {
        let error = everything(fields).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{fields}");
        assert!(error.message().contains(&format!("`{field}`")), "{fields}: {error}");
    }
}

fn stub() -> FitStub {
    FitStub::new(RpcClient::in_process(FitServer::new(Fitting)))
}

#[tokio::test]
async fn arguments_that_json_cannot_hold_are_not_sent() {
    for (path, args) in lossy() {
        let by_name = stub().client().try_call::<_, Value>("fit.lossy", &args).await.unwrap_err();
        let error = stub().lossy(args).await.unwrap_err();
        for error in [&by_name, &error] {
            assert_eq!(
                (error.code(), error.executed()),
                (Code::InvalidArgument, Executed::No),
                "{path}: {error}"
            );
            assert!(error.message().contains(&format!("`{path}`")), "{error}");
        }
    }
    for args in lossless() {
        let text = format!("{args:?}");
        assert_eq!(format!("{:?}", stub().lossy(args).await.unwrap()), text);
    }
}

#[tokio::test]
async fn a_reply_that_json_cannot_hold_is_an_error() {
    let bad = lossy().len();
    for (which, (path, _)) in (0..).zip(lossy()) {
        let error = stub().answer(which).await.unwrap_err();
        assert_eq!((error.code(), error.executed()), (Code::Internal, Executed::Unknown), "{path}: {error}");
        assert!(error.message().contains(&format!("`{path}`")), "{error}");
    }
    for (which, value) in (u32::try_from(bad).unwrap()..).zip(lossless()) {
        assert_eq!(format!("{:?}", stub().answer(which).await.unwrap()), format!("{value:?}"));
    }
}
