//! Compares numbers, strings, lists and single values: their bounds, formats and items.

use std::cmp::Reverse;

use serde_json::Value;

use super::range::{Bounds, Moved, Number};
use super::shape::{Array, Kind, Object, Shape, Text};
use super::walk::{Change, NARROWED, WIDENED, Walk};
use super::{Effect, Rule};

impl Walk<'_> {
    /// Compares the single values of a kind, and single values with all values.
    pub(super) fn values(&mut self, path: &str, kind: Kind, old: &Shape, new: &Shape) {
        let whole = |shape: &Shape| match kind {
            Kind::Boolean => shape.boolean,
            Kind::Number => !shape.numbers.is_empty(),
            Kind::Text => !shape.texts.is_empty(),
            Kind::Null | Kind::Array | Kind::Object => false,
        };
        match (whole(old), whole(new)) {
            // From some to all, and back: what the enum said has gone, or is new.
            (false, true) => return self.typed(path, Rule::TypeWidened, WIDENED, old, new),
            (true, false) => return self.typed(path, Rule::TypeNarrowed, NARROWED, old, new),
            _ => {}
        }
        let of_kind = |shape: &Shape| -> Vec<String> {
            let values = shape.values.iter().filter(|(_, value)| Kind::of(value) == kind);
            values.map(|(text, _)| text.clone()).collect()
        };
        let (old_values, new_values) = (of_kind(old), of_kind(new));
        for value in old_values.iter().filter(|value| !new_values.contains(value)) {
            self.variant_removed(path, value, new.open);
        }
        for value in new_values.iter().filter(|value| !old_values.contains(value)) {
            self.variant_added(path, value, old.open);
        }
        if old.open && !new.open {
            self.no_longer_open(path);
        }
    }

    pub(super) fn number_lists(&mut self, path: &str, old: &Shape, new: &Shape) {
        let (before, after) = unequal(&old.numbers, &new.numbers);
        match (before.as_slice(), after.as_slice()) {
            ([before], [after]) => self.numbers(path, before, after),
            ([], []) => {}
            _ if old.numbers.is_empty() || new.numbers.is_empty() => {}
            _ => self.undecided(path, "it chooses from several ranges of numbers".to_owned()),
        }
        self.values(path, Kind::Number, old, new);
    }

    fn numbers(&mut self, path: &str, old: &Number, new: &Number) {
        let moved = old.moved_to(new);
        if old.is_other_type(new) {
            let both = (old.to_string(), new.to_string());
            if moved == Moved::default() {
                self.moved(path, Rule::FormatChanged, Effect::Warns, Some(both), "the format is another");
            } else {
                self.type_moved(path, moved, both);
            }
        } else {
            self.bounds_moved(path, moved, "value", (old.range.to_string(), new.range.to_string()));
        }
        let text = |value: &Option<Value>| value.as_ref().map(ToString::to_string);
        self.optional(path, "`multipleOf`", text(&old.multiple_of), text(&new.multiple_of));
    }

    pub(super) fn text_lists(&mut self, path: &str, old: &Shape, new: &Shape) {
        let (before, after) = unequal(&old.texts, &new.texts);
        match (before.as_slice(), after.as_slice()) {
            ([before], [after]) => self.texts(path, before, after),
            ([], []) => {}
            _ if old.texts.is_empty() || new.texts.is_empty() => {}
            _ => self.undecided(path, "it chooses from several sorts of strings".to_owned()),
        }
        self.values(path, Kind::Text, old, new);
    }

    fn texts(&mut self, path: &str, old: &Text, new: &Text) {
        self.bounds(path, "letters", &old.length, &new.length);
        self.optional(path, "the pattern", old.pattern.clone(), new.pattern.clone());
        if old.formats != new.formats {
            let text = |text: &Text| {
                let words: Vec<&str> = text.formats.values().map(String::as_str).collect();
                if words.is_empty() { "string".to_owned() } else { words.join(", ") }
            };
            let both = Some((text(old), text(new)));
            self.moved(path, Rule::FormatChanged, Effect::Warns, both, "the format is another");
        }
    }

    pub(super) fn array_lists(&mut self, path: &str, old: &Shape, new: &Shape) {
        let pairs =
            self.pairs((&old.arrays, &new.arrays), |walk, old, new| walk.arrays(path, old, new), |_, _| 1);
        for pair in pairs {
            match pair {
                (Some(old), Some(new)) => self.arrays(path, old, new),
                (Some(_), None) => self.variant_removed(path, "a list", new.open),
                (None, Some(_)) => self.variant_added(path, "a list", old.open),
                (None, None) => {}
            }
        }
        self.values(path, Kind::Array, old, new);
    }

    fn arrays(&mut self, path: &str, old: &Array, new: &Array) {
        let fixed = old.fixed_count().zip(new.fixed_count()).filter(|(old, new)| old != new);
        let is_list = |array: &Array| array.first.is_empty();
        if is_list(old) != is_list(new) || old.first.len() != new.first.len() || fixed.is_some() {
            let text = |array: &Array| match (is_list(array), array.fixed_count()) {
                (true, None) => "list".to_owned(),
                (true, Some(count)) => format!("list of {count}"),
                (false, _) => format!("tuple of {}", array.first.len()),
            };
            let both = (text(old), text(new));
            let effect = Effect::Breaks(self.role.breaks(Moved { narrowed: true, widened: true }));
            let what = "its items are counted otherwise";
            return self.moved(path, Rule::StructureChanged, effect, Some(both), what);
        }
        for (index, (before, after)) in old.first.iter().zip(&new.first).enumerate() {
            self.schemas(&format!("{path}[{index}]"), before, after);
        }
        let is_full = |array: &Array| array.count.high == Some(array.first.len() as u64) && !is_list(array);
        if !(is_full(old) && is_full(new)) {
            let anything = Value::Bool(true);
            let (before, after) = (old.items.as_ref(), new.items.as_ref());
            self.schemas(&format!("{path}[]"), before.unwrap_or(&anything), after.unwrap_or(&anything));
        }
        self.bounds(path, "items", &old.count, &new.count);
        let (rule, moved, what) = match (old.unique, new.unique) {
            (false, true) => (Rule::BoundsTightened, NARROWED, "its items must differ"),
            (true, false) => (Rule::BoundsLoosened, WIDENED, "its items need not differ any more"),
            (false, false) | (true, true) => return,
        };
        self.moved(path, rule, Effect::Breaks(self.role.breaks(moved)), None, what);
    }

    pub(super) fn object_lists(&mut self, path: &str, old: &Shape, new: &Shape) {
        let common = |old: &Object, new: &Object| {
            old.properties.keys().filter(|name| new.properties.contains_key(*name)).count()
        };
        let pairs =
            self.pairs((&old.objects, &new.objects), |walk, old, new| walk.objects(path, old, new), common);
        let text = |object: &Object| {
            let names: Vec<&str> = object.properties.keys().map(String::as_str).collect();
            format!(
                "an object with {}",
                if names.is_empty() { "any fields".to_owned() } else { names.join(", ") }
            )
        };
        for pair in pairs {
            match pair {
                (Some(old), Some(new)) => self.objects(path, old, new),
                (Some(removed), None) => self.variant_removed(path, &text(removed), new.open),
                (None, Some(added)) => self.variant_added(path, &text(added), old.open),
                (None, None) => {}
            }
        }
        self.values(path, Kind::Object, old, new);
    }

    /// Which of the old things is which of the new ones, where no name tells: those that are equal, which are left out
    /// here; then, of the rest, those that have most in common.
    fn pairs<'t, T>(
        &mut self,
        (old, new): (&'t [T], &'t [T]),
        compare: impl Fn(&mut Self, &T, &T),
        common: impl Fn(&T, &T) -> usize,
    ) -> Vec<(Option<&'t T>, Option<&'t T>)> {
        if let ([old], [new]) = (old, new) {
            return vec![(Some(old), Some(new))];
        }
        let (mut before, mut after): (Vec<&T>, Vec<&T>) = (old.iter().collect(), new.iter().collect());
        before.retain(|old| {
            let same = after.iter().position(|new| {
                self.spend(1);
                !self.has_given_up() && self.finds_nothing(|walk| compare(walk, old, new))
            });
            same.map(|index| after.remove(index)).is_none()
        });
        let mut pairs = Vec::new();
        while !before.is_empty() && !after.is_empty() {
            self.spend(before.len() * after.len());
            if self.has_given_up() {
                break;
            }
            let all = (0..before.len()).flat_map(|i| (0..after.len()).map(move |j| (i, j)));
            let is_last = before.len() == 1 && after.len() == 1;
            let nearest = all.max_by_key(|(i, j)| (common(before[*i], after[*j]), Reverse((*i, *j))));
            let Some((i, j)) = nearest.filter(|(i, j)| is_last || common(before[*i], after[*j]) > 0) else {
                break;
            };
            pairs.push((Some(before.remove(i)), Some(after.remove(j))));
        }
        pairs.extend(before.into_iter().map(|old| (Some(old), None)));
        pairs.extend(after.into_iter().map(|new| (None, Some(new))));
        pairs
    }

    pub(super) fn bounds(&mut self, path: &str, of: &str, old: &Bounds, new: &Bounds) {
        let both = (format!("{old} {of}"), format!("{new} {of}"));
        self.bounds_moved(path, old.moved_to(new), of, both);
    }

    /// Compares a constraint that may be absent and of which no two can be compared.
    fn optional(&mut self, path: &str, name: &str, old: Option<String>, new: Option<String>) {
        let (rule, moved) = match (&old, &new) {
            _ if old == new => return,
            (None, _) => (Rule::BoundsTightened, NARROWED),
            (_, None) => (Rule::BoundsLoosened, WIDENED),
            (Some(old), Some(new)) => {
                return self.undecided(path, format!("{name} was {old} and is {new}"));
            }
        };
        let effect = Effect::Breaks(self.role.breaks(moved));
        let what = format!("{name} is {}", if moved.narrowed { "new" } else { "gone" });
        self.report(Change { rule, effect, path: path.to_owned(), old, new, what });
    }

    fn type_moved(&mut self, path: &str, moved: Moved, (old, new): (String, String)) {
        let both = Some((old, new));
        if moved.narrowed {
            let effect = Effect::Breaks(self.role.breaks(NARROWED));
            self.moved(path, Rule::TypeNarrowed, effect, both.clone(), "fewer numbers are allowed");
        }
        if moved.widened {
            let effect = Effect::Breaks(self.role.breaks(WIDENED));
            self.moved(path, Rule::TypeWidened, effect, both, "more numbers are allowed");
        }
    }

    fn bounds_moved(&mut self, path: &str, moved: Moved, of: &str, (old, new): (String, String)) {
        let both = Some((old, new));
        if moved.narrowed {
            let effect = Effect::Breaks(self.role.breaks(NARROWED));
            let what = format!("the bounds of its {of} are tighter");
            self.moved(path, Rule::BoundsTightened, effect, both.clone(), &what);
        }
        if moved.widened {
            let effect = Effect::Breaks(self.role.breaks(WIDENED));
            let what = format!("the bounds of its {of} are looser");
            self.moved(path, Rule::BoundsLoosened, effect, both, &what);
        }
    }

    fn moved(&mut self, path: &str, rule: Rule, effect: Effect, both: Option<(String, String)>, what: &str) {
        let (old, new) = both.unzip();
        self.report(Change { rule, effect, path: path.to_owned(), old, new, what: what.to_owned() });
    }
}

/// What only one of two unions has.
fn unequal<'t, T: PartialEq>(old: &'t [T], new: &'t [T]) -> (Vec<&'t T>, Vec<&'t T>) {
    (
        old.iter().filter(|item| !new.contains(item)).collect(),
        new.iter().filter(|item| !old.contains(item)).collect(),
    )
}
