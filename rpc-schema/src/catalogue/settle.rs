//! What can be shown of services whose types are in each other's way: types that share a name stand in the documents as one
//! that says so, and everything else is as it is.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::Contract;
use serde_json::{Value, json};

use super::conflict::{Conflict, is_usable};
use super::derive::{self, Derived, Direction, Root};
use crate::walk::{DEFINITIONS, Definitions, replace_references};

/// The schemas of all messages under one contract, with the names that can be used.
pub(super) struct Settled {
    derived: Derived,
    /// The names that several types share.
    shared: BTreeSet<String>,
    pub(super) conflicts: Vec<Conflict>,
}

/// Derives the schemas of `roots` and gives types usable names.
pub(super) fn settle(roots: &[Root], contract: &Contract) -> Settled {
    let mut forwards = derive::run(roots, contract, &[], Direction::Forwards);
    let mut backwards = derive::run(roots, contract, &[], Direction::Backwards);
    let renames = derive::Renames::of(roots, &forwards, contract, Direction::Forwards);
    let mut conflicts = derive::conflicts(roots, &forwards, contract);
    let mut shared = renames.shared();
    // Which of two types gets the number depends on the direction, and so does what a third one is called.
    let other_renames = derive::Renames::of(roots, &backwards, contract, Direction::Backwards);
    shared.extend(other_renames.shared());
    rename(&mut forwards, &renames.meant());
    rename(&mut backwards, &other_renames.meant());
    hide(&mut forwards.definitions, &shared);
    hide(&mut backwards.definitions, &shared);
    // Types that the generator took for one look different from the other end.
    let differs = |(name, schema): &(&String, &Value)| {
        backwards.definitions.get(*name).is_some_and(|other| other != *schema)
    };
    let mixed_up: BTreeSet<String> =
        forwards.definitions.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    for name in &mixed_up {
        let is_told =
            |conflict: &Conflict| matches!(conflict, Conflict::TypeName { name: told, .. } if told == name);
        if !conflicts.iter().any(is_told) {
            conflicts.extend(derive::type_name_conflict(roots, &forwards, name));
        }
    }
    shared.extend(mixed_up);
    Settled { derived: forwards, shared, conflicts }
}

impl Settled {
    /// The schemas, with the types that share a name under this contract or the other one as one type each.
    pub(super) fn with_shared_of(mut self, other: &BTreeSet<String>) -> Derived {
        self.shared.extend(other.iter().cloned());
        hide(&mut self.derived.definitions, &self.shared);
        let usable = usable_names(&self.derived.definitions);
        rename(&mut self.derived, &usable);
        self.derived
    }

    pub(super) fn shared(&self) -> &BTreeSet<String> {
        &self.shared
    }
}

/// Puts in the place of types that share a name one type that allows everything.
fn hide(definitions: &mut Definitions, shared: &BTreeSet<String>) {
    for name in shared {
        if let Some(schema) = definitions.get_mut(name) {
            *schema = json!({
                "description": format!(
                    "Several types are called `{name}`, so it is not said here what this one is. The log of the server names the places."
                ),
            });
        }
    }
}

/// Gives types other names; the first of those that get the same name stays.
fn rename(derived: &mut Derived, names: &BTreeMap<String, String>) {
    if names.is_empty() {
        return;
    }
    let name_of = |name: &str| names.get(name).map_or(name, String::as_str).to_owned();
    // A reference is a JSON pointer, in which two characters stand in another form (RFC 6901, section 3).
    let target =
        |name: &str| format!("{DEFINITIONS}{}", name_of(&name.replace("~1", "/").replace("~0", "~")));
    let aimed = |schema: &mut Value| replace_references(schema, &target);
    derived.schemas.iter_mut().for_each(aimed);
    // Those that keep their names come first: what shares a name with one of them is hidden anyway.
    let definitions = std::mem::take(&mut derived.definitions);
    let (moved, kept): (Vec<_>, Vec<_>) =
        definitions.into_iter().partition(|(name, _)| names.contains_key(name));
    for (name, mut schema) in kept.into_iter().chain(moved) {
        aimed(&mut schema);
        derived.definitions.entry(name_of(&name)).or_insert(schema);
    }
}

/// For each name that cannot be part of a URL one that can, and that no other type has.
fn usable_names(definitions: &Definitions) -> BTreeMap<String, String> {
    let mut taken: BTreeSet<String> = definitions.keys().cloned().collect();
    let unusable = definitions.keys().filter(|name| !name.chars().all(is_usable) || name.is_empty());
    let mut usable = BTreeMap::new();
    for name in unusable {
        let mut other: String =
            name.chars().map(|letter| if is_usable(letter) { letter } else { '_' }).collect();
        while other.is_empty() || taken.contains(&other) {
            other.push('_');
        }
        taken.insert(other.clone());
        usable.insert(name.clone(), other);
    }
    usable
}
