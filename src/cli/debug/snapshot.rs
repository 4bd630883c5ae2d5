//! `traitwire debug snapshot FILE`: what is in a backup or a snapshot, and whether it is whole.

use std::path::PathBuf;

use serde_json::json;
use traitwire::log::Excerpt;
use traitwire_kv::kv_raft::backup::{BackupFileError, Contents, ContentsError, Kind};
use traitwire_kv::kv_raft::raft::storage::StorageError;
use traitwire_kv::services::raft::Membership;

use super::super::Failure;
use super::super::output::print_line;

/// Describe the file of a backup, or of a snapshot in a node's data folder, and check every byte of it.
///
/// Exit codes: 0 the file is whole; 1 it is not, or cannot be read; 2 wrong usage.
#[derive(clap::Args)]
pub(crate) struct Snapshot {
    /// The file.
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Snapshot {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let Contents { kind, state_bytes, keys } = Contents::read(&self.file).map_err(|error| {
            let failure = Failure::new(format!("{}: {error}", self.file.display()));
            match offset(&error) {
                Some(offset) => failure.with("offset", offset),
                None => failure,
            }
        })?;
        let (name, index, term, membership) = match &kind {
            Kind::Backup(header) => ("backup", header.revision, header.term, &header.membership),
            Kind::Snapshot(meta) => ("snapshot", meta.last_index, meta.last_term, &*meta.membership),
        };
        if self.json {
            let mut line = json!({
                "kind": name, "revision": index, "term": term, "membership": membership,
                "state_bytes": state_bytes, "keys": keys,
            });
            if let Kind::Backup(header) = &kind {
                line["cluster"] = json!(header.cluster);
                line["node"] = json!(header.node);
                line["time_ms"] = json!(header.time_ms);
            }
            print_line(line)?;
            return Ok(0);
        }
        print_line(format_args!("kind        {name}, whole"))?;
        if let Kind::Backup(header) = &kind {
            print_line(format_args!("cluster     {}", Excerpt(&header.cluster)))?;
            print_line(format_args!(
                "made by     node {}, at {} ms since 1970",
                header.node, header.time_ms
            ))?;
        }
        let id = membership.cluster_id.map_or("none".to_owned(), |id| id.to_string());
        print_line(format_args!("cluster id  {id}"))?;
        print_line(format_args!("revision    {index}, term {term}"))?;
        print_line(format_args!("members     {}", members(membership)))?;
        print_line(format_args!("keys        {keys}"))?;
        print_line(format_args!("state       {state_bytes} bytes"))?;
        Ok(0)
    }
}

fn members(membership: &Membership) -> String {
    let members = membership.nodes().into_iter().map(|id| {
        let member = membership.members.iter().find(|member| member.id == id);
        match member.filter(|member| !member.url.is_empty()) {
            Some(member) => format!("{id}={}", Excerpt(&member.url)),
            None => id.to_string(),
        }
    });
    members.collect::<Vec<_>>().join(", ")
}

/// Where the file is not as it was written.
fn offset(error: &ContentsError) -> Option<u64> {
    match error {
        ContentsError::Backup(
            BackupFileError::Damaged { offset, .. } | BackupFileError::CutOff { offset, .. },
        )
        | ContentsError::Snapshot(StorageError::Damaged { offset, .. }) => Some(*offset),
        _ => None,
    }
}
