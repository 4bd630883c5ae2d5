//! A catalogue of types that documents easily get wrong.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use traitwire_schema::{
    Catalogue, Idempotency, MethodDescriptor, Parameters, SchemaOf, ServiceDescriptor, schema_of,
};

use super::{METHOD, SERVICE};

/// A tree that holds itself. </script><script>alert("types")</script>
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tree {
    /// What stands here, `<b>` or <b>bold</b>.
    pub(crate) value: i64,
    pub(crate) children: Vec<Tree>,
    pub(crate) next: Option<Box<Tree>>,
}

/// One page of many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Page_of_{T}")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins.
    pub(crate) next: Option<u64>,
}

/// Integers that no double holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Wide {
    pub(crate) unsigned: u64,
    pub(crate) signed: i64,
    /// As the key of a map.
    pub(crate) names: BTreeMap<u64, String>,
    pub(crate) balances: BTreeMap<i32, i64>,
    pub(crate) small: u32,
    #[schemars(range(max = 100))]
    pub(crate) percent: u64,
}

/// Fields of others among its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Flat {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) point: Point,
    #[serde(flatten)]
    pub(crate) shape: Internal,
}

/// Its own fields and whatever else there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Open {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    #[serde(flatten)]
    pub(crate) counts: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// Tagged from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum External {
    /// Nothing more.
    Nothing,
    Plain,
    /// A point.
    At(Point),
    Line {
        from: Point,
        /// Its end.
        to: Point,
    },
    Pair(u8, String),
}

/// Tagged inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Internal {
    At(Point),
    Circle { radius: f64 },
    Empty,
}

/// Tagged beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "value")]
pub(crate) enum Adjacent {
    At(Point),
    Many(Vec<External>),
    Empty,
}

/// Not tagged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Number(u32),
    Text(String),
    Point(Point),
}

/// What else there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Assorted {
    pub(crate) pair: (u8, Option<String>),
    pub(crate) bytes: [u8; 3],
    pub(crate) many: [bool; 12],
    pub(crate) maybe_point: Option<Point>,
    pub(crate) any: Value,
    pub(crate) object: serde_json::Map<String, Value>,
    pub(crate) letter: char,
    #[serde(rename = "the-end", default)]
    pub(crate) the_end: Vec<Option<(u8, u8)>>,
    /// Ends a comment: */ and a `|` for tables.
    #[deprecated]
    #[serde(default)]
    pub(crate) old: u8,
    pub(crate) external: External,
    pub(crate) adjacent: Adjacent,
    pub(crate) untagged: Untagged,
}

/// Named as the language's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Error {
    /// It is not there.
    Missing(u64),
    Broken,
}

/// A value of each type that is tried out: its name, values of it, and what must not be one.
pub(crate) struct Sample {
    pub(crate) method: &'static str,
    pub(crate) values: Vec<Value>,
    pub(crate) wrong: Vec<Value>,
}

/// `values`, after it is checked that serde takes them for what they are.
fn sample<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    method: &'static str,
    values: Vec<T>,
    wrong: Vec<Value>,
) -> Sample {
    for value in &wrong {
        assert!(serde_json::from_value::<T>(value.clone()).is_err(), "{value} is a value of {method}");
    }
    let values = values.into_iter().map(|value| {
        let json = serde_json::to_value(&value).expect("it can be written");
        assert_eq!(serde_json::from_value::<T>(json.clone()).expect("it can be read"), value);
        json
    });
    Sample { method, values: values.collect(), wrong }
}

/// Values of all the types that methods of [`hard`] take.
pub(crate) fn samples() -> Vec<Sample> {
    let point = Point { x: 0.5, y: -1e300 };
    let leaf = |value| Tree { value, children: vec![], next: None };
    let wide = Wide {
        unsigned: u64::MAX,
        signed: i64::MIN,
        names: BTreeMap::from([(u64::MAX, "most".to_owned()), (0, "least".to_owned())]),
        balances: BTreeMap::from([(-1, (1 << 53) + 1)]),
        small: u32::MAX,
        percent: 100,
    };
    let flat = |shape| Flat { id: "a".to_owned(), point: point.clone(), shape };
    let open = |note: Option<&str>| Open {
        id: "a".to_owned(),
        note: note.map(str::to_owned),
        counts: BTreeMap::from([("more".to_owned(), 1)]),
    };
    let tree = Tree { value: -1, children: vec![leaf(1), leaf(2)], next: Some(Box::new(leaf(3))) };
    let external = [
        External::Nothing,
        External::Plain,
        External::At(point.clone()),
        External::Line { from: point.clone(), to: point.clone() },
        External::Pair(1, "b".to_owned()),
    ];
    let internal = [Internal::Circle { radius: 1.5 }, Internal::Empty];
    let adjacent = vec![Adjacent::At(point.clone()), Adjacent::Many(external.to_vec()), Adjacent::Empty];
    let untagged = vec![Untagged::Number(1), Untagged::Text("t".to_owned()), Untagged::Point(point.clone())];
    vec![
        sample(
            "hard.tree",
            vec![tree],
            vec![json!({ "value": 1, "children": [{}], "next": null }), json!([])],
        ),
        sample(
            "hard.pages",
            vec![Page { items: vec![leaf(1)], next: Some(7) }, Page { items: vec![], next: None }],
            vec![json!({ "items": [1], "next": null }), json!({ "items": [], "next": -1 })],
        ),
        sample(
            "hard.wide",
            vec![wide],
            vec![
                json!({ "unsigned": 1.5, "signed": 0, "names": {}, "balances": {}, "small": 0, "percent": 0 }),
            ],
        ),
        sample("hard.flat", internal.clone().map(flat).to_vec(), vec![json!({ "id": "a", "x": 0, "y": 0 })]),
        sample("hard.open", vec![open(None), open(Some("n"))], vec![json!({ "id": "a", "more": "text" })]),
        sample(
            "hard.external",
            external.to_vec(),
            vec![json!("At"), json!({ "At": {} }), json!({ "Pair": [1] })],
        ),
        sample(
            "hard.internal",
            [&internal[..], &[Internal::At(point)]].concat(),
            vec![json!({ "kind": "circle" }), json!({ "radius": 1 }), json!("empty")],
        ),
        sample("hard.adjacent", adjacent, vec![json!({ "kind": "At" }), json!({ "At": { "x": 0, "y": 0 } })]),
        sample("hard.untagged", untagged, vec![json!(-1), json!({ "x": 0 }), json!(null)]),
    ]
}

fn method(name: &'static str, docs: &'static str, schema: SchemaOf) -> &'static MethodDescriptor {
    Box::leak(Box::new(MethodDescriptor { name, docs, arguments: schema, reply: schema, ..METHOD }))
}

/// Nothing special about the arguments.
#[derive(JsonSchema)]
pub(crate) struct Nothing {}

/// The catalogue: each method takes and answers one of the types.
pub(crate) fn hard() -> Catalogue {
    static LAST: MethodDescriptor = MethodDescriptor {
        name: "hard.assorted_things",
        aliases: &["hard.old_name"],
        docs: "Something of everything. </script><script>alert(\"methods\")</script>\n\n# Errors\nSee `Error` | *this*.\n\n- one\n- two",
        idempotency: Idempotency::ReadOnly,
        timeout_ms: Some(2_000),
        hedge_ms: Some(20),
        deprecated: Some("use <em>another</em>"),
        parameters: Parameters::Message,
        arguments: schema_of::<Nothing>,
        reply: schema_of::<Assorted>,
        error: Some(schema_of::<Error>),
        ..METHOD
    };
    let service: &'static ServiceDescriptor = Box::leak(Box::new(ServiceDescriptor {
        name: "Hard",
        prefix: "hard",
        docs: "Types that are hard to tell, such as `Vec<u8>`.",
        methods: Box::leak(Box::new([
            method("hard.tree", "A recursive type.", schema_of::<Tree>),
            method("hard.pages", "A generic message.", schema_of::<Page<Tree>>),
            method("hard.wide", "Integers beyond 2^53.", schema_of::<Wide>),
            method("hard.flat", "A flattened struct and enum.", schema_of::<Flat>),
            method("hard.open", "A flattened map.", schema_of::<Open>),
            method("hard.external", "An enum.", schema_of::<External>),
            method("hard.internal", "An enum.", schema_of::<Internal>),
            method("hard.adjacent", "An enum.", schema_of::<Adjacent>),
            method("hard.untagged", "An enum.", schema_of::<Untagged>),
            method("hard.list", "A message without a name.", schema_of::<Vec<BTreeMap<u64, Point>>>),
            &LAST,
        ])),
        ..SERVICE
    }));
    Catalogue::new(&[service]).expect("there are no conflicts")
}
