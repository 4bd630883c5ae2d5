//! Compares services and methods: names, what may be repeated, and the messages of each.

use std::collections::BTreeSet;

use serde_json::Value;

use super::walk::{Change, Role, Walk};
use super::{Breaks, Effect, Finding, History, Rule};
use crate::contract::{Contract, Exchange, MethodContract, ServiceContract};
use crate::{Compat, Idempotency};

/// For how many releases a method should be deprecated before it goes.
const DEPRECATED_RELEASES_MIN: usize = 2;

/// What changed from `old` to `new`, in the order of the old services and methods, then of the new ones.
///
/// A service is held to the level that it promised in `old`; a service that is new, to its own.
pub fn compare(old: &Contract, new: &Contract, history: &History) -> Vec<Finding> {
    let mut comparison = Comparison { old, new, history, findings: Vec::new() };
    for service in &old.services {
        comparison.old_service(service);
    }
    for service in &new.services {
        comparison.new_service(service);
    }
    comparison.findings
}

struct Comparison<'a> {
    old: &'a Contract,
    new: &'a Contract,
    history: &'a History,
    findings: Vec<Finding>,
}

/// What a finding is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    service: &'a str,
    level: Compat,
    method: Option<&'a str>,
}

impl Comparison<'_> {
    fn old_service(&mut self, service: &ServiceContract) {
        let subject = Subject { service: &service.name, level: service.compat, method: None };
        self.level(subject, service);
        self.reserved(subject, service);
        let is_gone = |method: &MethodContract| method.names().all(|name| self.new.method(name).is_none());
        let is_there = self.new.service(&service.name).is_some() || service.methods.is_empty();
        if !is_there && service.methods.iter().all(is_gone) {
            let what = format!("the service `{}` is gone with all its methods", service.name);
            let (old, effect) = (Some(service.name.clone()), Effect::Breaks(Breaks::BACKWARD));
            let path = service.name.clone();
            self.say(subject, Change { rule: Rule::Removed, effect, path, old, new: None, what });
            for method in &service.methods {
                self.deprecation(Subject { method: Some(&method.name), ..subject }, method);
            }
            return;
        }
        for method in &service.methods {
            let subject = Subject { method: Some(&method.name), ..subject };
            let gone: Vec<&str> = method.names().filter(|name| self.new.method(name).is_none()).collect();
            for name in &gone {
                self.name_removed(subject, name, gone.len() == method.names().count());
            }
            match method.names().find_map(|name| self.new.method(name)) {
                Some((_, new)) => self.method(subject, method, new),
                None => self.deprecation(subject, method),
            }
        }
    }

    /// Compares what the service is held to, wherever most of it lives now.
    fn level(&mut self, subject: Subject<'_>, service: &ServiceContract) {
        let strictness = |level: Compat| match level {
            Compat::None => 0,
            Compat::Backward => 1,
            Compat::Full => 2,
        };
        let by_methods = || {
            let names = service.methods.iter().flat_map(MethodContract::names);
            names.filter_map(|name| self.new.method(name)).map(|(service, _)| service.compat)
        };
        let level = match self.new.service(&service.name) {
            Some(service) => Some(service.compat),
            None => by_methods().min_by_key(|level| strictness(*level)),
        };
        let Some(level) = level.filter(|level| strictness(*level) < strictness(service.compat)) else {
            return;
        };
        let (old, new) = (Some(service.compat.as_str().to_owned()), Some(level.as_str().to_owned()));
        let what = format!("`{}` promises less than it did", service.name);
        let path = service.name.clone();
        self.say(
            subject,
            Change { rule: Rule::LevelLowered, effect: Effect::Forbidden, path, old, new, what },
        );
    }

    /// Looks after the names that may not be used again: those of the service, and those that its lock keeps.
    fn reserved(&mut self, subject: Subject<'_>, service: &ServiceContract) {
        let is_reserved = |name: &String| self.new.services.iter().any(|it| it.reserved.contains(name));
        let mut said = Vec::new();
        for name in &service.reserved {
            if let Some((_, method)) = self.new.method(name) {
                said.push((
                    name,
                    format!("the reserved name `{name}` is used by the method `{}`", method.name),
                ));
            } else if !is_reserved(name) {
                said.push((name, format!("`{name}` is not reserved any more")));
            }
        }
        for (name, what) in said {
            let (effect, old) = (Effect::Forbidden, Some(name.clone()));
            self.say(
                subject,
                Change { rule: Rule::ReservedName, effect, path: name.clone(), old, new: None, what },
            );
        }
    }

    fn name_removed(&mut self, subject: Subject<'_>, name: &str, is_whole: bool) {
        let what = if is_whole {
            format!("the method `{name}` is gone")
        } else {
            format!("the name `{name}` does not reach the method any more")
        };
        let (effect, old) = (Effect::Breaks(Breaks::BACKWARD), Some(name.to_owned()));
        self.say(
            subject,
            Change { rule: Rule::Removed, effect, path: name.to_owned(), old, new: None, what },
        );
    }

    /// Warns when a method goes that nobody was warned of for long enough.
    fn deprecation(&mut self, subject: Subject<'_>, method: &MethodContract) {
        let Some(reason) = &method.deprecated else { return };
        let what = match self.history.deprecated_releases.get(&method.name) {
            Some(releases) if *releases >= DEPRECATED_RELEASES_MIN => return,
            Some(releases) => format!(
                "`{}` was deprecated in {releases} of the {DEPRECATED_RELEASES_MIN} releases that clients are given",
                method.name
            ),
            None => format!("for how many releases `{}` has been deprecated is not known", method.name),
        };
        let (rule, effect, path) = (Rule::DeprecatedBriefly, Effect::Warns, method.name.clone());
        self.say(subject, Change { rule, effect, path, old: Some(reason.clone()), new: None, what });
    }

    /// Finds the names that are new, or should not be.
    fn new_service(&mut self, service: &ServiceContract) {
        let reaches_old =
            |method: &MethodContract| method.names().any(|name| self.old.method(name).is_some());
        let is_new = !service.methods.iter().any(reaches_old) && self.old.service(&service.name).is_none();
        let promised = self.old.service(&service.name).map_or(service.compat, |old| old.compat);
        let subject = Subject { service: &service.name, level: promised, method: None };
        for name in service.methods.iter().flat_map(MethodContract::names) {
            if self.history.reserved.contains(name) && self.old.method(name).is_none() {
                let what = format!("`{name}` was the name of a method that was removed, and is used again");
                let (effect, old) = (Effect::Forbidden, Some(name.to_owned()));
                let path = name.to_owned();
                self.say(subject, Change { rule: Rule::ReservedName, effect, path, old, new: None, what });
            }
        }
        if is_new && !service.methods.is_empty() {
            let what = format!("the service `{}` is new", service.name);
            return self.name_added(subject, &service.name, what);
        }
        for method in service.methods.iter().filter(|method| self.old.method(&method.name).is_none()) {
            let subject = Subject { method: Some(&method.name), ..subject };
            let before = method.aliases.iter().find(|alias| self.old.method(alias).is_some());
            let what = match before {
                Some(before) => format!("`{}` is the new name of `{before}`", method.name),
                None => format!("the method `{}` is new", method.name),
            };
            self.name_added(subject, &method.name, what);
        }
    }

    fn name_added(&mut self, subject: Subject<'_>, name: &str, what: String) {
        let (effect, new) = (Effect::Breaks(Breaks::FORWARD), Some(name.to_owned()));
        self.say(subject, Change { rule: Rule::Added, effect, path: name.to_owned(), old: None, new, what });
    }

    fn method(&mut self, subject: Subject<'_>, old: &MethodContract, new: &MethodContract) {
        self.idempotency(subject, old, new);
        self.call(subject, old, new);
        let path = |role: &str| format!("{}.{role}", old.name);
        self.message(subject, Role::Request, &path("arguments"), (&old.arguments, &new.arguments));
        self.message(subject, Role::Response, &path("reply"), (&old.reply, &new.reply));
        let path = path("error");
        let (before, after, what) = match (&old.error, &new.error) {
            (None, None) => return,
            (Some(before), Some(after)) => {
                return self.message(subject, Role::Response, &path, (before, after));
            }
            (Some(_), None) => ("its own error", "none", "it has no error of its own any more"),
            (None, Some(_)) => ("none", "its own error", "it has an error of its own"),
        };
        let (old, new) = (Some(before.to_owned()), Some(after.to_owned()));
        let (rule, effect, what) = (Rule::ErrorChanged, Effect::Warns, what.to_owned());
        self.say(subject, Change { rule, effect, path, old, new, what });
    }

    fn idempotency(&mut self, subject: Subject<'_>, old: &MethodContract, new: &MethodContract) {
        let word = |level: Idempotency| Some(level.as_str().to_owned());
        let (rule, breaks, what) = match new.idempotency.cmp(&old.idempotency) {
            std::cmp::Ordering::Equal => return,
            std::cmp::Ordering::Less => (
                Rule::IdempotencyWeakened,
                Breaks::BACKWARD,
                "clients repeat it by themselves and should not",
            ),
            std::cmp::Ordering::Greater => {
                (Rule::IdempotencyStrengthened, Breaks::FORWARD, "clients may repeat it by themselves")
            }
        };
        self.say(
            subject,
            Change {
                rule,
                effect: Effect::Breaks(breaks),
                path: old.name.clone(),
                old: word(old.idempotency),
                new: word(new.idempotency),
                what: what.to_owned(),
            },
        );
    }

    /// Compares how many messages go to and fro, and the positions of the arguments.
    fn call(&mut self, subject: Subject<'_>, old: &MethodContract, new: &MethodContract) {
        let mut say = |effect, old: &str, new: &str, what: &str| {
            let (old, new) = (Some(old.to_owned()), Some(new.to_owned()));
            let path = subject.method.unwrap_or_default().to_owned();
            let (rule, what) = (Rule::CallChanged, what.to_owned());
            self.say(subject, Change { rule, effect, path, old, new, what });
        };
        let word = |exchange: Exchange| match exchange {
            Exchange::Unary => "unary",
            Exchange::Stream => "stream",
        };
        if old.exchange != new.exchange {
            let both = Effect::Breaks(Breaks::BOTH);
            say(both, word(old.exchange), word(new.exchange), "a call has another number of messages");
        }
        match (&old.parameters, &new.parameters) {
            (None, None) => {}
            (Some(before), Some(after)) => {
                let moved = before.iter().zip(after).find(|(before, after)| before != after);
                // A field that is gone or new is told by its own rule; behind it, all positions move.
                let still: BTreeSet<&String> = before.iter().filter(|name| after.contains(name)).collect();
                let moves = |name: &String| {
                    let at = |names: &[String]| names.iter().position(|other| other == name);
                    at(before) != at(after)
                };
                if moved.is_some() && still.into_iter().any(moves) {
                    let (before, after) = (before.join(", "), after.join(", "));
                    say(
                        Effect::Warns,
                        &before,
                        &after,
                        "arguments that are given by position stand elsewhere",
                    );
                }
            }
            (before, _) => {
                let words = ["fields by name or position", "one message"];
                let (before, after) =
                    if before.is_some() { (words[0], words[1]) } else { (words[1], words[0]) };
                say(Effect::Breaks(Breaks::BOTH), before, after, "the arguments are given in another way");
            }
        }
    }

    fn message(&mut self, subject: Subject<'_>, role: Role, path: &str, (old, new): (&Value, &Value)) {
        let changes = Walk::compare(role, path, (old, &self.old.types), (new, &self.new.types));
        for mut change in changes {
            change.what = with_consequence(&change, role);
            self.say(subject, change);
        }
    }

    fn say(&mut self, subject: Subject<'_>, change: Change) {
        self.findings.push(Finding {
            rule: change.rule,
            severity: change.effect.severity(subject.level),
            breaks: change.effect.breaks(),
            service: subject.service.to_owned(),
            method: subject.method.map(str::to_owned),
            path: change.path,
            old: change.old,
            new: change.new,
            message: change.what,
        });
    }
}

/// What happened, and whom it breaks.
fn with_consequence(change: &Change, role: Role) -> String {
    let (backward, forward) = match role {
        Role::Request => (
            "a new server may refuse what old clients send",
            "an old server may refuse what new clients send",
        ),
        Role::Response => {
            ("old clients may not understand a new server", "new clients may not understand an old server")
        }
    };
    let consequence = match change.effect {
        Effect::Breaks(Breaks { backward: true, forward: true }) => {
            "old and new do not understand each other"
        }
        Effect::Breaks(Breaks { backward: true, .. }) => backward,
        Effect::Breaks(Breaks { forward: true, .. }) => forward,
        Effect::Breaks(_) => return change.what.clone(),
        Effect::Undecided => "whether that breaks anything cannot be decided",
        Effect::Warns | Effect::Forbidden => match (change.rule, role) {
            (Rule::FieldRemoved, Role::Request) => "what clients still say there is ignored",
            (Rule::FieldRemoved, Role::Response) => "clients that look for it do not find it",
            _ => return change.what.clone(),
        },
    };
    format!("{}: {consequence}", change.what)
}
