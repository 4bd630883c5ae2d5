//! From two contracts to one set of types: finds the types that are written otherwise than read, and names them apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::derive::{Derived, Role, Root};
use super::{Message, Messages};
use crate::walk::{DEFINITIONS, Definitions, each_reference, named, reachable, replace_references};

/// What stands behind the name of a type that is written otherwise than read.
pub(super) const WRITTEN: &str = ".written";

/// The types that `roots` need, by the names of their documents, and the messages of each method.
pub(super) fn merge(
    roots: &[Root],
    read: Derived,
    written: Derived,
) -> (Definitions, BTreeMap<&'static str, Messages>) {
    let used = |schemas: &[Value], definitions: &Definitions, is_used: fn(Role) -> bool| {
        let schemas =
            roots.iter().zip(schemas).filter(|(root, _)| is_used(root.role)).map(|(_, schema)| schema);
        reachable(schemas, definitions).into_iter().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let read_names = used(&read.schemas, &read.definitions, Role::is_read);
    let written_names = used(&written.schemas, &written.definitions, |role| !role.is_read());
    let both = read_names.intersection(&written_names);
    let differ = differing(both, &read.definitions, &written.definitions);
    let written_name = |name: &str| {
        if differ.contains(name) { format!("{name}{WRITTEN}") } else { name.to_owned() }
    };
    let aimed = |mut schema: Value| {
        replace_references(&mut schema, &|name| format!("{DEFINITIONS}{}", written_name(name)));
        schema
    };

    let mut types: Definitions =
        read.definitions.into_iter().filter(|(name, _)| read_names.contains(name)).collect();
    for (name, schema) in written.definitions {
        if written_names.contains(&name) {
            types.insert(written_name(&name), aimed(schema));
        }
    }
    let schemas = read.schemas.into_iter().zip(written.schemas);
    let messages = roots.iter().zip(schemas).map(|(root, (read, written))| {
        let schema = if root.role.is_read() { read } else { aimed(written) };
        let document = named(&schema).map_or_else(|| root.document_name(), str::to_owned);
        (root, Message { document, schema })
    });
    (types, by_method(messages))
}

/// Of the types `both`, those whose two schemas differ, in themselves or in a type that they hold.
fn differing<'a>(
    both: impl Iterator<Item = &'a String>,
    read: &Definitions,
    written: &Definitions,
) -> BTreeSet<&'a str> {
    let (mut differ, mut same): (BTreeSet<&str>, Vec<&str>) = (BTreeSet::new(), Vec::new());
    for name in both.map(String::as_str) {
        if read[name] == written[name] {
            same.push(name);
        } else {
            differ.insert(name);
        }
    }
    loop {
        let holds_one = |name: &&str| {
            let mut holds_one = false;
            each_reference(&read[*name], &mut |reference| {
                holds_one |= reference.strip_prefix(DEFINITIONS).is_some_and(|held| differ.contains(held));
            });
            holds_one
        };
        let (more, rest): (Vec<&str>, Vec<&str>) = same.into_iter().partition(holds_one);
        if more.is_empty() {
            return differ;
        }
        differ.extend(more);
        same = rest;
    }
}

/// Puts the messages of a method, which follow each other, into one place.
fn by_method<'a>(messages: impl Iterator<Item = (&'a Root, Message)>) -> BTreeMap<&'static str, Messages> {
    let mut parts: BTreeMap<(&'static str, Role), Message> =
        messages.map(|(root, message)| ((root.method.name, root.role), message)).collect();
    let names: BTreeSet<&'static str> = parts.keys().map(|(name, _)| *name).collect();
    let mut take = |name, role| parts.remove(&(name, role));
    let methods = names.into_iter().map(|name| {
        let arguments = take(name, Role::Arguments).expect("every method has arguments");
        let reply = take(name, Role::Reply).expect("every method has a reply");
        (name, Messages { arguments, reply, error: take(name, Role::Error) })
    });
    methods.collect()
}
