//! Golden expansions: what becomes of small annotated traits. Run with `UPDATE_EXPECT=1` to write them anew, and keep a
//! difference only if you can say what caused it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use expect_test::{expect, expect_file};
use proc_macro2::TokenStream;
use quote::ToTokens;
use traitwire_schema::codegen;

/// Expands the one trait in `tests/expand/{name}.rs`, laid out as a file.
fn expand_file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/expand/{name}.rs"));
    let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let [syn::Item::Trait(item)] = &file.items[..] else { panic!("one trait is expected in {name}.rs") };
    let mut item = item.clone();
    let annotation = item.attrs.iter().position(|attribute| attribute.path().is_ident("service")).unwrap();
    let attribute = match item.attrs.remove(annotation).meta {
        syn::Meta::List(list) => list.tokens,
        _ => TokenStream::new(),
    };
    let expansion = codegen::pretty(&codegen::expand(attribute, item.into_token_stream()));
    format!("//! What becomes of `{name}.rs`.\n\n{expansion}")
}

/// The messages of all mistakes in `item`.
fn mistakes(attribute: &str, item: &str) -> String {
    match codegen::parse(attribute.parse().unwrap(), item.parse().unwrap()) {
        Ok(_) => "none".to_owned(),
        Err(errors) => errors.into_iter().map(|error| format!("{error}\n")).collect(),
    }
}

#[test]
fn an_ordinary_service() {
    expect_file!["expand/kv.expanded.rs"].assert_eq(&expand_file("kv"));
}

#[test]
fn several_parameters_and_an_error_of_its_own() {
    expect_file!["expand/bank.expanded.rs"].assert_eq(&expand_file("bank"));
}

#[test]
fn conditions_raw_names_aliases_and_another_path_of_the_runtime() {
    let expansion = expand_file("raw");
    assert!(!expansion.contains("::traitwire"), "the runtime is called by a path that it may not have");
    expect_file!["expand/raw.expanded.rs"].assert_eq(&expansion);
}

#[test]
fn a_method_that_is_wrong_takes_nothing_else_with_it() {
    expect_file!["expand/broken.expanded.rs"].assert_eq(&expand_file("broken"));
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let found = mistakes(
        r#"compat = "forward", prefx = "kv""#,
        "trait Kv {
            fn get(self, key: &str) -> Option<String>;
            #[rpc(hedge = \"1h\", retry = 2)]
            async fn put(&self, (key, value): (String, &[u8])) -> RpcResult<&str>;
        }",
    );
    expect![[r#"
        `compat` is "full", "backward" or "none", not "forward"
        `#[service]` has no `prefx`; did you mean `prefix`?
        a service is shared by the tasks that serve it: write `trait Kv: Send + Sync`
        an RPC is waited for: write `async fn get`
        an RPC takes `&self`, since many calls run at the same time: write `&self` here
        an RPC argument is owned, since it arrives as JSON: use `String` instead of `&str`
        an RPC can fail, if only on its way: return `RpcResult<Option<String>>` instead of `Option<String>`
        `hedge` is a whole number and a unit: "20ms", "2s" or "1m"
        `hedge` sends a call twice at the same time, which only a `read_only` method bears: add `read_only` or remove `hedge`
        `retry` sends a call again, which may do twice what it does: add `read_only` or `idempotent`, or remove `retry`
        an RPC argument is owned, since it arrives as JSON: use `Vec<u8>` instead of `&[u8]`
        a parameter has a plain name, as in `args: (String, &[u8])`
        an RPC reply is owned, since it arrives as JSON: use `String` instead of `&str`
    "#]].assert_eq(&found);
}
