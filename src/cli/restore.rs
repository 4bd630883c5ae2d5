//! `traitwire restore`: a new cluster from a backup.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use serde_json::json;
use traitwire::log::Excerpt;
use traitwire_kv::kv_raft::backup::{NewNode, Reader, Restored, restore};
use traitwire_kv::kv_raft::machine::KvMachine;

use super::Failure;
use super::backup::{STANDARD, progress};
use super::output::print_line;

/// The name that `serve` takes where none is given.
const DEFAULT_CLUSTER: &str = "traitwire";

/// Start a new cluster from a backup: write the data folder of its first node.
///
/// The folder must be empty, or not exist. `traitwire serve --data DIR` starts the node, which leads a cluster of one with all keys
/// of the backup. The cluster has a new id: nodes of the cluster that the backup was made of do not talk to it. Other nodes
/// join with empty folders.
///
/// If the restore is interrupted, the folder does not open until the same restore is run again.
///
/// Exit codes: 0 the node can be started; 1 the backup or the folder cannot be used, and nothing was left in the folder; 2 wrong
/// usage.
#[derive(clap::Args)]
pub(super) struct Restore {
    /// The backup; `-` is standard input.
    file: PathBuf,
    /// The folder of the node's data.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The id of the node.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    id: u64,
    /// The name of the new cluster; by default that of the backup.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Print one JSON object about the new cluster.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(self) -> Result<u8, Failure> {
        if self.file != Path::new(STANDARD) {
            let cannot = |error| Failure::new(format!("{}: {error}", self.file.display()));
            let file = File::open(&self.file).map_err(cannot)?;
            let bytes =
                file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
            return self.restore(file, bytes, &self.file.display().to_string());
        }
        let input = io::stdin();
        if input.is_terminal() {
            return Err(Failure::usage(
                "standard input is a terminal: give the file of a backup, or pipe one in",
            ));
        }
        self.restore(input.lock(), None, "standard input")
    }

    fn restore(&self, file: impl Read, bytes: Option<u64>, name: &str) -> Result<u8, Failure> {
        let progress = progress(bytes);
        let mut backup = Reader::open(BufReader::new(progress.wrap_read(file)))
            .map_err(|error| Failure::new(format!("{name}: the backup is {error}")))?;
        let header = backup.header().clone();
        let cluster = self.cluster.clone().unwrap_or_else(|| header.cluster.clone());
        let node = NewNode { id: self.id, cluster: cluster.clone() };
        let restored = restore::<KvMachine>(&self.data, &mut backup, &node)
            .map_err(|error| Failure::new(format!("{name}: {error}")))?;
        progress.finish_and_clear();
        let Restored { cluster_id, snapshot } = restored;
        if self.json {
            print_line(json!({
                "data": self.data.display().to_string(),
                "id": self.id,
                "cluster": cluster,
                "cluster_id": cluster_id,
                "revision": snapshot.last_index,
                "from_cluster": header.cluster,
                "from_cluster_id": header.membership.cluster_id,
            }))?;
        } else {
            let mut command = format!("traitwire serve --id {} --data {}", self.id, self.data.display());
            if cluster != DEFAULT_CLUSTER {
                command += &format!(" --cluster {}", Excerpt(&cluster));
            }
            print_line(format_args!(
                "restored revision {} into {}: node {} of the new cluster {cluster_id}\nstart it with: {command}",
                header.revision,
                self.data.display(),
                self.id,
            ))?;
        }
        Ok(0)
    }
}
