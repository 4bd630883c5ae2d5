//! What keeps services from standing in one catalogue, told so that the reader knows what to change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{MethodDescriptor, ServiceDescriptor};

/// Why there is no catalogue: everything that must be changed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueError {
    conflicts: Vec<Conflict>,
}

/// One thing that must be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A wire name is claimed twice, as a name, an alias or a reserved name.
    WireName {
        /// The wire name.
        name: String,
        /// Who claims it, such as ``method `get` of service `Kv` (src/services/kv.rs:12)``.
        first: String,
        /// Who claims it too.
        second: String,
    },
    /// Two different types have one name, so that one would stand in for the other.
    TypeName {
        /// The name of both.
        name: String,
        /// A message that holds the one, such as ``the reply of method `get` …``.
        first: String,
        /// A message that holds the other; equal to `first` when one message holds both.
        second: String,
    },
    /// A name that cannot be part of a URL and of a file name.
    UnusableName {
        /// The name.
        name: String,
        /// Where it comes from.
        place: String,
    },
}

impl CatalogueError {
    /// Everything that must be changed.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Fails if there are any conflicts.
    pub(super) fn unless_none(conflicts: Vec<Conflict>) -> Result<(), Self> {
        if conflicts.is_empty() { Ok(()) } else { Err(Self { conflicts }) }
    }
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, conflict) in self.conflicts.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{conflict}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CatalogueError {}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WireName { name, first, second } => write!(
                f,
                "the wire name `{name}` is taken twice, by {first} and by {second}: \
                 give one of them another `name` or its service a `prefix`"
            ),
            Self::TypeName { name, first, second } => {
                if first == second {
                    write!(f, "two different types are called `{name}`, both in {first}")?;
                } else {
                    write!(f, "two different types are called `{name}`, one in {first}, one in {second}")?;
                }
                write!(
                    f,
                    ": give one of them `#[schemars(rename = \"...\")]`, \
                     or a generic type a name for each use, as in `#[schemars(rename = \"{name}_of_{{T}}\")]`"
                )
            }
            Self::UnusableName { name, place } => write!(
                f,
                "the name `{name}` of {place} is part of URLs and file names: use letters, digits, `_` and `-` only \
                 (and `.` in names of methods)"
            ),
        }
    }
}

/// A method, as messages speak of it.
pub(super) fn method_place(service: &ServiceDescriptor, method: &MethodDescriptor) -> String {
    format!("method `{}` of service `{}` ({}:{})", method.name, service.name, service.file, service.line)
}

/// The conflicts among the wire names of `services`.
pub(super) fn wire_names(services: &[&'static ServiceDescriptor]) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    let mut claim = |name: &'static str, place: String| {
        if !name.chars().all(|letter| letter == '.' || is_usable(letter)) || name.is_empty() {
            conflicts.push(Conflict::UnusableName { name: name.to_owned(), place });
        } else if let Some(first) = owners.get(name) {
            conflicts.push(Conflict::WireName { name: name.to_owned(), first: first.clone(), second: place });
        } else {
            owners.insert(name, place);
        }
    };
    for service in services {
        for method in service.methods {
            for name in std::iter::once(&method.name).chain(method.aliases) {
                claim(name, method_place(service, method));
            }
        }
        for name in service.reserved {
            claim(
                name,
                format!("`reserved` of service `{}` ({}:{})", service.name, service.file, service.line),
            );
        }
    }
    conflicts
}

/// The services with the methods that the documents can show: a name belongs to the first method that claims it.
pub(super) fn without_conflicts(services: &[&'static ServiceDescriptor]) -> Vec<&'static ServiceDescriptor> {
    let mut owned: BTreeSet<&str> = BTreeSet::new();
    let mut keep = |method: &&'static MethodDescriptor| {
        let is_usable =
            |name: &&str| !name.is_empty() && name.chars().all(|letter| letter == '.' || is_usable(letter));
        let names = || std::iter::once(&method.name).chain(method.aliases);
        let is_free = names().all(|name| is_usable(name) && !owned.contains(name));
        owned.extend(names().filter(|_| is_free));
        is_free
    };
    let kept = |service: &&'static ServiceDescriptor| {
        let methods: Vec<_> = service.methods.iter().copied().filter(&mut keep).collect();
        if methods.len() == service.methods.len() {
            return Some(*service);
        }
        // Descriptors are static data. A program has few services that need another one, and makes few catalogues of them.
        let service = ServiceDescriptor { methods: methods.leak(), ..**service };
        (!service.methods.is_empty()).then(|| &*Box::leak(Box::new(service)))
    };
    services.iter().filter_map(kept).collect()
}

/// Whether `letter` may stand in the name of a type.
pub(super) fn is_usable(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}
