//! The state machine that the simulated nodes replicate: a versioned store, small enough to see through.

use std::collections::BTreeMap;

use traitwire_kv::services::raft::Command;

/// Names a command; no two have the same.
pub(crate) type CommandId = u64;

/// A put: it takes effect if the key has the version that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) id: CommandId,
    pub(crate) key: u64,
    pub(crate) version: u64,
    pub(crate) value: u64,
}

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutResult {
    Ok,
    NoKey,
    Version,
}

impl Put {
    pub(crate) fn command(&self) -> Command {
        let Self { id, key, version, value } = self;
        Command::from_json(format!("[{id},{key},{version},{value}]")).expect("it is JSON")
    }

    pub(crate) fn parse(command: &Command) -> Option<Self> {
        let inner = command.json().strip_prefix('[')?.strip_suffix(']')?;
        let mut numbers = inner.split(',').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { id: next()?, key: next()?, version: next()?, value: next()? })
    }
}

/// The store: for each key its value and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    keys: BTreeMap<u64, (u64, u64)>,
    digest: u64,
}

impl Machine {
    pub(crate) fn apply(&mut self, put: &Put) -> PutResult {
        let held = self.keys.get(&put.key).copied();
        let version = held.map_or(0, |(_, version)| version);
        if version != put.version {
            return if held.is_none() { PutResult::NoKey } else { PutResult::Version };
        }
        if let Some((value, version)) = held {
            self.digest ^= mark(put.key, value, version);
        }
        self.digest ^= mark(put.key, put.value, version + 1);
        self.keys.insert(put.key, (put.value, version + 1));
        PutResult::Ok
    }

    /// The value of a key and its version, if it exists.
    pub(crate) fn get(&self, key: u64) -> Option<(u64, u64)> {
        self.keys.get(&key).copied()
    }

    /// A number that differs where the states do.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The state as bytes.
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 * self.keys.len());
        for (key, (value, version)) in &self.keys {
            for number in [key, value, version] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes
    }

    /// The state of such bytes; nothing when they are none.
    pub(crate) fn restore(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let (keys, none) = numbers.as_chunks::<3>();
        if !rest.is_empty() || !none.is_empty() {
            return None;
        }
        let mut machine = Self::default();
        for numbers in keys {
            let [key, value, version] = numbers.map(u64::from_le_bytes);
            machine.digest ^= mark(key, value, version);
            machine.keys.insert(key, (value, version));
        }
        Some(machine)
    }
}

/// A number for what a key holds.
fn mark(key: u64, value: u64, version: u64) -> u64 {
    mix(mix(mix(0, key), value), version)
}

/// Adds a number to a hash.
pub(crate) fn mix(hash: u64, number: u64) -> u64 {
    let mixed = (hash.rotate_left(23) ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed ^ (mixed >> 29)
}

/// A hash of a text.
pub(crate) fn hash_text(text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn puts_follow_versions() {
        let mut machine = Machine::default();
        let mut put = |id, version| machine.apply(&Put { id, key: 7, version, value: id });
        assert_eq!([put(1, 3), put(2, 0), put(3, 0), put(4, 1)], {
            use PutResult::{NoKey, Ok, Version};
            [NoKey, Ok, Version, Ok]
        });
        assert_eq!((machine.get(7), machine.get(8)), (Some((4, 2)), None));
    }

    #[test]
    fn a_state_and_a_command_come_back_from_their_bytes() {
        let mut machine = Machine::default();
        for id in 1..50 {
            machine.apply(&Put { id, key: id % 7, version: id / 7, value: id });
        }
        assert_eq!(Machine::restore(&machine.save()).unwrap(), machine);
        assert_eq!(Machine::restore(&machine.save()[1..]), None);
        let put = Put { id: 12, key: 3, version: u64::MAX, value: 5 };
        assert_eq!(Put::parse(&put.command()), Some(put));
    }
}
