//! Compares objects: which fields are new, gone or renamed, and whether they must be there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::flat::flat;
use super::shape::{More, Object, Shape};
use super::walk::{Change, NARROWED, Nulls, Role, WIDENED, Walk};
use super::{Breaks, Effect, Rule};
use crate::walk::Definitions;

/// One field of one side.
struct Field {
    schema: Value,
    shape: Shape,
    required: bool,
    default: Option<Value>,
    aliases: Vec<String>,
}

impl Field {
    fn of(object: &Object, name: &str, definitions: &Definitions) -> Self {
        let schema = object.properties[name].clone();
        let mut flat = flat(&schema, definitions);
        let (default, aliases) = (flat.default.take(), std::mem::take(&mut flat.aliases));
        let shape = Shape::of_flat(flat, definitions);
        Self { schema, shape, required: object.required.contains(name), default, aliases }
    }
}

impl Walk<'_> {
    /// Compares two objects.
    pub(super) fn objects(&mut self, path: &str, old: &Object, new: &Object) {
        let (old_names, new_names): (BTreeSet<&String>, BTreeSet<&String>) =
            (old.properties.keys().collect(), new.properties.keys().collect());
        let mut removed: Vec<&String> = old_names.difference(&new_names).copied().collect();
        let mut added: Vec<&String> = new_names.difference(&old_names).copied().collect();
        for (before, after) in self.renames(path, (&removed, old), (&added, new)) {
            removed.retain(|name| *name != before);
            added.retain(|name| *name != after);
            self.renamed(path, (before, old), (after, new));
        }
        for name in removed {
            self.removed(path, name, old, new);
        }
        for name in added {
            self.added(path, name, old, new);
        }
        for name in old_names.intersection(&new_names) {
            let (before, after) = (Field::of(old, name, self.old), Field::of(new, name, self.new));
            self.field(&format!("{path}.{name}"), name, before, after);
        }
        self.unknown_fields(path, old, new);
        self.bounds(path, "fields", &old.count, &new.count);
        if old.flattened.len() == new.flattened.len() {
            for (before, after) in old.flattened.iter().zip(&new.flattened) {
                let (before, after) = (any_of(before), any_of(after));
                self.schemas(path, &before, &after);
            }
        } else {
            self.undecided(path, "another number of enums is flattened into it".to_owned());
        }
    }

    fn added(&mut self, path: &str, name: &str, old: &Object, new: &Object) {
        let required = new.required.contains(name);
        let breaks = match self.role {
            Role::Request => Breaks { backward: required, forward: old.is_closed() },
            Role::Response => Breaks { backward: old.is_closed(), forward: required },
        };
        let (rule, what) = if required {
            (Rule::RequiredFieldAdded, format!("the required field `{name}` is new"))
        } else {
            (Rule::OptionalFieldAdded, format!("the optional field `{name}` is new"))
        };
        let shape = Shape::of(&new.properties[name], self.new);
        self.report(Change {
            rule,
            effect: Effect::Breaks(breaks),
            path: format!("{path}.{name}"),
            old: None,
            new: Some(shape.to_string()),
            what,
        });
    }

    fn removed(&mut self, path: &str, name: &str, old: &Object, new: &Object) {
        let required = old.required.contains(name);
        let breaks = match self.role {
            Role::Request => Breaks { backward: new.is_closed(), forward: required },
            Role::Response => Breaks { backward: required, forward: new.is_closed() },
        };
        // Nothing fails, but what one side says the other no longer hears.
        let effect = if breaks == Breaks::default() { Effect::Warns } else { Effect::Breaks(breaks) };
        let shape = Shape::of(&old.properties[name], self.old);
        let kind = if required { "required" } else { "optional" };
        self.report(Change {
            rule: Rule::FieldRemoved,
            effect,
            path: format!("{path}.{name}"),
            old: Some(shape.to_string()),
            new: None,
            what: format!("the {kind} field `{name}` is gone"),
        });
    }

    /// Which field has become which: the new one says so, or they are the only two of equal meaning.
    fn renames<'o>(
        &mut self,
        path: &str,
        (removed, old): (&[&'o String], &Object),
        (added, new): (&[&'o String], &Object),
    ) -> Vec<(&'o String, &'o String)> {
        let before: Vec<Field> = removed.iter().map(|name| Field::of(old, name, self.old)).collect();
        let after: Vec<Field> = added.iter().map(|name| Field::of(new, name, self.new)).collect();
        let mut same: Vec<(usize, usize)> = Vec::new();
        for (i, one) in before.iter().enumerate() {
            if let Some(j) = after.iter().position(|other| other.aliases.contains(removed[i])) {
                same.push((i, j));
                continue;
            }
            for (j, other) in after.iter().enumerate() {
                self.spend(1);
                let equal = one.required == other.required
                    && one.default == other.default
                    && self.finds_nothing(|walk| walk.schemas(path, &one.schema, &other.schema));
                if equal {
                    same.push((i, j));
                }
            }
        }
        let is_only = |pair: &&(usize, usize)| {
            same.iter().filter(|other| other.0 == pair.0 || other.1 == pair.1).count() == 1
        };
        same.iter().filter(is_only).map(|(i, j)| (removed[*i], added[*j])).collect()
    }

    fn renamed(&mut self, path: &str, (before, old): (&str, &Object), (after, new): (&str, &Object)) {
        let field = Field::of(new, after, self.new);
        let is_alias = field.aliases.iter().any(|alias| alias == before);
        // Even a field that may be absent is lost when only its other name is known.
        let breaks = match self.role {
            Role::Request => Breaks { backward: !is_alias, forward: true },
            Role::Response => Breaks { backward: true, forward: !is_alias },
        };
        let alias = if is_alias { ", which is still read" } else { "" };
        self.report(Change {
            rule: Rule::FieldRenamed,
            effect: Effect::Breaks(breaks),
            path: format!("{path}.{before}"),
            old: Some(before.to_owned()),
            new: Some(after.to_owned()),
            what: format!("the field `{after}` has the place of `{before}`{alias}"),
        });
        if is_alias {
            let before = Field::of(old, before, self.old);
            self.field(&format!("{path}.{after}"), after, before, field);
        }
    }

    /// Compares a field that is on both sides.
    fn field(&mut self, path: &str, name: &str, mut old: Field, mut new: Field) {
        let narrowed = Effect::Breaks(self.role.breaks(NARROWED));
        let widened = Effect::Breaks(self.role.breaks(WIDENED));
        // Where anything is allowed, null is no matter of its own.
        let typed = !old.shape.any && !new.shape.any;
        let null_lost = typed && old.shape.null && !new.shape.null;
        let null_gained = typed && !old.shape.null && new.shape.null;
        let mut say = |rule, effect, what: String| {
            let describe =
                |field: &Field| format!("{}{}", if field.required { "" } else { "optional " }, field.shape);
            let (old, new) = (Some(describe(&old)), Some(describe(&new)));
            self.report(Change { rule, effect, path: path.to_owned(), old, new, what });
        };
        // An `Option` may be absent and null: both at once are one change.
        match (old.required, new.required) {
            (false, true) => say(Rule::MadeRequired, narrowed, format!("`{name}` must be there")),
            (true, true) if null_lost => {
                say(Rule::MadeRequired, narrowed, format!("`{name}` may not be null"));
            }
            _ if null_lost => say(Rule::TypeNarrowed, narrowed, format!("`{name}` may not be null")),
            _ => {}
        }
        match (old.required, new.required) {
            (true, false) => say(Rule::MadeOptional, widened, format!("`{name}` may be absent")),
            (true, true) if null_gained => say(Rule::MadeOptional, widened, format!("`{name}` may be null")),
            _ if null_gained => say(Rule::TypeWidened, widened, format!("`{name}` may be null")),
            _ => {}
        }
        if self.role == Role::Request && !old.required && !new.required && old.default != new.default {
            let text = |default: &Option<Value>| default.as_ref().map(ToString::to_string);
            self.report(Change {
                rule: Rule::DefaultChanged,
                effect: Effect::Warns,
                path: path.to_owned(),
                old: text(&old.default),
                new: text(&new.default),
                what: format!("the absent field `{name}` means something else"),
            });
        }
        if typed {
            (old.shape.null, new.shape.null) = (false, false);
        }
        self.once((&old.schema, &new.schema, Nulls::Settled), |walk| {
            walk.shapes(path, &old.shape, &new.shape);
        });
    }

    /// Compares what becomes of fields that are not named.
    fn unknown_fields(&mut self, path: &str, old: &Object, new: &Object) {
        let nothing = Breaks::default();
        let (rule, breaks, what) = match (&old.more, &new.more) {
            (More::Ignored, More::Ignored) | (More::Refused, More::Refused) => return,
            (More::Map { keys, values }, More::Map { keys: new_keys, values: new_values }) => {
                self.keys(path, keys.as_deref(), new_keys.as_deref());
                return self.schemas(&format!("{path}{{}}"), values, new_values);
            }
            (More::Ignored, More::Refused) => (
                Rule::Closed,
                if self.role == Role::Request { Breaks::BACKWARD } else { nothing },
                "fields that it does not name are refused",
            ),
            (More::Refused, More::Ignored) => (
                Rule::Opened,
                if self.role == Role::Request { Breaks::FORWARD } else { Breaks::BACKWARD },
                "fields that it does not name are ignored, no longer refused",
            ),
            (More::Map { .. }, More::Refused) => {
                (Rule::Closed, self.role.breaks(NARROWED), "it has no further keys any more")
            }
            (More::Refused, More::Map { .. }) => {
                (Rule::Opened, self.role.breaks(WIDENED), "it has further keys")
            }
            (More::Ignored, More::Map { .. }) => (
                Rule::TypeNarrowed,
                self.role.breaks(NARROWED),
                "its further keys must have values of one type",
            ),
            (More::Map { .. }, More::Ignored) => {
                (Rule::TypeWidened, self.role.breaks(WIDENED), "its further keys may have any value")
            }
        };
        let effect = Effect::Breaks(breaks);
        let (path, what) = (path.to_owned(), what.to_owned());
        self.report(Change { rule, effect, path, old: None, new: None, what });
    }

    /// Compares what the keys of two maps must match.
    fn keys(&mut self, path: &str, old: Option<&str>, new: Option<&str>) {
        /// What deriving writes for keys that are numbers without and with a sign, the tighter first.
        const NUMBERS: [&str; 2] = [r"^\d+$", r"^-?\d+$"];
        let (rule, moved) = match (old, new) {
            _ if old == new => return,
            (None, _) => (Rule::TypeNarrowed, NARROWED),
            (_, None) => (Rule::TypeWidened, WIDENED),
            _ if [old, new] == NUMBERS.map(Some) => (Rule::TypeWidened, WIDENED),
            _ if [new, old] == NUMBERS.map(Some) => (Rule::TypeNarrowed, NARROWED),
            _ => return self.undecided(path, "its keys must match another pattern".to_owned()),
        };
        let text = |keys: Option<&str>| Some(keys.unwrap_or("any key").to_owned());
        self.report(Change {
            rule,
            effect: Effect::Breaks(self.role.breaks(moved)),
            path: path.to_owned(),
            old: text(old),
            new: text(new),
            what: format!("{} keys are allowed", if moved.narrowed { "fewer" } else { "more" }),
        });
    }
}

fn any_of(group: &[Value]) -> Value {
    Value::from_iter([("anyOf".to_owned(), Value::from(group))])
}
