//! What `#[rpc(..)]` says.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::{Attribute, Ident, LitStr, Meta};

use super::super::mistakes::Mistakes;
use super::super::model::WireName;
use super::service::wire_names;
use super::{METHOD_WORDS, Setting, settings, unknown};
use crate::Idempotency;

/// The attributes of a method.
#[derive(Default)]
pub(in super::super) struct MethodAttributes {
    pub(in super::super) name: Option<LitStr>,
    pub(in super::super) aliases: Vec<WireName>,
    pub(in super::super) timeout_ms: Option<u64>,
    pub(in super::super) retries: Option<u32>,
    pub(in super::super) hedge_ms: Option<u64>,
    pub(in super::super) deprecated: Option<LitStr>,
    read_only: Option<Ident>,
    idempotent: Option<Ident>,
    detach: Option<bool>,
    retry_word: Option<Ident>,
    hedge_word: Option<Ident>,
}

impl MethodAttributes {
    /// Reads the `#[rpc(..)]`s among `attributes`; what is wrong counts as not said.
    pub(in super::super) fn parse(attributes: &[Attribute], mistakes: &mut Mistakes) -> Self {
        let mut read = Self::default();
        let mut seen = BTreeSet::new();
        for attribute in attributes.iter().filter(|attribute| is_rpc(attribute)) {
            match &attribute.meta {
                Meta::Path(_) => {}
                Meta::List(list) => {
                    for setting in settings(list.tokens.clone(), &mut seen, mistakes) {
                        read.set(setting, mistakes);
                    }
                }
                Meta::NameValue(value) => {
                    mistakes.on(value, "the attribute is written `#[rpc(read_only, ..)]`");
                }
            }
        }
        read.check(mistakes);
        read
    }

    /// What a client may repeat by itself.
    pub(in super::super) fn idempotency(&self) -> Idempotency {
        match (&self.read_only, &self.idempotent) {
            (Some(_), _) => Idempotency::ReadOnly,
            (None, Some(_)) => Idempotency::Idempotent,
            (None, None) => Idempotency::None,
        }
    }

    /// Whether the handler runs to its end when its caller leaves. What changes state does, unless told otherwise.
    pub(in super::super) fn detach(&self) -> bool {
        self.detach.unwrap_or(self.read_only.is_none())
    }

    fn set(&mut self, setting: Setting, mistakes: &mut Mistakes) {
        match setting.word.to_string().as_str() {
            "name" => self.name = setting.text(mistakes),
            "aliases" => self.aliases = wire_names(setting.texts(mistakes), mistakes),
            "read_only" => self.read_only = setting.flag(mistakes),
            "idempotent" => self.idempotent = setting.flag(mistakes),
            "timeout" => self.timeout_ms = setting.duration(mistakes),
            "retry" => {
                self.retries = setting.number(mistakes);
                self.retry_word = Some(setting.word);
            }
            "hedge" => {
                self.hedge_ms = setting.duration(mistakes);
                self.hedge_word = Some(setting.word);
            }
            "detach" => self.detach = setting.switch(mistakes),
            "deprecated" => self.deprecated = setting.text(mistakes),
            _ => unknown(&setting.word, "rpc", METHOD_WORDS, mistakes),
        }
    }

    /// What does not go together. The combination that is left is a safe one.
    fn check(&mut self, mistakes: &mut Mistakes) {
        if let (Some(_), Some(idempotent)) = (&self.read_only, &self.idempotent) {
            mistakes.on(idempotent, "`read_only` says it already: what changes nothing can be repeated");
        }
        if let (Some(hedge), None) = (&self.hedge_word, &self.read_only) {
            mistakes.on(
                hedge,
                "`hedge` sends a call twice at the same time, which only a `read_only` method bears: add `read_only` \
                 or remove `hedge`",
            );
            self.hedge_ms = None;
        }
        if let (Some(retry), Idempotency::None) = (&self.retry_word, self.idempotency()) {
            mistakes.on(
                retry,
                "`retry` sends a call again, which may do twice what it does: add `read_only` or `idempotent`, or \
                 remove `retry`",
            );
            self.retries = None;
        }
    }
}

/// Whether this is `#[rpc]`, under whichever path.
pub(in super::super) fn is_rpc(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "rpc")
}

/// Reports and takes off a `#[rpc]` that a `cfg_attr` hides from the macro, and from the source scan.
pub(in super::super) fn reject_conditional(attributes: &mut Vec<Attribute>, mistakes: &mut Mistakes) {
    attributes.retain(|attribute| {
        let Some(place) = conditional(attribute, "rpc") else { return true };
        mistakes.at(
            place,
            "`#[rpc]` cannot stand in a `cfg_attr`: the wire would depend on how the crate is compiled; give two \
             methods a `#[cfg]` each",
        );
        false
    });
}

/// Where an attribute called `name` stands in this one, if this one is a `cfg_attr` and has it.
pub(in super::super) fn conditional(attribute: &Attribute, name: &str) -> Option<Span> {
    if !attribute.path().is_ident("cfg_attr") {
        return None;
    }
    let tokens = attribute.meta.require_list().ok()?.tokens.clone();
    let mut attributes = tokens.into_iter().skip_while(|token| token.to_string() != ",");
    attributes.find(|token| token.to_string() == name).map(|token| token.span())
}
