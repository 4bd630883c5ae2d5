//! Which fields a method's message has, in their order: the positions of a call by position.

mod common;

use std::collections::BTreeMap;

use common::METHOD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire_schema::{MethodDescriptor, Parameters, SchemaOf, argument_fields, schema_of};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Message {
    zulu: String,
    alpha: Option<u64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Empty {}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Tagged {
    One { first: u64 },
    Two,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Flattened {
    before: u64,
    #[serde(flatten)]
    message: Message,
    after: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct FlattenedEnum {
    before: u64,
    #[serde(flatten)]
    tagged: Tagged,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct NothingElse {
    #[serde(flatten)]
    tagged: Tagged,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct FlattenedMap {
    before: u64,
    #[serde(flatten)]
    more: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Wrapper(Message);

fn check(arguments: SchemaOf, expected: Option<&[&str]>) {
    let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
    assert_eq!(argument_fields(&MethodDescriptor { arguments, ..METHOD }), expected);
}

#[test]
fn fields_keep_their_order_and_what_is_no_object_has_none() {
    check(schema_of::<Message>, Some(&["zulu", "alpha"]));
    check(schema_of::<Wrapper>, Some(&["zulu", "alpha"]));
    check(schema_of::<Empty>, Some(&[]));
    check(schema_of::<String>, None);
    check(schema_of::<()>, None);
    check(schema_of::<Option<Message>>, None);
    check(schema_of::<Vec<Message>>, None);
    check(schema_of::<BTreeMap<String, u64>>, None);
    check(schema_of::<BTreeMap<u32, u64>>, None);
    check(schema_of::<serde_json::Value>, None);
    check(schema_of::<serde_json::Map<String, serde_json::Value>>, None);
}

#[test]
fn flattened_structs_give_their_fields_and_what_varies_gives_none() {
    check(schema_of::<Flattened>, Some(&["before", "zulu", "alpha", "after"]));
    check(schema_of::<FlattenedEnum>, Some(&["before"]));
    check(schema_of::<FlattenedMap>, Some(&["before"]));
    check(schema_of::<Tagged>, None);
    check(schema_of::<NothingElse>, None);
}

#[test]
fn parameters_of_the_trait_method_are_the_fields() {
    let parameters = Parameters::Fields(&["key", "version"]);
    let method = MethodDescriptor { parameters, arguments: schema_of::<Message>, ..METHOD };
    assert_eq!(argument_fields(&method), Some(vec!["key".to_owned(), "version".to_owned()]));
}
