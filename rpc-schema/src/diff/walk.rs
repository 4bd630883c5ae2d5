//! Walks the schemas of one message side by side, old and new, and collects what changed.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::range::Moved;
use super::shape::{Kind, Shape};
use super::{Breaks, Effect, Rule};
use crate::walk::{Definitions, each_reference, reachable};

/// How deep messages are followed; recursion through references ends by itself.
const DEPTH_MAX: usize = 96;

/// How many pairs of schemas one message is compared by, trials of what may belong together included.
const STEPS_MAX: usize = 100_000;

/// Who writes a message and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Written by a client, read by a server.
    Request,
    /// Written by a server, read by a client.
    Response,
}

/// Something that changed in a message.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) rule: Rule,
    pub(super) effect: Effect,
    pub(super) path: String,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
    /// What happened; the consequence follows from the effect.
    pub(super) what: String,
}

/// The comparison of one message.
pub(super) struct Walk<'a> {
    pub(super) role: Role,
    pub(super) old: &'a Definitions,
    pub(super) new: &'a Definitions,
    changes: Vec<Change>,
    /// Pairs of schemas that are being compared or have been: what is found in them is found once. So recursion ends.
    seen: HashSet<Pair>,
    /// The same in the order in which they came.
    order: Vec<Pair>,
    depth: usize,
    steps: usize,
    gave_up: bool,
}

/// Two schemas as text, and what of them is compared.
type Pair = (String, String, Nulls);

/// Whether null is compared with the other values, or has been looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Nulls {
    Compared,
    Settled,
}

impl Role {
    /// Whom it breaks that a message may be more, or less, than it could be before.
    pub(super) fn breaks(self, moved: Moved) -> Breaks {
        match self {
            Self::Request => Breaks { backward: moved.narrowed, forward: moved.widened },
            Self::Response => Breaks { backward: moved.widened, forward: moved.narrowed },
        }
    }
}

/// The old values are no longer all allowed.
pub(super) const NARROWED: Moved = Moved { narrowed: true, widened: false };
/// There are values that were not allowed.
pub(super) const WIDENED: Moved = Moved { narrowed: false, widened: true };

impl<'a> Walk<'a> {
    /// What changed between two schemas of a message.
    pub(super) fn compare(
        role: Role,
        path: &str,
        (old_schema, old): (&Value, &'a Definitions),
        (new_schema, new): (&Value, &'a Definitions),
    ) -> Vec<Change> {
        let mut walk = Self {
            role,
            old,
            new,
            changes: Vec::new(),
            seen: HashSet::new(),
            order: Vec::new(),
            depth: 0,
            steps: 0,
            gave_up: false,
        };
        walk.schemas(path, old_schema, new_schema);
        if walk.gave_up {
            walk.undecided(path, "the schemas are too deep or too large to be compared".to_owned());
        }
        walk.changes
    }

    /// Compares two schemas, once.
    pub(super) fn schemas(&mut self, path: &str, old: &Value, new: &Value) {
        self.once((old, new, Nulls::Compared), |walk| {
            let (old, new) = (Shape::of(old, walk.old), Shape::of(new, walk.new));
            walk.shapes(path, &old, &new);
        });
    }

    /// Runs `compare` unless it has run for this pair of schemas, or the bounds are reached.
    pub(super) fn once(
        &mut self,
        (old, new, nulls): (&Value, &Value, Nulls),
        compare: impl FnOnce(&mut Self),
    ) {
        let pair = (old.to_string(), new.to_string(), nulls);
        if self.gave_up || self.seen.contains(&pair) {
            return;
        }
        self.gave_up = self.depth == DEPTH_MAX;
        self.spend(1);
        if self.gave_up {
            return;
        }
        self.order.push(pair.clone());
        self.seen.insert(pair);
        self.depth += 1;
        compare(self);
        self.depth -= 1;
    }

    /// Whether `compare` finds nothing. What it does find is not reported.
    pub(super) fn finds_nothing(&mut self, compare: impl FnOnce(&mut Self)) -> bool {
        let (changes, seen) = (std::mem::take(&mut self.changes), self.order.len());
        compare(self);
        let found = std::mem::replace(&mut self.changes, changes);
        if !found.is_empty() {
            // What has been assumed by a comparison that failed is worth nothing.
            for pair in self.order.drain(seen..) {
                self.seen.remove(&pair);
            }
        }
        found.is_empty() && !self.gave_up
    }

    /// Counts what has been compared. Past the bound all comparison ends, and the message is undecided.
    pub(super) fn spend(&mut self, steps: usize) {
        self.steps += steps;
        self.gave_up |= self.steps > STEPS_MAX;
    }

    /// Whether the message is too deep or too large to be compared.
    pub(super) fn has_given_up(&self) -> bool {
        self.gave_up
    }

    /// Compares what two schemas allow.
    pub(super) fn shapes(&mut self, path: &str, old: &Shape, new: &Shape) {
        self.rest(path, old, new);
        let is_unreadable =
            |shape: &Shape| shape.rest.contains_key("$ref") || shape.rest.contains_key("schema");
        if is_unreadable(old) || is_unreadable(new) {
            return;
        }
        match (old.any, new.any) {
            (true, true) => return,
            (true, false) => return self.typed(path, Rule::TypeNarrowed, NARROWED, old, new),
            (false, true) => return self.typed(path, Rule::TypeWidened, WIDENED, old, new),
            (false, false) => {}
        }
        let is_enum = self.variants(path, old, new);
        let (old_kinds, new_kinds) = (old.kinds(), new.kinds());
        let is_disjoint = !old_kinds.is_empty() && !new_kinds.is_empty() && old_kinds.is_disjoint(&new_kinds);
        if is_disjoint && !is_enum {
            let only_list = |kinds: &BTreeSet<Kind>| kinds.iter().eq([&Kind::Array]);
            let is_list = only_list(&old_kinds) || only_list(&new_kinds);
            let rule = if is_list { Rule::StructureChanged } else { Rule::TypeChanged };
            return self.typed(path, rule, Moved { narrowed: true, widened: true }, old, new);
        }
        // The variants of an enum may be of several kinds: one more or less of them has been told.
        let is_news = |kind: &Kind| !is_enum || *kind == Kind::Null;
        if old_kinds.difference(&new_kinds).any(is_news) {
            self.typed(path, Rule::TypeNarrowed, NARROWED, old, new);
        }
        if new_kinds.difference(&old_kinds).any(is_news) {
            self.typed(path, Rule::TypeWidened, WIDENED, old, new);
        }
        if is_enum {
            return;
        }
        for kind in old_kinds.intersection(&new_kinds) {
            match kind {
                Kind::Null => {}
                Kind::Boolean => self.values(path, Kind::Boolean, old, new),
                Kind::Number => self.number_lists(path, old, new),
                Kind::Text => self.text_lists(path, old, new),
                Kind::Array => self.array_lists(path, old, new),
                Kind::Object => self.object_lists(path, old, new),
            }
        }
    }

    /// Compares what is not understood: it must not have changed.
    fn rest(&mut self, path: &str, old: &Shape, new: &Shape) {
        let keywords: BTreeSet<&String> = old.rest.keys().chain(new.rest.keys()).collect();
        for keyword in keywords {
            let (old_value, new_value) = (old.rest.get(keyword), new.rest.get(keyword));
            if old_value != new_value || !self.refers_to_the_same(old_value, new_value) {
                self.undecided(path, format!("what `{keyword}` says has changed"));
            }
        }
    }

    /// Whether equal schemas, wherever they may stand in these values, refer to equal definitions.
    fn refers_to_the_same(&self, old: Option<&Value>, new: Option<&Value>) -> bool {
        let holder = |value: Option<&Value>| {
            let mut references = Vec::new();
            gather_references(value.unwrap_or(&Value::Null), &mut references);
            Value::from_iter([("allOf".to_owned(), Value::Array(references))])
        };
        let (old, new) = (holder(old), holder(new));
        let (old_names, new_names) = (reachable([&old], self.old), reachable([&new], self.new));
        old_names == new_names && old_names.iter().all(|name| self.old.get(*name) == self.new.get(*name))
    }

    /// Reports that a type is another.
    pub(super) fn typed(&mut self, path: &str, rule: Rule, moved: Moved, old: &Shape, new: &Shape) {
        let what = match rule {
            Rule::TypeWidened => format!("{old} became {new}, which is more"),
            Rule::TypeNarrowed => format!("{old} became {new}, which is less"),
            _ => format!("{old} became {new}"),
        };
        let effect = Effect::Breaks(self.role.breaks(moved));
        self.report(Change {
            rule,
            effect,
            path: path.to_owned(),
            old: Some(old.to_string()),
            new: Some(new.to_string()),
            what,
        });
    }

    /// Reports that it cannot be told what a change means.
    pub(super) fn undecided(&mut self, path: &str, what: String) {
        let (rule, effect, path) = (Rule::Undecided, Effect::Undecided, path.to_owned());
        self.report(Change { rule, effect, path, old: None, new: None, what });
    }

    pub(super) fn report(&mut self, change: Change) {
        self.changes.push(change);
    }
}

/// Every reference in `value`, which is a schema or holds some.
fn gather_references(value: &Value, references: &mut Vec<Value>) {
    each_reference(value, &mut |reference| {
        references.push(Value::from_iter([("$ref".to_owned(), Value::from(reference))]));
    });
    for inner in value.as_array().into_iter().flatten() {
        gather_references(inner, references);
    }
    for inner in value.as_object().into_iter().flat_map(|object| object.values()) {
        gather_references(inner, references);
    }
}
