//! Names: which are legal on the wire, and what the generated items are called.

use quote::format_ident;
use syn::Ident;
use syn::ext::IdentExt;

/// The names of what is generated for a trait. They carry the place of the trait's own name, so that a clash is
/// reported there.
pub struct Names {
    /// The trait's name as the descriptor has it, without `r#`.
    pub service: String,
    /// The descriptor: `KV_SERVICE`.
    pub descriptor: Ident,
    /// The server adapter: `KvServer`.
    pub server: Ident,
    /// The client stub: `KvStub`.
    pub stub: Ident,
    /// The mock: `KvMock`.
    pub mock: Ident,
    /// The type that carries the types of the methods: `KvMethods`.
    pub methods: Ident,
}

impl Names {
    /// The names that belong to a trait of this name.
    pub(super) fn of(service: &Ident) -> Self {
        let bare = service.unraw();
        Self {
            service: bare.to_string(),
            descriptor: format_ident!(
                "{}_SERVICE",
                screaming_snake(&bare.to_string()),
                span = service.span()
            ),
            server: format_ident!("{bare}Server", span = service.span()),
            stub: format_ident!("{bare}Stub", span = service.span()),
            mock: format_ident!("{bare}Mock", span = service.span()),
            methods: format_ident!("{bare}Methods", span = service.span()),
        }
    }
}

/// The name of a method's descriptor: `APPEND_ENTRIES`.
pub(super) fn constant(method: &Ident) -> Ident {
    format_ident!("{}", method.unraw().to_string().to_uppercase(), span = method.span())
}

/// The name of the struct that holds a method's several parameters: `KvPutArgs`.
pub(super) fn arguments(service: &Ident, method: &Ident) -> Ident {
    let method_name = pascal(&method.unraw().to_string());
    format_ident!("{}{}Args", service.unraw(), method_name, span = method.span())
}

/// What sets a mock's answer: `on_get`.
pub(super) fn mock_setter(method: &Ident) -> Ident {
    format_ident!("on_{}", method.unraw(), span = method.span())
}

/// Why `name` cannot be used on the wire, if it cannot. A name is letters, digits, `_` and `-`, in parts joined by
/// dots, each of which begins with a letter.
pub(super) fn wire_name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a wire name is not empty".to_owned());
    }
    if name.starts_with('_') || name.starts_with("rpc.") {
        return Some(format!(
            "`{name}`: wire names that begin with `_` or `rpc.` are reserved for the protocol"
        ));
    }
    let legal = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    (!name.split('.').all(legal)).then(|| {
        format!(
            "`{name}`: a wire name has ASCII letters, digits, `_` and `-`, in parts joined by dots that each begin \
             with a letter"
        )
    })
}

/// `KvStore` -> `KV_STORE`, `HTTPProxy` -> `HTTP_PROXY`.
fn screaming_snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (i, &letter) in letters.iter().enumerate() {
        let after_lower = i > 0 && (letters[i - 1].is_lowercase() || letters[i - 1].is_ascii_digit());
        let ends_acronym = i > 0
            && letters[i - 1].is_uppercase()
            && letters.get(i + 1).is_some_and(|following| following.is_lowercase());
        if letter.is_uppercase() && (after_lower || ends_acronym) {
            snake.push('_');
        }
        snake.extend(letter.to_uppercase());
    }
    snake
}

/// `append_entries` -> `AppendEntries`.
fn pascal(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_follow_the_conventions_of_the_language() {
        let snakes = ["Kv", "KvStore", "HTTPProxy", "Raft2", "Raft2Peer", "A"].map(screaming_snake);
        assert_eq!(snakes, ["KV", "KV_STORE", "HTTP_PROXY", "RAFT2", "RAFT2_PEER", "A"]);
        assert_eq!(["get", "append_entries", "v2_get"].map(pascal), ["Get", "AppendEntries", "V2Get"]);
    }

    #[test]
    fn wire_names_are_plain_words_joined_by_dots() {
        for legal in ["get", "raft.append_entries", "a-b", "v2", "rpc", "rpcx.get"] {
            assert_eq!(wire_name_fault(legal), None, "{legal}");
        }
        for illegal in
            ["", "_schema", "rpc.discover", "a b", "a/b", "a..b", ".a", "a.", "2a", "größe", "a._b"]
        {
            assert!(wire_name_fault(illegal).is_some(), "{illegal}");
        }
    }
}
