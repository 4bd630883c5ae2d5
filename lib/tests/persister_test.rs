//! The persister: what is read is always a whole state that was saved.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use traitwire::Persister;

#[test]
fn nothing_saved_reads_as_empty_and_the_last_save_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/state");
    assert_eq!(Persister::new(path.clone()).read(), "");
    Persister::new(path.clone()).save("one");
    Persister::new(path.clone()).save("");
    Persister::new(path.clone()).save("two");
    assert_eq!(Persister::new(path).read(), "two");
}

#[test]
fn concurrent_saves_never_mix_never_go_back_and_leave_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let persister = Arc::new(Persister::new(folder.path().join("state")));
    persister.save("0".repeat(10_000).as_str());
    let threads: Vec<_> = (1..=8)
        .map(|n| {
            let persister = Arc::clone(&persister);
            std::thread::spawn(move || {
                for _ in 0..20 {
                    persister.save(&n.to_string().repeat(10_000));
                    let seen = persister.read();
                    assert_eq!(seen.len(), 10_000);
                    let first = seen.as_bytes()[0];
                    assert!(seen.bytes().all(|byte| byte == first), "two states are mixed");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    persister.save("last");
    assert_eq!(persister.read(), "last");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left behind");
}

#[test]
fn a_refused_save_is_an_error_and_keeps_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    Persister::new(state.clone()).save("kept");
    // The file stands where a directory would have to be.
    assert!(Persister::new(state.join("below")).try_save("lost").is_err());
    assert_eq!(Persister::new(state).read(), "kept");
}
