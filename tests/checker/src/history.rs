//! What clients asked and what they were told: the input of the checker.

use std::collections::BTreeMap;
use std::fmt;

/// The version of a key; 0 means that the key does not exist.
pub type Version = u64;

/// A moment on one clock shared by all clients. The unit does not matter, only the order does.
pub type Time = u64;

/// Who made a call; used in reports only.
pub type ClientId = u64;

/// The latest moment a history may name; the values above it mean "never returned" inside the checker.
pub const TIME_MAX: Time = u64::MAX - 2;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Read the key.
    Get,
    /// Write `value` if the key is at `version`; 0 creates a key that does not exist.
    Put {
        /// The value to write.
        value: String,
        /// The version the key must have.
        version: Version,
    },
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A get found this.
    Value {
        /// The value read.
        value: String,
        /// Its version.
        version: Version,
    },
    /// A put was applied, once.
    Ok,
    /// The key did not exist, and a put that met this named another version than 0.
    NoKey,
    /// The key existed at another version than the put named; the put had no effect.
    Version,
    /// The put was applied once inside the call, or never.
    Maybe,
}

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who called.
    pub client: ClientId,
    /// The key the call was about.
    pub key: String,
    /// What was asked.
    pub input: Input,
    /// When the call began.
    pub invoked: Time,
    /// When the call returned and with what. `None`: no answer is known, so a put may have been applied at any time
    /// since the call began, or never.
    pub completion: Option<(Time, Outcome)>,
}

/// Names a call of a [`History`] between its beginning and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(usize);

/// The calls of all clients on one store.
///
/// Two calls are ordered only if one returned *before* the other began; calls that touch at one moment count as
/// concurrent. A recorder that wants every order kept must therefore never hand out the same moment twice.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    initial: BTreeMap<String, (String, Version)>,
}

impl History {
    /// An empty history of an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `key` already held `value` at `version` before the first call.
    #[must_use]
    pub fn with_initial(mut self, key: &str, value: &str, version: Version) -> Self {
        assert!(version > 0, "a key that exists has a version above 0");
        self.initial.insert(key.to_owned(), (value.to_owned(), version));
        self
    }

    /// Records that a call began at `now`.
    pub fn invoke(&mut self, client: ClientId, key: &str, input: Input, now: Time) -> CallId {
        assert!(now <= TIME_MAX, "a time above TIME_MAX would mean \"never\"");
        self.operations.push(Operation {
            client,
            key: key.to_owned(),
            input,
            invoked: now,
            completion: None,
        });
        CallId(self.operations.len() - 1)
    }

    /// Records that a call returned at `now`. A call that is never completed stays open for ever.
    pub fn complete(&mut self, call: CallId, outcome: Outcome, now: Time) {
        let operation = &mut self.operations[call.0];
        assert!(operation.completion.is_none(), "a call returns once");
        assert!(now >= operation.invoked && now <= TIME_MAX, "a call returns after it began");
        let suits = match (&operation.input, &outcome) {
            (_, Outcome::NoKey) => true,
            (Input::Get, Outcome::Value { .. }) => true,
            (Input::Get, Outcome::Ok | Outcome::Version | Outcome::Maybe) => false,
            (Input::Put { .. }, Outcome::Ok | Outcome::Version | Outcome::Maybe) => true,
            (Input::Put { .. }, Outcome::Value { .. }) => false,
        };
        assert!(suits, "{:?} cannot be answered by {outcome:?}", operation.input);
        operation.completion = Some((now, outcome));
    }

    /// The calls, in the order in which their beginnings were recorded.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The value and version a key had before the first call, if it existed.
    pub fn initial(&self, key: &str) -> Option<(&str, Version)> {
        self.initial.get(key).map(|(value, version)| (value.as_str(), *version))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} ", self.client)?;
        match &self.input {
            Input::Get => write!(f, "get {:?}", self.key)?,
            Input::Put { value, version } => write!(f, "put {:?} = {} at {version}", self.key, Short(value))?,
        }
        match &self.completion {
            None => write!(f, " -> no answer [{} ..]", self.invoked),
            Some((at, outcome)) => {
                match outcome {
                    Outcome::Value { value, version } => write!(f, " -> {} at {version}", Short(value))?,
                    Outcome::Ok | Outcome::NoKey | Outcome::Version | Outcome::Maybe => {
                        write!(f, " -> {outcome:?}")?;
                    }
                }
                write!(f, " [{} .. {at}]", self.invoked)
            }
        }
    }
}

/// A value as a report shows it: quoted, and cut when it is long.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 32;
        match self.0.char_indices().nth(CHARS_MAX) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}.. ({} bytes)", &self.0[..end], self.0.len()),
        }
    }
}
