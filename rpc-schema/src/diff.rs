//! What changed between two contracts, and whom it breaks. Pure: two documents in, a list of findings out.
//!
//! A request is written by a client and read by a server, a reply the other way round. So the same change breaks
//! different pairs of programs in one and in the other: arguments that allow less break old clients at a new server,
//! replies that allow less break new clients at an old server. Both kinds of pairs occur: the first whenever a server is
//! upgraded before its clients, the second too in a cluster that is upgraded node by node.
//!
//! - `methods.rs` compares services and methods, `walk.rs` the schemas of one message: `fields.rs` the fields of objects,
//!   `variants.rs` enums, `facets.rs` numbers, strings and lists.
//! - `shape.rs` says what a schema means, apart from how it is written, with `flat.rs` and `range.rs` under it.
//! - `rule.rs` names the rules, `report.rs` writes findings down.
//!
//! Two things that serde knows and JSON Schema does not are read from extensions: `x-open-enum: true` on an enum that
//! has a variant for all it does not name (`#[serde(other)]`), and `x-aliases: ["old"]` on a field that is read under
//! further names (`#[serde(alias = "old")]`).

mod facets;
mod fields;
mod flat;
mod methods;
mod range;
mod report;
mod rule;
mod shape;
mod variants;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub use methods::compare;
pub use report::{Report, Style};
pub use rule::Rule;

use crate::Compat;

/// One change that a reader of a report should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that it falls under.
    pub rule: Rule,
    /// What it means at the level of its service.
    pub severity: Severity,
    /// Whom it breaks.
    pub breaks: Breaks,
    /// The service that made the promise.
    pub service: String,
    /// The wire name of the method; nothing when the service as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Where: the service, the method, or a place in one of its messages, such as `put.arguments.version`.
    pub path: String,
    /// What was there, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// What changed and what comes of it, as a sentence.
    pub message: String,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The service promised that this would not happen.
    Error,
    /// It should be looked at.
    Warning,
    /// It breaks nothing, or nothing was promised.
    Note,
}

/// Which pairs of programs a change breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaks {
    /// Old clients at a new server.
    pub backward: bool,
    /// New clients at an old server.
    pub forward: bool,
}

/// What is known from before the old contract, by its lock.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// For how many releases each method has been deprecated.
    pub deprecated_releases: BTreeMap<String, usize>,
    /// Wire names of methods that were removed once and kept from use since.
    pub reserved: BTreeSet<String>,
}

/// What a change does, before the level of its service is considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Breaks these, or nothing.
    Breaks(Breaks),
    /// Breaks nothing for sure, and may surprise.
    Warns,
    /// May break anything: it is not understood.
    Undecided,
    /// Undoes what guards the names.
    Forbidden,
}

impl Effect {
    fn breaks(self) -> Breaks {
        match self {
            Self::Breaks(breaks) => breaks,
            Self::Undecided => Breaks::BOTH,
            Self::Warns | Self::Forbidden => Breaks::default(),
        }
    }

    fn severity(self, level: Compat) -> Severity {
        let breaks = self.breaks();
        match (level, self) {
            (Compat::None, _) => Severity::Note,
            (Compat::Full | Compat::Backward, Self::Forbidden) => Severity::Error,
            (Compat::Full | Compat::Backward, Self::Warns) | (Compat::Backward, Self::Undecided) => {
                Severity::Warning
            }
            (Compat::Full, Self::Undecided) => Severity::Error,
            (Compat::Full, Self::Breaks(_)) if breaks.forward || breaks.backward => Severity::Error,
            (Compat::Backward, Self::Breaks(_)) if breaks.backward => Severity::Error,
            (Compat::Backward, Self::Breaks(_)) if breaks.forward => Severity::Warning,
            (Compat::Full | Compat::Backward, Self::Breaks(_)) => Severity::Note,
        }
    }
}

impl Breaks {
    const BACKWARD: Self = Self { backward: true, forward: false };
    const FORWARD: Self = Self { backward: false, forward: true };
    const BOTH: Self = Self { backward: true, forward: true };

    /// `B` for old clients at a new server, `F` for new clients at an old server.
    pub fn as_str(self) -> &'static str {
        match (self.backward, self.forward) {
            (true, true) => "B+F",
            (true, false) => "B",
            (false, true) => "F",
            (false, false) => "-",
        }
    }
}

impl Serialize for Breaks {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}
