//! The key-value store as a replicated state machine.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use traitwire::{KVError, Version};

use super::rsm::StateMachine;
use crate::services::kv::{GetArgs, GetReply, PutReply};
use crate::store::Store;

/// How long the line of a key may be in a snapshot: longer than any command.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// What the log says to the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KvCommand<'a> {
    /// Write a key.
    #[serde(borrow)]
    Put(PutCommand<'a>),
}

/// What a put is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PutCommand<'a> {
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    version: Version,
}

impl<'a> KvCommand<'a> {
    /// The command to write `value` if `key` is at `version`, as JSON.
    pub(super) fn put(key: &'a str, value: &'a str, version: Version) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&Self::Put(PutCommand { key: key.into(), value: value.into(), version }))
    }
}

/// What the store replies.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KvReply {
    /// To [`KvCommand::Put`].
    Put(PutReply),
    /// To what is no command; the store is as it was.
    Invalid(String),
}

/// What can be asked without changing anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KvQuestion {
    /// Read a key.
    Get(GetArgs),
}

/// The store of one node.
#[derive(Debug, Default)]
pub struct KvMachine {
    store: Store,
}

impl KvMachine {
    /// Reads a key.
    pub fn get(&self, key: &str) -> GetReply {
        match self.store.get(key) {
            Some((value, version)) => GetReply { value: value.to_owned(), version, err: None },
            None => GetReply { value: String::new(), version: 0, err: Some(KVError::NoKey) },
        }
    }
}

impl KvMachine {
    /// How many keys a snapshot of a store has.
    pub(super) fn count_keys(snapshot: &mut dyn Read) -> io::Result<u64> {
        let mut keys = 0;
        for_each_entry(snapshot, |_, _, _| keys += 1)?;
        Ok(keys)
    }
}

impl StateMachine for KvMachine {
    fn apply(&mut self, command: &str) -> String {
        let reply = match serde_json::from_str(command) {
            Ok(KvCommand::Put(args)) => {
                let (version, result) = self.store.put(&args.key, &args.value, args.version);
                KvReply::Put(PutReply { version, err: result.err() })
            }
            Err(error) => KvReply::Invalid(error.to_string()),
        };
        serde_json::to_string(&reply).expect("it has string keys and a String takes all")
    }

    /// A line for each key: a JSON array of key, value and version.
    fn snapshot(&self) -> Box<dyn Read + Send> {
        let lines = self.store.freeze().map(|part| {
            let mut lines = Vec::new();
            for entry in part.entries() {
                serde_json::to_writer(&mut lines, &entry).expect("strings and numbers, and a Vec takes all");
                lines.push(b'\n');
            }
            lines
        });
        Box::new(Pieces { pieces: lines, piece: io::Cursor::default() })
    }

    fn snapshot_bytes_estimate(&self) -> Option<u64> {
        Some(self.store.bytes())
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut store = Store::new();
        for_each_entry(snapshot, |key, value, version| store.insert(key, value, version))?;
        self.store = store;
        Ok(())
    }

    fn check(snapshot: &mut dyn Read) -> io::Result<()> {
        for_each_entry(snapshot, |_, _, _| {})
    }
}

/// Reads a snapshot.
fn for_each_entry(snapshot: &mut dyn Read, mut take: impl FnMut(&str, &str, Version)) -> io::Result<()> {
    let mut snapshot = BufReader::new(snapshot);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut snapshot).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == LINE_BYTES_MAX {
            let message = format!("a key takes more than {LINE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let (key, value, version): (String, String, _) = serde_json::from_slice(&line)?;
        take(&key, &value, version);
    }
}

/// Reads one piece after the other, each made when it is its turn.
struct Pieces<I> {
    pieces: I,
    piece: io::Cursor<Vec<u8>>,
}

impl<I: Iterator<Item = Vec<u8>>> Read for Pieces<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.next() {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(machine: &mut KvMachine, key: &str, value: &str, version: u64) -> String {
        machine.apply(KvCommand::put(key, value, version).unwrap().get())
    }

    #[test]
    fn a_snapshot_is_the_state_as_it_was_whatever_happens_while_it_is_read() {
        let mut machine = KvMachine::default();
        for key in 0..100 {
            put(&mut machine, &format!("k{key}"), "line\nbreak", 0);
        }
        let mut snapshot = machine.snapshot();
        assert_eq!(put(&mut machine, "k7", "later", 1), r#"{"put":{"version":2,"err":null}}"#);
        let mut copy = KvMachine::default();
        put(&mut copy, "gone", "", 0);
        copy.restore(&mut snapshot).unwrap();
        assert_eq!((copy.get("k7").value.as_str(), copy.get("k7").version), ("line\nbreak", 1));
        assert_eq!((copy.store.len(), copy.get("gone").err), (100, Some(KVError::NoKey)));
        assert_eq!(machine.get("k7").value, "later");
    }

    #[test]
    fn what_is_no_command_changes_nothing_and_says_so() {
        let mut machine = KvMachine::default();
        assert!(machine.apply("7").starts_with(r#"{"invalid":"#));
        assert!(machine.store.is_empty());
    }
}
