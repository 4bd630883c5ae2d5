//! From functions to schemas: runs the schema function of every message under both contracts, and finds the types that
//! the generator mixed up or renamed.
//!
//! The generator knows a type by an id that we do not see and gives the second type of one name a number, as in `Reply2`.
//! It also takes two types for one whose ids are equal, which happens when both are declared in functions of one module,
//! or are renamed to one name in it. Neither may pass in silence.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::conflict::{Conflict, is_usable, method_place};
use crate::walk::{DEFINITIONS, Definitions, reachable, replace_references};
use crate::{MethodDescriptor, SchemaOf, ServiceDescriptor};

/// What a message is to its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Arguments,
    Reply,
    Error,
}

impl Role {
    /// Whether messages in this role are read by the server; the others are written by it.
    pub(super) fn is_read(self) -> bool {
        self == Self::Arguments
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Reply => "reply",
            Self::Error => "error",
        }
    }
}

/// One message of one method.
pub(super) struct Root {
    pub(super) service: &'static ServiceDescriptor,
    pub(super) method: &'static MethodDescriptor,
    pub(super) role: Role,
    schema: SchemaOf,
}

impl Root {
    /// All messages of `services`, in the order of declaration.
    pub(super) fn all(services: &[&'static ServiceDescriptor]) -> Vec<Self> {
        let methods = services.iter().flat_map(|service| service.methods.iter().map(move |m| (*service, *m)));
        let roots = methods.flat_map(|(service, method)| {
            let error = method.error.map(|schema| (Role::Error, schema));
            let messages = [(Role::Arguments, method.arguments), (Role::Reply, method.reply)];
            let messages = messages.into_iter().chain(error);
            messages.map(move |(role, schema)| Self { service, method, role, schema })
        });
        roots.collect()
    }

    /// The name of the message's own document, where its type has no name.
    pub(super) fn document_name(&self) -> String {
        format!("{}.{}", self.method.name, self.role.as_str())
    }

    fn place(&self) -> String {
        format!("the {} of {}", self.role.as_str(), method_place(self.service, self.method))
    }
}

/// The schemas of all messages under one contract.
pub(super) struct Derived {
    /// One schema for each root, in the order of the roots.
    pub(super) schemas: Vec<Value>,
    pub(super) definitions: Definitions,
    /// The names of the definitions in the order in which the generator met them.
    order: Vec<String>,
}

/// Runs all `roots` under `contract`.
pub(super) fn derive(roots: &[Root], contract: &Contract) -> Derived {
    run(roots, contract, &[], Direction::Forwards)
}

/// From which end the generator meets the messages.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Forwards,
    Backwards,
}

pub(super) fn run(roots: &[Root], contract: &Contract, held: &[&String], direction: Direction) -> Derived {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = contract.clone();
    let mut generator = settings.into_generator();
    for name in held {
        hold(name, &mut generator);
    }
    let mut schema = |root: &Root| (root.schema)(&mut generator).to_value();
    let schemas = match direction {
        Direction::Forwards => roots.iter().map(&mut schema).collect(),
        Direction::Backwards => {
            let mut schemas: Vec<Value> = roots.iter().rev().map(&mut schema).collect();
            schemas.reverse();
            schemas
        }
    };
    let definitions = generator.take_definitions(false);
    let order = definitions.keys().skip(held.len()).cloned().collect();
    let mut derived = Derived { schemas, definitions: definitions.into_iter().collect(), order };
    if derived.definitions.keys().any(|name| !name.chars().all(is_usable)) {
        let target = |name: &str| format!("{DEFINITIONS}{}", decoded(name));
        derived.schemas.iter_mut().for_each(|schema| replace_references(schema, &target));
        derived.definitions.values_mut().for_each(|schema| replace_references(schema, &target));
    }
    derived
}

/// The name that stands encoded in a reference: percent-encoding of the fragment (RFC 3986, section 3.5), and inside of it
/// that of a JSON pointer (RFC 6901, section 3).
fn decoded(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits =
            tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).replace("~1", "/").replace("~0", "~")
}

/// The types that were renamed or mixed up in `derived`, and those whose names cannot be used.
pub(super) fn conflicts(roots: &[Root], derived: &Derived, contract: &Contract) -> Vec<Conflict> {
    let place = |name: &str| {
        // A type that only serves as the key of a map can be defined and yet stand in no message.
        holders(roots, derived, name).next().map_or_else(|| "the keys of a map".to_owned(), Root::place)
    };
    let renames = Renames::of(roots, derived, contract, Direction::Forwards);
    if !renames.pairs.is_empty() {
        let conflict = |(base, name): (&str, &str)| Conflict::TypeName {
            name: base.to_owned(),
            first: place(base),
            second: place(name),
        };
        return renames.of_shared_names().map(conflict).collect();
    }
    let unusable = derived.order.iter().filter(|name| !name.chars().all(is_usable) || name.is_empty());
    let unusable = unusable.map(|name| Conflict::UnusableName {
        name: name.clone(),
        place: format!("a type in {}", place(name)),
    });
    unusable.chain(mixed_up(roots, derived, contract)).collect()
}

/// Types that the generator took for one. Whichever it meets first stands for both, so going backwards shows the other.
fn mixed_up(roots: &[Root], derived: &Derived, contract: &Contract) -> Vec<Conflict> {
    let backwards = run(roots, contract, &[], Direction::Backwards).definitions;
    let differ = derived.order.iter().filter(|name| backwards.get(*name) != derived.definitions.get(*name));
    differ.filter_map(|name| type_name_conflict(roots, derived, name)).collect()
}

/// That several types are called `name`, which stand in the first and in the last message that holds one.
pub(super) fn type_name_conflict(roots: &[Root], derived: &Derived, name: &str) -> Option<Conflict> {
    let mut holders = holders(roots, derived, name);
    let first = holders.next()?;
    let last = holders.last().unwrap_or(first);
    Some(Conflict::TypeName { name: name.to_owned(), first: first.place(), second: last.place() })
}

/// The roots whose messages hold the type `name`.
fn holders<'a>(roots: &'a [Root], derived: &'a Derived, name: &str) -> impl Iterator<Item = &'a Root> {
    let holds = move |schema: &Value| reachable([schema], &derived.definitions).contains(name);
    roots.iter().zip(&derived.schemas).filter(move |(_, schema)| holds(schema)).map(|(root, _)| root)
}

/// The names that the generator made up, each with the name that was meant.
pub(super) struct Renames {
    pairs: Vec<(String, String)>,
}

impl Renames {
    /// A name like `Reply2` is suspect when there is a `Reply`, but may be meant. To tell, everything is run once more with
    /// all suspect names taken beforehand: a type that wants to be `Reply2` then gets a number behind that, as in
    /// `Reply22`, while one that wants to be `Reply` gets the next number, as in `Reply3`.
    pub(super) fn of(roots: &[Root], derived: &Derived, contract: &Contract, direction: Direction) -> Self {
        let suspects: Vec<&String> = derived
            .order
            .iter()
            .filter(|name| bases(name).any(|base| derived.definitions.contains_key(base)))
            .collect();
        if suspects.is_empty() {
            return Self { pairs: Vec::new() };
        }
        let again = run(roots, contract, &suspects, direction).order;
        let suspects: BTreeSet<&String> = suspects.into_iter().collect();
        let both = derived.order.iter().zip(&again);
        let made_up =
            both.filter(|(name, again)| suspects.contains(name) && !again.starts_with(name.as_str()));
        let with_meant = made_up.filter_map(|(name, again)| {
            let bases_of_both = bases(name).filter(|base| bases(again).any(|other| other == *base));
            let meant = bases_of_both.filter(|base| derived.definitions.contains_key(*base)).last()?;
            Some((meant.to_owned(), name.clone()))
        });
        Self { pairs: with_meant.collect() }
    }

    /// The names that several types want, each with a name that one of them got instead. A type that only met a made-up name
    /// is as it should be once that name is gone.
    fn of_shared_names(&self) -> impl Iterator<Item = (&str, &str)> {
        let names: BTreeSet<&str> = self.pairs.iter().map(|(_, name)| name.as_str()).collect();
        let pairs = self.pairs.iter().map(|(meant, name)| (meant.as_str(), name.as_str()));
        pairs.filter(move |(meant, _)| !names.contains(meant))
    }

    /// The names that several types want.
    pub(super) fn shared(&self) -> BTreeSet<String> {
        self.of_shared_names().map(|(meant, _)| meant.to_owned()).collect()
    }

    /// For each name that was made up the one that was meant.
    pub(super) fn meant(&self) -> BTreeMap<String, String> {
        self.pairs.iter().map(|(meant, name)| (name.clone(), meant.clone())).collect()
    }
}

/// What the generator may have put a number behind to get `name`, the shortest first.
fn bases(name: &str) -> impl Iterator<Item = &str> {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (stem.len()..name.len()).filter(|&split| !name[split..].starts_with('0')).map(|split| &name[..split])
}

thread_local! {
    /// The name that [`Held`] has at present; `JsonSchema` gives a type no other way to have several.
    static HELD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A type that only takes up a name.
struct Held;

impl JsonSchema for Held {
    fn schema_name() -> Cow<'static, str> {
        HELD.with_borrow(Clone::clone).into()
    }

    fn schema_id() -> Cow<'static, str> {
        HELD.with_borrow(|name| format!("{}::Held::{name}", module_path!())).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

fn hold(name: &str, generator: &mut SchemaGenerator) {
    HELD.set(name.to_owned());
    generator.subschema_for::<Held>();
}
