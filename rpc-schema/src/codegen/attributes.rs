//! The words inside `#[service(..)]` and `#[rpc(..)]`: `word`, `word = value` and `word(value, ..)`, with checks of
//! their values that say what should stand there.

mod duration;
mod method;
mod service;

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token, token};

use super::mistakes::Mistakes;
use crate::nearest;

pub(super) use method::{MethodAttributes, conditional, is_rpc, reject_conditional};
pub(super) use service::ServiceAttributes;

/// The words of `#[service(..)]`.
const SERVICE_WORDS: &[&str] = &["name", "prefix", "compat", "internal", "crate", "reserved"];
/// The words of `#[rpc(..)]`.
const METHOD_WORDS: &[&str] =
    &["name", "aliases", "read_only", "idempotent", "timeout", "retry", "hedge", "detach", "deprecated"];

/// How a word is written, in backquotes.
fn form(word: &str) -> &'static str {
    match word {
        "name" => "`name = \"get\"`",
        "prefix" => "`prefix = \"kv\"`",
        "compat" => "`compat = \"full\"`",
        "crate" => "`crate = \"::traitwire\"`",
        "reserved" => "`reserved(\"old_name\")`",
        "aliases" => "`aliases(\"old_name\")`",
        "timeout" => "`timeout = \"2s\"`",
        "retry" => "`retry = 3`",
        "hedge" => "`hedge = \"20ms\"`",
        "detach" => "`detach` or `detach = false`",
        "deprecated" => "`deprecated = \"use that\"`",
        _ => "alone, without a value",
    }
}

/// One word of an attribute, with its values.
struct Setting {
    word: Ident,
    form: Form,
    values: Vec<Expr>,
}

#[derive(PartialEq)]
enum Form {
    /// `word`
    Alone,
    /// `word = value`
    Value,
    /// `word(value, ..)` or `word = [value, ..]`
    List,
}

impl Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = input.call(Ident::parse_any)?;
        let (form, values) = if input.peek(token::Paren) {
            let content;
            syn::parenthesized!(content in input);
            let values = Punctuated::<Expr, Token![,]>::parse_terminated(&content)?;
            (Form::List, values.into_iter().collect())
        } else if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            match input.parse()? {
                Expr::Array(array) => (Form::List, array.elems.into_iter().collect()),
                value => (Form::Value, vec![value]),
            }
        } else {
            (Form::Alone, Vec::new())
        };
        Ok(Self { word, form, values })
    }

    /// A string, as in `name = "get"`.
    fn text(&self, mistakes: &mut Mistakes) -> Option<LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) => Some(text.clone()),
            _ => self.wrong(mistakes),
        }
    }

    /// Strings, as in `aliases("a", "b")`.
    fn texts(&self, mistakes: &mut Mistakes) -> Vec<LitStr> {
        if self.form != Form::List || self.values.is_empty() {
            self.wrong_at(&self.word, mistakes);
            return Vec::new();
        }
        let mut texts = Vec::new();
        for value in &self.values {
            match value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => texts.push(text.clone()),
                other => self.wrong_at(other, mistakes),
            }
        }
        texts
    }

    /// A whole number, as in `retry = 3`.
    fn number(&self, mistakes: &mut Mistakes) -> Option<u32> {
        match self.literal() {
            Some(Lit::Int(number)) if number.suffix().is_empty() => {
                number.base10_parse().map_err(|error| mistakes.syntax(error)).ok()
            }
            _ => self.wrong(mistakes),
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
        if self.form != Form::Alone {
            self.wrong_at(&self.word, mistakes);
        }
        Some(self.word)
    }

    /// A word that stands alone or is set to `true` or `false`, as in `detach = false`.
    fn switch(&self, mistakes: &mut Mistakes) -> Option<bool> {
        match self.literal() {
            None if self.form == Form::Alone => Some(true),
            Some(Lit::Bool(switch)) => Some(switch.value),
            _ => self.wrong(mistakes),
        }
    }

    /// The value, where it is a single literal.
    fn literal(&self) -> Option<&Lit> {
        match (&self.form, &self.values[..]) {
            (Form::Value, [Expr::Lit(ExprLit { lit, .. })]) => Some(lit),
            _ => None,
        }
    }

    /// Reports a value that is none, on itself where it stands after a `=`.
    fn wrong<T>(&self, mistakes: &mut Mistakes) -> Option<T> {
        match (&self.form, &self.values[..]) {
            (Form::Value, [value]) => self.wrong_at(value, mistakes),
            _ => self.wrong_at(&self.word, mistakes),
        }
        None
    }

    fn wrong_at(&self, tokens: impl ToTokens, mistakes: &mut Mistakes) {
        let form = form(&self.word.to_string());
        mistakes.on(tokens, format_args!("`{}` is written {form}", self.word));
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
