//! Names of documents, services and methods as TypeScript has them, each given once.

use std::collections::{BTreeMap, BTreeSet};

/// What a generated name may not be: the words of the language that cannot name a type, and the global names that the
/// generated code itself uses.
const TAKEN: [&str; 96] = [
    "AbortController",
    "AbortSignal",
    "Array",
    "BigInt",
    "Client",
    "ClientOptions",
    "CallOptions",
    "Code",
    "Error",
    "Executed",
    "IntegerKeyed",
    "JSON",
    "Math",
    "MethodErrors",
    "Number",
    "Object",
    "Promise",
    "Reader",
    "Record",
    "RegExp",
    "RequestInit",
    "Response",
    "RpcError",
    "String",
    "SyntaxError",
    "Transport",
    "WideInteger",
    "any",
    "as",
    "async",
    "await",
    "bigint",
    "boolean",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "constructor",
    "continue",
    "debugger",
    "declare",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "errorOf",
    "export",
    "extends",
    "false",
    "fetch",
    "finally",
    "for",
    "from",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "isErrorOf",
    "isObject",
    "let",
    "module",
    "namespace",
    "never",
    "new",
    "null",
    "number",
    "object",
    "package",
    "parse",
    "private",
    "protected",
    "public",
    "return",
    "setTimeout",
    "static",
    "string",
    "stringify",
    "super",
    "switch",
    "symbol",
    "this",
    "throw",
    "transport",
    "true",
    "try",
    "type",
    "typeof",
    "undefined",
    "unknown",
    "var",
    "void",
];

/// Words that are no names even of members or in strict code, beside those above.
const MORE_TAKEN: [&str; 8] =
    ["abstract", "arguments", "clearTimeout", "eval", "isNaN", "while", "with", "yield"];

/// Names that a member of a generated class may not have, because they already mean something there: JavaScript and its
/// tools call these by themselves, or every object has them. An object with a method `then` is taken for a promise, so that
/// `await` calls it. Words of the language may name members.
const TAKEN_BY_MEMBERS: [&str; 20] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "arguments",
    "caller",
    "catch",
    "constructor",
    "finally",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "prototype",
    "then",
    "toJSON",
    "toLocaleString",
    "toString",
    "transport",
    "valueOf",
];

/// Gives names out, each once.
pub(super) struct Names {
    used: BTreeSet<String>,
}

impl Names {
    /// For types and classes.
    pub(super) fn of_types() -> Self {
        Self { used: TAKEN.iter().chain(&MORE_TAKEN).map(ToString::to_string).collect() }
    }

    /// For the members of one class.
    pub(super) fn of_members() -> Self {
        Self { used: TAKEN_BY_MEMBERS.iter().map(ToString::to_string).collect() }
    }

    /// `wish`, with as many `_` behind as it takes to be free.
    pub(super) fn give(&mut self, wish: &str) -> String {
        let mut name = identifier(wish);
        while !self.used.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

/// The names of the types of all documents. Types with names of their own come first, so that they keep them.
pub(super) fn of_documents<'a>(
    documents: &BTreeSet<&'a str>,
    names: &mut Names,
) -> BTreeMap<&'a str, String> {
    let (own, made): (Vec<&str>, Vec<&str>) = documents.iter().partition(|name| !name.contains('.'));
    let own = own.into_iter().map(|name| (name, name.to_owned()));
    let made = made.into_iter().map(|name| (name, pascal(name)));
    own.chain(made).map(|(name, wish)| (name, names.give(&wish))).collect()
}

/// `wish` with what an identifier cannot hold as `_`.
fn identifier(wish: &str) -> String {
    let fit = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let begin = if wish.starts_with(|letter: char| letter.is_ascii_digit()) { "_" } else { "" };
    format!("{begin}{}", wish.chars().map(fit).collect::<String>())
}

/// `raft.append_entries.reply` as `RaftAppendEntriesReply`.
fn pascal(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.map(capitalised).collect()
}

/// `append_entries` as `appendEntries`.
pub(super) fn camel(name: &str) -> String {
    let pascal = pascal(name);
    let mut letters = pascal.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{MORE_TAKEN, Names, TAKEN, TAKEN_BY_MEMBERS, camel, of_documents};

    #[test]
    fn no_two_documents_share_a_name_and_none_takes_a_word_of_the_language() {
        let documents =
            BTreeSet::from(["A", "A.written", "AWritten", "Error", "a-b", "a_b", "2d", "kv.get_all.reply"]);
        let names = of_documents(&documents, &mut Names::of_types());
        let names: Vec<(&str, &str)> =
            names.iter().map(|(document, name)| (*document, name.as_str())).collect();
        let expected = [
            ("2d", "_2d"),
            ("A", "A"),
            ("A.written", "AWritten_"),
            ("AWritten", "AWritten"),
            ("Error", "Error_"),
            ("a-b", "a_b"),
            ("a_b", "a_b_"),
            ("kv.get_all.reply", "KvGetAllReply"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn methods_are_named_as_is_usual() {
        assert_eq!(["append_entries", "get", "x.y"].map(camel), ["appendEntries", "get", "xY"]);
    }

    /// What each object has by itself, and what turns it into something else.
    #[test]
    fn members_take_no_name_that_means_something() {
        let mut names = Names::of_members();
        let given =
            ["to_string", "then", "valueOf", "constructor", "transport", "get", "get", "delete", "new"]
                .map(|wish| names.give(&camel(wish)));
        let expected =
            ["toString_", "then_", "valueOf_", "constructor_", "transport_", "get", "get_", "delete", "new"];
        assert_eq!(given, expected);
    }

    #[test]
    fn what_is_taken_is_listed_once() {
        assert!(TAKEN_BY_MEMBERS.is_sorted_by(|one, other| one < other));
        let all: BTreeSet<&str> = TAKEN.into_iter().chain(MORE_TAKEN).collect();
        assert_eq!(all.len(), TAKEN.len() + MORE_TAKEN.len());
    }
}
