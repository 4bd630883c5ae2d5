//! The rules, by number and name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A kind of change. The numbers are for good: locks name them.
///
/// `R28` is missing on purpose: it stands for what changes nothing, such as documentation or how a schema is written, and
/// is never reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Something changed that is not understood.
    Undecided,
    /// A method is gone, or a name that reached it.
    Removed,
    /// A method or a service is new, or a method has a new name.
    Added,
    /// A call may no longer be repeated as freely.
    IdempotencyWeakened,
    /// A call may be repeated more freely.
    IdempotencyStrengthened,
    /// Another number of messages a call, or other positions of arguments.
    CallChanged,
    /// A field has another name.
    FieldRenamed,
    /// A field is new and always there.
    RequiredFieldAdded,
    /// A field is new and may be absent.
    OptionalFieldAdded,
    /// A field is gone.
    FieldRemoved,
    /// A field may no longer be absent or null.
    MadeRequired,
    /// A field may be absent or null.
    MadeOptional,
    /// Values of another kind altogether.
    TypeChanged,
    /// More kinds of values than before.
    TypeWidened,
    /// Fewer kinds of values than before.
    TypeNarrowed,
    /// An enum has a value more.
    VariantAdded,
    /// An enum has a value less.
    VariantRemoved,
    /// The variants of an enum are told apart in another way.
    TaggingChanged,
    /// A list became something else, or a tuple has another length.
    StructureChanged,
    /// Bounds are tighter.
    BoundsTightened,
    /// Bounds are looser or gone.
    BoundsLoosened,
    /// Unknown fields are refused from now on.
    Closed,
    /// Unknown fields are ignored from now on.
    Opened,
    /// What an absent field means has changed.
    DefaultChanged,
    /// A number or a string is of another format.
    FormatChanged,
    /// A method has an error of its own from now on, or none any more.
    ErrorChanged,
    /// A reserved name is used, or not reserved any more.
    ReservedName,
    /// A method is gone that was deprecated only a short time, or for an unknown time.
    DeprecatedBriefly,
    /// A service promises less than it did.
    LevelLowered,
}

/// All rules with their numbers and what they are called in a list.
const RULES: [(Rule, u8, &str); 29] = [
    (Rule::Undecided, 0, "cannot decide"),
    (Rule::Removed, 1, "method or name removed"),
    (Rule::Added, 2, "method or name added"),
    (Rule::IdempotencyWeakened, 3, "idempotency weakened"),
    (Rule::IdempotencyStrengthened, 4, "idempotency strengthened"),
    (Rule::CallChanged, 5, "messages or positions of a call changed"),
    (Rule::FieldRenamed, 6, "field renamed"),
    (Rule::RequiredFieldAdded, 7, "required field added"),
    (Rule::OptionalFieldAdded, 8, "optional field added"),
    (Rule::FieldRemoved, 9, "field removed"),
    (Rule::MadeRequired, 10, "made required"),
    (Rule::MadeOptional, 11, "made optional or nullable"),
    (Rule::TypeChanged, 12, "type changed"),
    (Rule::TypeWidened, 13, "type widened"),
    (Rule::TypeNarrowed, 14, "type narrowed"),
    (Rule::VariantAdded, 15, "enum value added"),
    (Rule::VariantRemoved, 16, "enum value removed"),
    (Rule::TaggingChanged, 17, "enum tagging changed"),
    (Rule::StructureChanged, 18, "list, map or tuple changed"),
    (Rule::BoundsTightened, 19, "bounds tightened"),
    (Rule::BoundsLoosened, 20, "bounds loosened"),
    (Rule::Closed, 21, "unknown fields refused"),
    (Rule::Opened, 22, "unknown fields allowed"),
    (Rule::DefaultChanged, 23, "default changed"),
    (Rule::FormatChanged, 24, "format changed"),
    (Rule::ErrorChanged, 25, "error added or removed"),
    (Rule::ReservedName, 26, "reserved name"),
    (Rule::DeprecatedBriefly, 27, "removed soon after deprecation"),
    (Rule::LevelLowered, 29, "compatibility level lowered"),
];

impl Rule {
    /// All rules, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().map(|(rule, _, _)| *rule)
    }

    /// What the rule is called in a list.
    pub fn title(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (Self, u8, &'static str) {
        RULES.iter().find(|(rule, _, _)| *rule == self).expect("every rule is in the list")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{:02}", self.entry().1)
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = Self::all().find(|rule| rule.to_string() == text);
        rule.ok_or_else(|| {
            format!("there is no rule `{text}`: they are called R00 to R29, as reports show them")
        })
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
