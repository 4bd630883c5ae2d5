//! `traitwire debug`: looking into what a node keeps on disk. `debug wal DIR` is here: what is in a node's log, and what opening it
//! would do.

mod recover;
mod snapshot;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use traitwire::log::Excerpt;
use traitwire_kv::kv_raft::raft::storage::wal::{Inspection, Line, Verdict, inspect};
use traitwire_kv::kv_raft::raft::storage::{IdentityFile, NodeIdentity, RealDisk, StorageError};

use super::Failure;
use super::output::write_failure;

/// Look into what a node keeps on disk.
///
/// Only `recover` changes anything. Exit codes: 0 the files are whole; 1 they are not, or cannot be read; 2 wrong usage.
#[derive(clap::Subcommand)]
pub(super) enum Debug {
    /// Print which node a folder belongs to and the records of its log, one a line, and say where damage lies and what a start would do about it.
    ///
    /// Changes nothing, and works beside a running node, whose log may then look torn at its end.
    ///
    /// Exit codes: 0 the node would start; 1 it would not, or its log cannot be read; 2 wrong usage.
    Wal {
        /// The node's folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    Snapshot(snapshot::Snapshot),
    Recover(recover::Recover),
}

impl Debug {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let (folder, json) = match self {
            Self::Snapshot(command) => return command.run(),
            Self::Recover(command) => return command.run(),
            Self::Wal { folder, json } => (folder, json),
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let mut written = Ok(());
        let mut lines = 0_u64;
        let disk = RealDisk::view(&folder);
        let identity = IdentityFile::read(&disk);
        if let Ok(Some(identity)) = &identity {
            written = if json {
                writeln!(out, "{}", identity_json(identity))
            } else {
                print_identity(&mut out, identity)
            };
        }
        let inspected = inspect(&disk, &mut |line| {
            lines += 1;
            if written.is_ok() {
                written =
                    if json { writeln!(out, "{}", line_json(&line)) } else { print_line(&mut out, &line) };
            }
        });
        let mut inspection = inspected.map_err(Failure::new)?;
        if let Err(error) = identity {
            inspection.verdict = Verdict::Refused(error);
        }
        if lines == 0 && matches!(inspection.verdict, Verdict::Sound) {
            return Err(Failure::new(format!("{}: there is no log", folder.display())));
        }
        let written = written
            .and_then(|()| {
                if json {
                    writeln!(out, "{}", verdict_json(&inspection))
                } else {
                    print_verdict(&mut out, &inspection)
                }
            })
            .and_then(|()| out.flush());
        written.map_err(|error| write_failure(&error))?;
        Ok(u8::from(matches!(inspection.verdict, Verdict::Refused(_))))
    }
}

fn print_identity(out: &mut dyn Write, identity: &NodeIdentity) -> io::Result<()> {
    let NodeIdentity { node, cluster, incarnation, .. } = identity;
    let cluster_id = identity.cluster_id.map_or_else(|| "none yet".to_owned(), |id| id.to_string());
    writeln!(
        out,
        "node {node} of cluster `{}`, cluster id {cluster_id}, incarnation {incarnation}",
        Excerpt(cluster)
    )
}

fn identity_json(identity: &NodeIdentity) -> serde_json::Value {
    let NodeIdentity { node, cluster, incarnation, cluster_id, .. } = identity;
    serde_json::json!({
        "kind": "identity", "node": node, "cluster": cluster, "cluster_id": cluster_id, "incarnation": incarnation,
    })
}

fn print_line(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    let Line { segment, offset, bytes, kind, frame, index, term } = line;
    let or_none = |value: &Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let (index, term) = (or_none(index), or_none(term));
    writeln!(
        out,
        "segment {segment} offset {offset:<8} frame {frame:<7} {kind:<10} index {index:<8} term {term:<6} {bytes} bytes, crc ok"
    )
}

fn line_json(line: &Line) -> serde_json::Value {
    let Line { segment, offset, bytes, kind, frame, index, term } = line;
    serde_json::json!({
        "segment": segment, "offset": offset, "frame": frame, "kind": kind, "index": index, "term": term,
        "bytes": bytes, "crc": "ok",
    })
}

fn print_verdict(out: &mut dyn Write, inspection: &Inspection) -> io::Result<()> {
    match &inspection.verdict {
        Verdict::Sound => writeln!(out, "sound: a start keeps all of it")?,
        Verdict::Cut { segment, offset, bytes } => writeln!(
            out,
            "torn: a start cuts segment {segment} at byte {offset}, and {bytes} bytes that were never synced"
        )?,
        Verdict::Refused(error) => writeln!(out, "a start refuses: {error}")?,
    }
    if inspection.unproven {
        writeln!(out, "the last frame is not proven yet: damage to it would look like a torn write")?;
    }
    Ok(())
}

fn verdict_json(inspection: &Inspection) -> serde_json::Value {
    let mut verdict = match &inspection.verdict {
        Verdict::Sound => serde_json::json!({"verdict": "sound"}),
        Verdict::Cut { segment, offset, bytes } => {
            serde_json::json!({"verdict": "cut", "segment": segment, "offset": offset, "bytes": bytes})
        }
        Verdict::Refused(error) => serde_json::json!({"verdict": "refused", "error": error.to_string()}),
    };
    if let Verdict::Refused(StorageError::Damaged { path, offset, .. }) = &inspection.verdict {
        verdict["file"] = path.display().to_string().into();
        verdict["offset"] = (*offset).into();
    }
    verdict["unproven"] = inspection.unproven.into();
    verdict
}
