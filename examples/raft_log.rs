//! Embedding consensus: a list of records that a cluster of nodes agrees on, with snapshots, in one file.
//!
//! Three nodes, each in its own terminal:
//!
//! ```text
//! cargo run --example raft_log -- --id 1 --listen 127.0.0.1:7201 --data /tmp/log1 --peers 1=http://127.0.0.1:7201,2=http://127.0.0.1:7202,3=http://127.0.0.1:7203
//! ```
//!
//! and then, to whichever of them leads (the others answer null),
//!
//! ```text
//! curl http://127.0.0.1:7202/log.append -d '"a record"'
//! ```

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Bound;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use traitwire::{HttpServer, RpcError, RpcResult, Services};
use traitwire_kv::kv_raft::raft::core::{Committed, Options, Refusal, Role};
use traitwire_kv::kv_raft::raft::storage::wal::{Wal, WalOptions};
use traitwire_kv::kv_raft::raft::storage::{Identity, RealDisk};
use traitwire_kv::kv_raft::raft::{Applies, Raft, RaftError, RpcTransport};
use traitwire_kv::services::raft::{Command, Entry, Index, Membership, NodeId, Payload, Term};

/// The name of the cluster that all nodes of this example belong to.
const CLUSTER: &str = "log";

/// A list of records that only grows.
#[traitwire::service(prefix = "log")]
trait Log: Send + Sync {
    /// Adds a record if this node leads, and says where it will be once it is committed.
    async fn append(&self, record: Value) -> RpcResult<Option<Place>>;
    /// The record at an index; null when none is (known to be) committed there.
    #[rpc(read_only)]
    async fn get(&self, index: u64) -> RpcResult<Option<Value>>;
    /// The records at so many indices after an index, as far as this node has applied them.
    #[rpc(read_only)]
    async fn list(&self, after: u64, limit: u64) -> RpcResult<Page>;
    /// What this node is and has.
    #[rpc(read_only)]
    async fn state(&self) -> RpcResult<State>;
}

/// Where a record is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Place {
    /// The index in the list.
    index: Index,
    /// The term of the leader that has put it there.
    term: Term,
}

/// Some of the records.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Page {
    /// The last index that this page covers.
    up_to: Index,
    /// The records; an index without one holds no record, and never will.
    records: BTreeMap<Index, Value>,
}

/// What a node is and has.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct State {
    /// This node.
    id: NodeId,
    /// Its term.
    term: Term,
    /// Whether it leads.
    leads: bool,
    /// The leader that it knows.
    leader: Option<NodeId>,
    /// Up to where records are committed.
    commit_index: Index,
    /// Up to where this node has applied them.
    applied_index: Index,
    /// The index before the first entry in its log.
    base_index: Index,
    /// The index of the last entry in its log.
    last_index: Index,
}

/// The replicated list: what has been applied, and up to where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Records {
    applied: Index,
    by_index: BTreeMap<Index, Value>,
}

impl Records {
    fn apply(&mut self, index: Index, entry: &Entry) -> Result<(), serde_json::Error> {
        self.applied = index;
        if let Payload::Command(command) = &entry.payload {
            self.by_index.insert(index, serde_json::from_str(command.json())?);
        }
        Ok(())
    }
}

struct Node {
    id: NodeId,
    raft: Arc<Raft>,
    records: Arc<Mutex<Records>>,
}

fn locked(records: &Mutex<Records>) -> std::sync::MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

#[traitwire::async_trait]
impl Log for Node {
    async fn append(&self, record: Value) -> RpcResult<Option<Place>> {
        let command = Command::new(&record).map_err(|error| RpcError::invalid_argument(error.to_string()))?;
        match self.raft.propose(vec![command]).await {
            Ok((index, term)) => Ok(Some(Place { index, term })),
            Err(RaftError::Refused(Refusal::NotLeader(_) | Refusal::Transferring)) => Ok(None),
            Err(error @ RaftError::TooLarge { .. }) => Err(RpcError::invalid_argument(error.to_string())),
            Err(error @ RaftError::Refused(_)) => Err(RpcError::resource_exhausted(error.to_string())),
            Err(error @ RaftError::Stopped) => Err(RpcError::unavailable(error.to_string())),
        }
    }

    async fn get(&self, index: u64) -> RpcResult<Option<Value>> {
        Ok(locked(&self.records).by_index.get(&index).cloned())
    }

    async fn list(&self, after: u64, limit: u64) -> RpcResult<Page> {
        let records = locked(&self.records);
        let up_to = after.saturating_add(limit).min(records.applied).max(after);
        let page = records.by_index.range((Bound::Excluded(after), Bound::Included(up_to)));
        Ok(Page { up_to, records: page.map(|(index, record)| (*index, record.clone())).collect() })
    }

    async fn state(&self) -> RpcResult<State> {
        let base_index = self.raft.inspect(|core| core.base_index()).await;
        let base_index = base_index.ok_or_else(|| RpcError::unavailable("the node has stopped"))?;
        let status = self.raft.status();
        Ok(State {
            id: self.id,
            term: status.term,
            leads: status.role == Role::Leader,
            leader: status.leader,
            commit_index: status.commit_index,
            applied_index: locked(&self.records).applied,
            base_index,
            last_index: status.last_index,
        })
    }
}

/// Applies what is committed, and saves a snapshot each time the log has grown by `snapshot_every` entries.
async fn apply_all(
    raft: Arc<Raft>,
    mut applies: Applies,
    records: Arc<Mutex<Records>>,
    snapshot_every: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut snapshot_index = raft.status().snapshot_index;
    while let Some(committed) = applies.next().await {
        match committed {
            Committed::Nothing => {}
            Committed::Entries { first, entries } => {
                let mut records = locked(&records);
                for (index, entry) in (first..).zip(&entries) {
                    records.apply(index, entry)?;
                }
            }
            Committed::Snapshot(meta) => {
                snapshot_index = meta.last_index;
                let mut state = Vec::new();
                let mut reader = raft.read_snapshot(meta);
                match reader.read_to_end(&mut state) {
                    Ok(_) => *locked(&records) = serde_json::from_slice(&state)?,
                    // The next batch brings the newer one.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let applied = locked(&records).applied;
        if applied - snapshot_index >= snapshot_every {
            let state = serde_json::to_vec(&*locked(&records))?;
            raft.save_snapshot(applied, std::io::Cursor::new(state)).await?;
            snapshot_index = applied;
        }
    }
    Ok(())
}

/// One node of a replicated list.
#[derive(Parser)]
struct Arguments {
    /// This node.
    #[arg(long)]
    id: NodeId,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// All nodes, as 1=URL,2=URL,…
    #[arg(long, value_delimiter = ',', value_parser = peer)]
    peers: Vec<(NodeId, String)>,
    /// Where the log lives.
    #[arg(long)]
    data: PathBuf,
    /// After how many entries a snapshot takes their place; none without it.
    #[arg(long, default_value_t = u64::MAX)]
    snapshot_every: u64,
    /// How many entries stay in the log after a snapshot.
    #[arg(long, default_value_t = 1_000)]
    trailing_entries: u64,
}

fn peer(text: &str) -> Result<(NodeId, String), String> {
    let (id, url) = text.split_once('=').ok_or("write ID=URL")?;
    Ok((id.parse().map_err(|error| format!("{id}: {error}"))?, url.to_owned()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let id = arguments.id;
    let peers: BTreeMap<_, _> = arguments.peers.into_iter().collect();
    let nodes = peers.keys().copied().chain([id]);

    let identity = Identity { cluster: CLUSTER.to_owned(), node: id };
    let disk = Arc::new(RealDisk::new(&arguments.data)?);
    let opened = Wal::open(disk, identity, WalOptions::default())?;
    let mut options = Options::new(id, Membership::of(nodes), fastrand::u64(..));
    options.trailing_entries = arguments.trailing_entries;
    let transport = Arc::new(RpcTransport::new(CLUSTER, id, &peers));
    let (raft, applies) = Raft::start(CLUSTER, options, opened, transport)?;

    let records = Arc::new(Mutex::new(Records::default()));
    let applying = apply_all(raft.clone(), applies, records.clone(), arguments.snapshot_every);
    let listener = tokio::net::TcpListener::bind(&arguments.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let services =
        Services::new().mount(raft.server()).mount(LogServer::new(Node { id, raft: raft.clone(), records }));
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "event": "listening", "id": id, "url": url }))?;
    tokio::select! {
        served = HttpServer::new(services).serve(listener, std::future::pending()) => served?,
        applied = applying => applied?,
        ended = raft.ended() => ended?,
        _ = tokio::signal::ctrl_c() => raft.stop().await,
    }
    Ok(())
}
