//! The file that says whose folder it is: crashes at any point, damage, and who else it belongs to.

use std::sync::Arc;

use traitwire_kv::kv_raft::raft::storage::{IdentityFile, NodeIdentity, Standing, StorageError};
use traitwire_kv::services::raft::ClusterId;

use super::disk::{FaultyDisk, Plan};

const FILE: &str = "identity.json";

fn new() -> NodeIdentity {
    NodeIdentity::new(3, "test".to_owned())
}

fn created(disk: &FaultyDisk) -> (IdentityFile, NodeIdentity) {
    let identity = new();
    (IdentityFile::create(Arc::new(disk.clone()), identity.clone()).unwrap(), identity)
}

/// Ids are up to 2^64-1, names any text.
#[test]
fn an_identity_reads_back() {
    for (node, cluster) in [(1, "test"), (u64::MAX, "ü \"\\\n"), (7, "")] {
        let disk = FaultyDisk::default();
        assert_eq!(IdentityFile::read(&disk).unwrap(), None);
        let identity = NodeIdentity::new(node, cluster.to_owned());
        let file = IdentityFile::create(Arc::new(disk.clone()), identity.clone()).unwrap();
        assert_eq!(IdentityFile::read(&disk).unwrap(), Some(identity.clone()));
        file.update(|it| it.cluster_id = Some(ClusterId(u128::MAX))).unwrap();
        let changed = NodeIdentity { cluster_id: Some(ClusterId(u128::MAX)), ..identity };
        assert_eq!((file.get(), IdentityFile::read(&disk).unwrap()), (changed.clone(), Some(changed)));
    }
}

/// Whatever fails, and whatever a loss of power takes: the folder has the identity of before or the new one, and what an update
/// has returned for stays.
#[test]
fn a_crash_leaves_the_identity_of_before_or_the_new_one() {
    let mut random = fastrand::Rng::with_seed(7);
    for fails_at in 1..=12 {
        for _ in 0..20 {
            let disk = FaultyDisk::default();
            let (file, before) = created(&disk);
            let operations = disk.counts().operations;
            disk.plan(Plan { fails_at: Some(operations + fails_at), full_at: None });
            let updated = file.update(|it| it.standing = Standing::Member);
            assert_eq!(updated.is_ok(), fails_at > 5, "an update is five operations");
            assert_eq!(file.get().standing == Standing::Member, updated.is_ok());
            disk.plan(Plan::default());
            disk.lose_power(&mut random);
            let found = IdentityFile::read(&disk).unwrap().expect("the identity is gone");
            let after = NodeIdentity { standing: Standing::Member, ..before.clone() };
            assert!(found == after || (updated.is_err() && found == before), "{found:?}");
        }
    }
}

#[test]
fn a_crash_while_the_first_file_is_written_leaves_none_or_the_whole() {
    let mut random = fastrand::Rng::with_seed(8);
    for fails_at in 1..=5 {
        for _ in 0..20 {
            let disk = FaultyDisk::default();
            disk.plan(Plan { fails_at: Some(fails_at), full_at: None });
            let identity = new();
            assert!(IdentityFile::create(Arc::new(disk.clone()), identity.clone()).is_err());
            disk.plan(Plan::default());
            disk.lose_power(&mut random);
            let found = IdentityFile::read(&disk).unwrap();
            assert!(found.is_none_or(|found| found == identity));
        }
    }
}

/// A new incarnation in the place of a damaged one would make the node a stranger to its cluster.
#[test]
fn damage_is_noticed_wherever_it_is() {
    let disk = FaultyDisk::default();
    let (_, identity) = created(&disk);
    let bytes = disk.take(FILE);
    let refused = |bytes: &[u8]| {
        let disk = FaultyDisk::default();
        disk.put(FILE, bytes.to_vec());
        match IdentityFile::read(&disk) {
            Ok(found) => {
                // White space around it, or the same text.
                assert_eq!(found.as_ref(), Some(&identity), "{}", String::from_utf8_lossy(bytes));
                None
            }
            Err(error) => Some(error),
        }
    };
    for byte in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1 << bit;
            let _same_or_refused = refused(&damaged);
        }
        if byte + 1 < bytes.len() {
            let error = refused(&bytes[..byte]).expect("a part of the file was taken for all of it");
            assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("move the whole folder away"), "{error}");
        }
    }
    for other in [&b"[]"[..], b"{}", b"null", &[0; 512], &[b' '; 70_000]] {
        assert!(matches!(refused(other), Some(StorageError::Damaged { .. })));
    }
}

#[test]
fn a_newer_identity_is_refused() {
    let disk = FaultyDisk::default();
    for text in [r#"{"format":2,"crc32":0,"identity":{}}"#, r#"{"format":9,"more":true}"#] {
        disk.put(FILE, text.into());
        let error = IdentityFile::read(&disk).unwrap_err();
        assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    }
}
