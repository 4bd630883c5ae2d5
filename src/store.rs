//! The versioned map: pure, and the same for every server.

use std::collections::HashMap;

use traitwire::{KVError, Version};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// Keys with their values and versions. A key never leaves, and its version only grows.
#[derive(Clone, Debug, Default)]
pub struct Store {
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: String,
    version: Version,
}

impl Store {
    /// No key yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `key` and its version, which is at least 1; nothing when the key does not exist.
    pub fn get(&self, key: &str) -> Option<(&str, Version)> {
        self.entries.get(key).map(|entry| (entry.value.as_str(), entry.version))
    }

    /// Writes `value` if `key` is at `version` (0: does not exist). Gives the version that the key has afterwards,
    /// and why nothing was written where that is so.
    pub fn put(&mut self, key: &str, value: String, version: Version) -> (Version, Result<(), KVError>) {
        match self.entries.get_mut(key) {
            None if version == 0 => {
                self.entries.insert(key.to_owned(), Entry { value, version: 1 });
                (1, Ok(()))
            }
            None => (0, Err(KVError::NoKey)),
            // The last version of all has no next one: the key stays as it is.
            Some(entry) if entry.version == version && version < Version::MAX => {
                entry.value = value;
                entry.version += 1;
                (entry.version, Ok(()))
            }
            Some(entry) => (entry.version, Err(KVError::Version)),
        }
    }
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
}
