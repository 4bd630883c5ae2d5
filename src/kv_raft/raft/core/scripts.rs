//! Stories of small clusters: what happens to the nodes, and everything that they do about it.
//!
//! A story is a file in `scripts/`: what it shows, the commands, `---`, and the trace, in which every line of commands is
//! repeated before what comes of it; what follows `short: ` is told in outline: leaders, commits, what is cut off and what
//! clients hear. A new story needs no trace: `UPDATE_EXPECT=1 cargo test` writes it, and it is there
//! to be read.
//!
//! | command | does |
//! | --- | --- |
//! | `cluster nodes=3` | comes first; see [`Cluster::new`] for the settings |
//! | `timeout n1` | it is the time of the node's next deadline; those of others wait |
//! | `deliver n1 n2`, `deliver all` | what is on the way arrives; with `all` also what is sent meanwhile |
//! | `settle` | as `short: deliver all` |
//! | `elect n1` | `timeout n1` and `settle`, in short |
//! | `run 200ms` | time goes on, all deadlines are met, all messages arrive, in short |
//! | `wait 200ms` | time goes on, and all deadlines are late |
//! | `drop n1 n2`, `fail n1 n2` | what is on the way is lost; with `fail` whoever asked hears of it |
//! | `copy n1 n2`, `replay n1 n2` | keeps what is on the way; lets it arrive again, ahead of the rest |
//! | `cut n1`, `cut n1 n2`, `heal` | what is sent over these links is lost, until they are healed |
//! | `autosync off`, `sync n1` | disks wait for `sync` before they write; `sync n1 1` writes one step only |
//! | `crash n1`, `restart n1` | what is not written is lost |
//! | `lose n1 from=2` | the disk of a crashed node loses entries that it had written |
//! | `log n1 a@1 b@2` | the node starts anew with these entries on its disk |
//! | `full n1`, `free n1` | the disk takes no entries; does again |
//! | `propose n1 a b`, `read n1` | clients come |
//! | `snapshot n1 at=2` | a snapshot of the state after entry 2 is saved |
//! | `transfer n1`, `transfer n1 to=n2` | the leader is to hand over |
//! | `found n1 voters=3` | nodes 1 to 3 of those that are `new` become a cluster |
//! | `add n1 n4`, `add n1 n4 learn`, `add n1 n4 replace=n2` | the leader n1 is to add n4, with that goal |
//! | `promote n1 n4`, `remove n1 n4`, `rejoin n1 n4`, `move n1 n4` | it is to change the membership like this |
//! | `wipe n4` | the node starts anew with an empty folder, and so with another incarnation |
//! | `status` | the nodes' logs as `[committed | not committed]`, after the last compacted entry |
#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod commands;
pub(super) mod disk;
mod members;
mod words;

use std::path::PathBuf;

use cluster::Cluster;
use expect_test::expect_file;

const END_OF_COMMANDS: &str = "---\n";

/// What the file of a story should be.
fn told(text: &str) -> String {
    let commands = text.split(END_OF_COMMANDS).next().unwrap();
    let mut lines = commands.lines();
    assert!(
        lines.next().is_some_and(|line| line.starts_with("# ")),
        "the first line says what the story shows"
    );
    let mut cluster: Option<Cluster> = None;
    for line in lines.filter(|line| !line.is_empty()) {
        match (&mut cluster, line.strip_prefix("cluster ")) {
            (None, Some(settings)) => cluster = Some(Cluster::new(settings)),
            (Some(cluster), None) => {
                cluster.tell(format!("> {line}"));
                if let Some(line) = line.strip_prefix("short: ") {
                    cluster.in_short(|cluster| cluster.commands(line));
                } else if !line.starts_with('#') {
                    cluster.commands(line);
                }
            }
            (None, None) | (Some(_), Some(_)) => {
                panic!("a story begins with one `cluster`, and not with {line}")
            }
        }
    }
    format!("{commands}{END_OF_COMMANDS}{}", cluster.unwrap().trace())
}

fn path(name: &str) -> PathBuf {
    let here = PathBuf::from(file!());
    let here = if here.is_absolute() { here } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(here) };
    here.with_extension("").join(name).with_extension("txt")
}

/// Whether a story ends as it is written down.
#[cfg(feature = "bugs")]
pub(super) fn holds(name: &str) -> bool {
    let text = std::fs::read_to_string(path(name)).unwrap();
    std::panic::catch_unwind(|| told(&text)).is_ok_and(|told| told == text)
}

#[test]
fn every_story_goes_as_it_is_written() {
    let mut stories: Vec<_> =
        std::fs::read_dir(path("").with_extension("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    stories.sort();
    assert!(stories.len() >= 20, "the stories are not found: {stories:?}");
    for story in stories {
        let text = std::fs::read_to_string(&story).unwrap();
        expect_file![story].assert_eq(&told(&text));
    }
}
