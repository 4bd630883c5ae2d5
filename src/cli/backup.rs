//! `traitwire backup`: a running cluster's state, as a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tempfile::{Builder, NamedTempFile};
use tokio::time::timeout;
use traitwire::log::Excerpt;
use traitwire::{Code, RpcClient, RpcError};
use traitwire_kv::kv_raft::backup::{Summary, Writer};
use traitwire_kv::services::backup::{
    Backup as _, BackupHeader, BackupReply, BackupStub, EndBackupArgs, ReadBackupArgs,
};
use traitwire_kv::services::rsm::{Agreement, NodeRole, Rsm, RsmStub};

use super::output::{note, print_line, write_failure};
use super::{Endpoints, Failure};

/// The file name that means standard output.
pub(super) const STANDARD: &str = "-";
/// How long a node may take to say what it is, before it is asked for a backup.
const STATUS_TIME: Duration = Duration::from_secs(1);
/// How long a node may take to forget a backup that has failed.
const END_TIME: Duration = Duration::from_secs(1);

/// Save the state of a running cluster to a file, while commands go on.
///
/// The backup is one consistent state, with everything that was acknowledged before it began. It is read from a node that does not
/// lead, if there is one. FILE appears once the backup is whole and synced; until then it has a temporary name in the same
/// folder.
///
/// `traitwire restore` starts a new cluster from it, `traitwire debug snapshot` checks and describes it.
///
/// Exit codes: 0 the backup is whole; 1 it is not, and there is no new FILE; 2 wrong usage.
#[derive(clap::Args)]
pub(super) struct Backup {
    /// The file to write; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace FILE if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print one JSON object about the backup. Not with `--out -`.
    #[arg(long)]
    json: bool,
}

/// A node that can be asked.
struct Node {
    url: String,
    client: RpcClient,
}

/// A backup that is written.
struct Written {
    url: String,
    header: BackupHeader,
    summary: Summary,
}

impl Backup {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let to_standard = self.out == Path::new(STANDARD);
        if to_standard && self.json {
            return Err(Failure::usage(
                "--json and `--out -` both need standard output: leave one of them out",
            ));
        }
        if to_standard {
            let out = io::stdout();
            if out.is_terminal() {
                return Err(Failure::usage(
                    "standard output is a terminal: write the backup to a file, or into a pipe",
                ));
            }
            let written = self.save(|| Ok(io::stdout().lock())).await?;
            note(text(&written, None));
            return Ok(0);
        }
        self.check_target()?;
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let cannot = |error: io::Error| Failure::new(format!("cannot write {}: {error}", self.out.display()));
        let mut file: Option<NamedTempFile> = None;
        let written = self
            .save(|| {
                // The one of an attempt that has failed goes.
                drop(file.take());
                let made = Builder::new().prefix(".traitwire-backup-").tempfile_in(folder).map_err(cannot)?;
                let out = made.reopen().map_err(cannot)?;
                file = Some(made);
                Ok(out)
            })
            .await?;
        let file = file.ok_or_else(|| Failure::new("there is no file"))?;
        file.as_file().sync_all().map_err(cannot)?;
        let named = if self.force { file.persist(&self.out) } else { file.persist_noclobber(&self.out) };
        named.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => self.exists(),
            _ => cannot(error.error),
        })?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)?;
        if self.json {
            print_line(json_of(&written, &self.out))?;
        } else {
            print_line(text(&written, Some(&self.out)))?;
        }
        Ok(0)
    }

    fn exists(&self) -> Failure {
        Failure::new(format!(
            "{} exists: choose another name, or replace it with --force",
            self.out.display()
        ))
    }

    /// Refuses a file that must not be replaced, before a backup is made.
    fn check_target(&self) -> Result<(), Failure> {
        match fs::symlink_metadata(&self.out) {
            Ok(metadata) if !metadata.is_file() => Err(Failure::new(format!(
                "{} is not a regular file: choose another name, or use `--out -`",
                self.out.display()
            ))),
            Ok(_) if !self.force => Err(self.exists()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Asks the nodes for a backup, one after the other, until one of them gives it. Each attempt writes to an output of its own.
    async fn save<W: Write>(
        &self,
        mut output: impl FnMut() -> Result<W, Failure>,
    ) -> Result<Written, Failure> {
        let mut last = None;
        for node in self.nodes().await {
            let stub = BackupStub::new(node.client.clone());
            let begun = match stub.begin().await {
                Ok(begun) => begun,
                Err(error) => {
                    last = Some(failed(&node, &error));
                    continue;
                }
            };
            warn(&begun);
            match transfer(&node, &stub, &begun, output()?).await {
                Err(Interrupted::Node(failure)) => {
                    let _forgotten_later =
                        timeout(END_TIME, stub.end(EndBackupArgs { backup: begun.backup })).await;
                    // What was written to standard output cannot be taken back.
                    if self.out == Path::new(STANDARD) {
                        return Err(failure);
                    }
                    last = Some(failure);
                }
                Err(Interrupted::Output(failure)) => {
                    let _forgotten_later =
                        timeout(END_TIME, stub.end(EndBackupArgs { backup: begun.backup })).await;
                    return Err(failure);
                }
                Ok(summary) => {
                    let _forgotten_later =
                        timeout(END_TIME, stub.end(EndBackupArgs { backup: begun.backup })).await;
                    return Ok(Written { url: node.url, header: begun.header, summary });
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::usage("there is no node to ask")))
    }

    /// The nodes, those first that do not lead, so that the leader has its time for commands.
    async fn nodes(&self) -> Vec<Node> {
        let mut asked = Vec::new();
        for (url, client) in self.endpoints.clients(None) {
            let status = RsmStub::new(client.clone());
            let role = tokio::spawn(async move { timeout(STATUS_TIME, status.status()).await });
            asked.push((Node { url, client }, role));
        }
        let mut nodes = Vec::new();
        for (node, role) in asked {
            let order = match role.await {
                Ok(Ok(Ok(status))) if status.leader.is_none() => 3,
                Ok(Ok(Ok(status))) => match status.role {
                    NodeRole::Follower => 0,
                    NodeRole::Learner => 1,
                    NodeRole::Leader | NodeRole::Candidate => 2,
                },
                Ok(_) | Err(_) => 4,
            };
            nodes.push((order, node));
        }
        nodes.sort_by_key(|(order, _)| *order);
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

/// Why a backup that has begun was not finished.
enum Interrupted {
    /// The node does not give it: another one may.
    Node(Failure),
    /// It cannot be written.
    Output(Failure),
}

/// Reads a backup piece by piece and writes it.
async fn transfer(
    node: &Node,
    stub: &BackupStub,
    begun: &BackupReply,
    out: impl Write,
) -> Result<Summary, Interrupted> {
    let output = |error: io::Error| {
        let failure = match error.kind() {
            io::ErrorKind::BrokenPipe => write_failure(&error),
            _ => Failure::new(format!("cannot write the backup: {error}")),
        };
        Interrupted::Output(failure)
    };
    let progress = progress(begun.state_bytes_estimate);
    let mut writer = Writer::new(BufWriter::new(out), &begun.header).map_err(output)?;
    loop {
        let (offset, _) = writer.progress();
        let args = ReadBackupArgs { backup: begun.backup, offset };
        let piece = stub.read(args).await.map_err(|error| Interrupted::Node(failed(node, &error)))?;
        writer.write(&piece.data.0).map_err(output)?;
        let (offset, crc) = writer.progress();
        if crc != piece.crc {
            let message = format!("{}: the state has changed on its way, before byte {offset}", node.url);
            return Err(Interrupted::Node(Failure::new(message)));
        }
        progress.set_position(offset);
        if piece.last {
            break;
        }
    }
    progress.finish_and_clear();
    let (mut out, summary) = writer.finish().map_err(output)?;
    out.flush().map_err(output)?;
    Ok(summary)
}

/// A bar, or where the length is not known a counter. Hidden by itself where standard error is no terminal.
pub(super) fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}"),
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn failed(node: &Node, error: &RpcError) -> Failure {
    let hint = match error.code() {
        Code::Unimplemented => ": it keeps its keys in memory, or runs an earlier version",
        _ => "",
    };
    Failure::new(format!("{}: {error}{hint}", node.url)).with("code", error.code().as_str())
}

fn warn(begun: &BackupReply) {
    match begun.state_check.map(|check| (check.agreement, check.index)) {
        Some((Agreement::Disputed, index)) => note(format_args!(
            "traitwire: the states of the nodes differ at index {index}, and no majority agrees: this is a backup of node {} alone",
            begun.header.node
        )),
        Some((Agreement::Differs, index)) => note(format_args!(
            "traitwire: the state of node {} at index {index} is not that of a majority: make a backup of another node",
            begun.header.node
        )),
        Some((Agreement::Agreed, _)) | None => {}
    }
}

fn json_of(written: &Written, file: &Path) -> serde_json::Value {
    let Written { url, header, summary } = written;
    json!({
        "file": file.display().to_string(),
        "revision": header.revision,
        "term": header.term,
        "cluster": header.cluster,
        "cluster_id": header.membership.cluster_id,
        "node": header.node,
        "url": url,
        "time_ms": header.time_ms,
        "file_bytes": summary.file_bytes,
        "state_bytes": summary.state_bytes,
    })
}

fn text(written: &Written, file: Option<&Path>) -> String {
    let Written { url, header, summary } = written;
    let file = file.map_or_else(|| "standard output".to_owned(), |file| file.display().to_string());
    format!(
        "saved revision {} of cluster `{}` from node {} at {url} to {file}: {} bytes",
        header.revision,
        Excerpt(&header.cluster),
        header.node,
        summary.file_bytes
    )
}
