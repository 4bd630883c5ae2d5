//! Compares enums: how their variants are told apart, which are new or gone, and what each holds.

use std::collections::BTreeMap;

use serde_json::Value;

use super::range::Moved;
use super::shape::{Kind, More, Object, Shape};
use super::walk::{Change, NARROWED, WIDENED, Walk};
use super::{Breaks, Effect, Rule};
use crate::walk::Definitions;

/// How the variants of an enum are told apart, in one reading of its schema.
#[derive(Clone, Debug)]
struct Tagging {
    style: Style,
    variants: BTreeMap<String, Variant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Style {
    /// `"Name"` or `{"Name": content}`.
    External,
    /// `{"tag": "Name", ...}`. The content may stand in a field of its own too; that is a matter of the fields.
    Internal { tag: String },
}

#[derive(Clone, Debug)]
enum Variant {
    /// The name alone.
    Unit,
    /// What the name leads to.
    Content(Value),
    /// The fields beside the tag.
    Fields(Object),
}

impl std::fmt::Display for Style {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::External => f.write_str("named by its only key"),
            Self::Internal { tag } => write!(f, "named by the field `{tag}`"),
        }
    }
}

impl Walk<'_> {
    /// Compares two enums whose variants have names. False if they are none, and nothing was compared.
    pub(super) fn variants(&mut self, path: &str, old: &Shape, new: &Shape) -> bool {
        if old.alternatives() < 2 && new.alternatives() < 2 {
            return false;
        }
        let (old_taggings, new_taggings) = (taggings(old, self.old), taggings(new, self.new));
        let common = old_taggings.iter().find_map(|old| {
            let same = new_taggings.iter().find(|new| new.style == old.style)?;
            Some((old, same))
        });
        let Some((old_tagging, new_tagging)) = common else {
            return self.tagging_changed(path, (old, &old_taggings), (new, &new_taggings));
        };
        let is_shared = |name: &String| new_tagging.variants.contains_key(name);
        if old.kinds().is_disjoint(&new.kinds()) && !old_tagging.variants.keys().any(is_shared) {
            // An enum of names and a struct of one field could both be read as enums, and are two things.
            return false;
        }
        if let Style::Internal { tag } = &old_tagging.style
            && let Some((before, after)) = self.moved_content(old_tagging, new_tagging)
        {
            let what = format!("what stands beside `{tag}` has moved");
            self.told_apart(path, what, (before.to_owned(), after.to_owned()));
            return true;
        }
        for (name, before) in &old_tagging.variants {
            match new_tagging.variants.get(name) {
                Some(after) => self.variant(&format!("{path}/{name}"), before, after),
                None => self.variant_removed(&format!("{path}/{name}"), &format!("`{name}`"), new.open),
            }
        }
        for name in new_tagging.variants.keys().filter(|name| !old_tagging.variants.contains_key(*name)) {
            self.variant_added(&format!("{path}/{name}"), &format!("`{name}`"), old.open);
        }
        if old.open && !new.open {
            self.no_longer_open(path);
        }
        true
    }

    /// Reports two enums that are tagged in different ways, if both are enums.
    fn tagging_changed(
        &mut self,
        path: &str,
        (old, old_taggings): (&Shape, &[Tagging]),
        (new, new_taggings): (&Shape, &[Tagging]),
    ) -> bool {
        let is_enum = |shape: &Shape| shape.alternatives() > 1 && !shape.objects.is_empty();
        let is_unit_enum = |taggings: &[Tagging]| {
            taggings
                .iter()
                .flat_map(|tagging| tagging.variants.values())
                .any(|it| matches!(it, Variant::Unit))
        };
        let both =
            (is_enum(old) || is_unit_enum(old_taggings)) && (is_enum(new) || is_unit_enum(new_taggings));
        if !both || (old_taggings.is_empty() && new_taggings.is_empty()) {
            return false;
        }
        let text =
            |taggings: &[Tagging]| taggings.first().map_or("without names".to_owned(), ToString::to_string);
        let both = (text(old_taggings), text(new_taggings));
        self.told_apart(path, "its variants are told apart otherwise".to_owned(), both);
        true
    }

    fn told_apart(&mut self, path: &str, what: String, (old, new): (String, String)) {
        self.report(Change {
            rule: Rule::TaggingChanged,
            effect: Effect::Breaks(self.role.breaks(Moved { narrowed: true, widened: true })),
            path: path.to_owned(),
            old: Some(old),
            new: Some(new),
            what,
        });
    }

    /// Where the fields of variants were and are, if they have moved into a field of their own, or out of it.
    fn moved_content(&self, old: &Tagging, new: &Tagging) -> Option<(&'static str, &'static str)> {
        const BESIDE: &str = "fields beside the tag";
        const INSIDE: &str = "fields in a field of their own";
        let moved = |flat: &Object, whole: &Object, definitions: &Definitions| {
            let mut contents =
                whole.properties.iter().filter(|(name, _)| !flat.properties.contains_key(*name));
            contents.any(|(_, schema)| {
                let inner = Shape::of(schema, definitions);
                let mut names = inner.objects.iter().flat_map(|object| object.properties.keys());
                names.any(|name| flat.properties.contains_key(name) && !whole.properties.contains_key(name))
            })
        };
        let mut both = old.variants.iter().filter_map(|(name, old)| Some((old, new.variants.get(name)?)));
        both.find_map(|pair| match pair {
            (Variant::Fields(old), Variant::Fields(new)) if moved(old, new, self.new) => {
                Some((BESIDE, INSIDE))
            }
            (Variant::Fields(old), Variant::Fields(new)) if moved(new, old, self.old) => {
                Some((INSIDE, BESIDE))
            }
            _ => None,
        })
    }

    fn variant(&mut self, path: &str, old: &Variant, new: &Variant) {
        match (old, new) {
            (Variant::Unit, Variant::Unit) => {}
            (Variant::Content(old), Variant::Content(new)) => self.schemas(path, old, new),
            (Variant::Fields(old), Variant::Fields(new)) => self.objects(path, old, new),
            _ => {
                let text = |variant: &Variant, definitions: &Definitions| match variant {
                    Variant::Unit => "a name alone".to_owned(),
                    Variant::Content(schema) => Shape::of(schema, definitions).to_string(),
                    Variant::Fields(_) => "fields".to_owned(),
                };
                self.report(Change {
                    rule: Rule::TypeChanged,
                    effect: Effect::Breaks(Breaks::BOTH),
                    path: path.to_owned(),
                    old: Some(text(old, self.old)),
                    new: Some(text(new, self.new)),
                    what: "what the variant holds is of another kind".to_owned(),
                });
            }
        }
    }

    /// Reports a value that may no longer occur. A reader that copes with all values does not mind.
    pub(super) fn variant_removed(&mut self, path: &str, name: &str, reader_is_open: bool) {
        let breaks = if reader_is_open { Breaks::default() } else { self.role.breaks(NARROWED) };
        self.report(Change {
            rule: Rule::VariantRemoved,
            effect: Effect::Breaks(breaks),
            path: path.to_owned(),
            old: Some(name.to_owned()),
            new: None,
            what: format!("{name} is gone"),
        });
    }

    /// Reports a value that may occur from now on.
    pub(super) fn variant_added(&mut self, path: &str, name: &str, reader_is_open: bool) {
        let breaks = if reader_is_open { Breaks::default() } else { self.role.breaks(WIDENED) };
        self.report(Change {
            rule: Rule::VariantAdded,
            effect: Effect::Breaks(breaks),
            path: path.to_owned(),
            old: None,
            new: Some(name.to_owned()),
            what: format!("{name} is new"),
        });
    }

    /// Reports that values without a name are no longer read.
    pub(super) fn no_longer_open(&mut self, path: &str) {
        self.report(Change {
            rule: Rule::VariantRemoved,
            effect: Effect::Warns,
            path: path.to_owned(),
            old: Some("open enum".to_owned()),
            new: Some("closed enum".to_owned()),
            what: "values that it does not name are not read any more".to_owned(),
        });
    }
}

impl std::fmt::Display for Tagging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.style.fmt(f)
    }
}

/// The ways to read a shape as an enum whose variants have names; none when there is no such way.
fn taggings(shape: &Shape, definitions: &Definitions) -> Vec<Tagging> {
    let has_others = shape.any || shape.boolean || !shape.numbers.is_empty();
    if has_others || !shape.texts.is_empty() || !shape.arrays.is_empty() {
        return Vec::new();
    }
    let mut taggings: Vec<Tagging> = external(shape).into_iter().collect();
    if shape.values.is_empty() && !shape.objects.is_empty() {
        let tags = shape.objects[0].properties.keys();
        taggings.extend(tags.filter_map(|tag| internal(shape, tag, definitions)));
    }
    taggings
}

fn external(shape: &Shape) -> Option<Tagging> {
    let mut variants = BTreeMap::new();
    for value in shape.values.values() {
        variants.insert(value.as_str()?.to_owned(), Variant::Unit);
    }
    for object in &shape.objects {
        let mut properties = object.properties.iter();
        let (Some((name, content)), None) = (properties.next(), properties.next()) else { return None };
        let is_wrapper = object.required.contains(name)
            && object.flattened.is_empty()
            && !matches!(object.more, More::Map { .. });
        if !is_wrapper || variants.insert(name.clone(), Variant::Content(content.clone())).is_some() {
            return None;
        }
    }
    (!variants.is_empty()).then_some(Tagging { style: Style::External, variants })
}

fn internal(shape: &Shape, tag: &str, definitions: &Definitions) -> Option<Tagging> {
    let mut variants = BTreeMap::new();
    for object in &shape.objects {
        let name = object.required.contains(tag).then(|| object.properties.get(tag))??;
        let name = Shape::of(name, definitions);
        let is_name = name.alternatives() == 1 && !name.null;
        let name = name.values.values().next().filter(|value| is_name && Kind::of(value) == Kind::Text)?;
        let mut fields = object.clone();
        fields.properties.remove(tag);
        fields.required.remove(tag);
        if variants.insert(name.as_str()?.to_owned(), Variant::Fields(fields)).is_some() {
            return None;
        }
    }
    Some(Tagging { style: Style::Internal { tag: tag.to_owned() }, variants })
}
