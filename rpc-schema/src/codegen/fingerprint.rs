//! The fingerprint of a service: a hash of names, attributes and types as they are written, without spacing and doc
//! comments. The macro sees the compiler's tokens and a build script those of a parsed file; both give one number,
//! which proves that they read the same trait.

use std::fmt::Write;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

use super::model::{Method, Service, WireName};

/// The fingerprint of `service`.
pub(super) fn of(service: &Service) -> u64 {
    fnv1a_64(canonical(service).as_bytes())
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo): small, and the same everywhere. It guards against mistakes, not attacks.
fn fnv1a_64(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// What is hashed, as text: one fact a line, in the order of the source.
fn canonical(service: &Service) -> String {
    let mut text = String::new();
    let mut fact = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key} {value}").expect("writing to a string cannot fail");
    };
    fact("service", &service.names.service);
    fact("prefix", &service.prefix);
    fact("compat", &service.compat.as_str());
    if service.is_internal {
        fact("internal", &true);
    }
    fact("reserved", &joined(&service.reserved));
    for method in &service.methods {
        method_facts(method, &mut fact);
    }
    text
}

fn method_facts(method: &Method, fact: &mut impl FnMut(&str, &dyn std::fmt::Display)) {
    fact("method", method.ident());
    fact("name", &method.wire_name.text);
    fact("aliases", &joined(&method.aliases));
    fact("idempotency", &method.idempotency.as_str());
    fact("timeout", &format_args!("{:?}", method.timeout_ms));
    fact("retry", &format_args!("{:?}", method.retries));
    fact("hedge", &format_args!("{:?}", method.hedge_ms));
    fact("detach", &method.detach);
    fact("deprecated", &format_args!("{:?}", method.deprecated));
    for cfg in &method.cfgs {
        fact("cfg", &tokens_text(cfg));
    }
    for parameter in &method.parameters.list {
        fact("parameter", &format_args!("{} {}", parameter.ident, tokens_text(&parameter.ty)));
    }
    fact("output", &tokens_text(&method.item.sig.output));
}

fn joined(names: &[WireName]) -> String {
    names.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Tokens as text, one space between them. `to_string` will not do: its spacing is the printer's own affair.
pub(super) fn tokens_text(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write_tokens(tokens.to_token_stream(), &mut text);
    text
}

fn write_tokens(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => write_word(&ident.to_string(), text),
            TokenTree::Punct(punct) => write_word(punct.as_char().encode_utf8(&mut [0; 4]), text),
            TokenTree::Literal(literal) => write_word(&literal.to_string(), text),
            TokenTree::Group(group) => {
                let delimiters = match group.delimiter() {
                    Delimiter::Parenthesis => Some(("(", ")")),
                    Delimiter::Brace => Some(("{", "}")),
                    Delimiter::Bracket => Some(("[", "]")),
                    // Invisible delimiters come from `macro_rules!` and are no part of what was written.
                    Delimiter::None => None,
                };
                delimiters.inspect(|(open, _)| write_word(open, text));
                write_tokens(group.stream(), text);
                delimiters.inspect(|(_, close)| write_word(close, text));
            }
        }
    }
}

fn write_word(word: &str, text: &mut String) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proc_macro2::{Group, Ident, Span};
    use quote::quote;

    fn fingerprint(attribute: &str, item: &str) -> u64 {
        of(&super::super::parse(attribute.parse().unwrap(), item.parse().unwrap()).unwrap())
    }

    const PLAIN: &str = "trait Kv: Send + Sync {
        #[rpc(read_only, timeout = \"2s\")]
        async fn get(&self, args: Page<Vec<GetArgs>>) -> RpcResult<GetReply>;
    }";

    #[test]
    fn spacing_comments_and_visibility_are_no_part_of_it() {
        let spaced = "/** Reads. */ pub trait Kv : Send+Sync {
            /// Reads a key.
            #[rpc( read_only , timeout=\"2s\" , )] // here
            async fn get( & self , args : Page < Vec <GetArgs> > , )->RpcResult<  GetReply>;
        }";
        assert_eq!(fingerprint("", PLAIN), fingerprint("", spaced));
        assert_eq!(fingerprint("", PLAIN), fingerprint("crate = \"renamed\"", PLAIN));
    }

    #[test]
    fn every_fact_is_part_of_it() {
        let mut seen = vec![fingerprint("", PLAIN)];
        for attribute in ["prefix = \"kv\"", "compat = \"full\"", "internal", "reserved(\"old\")"] {
            seen.push(fingerprint(attribute, PLAIN));
        }
        for (from, to) in [
            ("Kv", "Kw"),
            ("get", "fetch"),
            ("args", "arguments"),
            ("Vec", "Box"),
            ("GetReply", "Reply"),
            ("read_only", "idempotent"),
            ("2s", "3s"),
            ("read_only", "read_only, aliases(\"old_get\")"),
            ("read_only", "read_only, name = \"fetch\""),
            ("read_only", "read_only, retry = 2"),
            ("read_only", "read_only, hedge = \"20ms\""),
            ("read_only", "read_only, detach"),
            ("read_only", "read_only, deprecated = \"use fetch\""),
            ("async", "#[cfg(unix)] async"),
        ] {
            seen.push(fingerprint("", &PLAIN.replace(from, to)));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "two different services have one fingerprint");
    }

    #[test]
    fn it_is_a_number_that_stays() {
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("", PLAIN), 0x84ce_0ef9_5171_fa30);
    }

    #[test]
    fn tokens_of_a_compiler_and_tokens_of_a_file_read_the_same() {
        // The compiler wraps what a `macro_rules!` passes on, joins punctuation its own way and has spans of its own.
        let name = Ident::new("GetArgs", Span::mixed_site());
        let wrapped = Group::new(Delimiter::None, quote!(Vec<#name>));
        let built = quote!(Page<#wrapped>);
        let parsed: TokenStream = "Page<Vec<GetArgs>>".parse().unwrap();
        assert_eq!(tokens_text(built), tokens_text(parsed));
    }
}
