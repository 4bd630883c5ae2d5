//! The versioned map: pure, and the same for every server.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use traitwire::{KVError, Version};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// Into how many parts the keys are divided: a write copies at most one part that a [`Store::freeze`] still holds, 20 MiB of a
/// store of 10 GiB. More of them would be smaller, and to look into many places takes longer than to copy.
const PARTS: usize = 512;

/// A value with more room than this many times its length gives it back with its next put.
const ROOM_MAX: usize = 2;

/// Keys with their values and versions. A key never leaves, and its version only grows.
#[derive(Clone, Debug)]
pub struct Store {
    parts: Vec<Arc<Part>>,
    // With a secret of its own, so that nobody can choose keys that all fall into one place.
    hasher: RandomState,
}

/// The keys of one part, in two pieces of memory, whatever their number: copying and dropping it is cheap, and to look a key up
/// is to look at few places.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Where the record of each key begins, by the hash of the key.
    table: HashTable<u32>,
    /// The records, one after the other. Those that nothing points to are holes.
    records: Vec<u8>,
    hole_bytes: usize,
}

/// A key with what belongs to it, as it lies among the records: [`Head`], key, value, and room for a longer value.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    head: Head,
    key: &'a [u8],
    value: &'a [u8],
}

/// Four numbers, little-endian: version (8 bytes), then the bytes of the key, of the value, and of the room for it (4 each).
#[derive(Clone, Copy, Debug)]
struct Head {
    version: Version,
    key_bytes: usize,
    value_bytes: usize,
    room: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// No key yet.
    pub fn new() -> Self {
        let empty = Arc::new(Part::default());
        Self { parts: vec![empty; PARTS], hasher: RandomState::new() }
    }

    /// The value of `key` and its version, which is at least 1; nothing when the key does not exist.
    pub fn get(&self, key: &str) -> Option<(&str, Version)> {
        let (_, record) = self.find(self.hash(key.as_bytes()), key)?;
        Some((text(record.value), record.head.version))
    }

    /// Writes `value` if `key` is at `version` (0: does not exist). Gives the version that the key has afterwards,
    /// and why nothing was written where that is so.
    pub fn put(&mut self, key: &str, value: &str, version: Version) -> (Version, Result<(), KVError>) {
        let hash = self.hash(key.as_bytes());
        match self.find(hash, key).map(|(at, record)| (at, record.head.version)) {
            None if version == 0 => {
                self.add(hash, key, value, 1);
                (1, Ok(()))
            }
            None => (0, Err(KVError::NoKey)),
            // The last version of all has no next one: the key stays as it is.
            Some((at, held)) if held == version && version < Version::MAX => {
                self.part_mut(hash).replace(hash, at, value, version + 1);
                (version + 1, Ok(()))
            }
            Some((_, held)) => (held, Err(KVError::Version)),
        }
    }

    /// Sets a key as another store had it.
    pub fn insert(&mut self, key: &str, value: &str, version: Version) {
        let hash = self.hash(key.as_bytes());
        match self.find(hash, key).map(|(at, _)| at) {
            Some(at) => self.part_mut(hash).replace(hash, at, value, version),
            None => self.add(hash, key, value, version),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.table.len()).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.table.is_empty())
    }

    /// How many bytes the keys take with their values and versions.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| (part.records.len() - part.hole_bytes) as u64).sum()
    }

    /// The keys as they are now, part by part, whatever is written later. Costs as much as there are parts, not keys.
    pub fn freeze(&self) -> impl Iterator<Item = Arc<Part>> + Send + use<> {
        self.parts.clone().into_iter()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn find(&self, hash: u64, key: &str) -> Option<(u32, Record<'_>)> {
        self.parts[part_of(hash)].find(hash, key.as_bytes())
    }

    fn part_mut(&mut self, hash: u64) -> &mut Part {
        Arc::make_mut(&mut self.parts[part_of(hash)])
    }

    /// Adds a key that is not there.
    fn add(&mut self, hash: u64, key: &str, value: &str, version: Version) {
        let hasher = self.hasher.clone();
        let Part { table, records, .. } = self.part_mut(hash);
        let at = append(records, key.as_bytes(), value.as_bytes(), version);
        table.insert_unique(hash, at, |at| hasher.hash_one(record(records, *at).key));
    }
}

impl Part {
    /// Each key with its value and version, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, Version)> {
        self.table.iter().map(|at| {
            let Record { head, key, value } = record(&self.records, *at);
            (text(key), text(value), head.version)
        })
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<(u32, Record<'_>)> {
        let at = self.table.find(hash, |at| record(&self.records, *at).key == key)?;
        Some((*at, record(&self.records, *at)))
    }

    /// Gives the record at `at` another value: in its place, unless that is too small or far too large.
    fn replace(&mut self, hash: u64, at: u32, value: &str, version: Version) {
        let begin = at as usize;
        let Head { key_bytes, room, .. } = Head::read(&self.records[begin..]);
        if value.len() <= room && room <= ROOM_MAX * value.len() {
            let head = Head { version, key_bytes, value_bytes: value.len(), room };
            self.records[begin..begin + Head::BYTES].copy_from_slice(&head.bytes());
            let begin = begin + Head::BYTES + key_bytes;
            self.records[begin..begin + value.len()].copy_from_slice(value.as_bytes());
            return;
        }
        let key = record(&self.records, at).key.to_vec();
        let moved = append(&mut self.records, &key, value.as_bytes(), version);
        let place = self.table.find_mut(hash, |other| *other == at).expect("the table has every record");
        *place = moved;
        self.hole_bytes += Head::BYTES + key_bytes + room;
        if self.hole_bytes > self.records.len() / 2 {
            self.close_holes();
        }
    }

    fn close_holes(&mut self) {
        let mut records = Vec::with_capacity(self.records.len() - self.hole_bytes);
        for at in &mut self.table {
            let Record { head, key, value } = record(&self.records, *at);
            *at = append(&mut records, key, value, head.version);
        }
        (self.records, self.hole_bytes) = (records, 0);
    }
}

impl Head {
    const BYTES: usize = 20;

    fn read(bytes: &[u8]) -> Self {
        let (version, lengths) = bytes.split_first_chunk().expect("a record begins with its head");
        let (lengths, _) = lengths.as_chunks();
        let length = |number: usize| u32::from_le_bytes(lengths[number]) as usize;
        Self {
            version: Version::from_le_bytes(*version),
            key_bytes: length(0),
            value_bytes: length(1),
            room: length(2),
        }
    }

    fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.version.to_le_bytes());
        for (place, length) in
            bytes[8..].as_chunks_mut().0.iter_mut().zip([self.key_bytes, self.value_bytes, self.room])
        {
            *place = small(length).to_le_bytes();
        }
        bytes
    }
}

fn record(records: &[u8], at: u32) -> Record<'_> {
    let record = &records[at as usize..];
    let head = Head::read(record);
    let (key, rest) = record[Head::BYTES..].split_at(head.key_bytes);
    Record { head, key, value: &rest[..head.value_bytes] }
}

/// Adds a record without more room than it needs, and gives where it begins.
fn append(records: &mut Vec<u8>, key: &[u8], value: &[u8], version: Version) -> u32 {
    let at = small(records.len());
    let head = Head { version, key_bytes: key.len(), value_bytes: value.len(), room: value.len() };
    let bytes = Head::BYTES + key.len() + value.len();
    if records.capacity() - records.len() < bytes {
        // Less than a vector takes by itself, which would be half of a store's memory.
        records.reserve_exact(bytes.max(records.len() / 4));
    }
    records.extend_from_slice(&head.bytes());
    records.extend_from_slice(key);
    records.extend_from_slice(value);
    at
}

/// A length or a place within a part. Keys fall into parts by a secret, so that 4 GiB in one mean 2 TiB in all of them.
fn small(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a part has less than 4 GiB")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it came as text")
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
        assert_eq!(store.put("k", "x", 3), (0, Err(KVError::NoKey)));
        assert_eq!(store.get("k"), None);
        assert_eq!(store.put("k", "", 0), (1, Ok(())));
        assert_eq!(store.get("k"), Some(("", 1)));
        assert_eq!(store.put("k", "late", 0), (1, Err(KVError::Version)));
        assert_eq!(store.put("k", "two", 1), (2, Ok(())));
        assert_eq!(store.put("k", "two", 1), (2, Err(KVError::Version)));
        assert_eq!(store.get("k"), Some(("two", 2)));
    }

    #[test]
    fn what_is_frozen_stays_as_it_was() {
        let mut store = Store::new();
        for key in 0..10_000 {
            assert_eq!(store.put(&format!("k{key}"), "old", 0), (1, Ok(())));
        }
        let frozen = store.freeze();
        assert_eq!(store.put("k7", "new", 1), (2, Ok(())));
        let parts: Vec<_> = frozen.collect();
        let entries: Vec<_> = parts.iter().flat_map(|part| part.entries()).collect();
        assert_eq!(entries.len(), store.len());
        assert!(entries.iter().all(|(_, value, version)| (*value, *version) == ("old", 1)));
    }

    /// Whatever lengths the values have, one after the other, the store has the last of each key, and not much more memory than
    /// they need.
    #[test]
    fn values_of_all_lengths_take_their_place() {
        const KEYS: usize = 40;
        const LENGTHS: [usize; 6] = [0, 1, 7, 100, 1_000, 70_000];
        let mut random = fastrand::Rng::with_seed(7);
        let mut store = Store::new();
        // All in one part, so that they share its memory.
        let in_first = |key: &String| part_of(store.hash(key.as_bytes())) == 0;
        let keys: Vec<_> = (0..).map(|number| format!("key {number}")).filter(in_first).take(KEYS).collect();
        let mut model = std::collections::BTreeMap::new();
        let mut frozen = None;
        for step in 0..5_000 {
            let key = keys[random.usize(..KEYS)].clone();
            let length = LENGTHS[random.usize(..LENGTHS.len())];
            let value = random.alphanumeric().to_string().repeat(length);
            let (_, version) = model.get(&key).cloned().unwrap_or_default();
            assert_eq!(store.put(&key, &value, version), (version + 1, Ok(())));
            model.insert(key, (value, version + 1));
            if step % 500 == 0 {
                frozen = Some((store.clone(), model.clone()));
            }
        }
        let (old, old_model) = frozen.unwrap();
        for (store, model) in [(store, model), (old, old_model)] {
            assert_eq!(store.len(), model.len());
            for (key, (value, version)) in &model {
                assert_eq!(store.get(key), Some((value.as_str(), *version)), "{key}");
            }
            for part in &store.parts {
                let heads = part.table.iter().map(|at| record(&part.records, *at).head);
                let taken: usize = heads.map(|it| Head::BYTES + it.key_bytes + it.room).sum();
                assert_eq!(part.records.len(), taken + part.hole_bytes);
                assert!(part.hole_bytes <= taken);
            }
            // A store that had other values takes these over.
            let mut other = Store::new();
            for key in &keys {
                other.insert(key, "other", 9);
            }
            for (key, value, version) in
                store.freeze().collect::<Vec<_>>().iter().flat_map(|part| part.entries())
            {
                other.insert(key, value, version);
            }
            assert!(
                model
                    .iter()
                    .all(|(key, (value, version))| other.get(key) == Some((value.as_str(), *version)))
            );
        }
    }
}
