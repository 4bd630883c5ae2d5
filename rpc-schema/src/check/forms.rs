//! Values that have one of several forms: which form was meant, so that what is said is about that one.

use serde_json::Value;

use super::values::{short, type_name, types};
use super::{Checker, MisfitKind, Verdict, list};
use crate::nearest;
use crate::outline::type_text;

impl<'a> Checker<'a> {
    /// What the forms of `anyOf` or `oneOf` say of `value`.
    pub(super) fn branches(
        &mut self,
        keyword: &str,
        branches: &'a [Value],
        value: &Value,
        path: &str,
    ) -> Verdict<'a> {
        let verdicts: Vec<Verdict<'a>> =
            branches.iter().map(|branch| self.part(branch, value, path)).collect();
        let fitting = verdicts.iter().filter(|verdict| verdict.fits()).count();
        if fitting == 0 {
            return self.refused(branches, verdicts, value, path);
        }
        // Fields that one form knows are known. Of what is odd, the form counts that finds the least.
        let mut fitting_verdicts = verdicts.into_iter().filter(Verdict::fits);
        let mut merged = fitting_verdicts.next().unwrap_or_default();
        for mut verdict in fitting_verdicts {
            if verdict.misfits.len() < merged.misfits.len() {
                merged.misfits.clear();
            } else {
                verdict.misfits.clear();
            }
            merged.add(verdict);
        }
        if keyword == "oneOf" && fitting > 1 {
            merged.refuse(path, format!("fits {fitting} forms and must fit one: {}", words(branches)));
        }
        merged
    }

    /// What to say when no form fits.
    fn refused(
        &self,
        branches: &'a [Value],
        verdicts: Vec<Verdict<'a>>,
        value: &Value,
        path: &str,
    ) -> Verdict<'a> {
        let mut verdict = match self.meant(branches, value) {
            Some(index) => verdicts.into_iter().nth(index).unwrap_or_default(),
            None => {
                let mut verdict = Verdict::default();
                let message = format!("must be {}, not {}", words(branches), short(value));
                verdict.refuse(path, message + &self.hint(branches, value));
                verdict
            }
        };
        // Which fields there may be is not known as long as the form is not.
        verdict.misfits.retain(|misfit| misfit.kind == MisfitKind::Invalid);
        verdict.is_open = true;
        verdict
    }

    /// Which form was meant: the one with the tag that stands in the value, or whose one field does, or the only one of the
    /// value's type that says no more, or the only one but null.
    fn meant(&self, branches: &'a [Value], value: &Value) -> Option<usize> {
        let only = |is_meant: &dyn Fn(&'a Value) -> bool| {
            let mut meant = branches.iter().enumerate().filter(|(_, branch)| is_meant(self.resolved(branch)));
            let (index, _) = meant.next()?;
            meant.next().is_none().then_some(index)
        };
        let has_its_tags = |branch: &'a Value| {
            let mut tags = tags(branch).peekable();
            tags.peek().is_some() && tags.all(|(name, tag)| value.get(name) == Some(tag))
        };
        let has_its_field =
            |branch: &'a Value| only_field(branch).is_some_and(|name| value.get(name).is_some());
        // That a form is one certain text does not make every text be meant as that.
        let is_certain =
            |branch: &'a Value| ["const", "enum"].iter().any(|keyword| branch.get(*keyword).is_some());
        let is_of_its_type =
            |branch: &'a Value| !is_certain(branch) && types(branch).any(|name| name == type_name(value));
        let may_be_more_than_null = |branch: &'a Value| !value.is_null() && !types(branch).eq(["null"]);
        only(&has_its_tags)
            .or_else(|| only(&has_its_field))
            .or_else(|| only(&is_of_its_type))
            .or_else(|| only(&may_be_more_than_null))
    }

    /// What was probably meant, as words to be added.
    fn hint(&self, branches: &'a [Value], value: &Value) -> String {
        let branches = || branches.iter().map(|branch| self.resolved(branch));
        let near = match value {
            Value::String(text) => {
                let named =
                    branches().flat_map(|branch| list(branch, "enum").iter().chain(branch.get("const")));
                nearest(text, named.filter_map(Value::as_str)).map(|near| format!("\"{near}\""))
            }
            Value::Object(object) => {
                let tagged = branches().flat_map(|branch| {
                    let given =
                        |(name, _): &(&'a str, &'a Value)| value.get(name).is_some_and(Value::is_string);
                    tags(branch).find(given)
                });
                let near_tag = tagged.clone().next().and_then(|(name, _)| {
                    let texts = tagged.filter_map(|(_, tag)| tag.as_str());
                    nearest(value[name].as_str()?, texts).map(|near| format!("\"{near}\" as its `{name}`"))
                });
                let name = object.keys().next().filter(|_| object.len() == 1);
                let near_field =
                    || nearest(name?, branches().filter_map(only_field)).map(|near| format!("`{near}`"));
                near_tag.or_else(near_field)
            }
            _ => None,
        };
        near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
    }

    /// `schema`, or what it refers to where it says nothing of its own about fields.
    fn resolved(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..super::DEPTH_MAX {
            let target = self.target(schema).filter(|_| schema.get("properties").is_none());
            let Some(target) = target else { break };
            schema = target;
        }
        schema
    }
}

/// The fields that must have one certain value.
fn tags(branch: &Value) -> impl Iterator<Item = (&str, &Value)> + Clone {
    let required = list(branch, "required").iter().filter_map(Value::as_str);
    required.filter_map(|name| {
        let property = branch.get("properties")?.get(name)?;
        Some((name, property.get("const")?))
    })
}

/// The field of a form that has only this one, and may have it with more than one value.
fn only_field(branch: &Value) -> Option<&str> {
    let properties = branch.get("properties")?.as_object()?;
    let [name] = list(branch, "required") else { return None };
    (properties.len() == 1 && tags(branch).next().is_none()).then_some(name.as_str()?)
}

fn words(branches: &[Value]) -> String {
    let branches: Vec<String> = branches.iter().map(type_text).collect();
    branches.join(" | ")
}
