//! The versioned map: pure, and the same for every server.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use traitwire::{KVError, Version};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// Into how many parts the keys are divided: a write copies at most one part that a [`Store::freeze`] still holds.
const PARTS: usize = 16_384;

/// Keys with their values and versions. A key never leaves, and its version only grows.
#[derive(Clone, Debug)]
pub struct Store {
    parts: Vec<Arc<Part>>,
    // With a secret of its own, so that nobody can choose keys that all fall into one place.
    hasher: RandomState,
}

/// Entries by the hash of their key, which is computed once an operation.
type Part = HashTable<Entry>;

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: String,
    version: Version,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// No key yet.
    pub fn new() -> Self {
        let empty = Arc::new(Part::new());
        Self { parts: vec![empty; PARTS], hasher: RandomState::new() }
    }

    /// The value of `key` and its version, which is at least 1; nothing when the key does not exist.
    pub fn get(&self, key: &str) -> Option<(&str, Version)> {
        let entry = self.entry(self.hasher.hash_one(key), key)?;
        Some((entry.value.as_str(), entry.version))
    }

    /// Writes `value` if `key` is at `version` (0: does not exist). Gives the version that the key has afterwards,
    /// and why nothing was written where that is so.
    pub fn put(&mut self, key: &str, value: String, version: Version) -> (Version, Result<(), KVError>) {
        let hash = self.hasher.hash_one(key);
        match self.entry(hash, key).map(|entry| entry.version) {
            None if version == 0 => {
                self.add(hash, Entry { key: key.to_owned(), value, version: 1 });
                (1, Ok(()))
            }
            None => (0, Err(KVError::NoKey)),
            // The last version of all has no next one: the key stays as it is.
            Some(held) if held == version && version < Version::MAX => {
                let entry = self.part_mut(hash).find_mut(hash, |entry| entry.key == key);
                let entry = entry.expect("it was found just now");
                entry.value = value;
                entry.version += 1;
                (entry.version, Ok(()))
            }
            Some(held) => (held, Err(KVError::Version)),
        }
    }

    /// Sets a key as another store had it.
    pub fn insert(&mut self, key: String, value: String, version: Version) {
        let hash = self.hasher.hash_one(&key);
        match self.part_mut(hash).find_mut(hash, |entry| entry.key == key) {
            Some(entry) => (entry.value, entry.version) = (value, version),
            None => self.add(hash, Entry { key, value, version }),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.is_empty())
    }

    /// The keys as they are now, whatever is written later: part by part, each a list of key, value and version. Costs as
    /// much as there are parts, not keys.
    pub fn freeze(&self) -> impl Iterator<Item = Vec<(String, String, Version)>> + Send + use<> {
        self.parts.clone().into_iter().map(|part| {
            part.iter().map(|entry| (entry.key.clone(), entry.value.clone(), entry.version)).collect()
        })
    }

    fn entry(&self, hash: u64, key: &str) -> Option<&Entry> {
        self.parts[part_of(hash)].find(hash, |entry| entry.key == key)
    }

    fn part_mut(&mut self, hash: u64) -> &mut Part {
        Arc::make_mut(&mut self.parts[part_of(hash)])
    }

    /// Adds a key that is not there.
    fn add(&mut self, hash: u64, entry: Entry) {
        let hasher = self.hasher.clone();
        self.part_mut(hash).insert_unique(hash, entry, |entry| hasher.hash_one(&entry.key));
    }
}

/// The part of a hash. A table goes by the bits at both ends of it, so that those between are left to tell parts apart.
fn part_of(hash: u64) -> usize {
    // The remainder is below `PARTS`.
    ((hash >> 32) % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_puts_and_refusals_change_nothing() {
        let mut store = Store::new();
        assert_eq!(store.get("k"), None);
        assert_eq!(store.put("k", "x".into(), 3), (0, Err(KVError::NoKey)));
        assert_eq!(store.get("k"), None);
        assert_eq!(store.put("k", String::new(), 0), (1, Ok(())));
        assert_eq!(store.get("k"), Some(("", 1)));
        assert_eq!(store.put("k", "late".into(), 0), (1, Err(KVError::Version)));
        assert_eq!(store.put("k", "two".into(), 1), (2, Ok(())));
        assert_eq!(store.put("k", "two".into(), 1), (2, Err(KVError::Version)));
        assert_eq!(store.get("k"), Some(("two", 2)));
    }

    #[test]
    fn what_is_frozen_stays_as_it_was() {
        let mut store = Store::new();
        for key in 0..10_000 {
            assert_eq!(store.put(&format!("k{key}"), "old".into(), 0), (1, Ok(())));
        }
        let frozen = store.freeze();
        assert_eq!(store.put("k7", "new".into(), 1), (2, Ok(())));
        let entries: Vec<_> = frozen.flatten().collect();
        assert_eq!(entries.len(), store.len());
        assert!(entries.iter().all(|(_, value, version)| value == "old" && *version == 1));
    }
}
