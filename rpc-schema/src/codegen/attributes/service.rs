//! What `#[service(..)]` says.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use syn::{LitStr, Path, parse_quote};

use super::super::mistakes::Mistakes;
use super::super::model::WireName;
use super::super::names::wire_name_fault;
use super::{SERVICE_WORDS, settings, unknown};
use crate::Compat;

/// The attributes of a service.
pub(in super::super) struct ServiceAttributes {
    pub(in super::super) runtime: Path,
    pub(in super::super) prefix: String,
    pub(in super::super) compat: Compat,
    pub(in super::super) is_internal: bool,
    pub(in super::super) reserved: Vec<WireName>,
}

impl ServiceAttributes {
    /// Reads them; what is wrong counts as not said.
    pub(in super::super) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut attributes = Self {
            runtime: parse_quote!(::traitwire),
            prefix: String::new(),
            compat: Compat::Backward,
            is_internal: false,
            reserved: Vec::new(),
        };
        for setting in settings(tokens, &mut BTreeSet::new(), mistakes) {
            match setting.word.to_string().as_str() {
                "name" | "prefix" if !attributes.prefix.is_empty() => {
                    mistakes.on(&setting.word, "`name` and `prefix` are one thing: give one of them");
                }
                "name" | "prefix" => {
                    let text = setting.text(mistakes);
                    attributes.prefix = text.and_then(|text| prefix(&text, mistakes)).unwrap_or_default();
                }
                "compat" => {
                    let text = setting.text(mistakes);
                    attributes.compat =
                        text.and_then(|text| compat(&text, mistakes)).unwrap_or(Compat::Backward);
                }
                "crate" => {
                    if let Some(runtime) = setting.text(mistakes).and_then(|text| path(&text, mistakes)) {
                        attributes.runtime = runtime;
                    }
                }
                "internal" => attributes.is_internal = setting.flag(mistakes).is_some(),
                "reserved" => attributes.reserved = wire_names(setting.texts(mistakes), mistakes),
                _ => unknown(&setting.word, "service", SERVICE_WORDS, mistakes),
            }
        }
        attributes
    }
}

fn prefix(text: &LitStr, mistakes: &mut Mistakes) -> Option<String> {
    let prefix = text.value();
    // The prefix `rpc` would make every name one of the protocol's own.
    let fault = if prefix == "rpc" { wire_name_fault("rpc.") } else { wire_name_fault(&prefix) };
    match fault {
        Some(fault) => {
            mistakes.on(text, fault);
            None
        }
        None => Some(prefix),
    }
}

fn compat(text: &LitStr, mistakes: &mut Mistakes) -> Option<Compat> {
    let word = text.value();
    let known = [Compat::Full, Compat::Backward, Compat::None];
    let found = known.into_iter().find(|compat| compat.as_str() == word);
    if found.is_none() {
        mistakes.on(text, format_args!("`compat` is \"full\", \"backward\" or \"none\", not \"{word}\""));
    }
    found
}

fn path(text: &LitStr, mistakes: &mut Mistakes) -> Option<Path> {
    let path = text.parse_with(Path::parse_mod_style);
    if path.is_err() {
        let word = text.value();
        mistakes.on(
            text,
            format_args!("`crate` is the path of the runtime, such as \"::traitwire\", not \"{word}\""),
        );
    }
    path.ok()
}

/// Whole wire names; illegal ones are reported and left out.
pub(super) fn wire_names(texts: Vec<LitStr>, mistakes: &mut Mistakes) -> Vec<WireName> {
    let mut names = Vec::new();
    for text in texts {
        match wire_name_fault(&text.value()) {
            Some(fault) => mistakes.on(&text, fault),
            None => names.push(WireName { text: text.value(), span: text.span() }),
        }
    }
    names
}
