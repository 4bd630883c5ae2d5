//! What no method can be asked alone: names that clash within the trait. A method that clashes is set aside with the
//! broken ones, so that what is generated has no second error.

use std::collections::BTreeSet;

use super::cfg::are_exclusive;
use super::mistakes::Mistakes;
use super::model::{Method, Service};

/// Checks the methods of `service` against each other and against what is reserved.
pub(super) fn validate(service: &mut Service, mistakes: &mut Mistakes) {
    check_reserved(service, mistakes);
    let methods = std::mem::take(&mut service.methods);
    let mut verdicts = Vec::with_capacity(methods.len());
    for (i, method) in methods.iter().enumerate() {
        check_called_client(method, service, mistakes);
        let before = mistakes.count();
        let twin = check_against(&methods[..i], method, mistakes);
        check_own_names(method, mistakes);
        verdicts.push((twin, mistakes.count() == before));
    }
    for (method, (twin, sound)) in methods.into_iter().zip(verdicts) {
        match (twin, sound) {
            (false, true) => service.methods.push(method),
            (false, false) => service.broken.push(method.item),
            // The compiler would report a second method of the same name again.
            (true, _) => {}
        }
    }
}

fn check_called_client(method: &Method, service: &Service, mistakes: &mut Mistakes) {
    if method.ident() == "client" {
        mistakes.on(
            method.ident(),
            format_args!(
                "`{}` has a `client` of its own, which would hide this method: call it something else, with \
                 `#[rpc(name = \"client\")]` if the wire should keep the name",
                service.names.stub
            ),
        );
    }
}

fn check_reserved(service: &Service, mistakes: &mut Mistakes) {
    for name in service.methods.iter().flat_map(Method::wire_names) {
        if service.reserved.iter().any(|reserved| reserved.text == name.text) {
            mistakes.at(
                name.span,
                format_args!(
                    "the wire name `{}` is reserved: it once meant something else, and old clients may still use it",
                    name.text
                ),
            );
        }
    }
}

/// Checks a method against those before it; true if one of them has the very same name.
fn check_against(earlier: &[Method], method: &Method, mistakes: &mut Mistakes) -> bool {
    for other in earlier.iter().filter(|other| !are_exclusive(&other.cfgs, &method.cfgs)) {
        if other.ident() == method.ident() {
            mistakes.on(method.ident(), format_args!("the trait has two methods `{}`", method.ident()));
            return true;
        }
        for name in method.wire_names() {
            if other.wire_names().any(|taken| taken.text == name.text) {
                mistakes.at(
                    name.span,
                    format_args!("the wire name `{}` is taken by the method `{}`", name.text, other.ident()),
                );
            }
        }
        if other.constant == method.constant {
            mistakes.on(
                method.ident(),
                format_args!(
                    "`{}` and `{}` would both become `{}`",
                    other.ident(),
                    method.ident(),
                    method.constant
                ),
            );
        } else if let (Some(one), Some(two)) = (&other.parameters.arguments, &method.parameters.arguments)
            && one == two
        {
            mistakes.on(
                method.ident(),
                format_args!(
                    "the arguments of `{}` and `{}` would both become `{two}`",
                    other.ident(),
                    method.ident()
                ),
            );
        }
    }
    false
}

/// A method may not have one name twice.
fn check_own_names(method: &Method, mistakes: &mut Mistakes) {
    let mut seen = BTreeSet::new();
    for name in method.wire_names() {
        if !seen.insert(&name.text) {
            mistakes.at(
                name.span,
                format_args!("`{}` has the wire name `{}` already", method.ident(), name.text),
            );
        }
    }
}
