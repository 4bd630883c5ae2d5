//! The words inside `#[service(..)]` and `#[rpc(..)]`: `word`, `word = value` and `word(value, ..)`, with checks of
//! their values that say what should stand there.

mod duration;
mod method;
mod service;

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token, token};

use super::mistakes::Mistakes;
use crate::nearest;

pub(super) use method::{MethodAttributes, conditional, is_rpc, reject_conditional};
pub(super) use service::ServiceAttributes;

/// The words of `#[service(..)]`.
const SERVICE_WORDS: &[&str] = &["name", "prefix", "compat", "crate", "reserved"];
/// The words of `#[rpc(..)]`.
const METHOD_WORDS: &[&str] =
    &["name", "aliases", "read_only", "idempotent", "timeout", "retry", "hedge", "detach", "deprecated"];

/// One word of an attribute with its value.
struct Setting {
    word: Ident,
    value: Value,
}

#[allow(clippy::large_enum_variant, reason = "a handful of them lives for the moment of an expansion")]
enum Value {
    /// `word`
    None,
    /// `word = value`
    One(Expr),
    /// `word(value, ..)` or `word = [value, ..]`
    Many(Vec<Expr>),
}

impl Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = input.call(Ident::parse_any)?;
        let value = if input.peek(token::Paren) {
            let content;
            syn::parenthesized!(content in input);
            Value::Many(Punctuated::<Expr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
        } else if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            match input.parse()? {
                Expr::Array(array) => Value::Many(array.elems.into_iter().collect()),
                one => Value::One(one),
            }
        } else {
            Value::None
        };
        Ok(Self { word, value })
    }

    /// A string, as in `name = "get"`.
    fn text(&self, mistakes: &mut Mistakes) -> Option<LitStr> {
        match &self.value {
            Value::One(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Some(text.clone()),
            Value::One(other) => self.wrong(other, "= \"..\"", mistakes),
            Value::None | Value::Many(_) => self.wrong(&self.word, "= \"..\"", mistakes),
        }
    }

    /// Strings, as in `aliases("a", "b")`.
    fn texts(&self, mistakes: &mut Mistakes) -> Vec<LitStr> {
        let Value::Many(values) = &self.value else {
            self.wrong::<()>(&self.word, "(\"..\", \"..\")", mistakes);
            return Vec::new();
        };
        if values.is_empty() {
            self.wrong::<()>(&self.word, "(\"..\", \"..\")", mistakes);
        }
        let mut texts = Vec::new();
        for value in values {
            match value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => texts.push(text.clone()),
                other => {
                    self.wrong::<()>(other, "(\"..\", \"..\")", mistakes);
                }
            }
        }
        texts
    }

    /// A whole number, as in `retry = 3`.
    fn number(&self, mistakes: &mut Mistakes) -> Option<u32> {
        match &self.value {
            Value::One(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) if number.suffix().is_empty() => {
                number.base10_parse().map_err(|error| mistakes.syntax(error)).ok()
            }
            Value::One(other) => self.wrong(other, "= 3, with a whole number", mistakes),
            Value::None | Value::Many(_) => self.wrong(&self.word, "= 3, with a whole number", mistakes),
        }
    }

    /// A time in milliseconds, as in `timeout = "2s"`.
    fn duration(&self, mistakes: &mut Mistakes) -> Option<u64> {
        let text = self.text(mistakes)?;
        duration::milliseconds(&text.value())
            .map_err(|fault| mistakes.on(&text, format_args!("`{}` {fault}", self.word)))
            .ok()
    }

    /// A word that stands alone, as in `read_only`.
    fn flag(self, mistakes: &mut Mistakes) -> Option<Ident> {
        if !matches!(self.value, Value::None) {
            mistakes.on(&self.word, format_args!("`{}` stands alone, without a value", self.word));
        }
        Some(self.word)
    }

    /// A word that stands alone or is set to `true` or `false`, as in `detach = false`.
    fn switch(&self, mistakes: &mut Mistakes) -> Option<bool> {
        match &self.value {
            Value::None => Some(true),
            Value::One(Expr::Lit(ExprLit { lit: Lit::Bool(switch), .. })) => Some(switch.value),
            Value::One(other) => self.wrong(other, "= true or = false", mistakes),
            Value::Many(_) => self.wrong(&self.word, "= true or = false", mistakes),
        }
    }

    fn wrong<T>(&self, tokens: impl quote::ToTokens, form: &str, mistakes: &mut Mistakes) -> Option<T> {
        let space = if form.starts_with('=') { " " } else { "" };
        mistakes.on(tokens, format_args!("`{word}` is written `{word}{space}{form}`", word = self.word));
        None
    }
}

/// The settings in `tokens`, each word at most once; the words `seen` before are counted too.
fn settings(tokens: TokenStream, seen: &mut BTreeSet<String>, mistakes: &mut Mistakes) -> Vec<Setting> {
    let parser = |input: ParseStream<'_>| {
        let mut settings = Vec::new();
        while !input.is_empty() {
            settings.push(Setting::parse(input)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(settings)
    };
    let mut settings = match parser.parse2(tokens) {
        Ok(settings) => settings,
        Err(error) => {
            mistakes.syntax(error);
            return Vec::new();
        }
    };
    settings.retain(|setting| {
        let first = seen.insert(setting.word.to_string());
        if !first {
            mistakes.on(&setting.word, format_args!("`{}` is given twice", setting.word));
        }
        first
    });
    settings
}

/// Reports a word that `attribute` does not know, with the nearest that it does.
fn unknown(word: &Ident, attribute: &str, known: &[&str], mistakes: &mut Mistakes) {
    let name = word.to_string();
    let hint = if let Some(near) = nearest(&name, known.iter().copied()) {
        format!("did you mean `{near}`?")
    } else if METHOD_WORDS.contains(&name.as_str()) {
        format!("it belongs on a method: `#[rpc({name})]`")
    } else if SERVICE_WORDS.contains(&name.as_str()) {
        "it belongs on the trait, in `#[service(..)]`".to_owned()
    } else {
        let all: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
        format!("there are {}", all.join(", "))
    };
    mistakes.on(word, format_args!("`#[{attribute}]` has no `{name}`; {hint}"));
}
