//! Old and new Rust types side by side: the mistakes that people make, as deriving writes them down.
#![allow(dead_code, reason = "types are looked at only through their schemas")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire_schema::diff::{History, compare};
use traitwire_schema::{Contract, MethodDescriptor, SchemaOf, schema_of};

use super::common::{METHOD, catalogue};

fn of(arguments: SchemaOf, reply: SchemaOf) -> Contract {
    let method = MethodDescriptor { name: "m", arguments, reply, ..METHOD };
    Contract::of(&catalogue(&[Box::leak(Box::new(method))]))
}

/// The findings between two types as arguments and as a reply: rule, whom it breaks, path.
fn check<Old: JsonSchema, New: JsonSchema>(expected: &[&str]) {
    let old = of(schema_of::<Old>, schema_of::<Old>);
    let new = of(schema_of::<New>, schema_of::<New>);
    let found = compare(&old, &new, &History::default());
    let lines: Vec<String> = found
        .iter()
        .map(|finding| format!("{} {} {}", finding.rule, finding.breaks.as_str(), finding.path))
        .collect();
    assert_eq!(lines, expected, "{found:#?}");
}

/// A module for each side, so that both types can have one name.
macro_rules! sides {
    ($name:ident: { $($old:item)* } => { $($new:item)* } is $expected:expr) => {
        #[test]
        fn $name() {
            mod old {
                use super::*;
                $(#[derive(Serialize, Deserialize, JsonSchema)] $old)*
            }
            mod new {
                use super::*;
                $(#[derive(Serialize, Deserialize, JsonSchema)] $new)*
            }
            check::<old::Message, new::Message>(&$expected);
        }
    };
}

sides!(a_field_without_a_default:
    { pub(super) struct Message { key: String } } =>
    { pub(super) struct Message { key: String, ttl: u32 } }
    is ["R07 B m.arguments.ttl", "R07 F m.reply.ttl"]);

sides!(a_field_with_a_default:
    { pub(super) struct Message { key: String } } =>
    { pub(super) struct Message { key: String, #[serde(default)] ttl: u32 } }
    is ["R08 - m.arguments.ttl", "R07 F m.reply.ttl"]);

sides!(an_option:
    { pub(super) struct Message { key: String } } =>
    { pub(super) struct Message { key: String, ttl: Option<u32> } }
    is ["R08 - m.arguments.ttl", "R07 F m.reply.ttl"]);

sides!(an_option_that_is_not_written:
    { pub(super) struct Message { key: String } } =>
    { pub(super) struct Message {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u32>,
    } }
    is ["R08 - m.arguments.ttl", "R08 - m.reply.ttl"]);

sides!(an_option_that_becomes_required:
    { pub(super) struct Message { ttl: Option<u32> } } =>
    { pub(super) struct Message { ttl: u32 } }
    is ["R10 B m.arguments.ttl", "R10 F m.reply.ttl"]);

sides!(a_required_field_that_becomes_an_option:
    { pub(super) struct Message { ttl: u32 } } =>
    { pub(super) struct Message { ttl: Option<u32> } }
    is ["R11 F m.arguments.ttl", "R11 B m.reply.ttl"]);

sides!(a_default_that_is_lost:
    { pub(super) struct Message { #[serde(default)] ttl: u32 } } =>
    { pub(super) struct Message { ttl: u32 } }
    is ["R10 B m.arguments.ttl"]);

sides!(a_default_for_an_option:
    { pub(super) struct Message { ttl: Option<u32> } } =>
    { pub(super) struct Message { #[serde(default)] ttl: Option<u32> } }
    is []);

sides!(another_variant:
    { pub(super) enum Message { A, B } } => { pub(super) enum Message { A, B, C } }
    is ["R15 F m.arguments/C", "R15 B m.reply/C"]);

sides!(a_variant_that_is_documented:
    { pub(super) enum Message { A, B } } => { pub(super) enum Message { A, /** The second. */ B } }
    is []);

sides!(a_variant_that_holds_something:
    { pub(super) enum Message { A, B { n: u32 } } } => { pub(super) enum Message { A, B { n: u64 }, C(u8) } }
    is ["R13 F m.arguments/B.n", "R15 F m.arguments/C", "R13 B m.reply/B.n", "R15 B m.reply/C"]);

sides!(another_tagging:
    { pub(super) enum Message { A, B { n: u32 } } } =>
    { #[serde(tag = "kind")] pub(super) enum Message { A, B { n: u32 } } }
    is ["R17 B+F m.arguments", "R17 B+F m.reply"]);

sides!(another_tag:
    { #[serde(tag = "kind")] pub(super) enum Message { A, B { n: u32 } } } =>
    { #[serde(tag = "type")] pub(super) enum Message { A, B { n: u32 } } }
    is ["R17 B+F m.arguments", "R17 B+F m.reply"]);

sides!(from_internal_to_adjacent_tagging:
    { #[serde(tag = "kind")] pub(super) enum Message { A, B { n: u32 } } } =>
    { #[serde(tag = "kind", content = "content")] pub(super) enum Message { A, B { n: u32 } } }
    is ["R17 B+F m.arguments", "R17 B+F m.reply"]);

sides!(untagged:
    { #[serde(tag = "kind")] pub(super) enum Message { A { a: u8 }, B { n: u32 } } } =>
    { #[serde(untagged)] pub(super) enum Message { A { a: u8, c: u8 }, B { n: u32, d: u8 } } }
    is ["R17 B+F m.arguments", "R17 B+F m.reply"]);

sides!(a_field_more_in_an_adjacent_variant:
    { #[serde(tag = "kind")] pub(super) enum Message { A { value: u8 }, B { value: u32 } } } =>
    { #[serde(tag = "kind")] pub(super) enum Message { A { value: u8, more: Option<u8> }, B { value: u32 } } }
    is ["R08 - m.arguments/A.more", "R07 F m.reply/A.more"]);

sides!(a_variant_that_holds_a_struct:
    { pub(super) struct Inner { n: u8 } #[serde(tag = "kind")] pub(super) enum Message { A, B(Inner) } } =>
    { #[serde(tag = "kind")] pub(super) enum Message { A, B { n: u8 } } }
    is []);

sides!(more_bits:
    { pub(super) struct Message { n: u32 } } => { pub(super) struct Message { n: u64 } }
    is ["R13 F m.arguments.n", "R13 B m.reply.n"]);

sides!(a_sign:
    { pub(super) struct Message { n: u32 } } => { pub(super) struct Message { n: i64 } }
    is ["R13 F m.arguments.n", "R13 B m.reply.n"]);

sides!(a_sign_and_no_more_bits:
    { pub(super) struct Message { n: u32 } } => { pub(super) struct Message { n: i32 } }
    is ["R14 B m.arguments.n", "R13 F m.arguments.n", "R14 F m.reply.n", "R13 B m.reply.n"]);

sides!(never_zero:
    { pub(super) struct Message { n: u32 } } => { pub(super) struct Message { n: std::num::NonZeroU32 } }
    is ["R19 B m.arguments.n", "R19 F m.reply.n"]);

sides!(another_name:
    { pub(super) struct Message { ttl: u64, key: String } } =>
    { pub(super) struct Message { ttl_ms: u64, key: String } }
    is ["R06 B+F m.arguments.ttl", "R06 B+F m.reply.ttl"]);

sides!(another_name_and_an_alias_that_is_shown:
    { pub(super) struct Message { ttl: u64 } } =>
    { pub(super) struct Message {
        #[serde(alias = "ttl")]
        #[schemars(extend("x-aliases" = ["ttl"]))]
        ttl_ms: u64,
    } }
    is ["R06 F m.arguments.ttl", "R06 B m.reply.ttl"]);

sides!(names_in_another_case:
    { pub(super) struct Message { ttl_ms: u64 } } =>
    { #[serde(rename_all = "camelCase")] pub(super) struct Message { ttl_ms: u64 } }
    is ["R06 B+F m.arguments.ttl_ms", "R06 B+F m.reply.ttl_ms"]);

sides!(unknown_fields_refused:
    { pub(super) struct Message { n: u8 } } =>
    { #[serde(deny_unknown_fields)] pub(super) struct Message { n: u8 } }
    is ["R21 B m.arguments", "R21 - m.reply"]);

sides!(fields_in_a_flattened_struct:
    { pub(super) struct Message { key: String, ttl: u32, note: Option<String> } } =>
    { pub(super) struct Rest { ttl: u32, note: Option<String> }
      pub(super) struct Message { key: String, #[serde(flatten)] rest: Rest } }
    is []);

sides!(a_variant_more_in_a_flattened_enum:
    { #[serde(tag = "kind")] pub(super) enum Shape { A, B { n: u8 } }
      pub(super) struct Message { key: String, #[serde(flatten)] shape: Shape } } =>
    { #[serde(tag = "kind")] pub(super) enum Shape { A, B { n: u8 }, C }
      pub(super) struct Message { key: String, #[serde(flatten)] shape: Shape } }
    is ["R15 F m.arguments/C", "R15 B m.reply/C"]);

sides!(keys_that_are_numbers:
    { pub(super) struct Message { map: std::collections::BTreeMap<String, u8> } } =>
    { pub(super) struct Message { map: std::collections::BTreeMap<u32, u8> } }
    is ["R14 B m.arguments.map", "R14 F m.reply.map"]);

sides!(values_of_a_map:
    { pub(super) struct Message { map: std::collections::BTreeMap<u32, u8> } } =>
    { pub(super) struct Message { map: std::collections::BTreeMap<u32, String> } }
    is ["R12 B+F m.arguments.map{}", "R12 B+F m.reply.map{}"]);

sides!(a_set:
    { pub(super) struct Message { list: Vec<u8> } } =>
    { pub(super) struct Message { list: std::collections::BTreeSet<u8> } }
    is ["R19 B m.arguments.list", "R19 F m.reply.list"]);

sides!(a_box_and_another_name_of_a_type:
    { pub(super) struct Inner { n: u8 } pub(super) struct Message { inner: Inner } } =>
    { pub(super) struct Renamed { n: u8 } pub(super) struct Message { inner: Box<Renamed> } }
    is []);

sides!(recursion:
    { pub(super) struct Message { n: u8, next: Option<Box<Message>> } } =>
    { pub(super) struct Message { n: u16, next: Option<Box<Message>> } }
    is ["R13 F m.arguments.n", "R13 B m.reply.n"]);
