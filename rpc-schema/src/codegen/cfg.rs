//! `#[cfg]`: which attributes are conditions, and when two of them can never hold together.

use syn::punctuated::Punctuated;
use syn::{AttrStyle, Attribute, Meta, Token};

use super::fingerprint::tokens_text;

/// The `#[cfg(..)]`s among `attributes`, in the form that stands before an item.
pub(super) fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.map(|cfg| Attribute { style: AttrStyle::Outer, ..cfg.clone() }).collect()
}

/// Whether two lists of `#[cfg]`s can never hold together: one demands what the other denies, in the same words.
/// Whatever is less plain than that (two features that nobody enables together, two values of `target_os`) counts as
/// possible together, since only the builder of a crate could know.
pub(super) fn are_exclusive(one: &[Attribute], other: &[Attribute]) -> bool {
    let one = conditions(one);
    let other = conditions(other);
    let denied = |condition: &String| format!("not ( {condition} )");
    one.iter().any(|condition| other.contains(&denied(condition)))
        || other.iter().any(|condition| one.contains(&denied(condition)))
}

/// The conditions that must all hold, as text.
fn conditions(cfgs: &[Attribute]) -> Vec<String> {
    let mut found = Vec::new();
    for cfg in cfgs {
        if let Ok(condition) = cfg.parse_args::<Meta>() {
            flatten(&condition, &mut found);
        }
    }
    found
}

/// `all(a, b)` is `a` and `b`.
fn flatten(condition: &Meta, found: &mut Vec<String>) {
    if let Meta::List(list) = condition
        && list.path.is_ident("all")
        && let Ok(parts) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
    {
        for part in &parts {
            flatten(part, found);
        }
    } else {
        found.push(tokens_text(condition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn only_a_plain_contradiction_is_one() {
        let unix: Vec<Attribute> = vec![parse_quote!(#[cfg(unix)])];
        let not_unix: Vec<Attribute> = vec![parse_quote!(#[cfg(not(unix))])];
        let deep: Vec<Attribute> = vec![parse_quote!(#[cfg(all(feature = "a", not(unix)))])];
        let linux: Vec<Attribute> = vec![parse_quote!(#[cfg(target_os = "linux")])];
        let windows: Vec<Attribute> = vec![parse_quote!(#[cfg(target_os = "windows")])];
        assert!(are_exclusive(&unix, &not_unix) && are_exclusive(&not_unix, &unix));
        assert!(are_exclusive(&unix, &deep));
        assert!(!are_exclusive(&unix, &unix));
        assert!(!are_exclusive(&unix, &[]));
        assert!(!are_exclusive(&linux, &windows));
    }
}
