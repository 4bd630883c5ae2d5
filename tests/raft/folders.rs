//! Folders that a node must not use: it says so, with the name of the file, and ends.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::cluster::node_arguments;
use crate::common::process::{ServerProcess, example};
use crate::log_node::LogNode;

/// How long a node may take to give up.
const END_TIMEOUT: Duration = Duration::from_secs(20);

async fn start(id: u64, folder: &Path) -> ServerProcess {
    ServerProcess::start_program(example("raft_log"), node_arguments(id, &[].into(), folder)).await
}

/// That a node does not start in this folder, and says why.
async fn does_not_start(id: u64, folder: &Path, says: &[&str]) {
    let mut command = Command::new(example("raft_log"));
    command.args(node_arguments(id, &[].into(), folder)).kill_on_drop(true);
    let output = tokio::time::timeout(END_TIMEOUT, command.output()).await.expect("it ends").unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "it has said that it listens");
    for part in [&[folder.to_str().unwrap()], says].concat() {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

/// A folder has one process at a time.
#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(1, folder.path()).await;
    does_not_start(1, folder.path(), &["in use by another process"]).await;
    assert!(first.is_running());
    // A killed process holds nothing back.
    first.restart().await;
}

/// A folder belongs to one node.
#[tokio::test]
async fn a_folder_of_another_node_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    start(1, folder.path()).await.kill().await;
    does_not_start(2, folder.path(), &["wal-", "node 1"]).await;
    start(1, folder.path()).await.kill().await;
}

/// A log that has lost what was safe is not used: a node that forgets its vote may vote again.
#[tokio::test]
async fn a_damaged_log_is_refused() {
    const RECORD: &str = "a record to be damaged";
    const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(1, folder.path()).await;
    let client = LogNode::new(node.url());
    let committed = async {
        while client.append(&RECORD.into()).await.unwrap().is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        while client.get(1).await.unwrap().is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(COMMIT_TIMEOUT, committed).await.expect("it elects itself and commits");
    // What was written last is proven by what is written after it: by the next start at the latest.
    node.kill().await;
    node.restart().await;
    node.kill().await;
    let path = folder.path().join("wal-0000000000000001.log");
    let mut log = std::fs::read(&path).unwrap();
    let place = log.windows(RECORD.len()).position(|bytes| bytes == RECORD.as_bytes()).unwrap();
    log[place] ^= 1;
    std::fs::write(&path, log).unwrap();
    does_not_start(1, folder.path(), &["wal-0000000000000001.log", "damaged at byte"]).await;
}
