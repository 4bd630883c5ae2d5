//! Names that two services claim. Within one trait the macro sees to it.

use super::super::cfg::are_exclusive;
use super::super::model::{Method, WireName};
use super::{IndexedService, ScanError};

/// One wire name, and who claims it.
struct Claim<'a> {
    indexed: &'a IndexedService,
    method: &'a Method,
    name: &'a WireName,
}

/// Everything that two services both claim, and what one claims and another has reserved.
pub(super) fn check(services: &[IndexedService]) -> Vec<ScanError> {
    let claims: Vec<Claim<'_>> = services.iter().flat_map(claims).collect();
    let mut errors = Vec::new();
    for (i, claim) in claims.iter().enumerate() {
        let rival = claims[..i].iter().find(|earlier| earlier.contradicts(claim));
        errors.extend(rival.map(|earlier| claim.error(&format!("is taken by {}", earlier.described()))));
        for other in services.iter().filter(|other| !std::ptr::eq(*other, claim.indexed)) {
            let reserved = other.service.reserved.iter().find(|reserved| reserved.text == claim.name.text);
            errors.extend(reserved.map(|reserved| {
                let place = other.place_of(reserved.span.start().line);
                claim.error(&format!("is reserved by `{}` at {place}", other.service.names.service))
            }));
        }
    }
    errors
}

fn claims(indexed: &IndexedService) -> impl Iterator<Item = Claim<'_>> {
    indexed
        .service
        .methods
        .iter()
        .flat_map(move |method| method.wire_names().map(move |name| Claim { indexed, method, name }))
}

impl Claim<'_> {
    /// Whether both claim one name, in different services that can exist together.
    fn contradicts(&self, other: &Claim<'_>) -> bool {
        let all_cfgs = |claim: &Claim<'_>| [&claim.indexed.cfgs[..], &claim.method.cfgs].concat();
        !std::ptr::eq(self.indexed, other.indexed)
            && self.name.text == other.name.text
            && !are_exclusive(&all_cfgs(self), &all_cfgs(other))
    }

    /// Such as: the alias `old_get` of `Kv::get` at src/services/kv.rs:9.
    fn described(&self) -> String {
        let place = self.indexed.place_of(self.line());
        format!("{} at {place}", self.named())
    }

    fn named(&self) -> String {
        let kind = if self.name.text == self.method.wire_name.text { "name" } else { "alias" };
        let service = &self.indexed.service.names.service;
        format!("the {kind} `{}` of `{service}::{}`", self.name.text, self.method.ident())
    }

    fn line(&self) -> usize {
        self.name.span.start().line
    }

    fn error(&self, what: &str) -> ScanError {
        ScanError {
            file: self.indexed.file.clone(),
            line: self.line(),
            message: format!("{} {what}", self.named()),
        }
    }
}
