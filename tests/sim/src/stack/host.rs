//! A machine with a node on it: the disk outlives the node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use traitwire::InProcess;
use traitwire_kv::kv_raft::machine::KvMachine;
use traitwire_kv::kv_raft::raft::core::{DiskSpace, Op, Options};
use traitwire_kv::kv_raft::raft::storage::disk::{Disk, DiskFile, DiskLock};
use traitwire_kv::kv_raft::raft::storage::wal::{Wal, WalOptions};
use traitwire_kv::kv_raft::raft::storage::{Identity, Opened, Snapshots, Storage, StorageError};
use traitwire_kv::kv_raft::raft::{Raft, RpcTransport};
use traitwire_kv::kv_raft::rsm::{Rsm, RsmOptions};
use traitwire_kv::kv_raft::server::Node;
use traitwire_kv::services::raft::{Membership, NodeId};

use super::plan::StackPlan;
use super::wire::{Net, Served};
use crate::disk::{Lies, SimDisk};
use crate::machine::mix;

/// The name of the cluster.
const CLUSTER: &str = "simulated";

/// The bytes of a segment of the log: few, so that there are many.
const SEGMENT_BYTES: u64 = 16 << 10;

/// A machine.
pub(super) struct Host {
    pub(super) id: NodeId,
    pub(super) disk: SimDisk,
    pub(super) life: Option<Life>,
    /// How often the node was started.
    lives: u64,
    /// The disk was made to fail, so that the node may end by itself.
    pub(super) may_fail: bool,
}

/// A node that is up.
pub(super) struct Life {
    pub(super) rsm: Arc<Rsm<KvMachine>>,
    pub(super) node: Node,
    is_alive: Arc<AtomicBool>,
    gone: Arc<Notify>,
}

impl Host {
    pub(super) fn new(id: NodeId, seed: u64) -> Self {
        let disk = SimDisk::new(Lies::default(), mix(seed, id));
        Self { id, disk, life: None, lives: 0, may_fail: false }
    }

    /// Starts the node with what is on the disk.
    pub(super) fn start(&mut self, plan: &StackPlan, net: &Arc<Net>) -> Result<(), StorageError> {
        self.lives += 1;
        self.may_fail = false;
        let (id, number) = (self.id, self.lives);
        let is_alive = Arc::new(AtomicBool::new(true));
        let disk = Fenced { disk: self.disk.clone(), is_alive: is_alive.clone() };
        let identity = Identity { cluster: CLUSTER.to_owned(), node: id };
        let Opened { storage, restored } =
            Wal::open(Arc::new(disk), identity, WalOptions { segment_bytes: SEGMENT_BYTES })?;
        let opened = Opened { storage: Box::new(Immediate(storage)), restored };
        let mut options = Options::new(id, Membership::of(1..=plan.nodes), mix(mix(plan.seed, id), number));
        options.trailing_entries = plan.trailing_entries;
        let others = || {
            let others = (1..=plan.nodes).filter(|other| *other != id);
            others.map(|other| (other, net.client(id, Some(number), other)))
        };
        let transport = Arc::new(RpcTransport::over(CLUSTER, id, others()));
        let (raft, applies) =
            Raft::start(CLUSTER, options, opened, transport).expect("no thread is needed for this disk");
        let rsm_options = RsmOptions { snapshot_log_bytes: plan.snapshot_log_bytes };
        let rsm = Rsm::start(raft, applies, KvMachine::default(), rsm_options);
        let node = Node::over(id, rsm.clone(), others());
        let gone = Arc::new(Notify::new());
        let server = Arc::new(InProcess::new(Arc::new(node.services())));
        net.serve(id, Served { server, life: number, gone: gone.clone() });
        self.life = Some(Life { rsm, node, is_alive, gone });
        Ok(())
    }

    /// Ends the node as if its process was killed: nobody hears of it any more, and nothing more gets to its disk.
    pub(super) fn kill(&mut self, net: &Net) {
        let Some(life) = self.life.take() else { return };
        net.remove(self.id);
        life.is_alive.store(false, Ordering::Relaxed);
        life.gone.notify_waiters();
        self.disk.kill();
        // Its tasks end too.
        tokio::spawn(async move { life.rsm.stop().await });
    }

    /// The same by a loss of power: what was not synced survives in parts.
    pub(super) fn lose_power(&mut self, net: &Net, random: &mut fastrand::Rng) {
        self.kill(net);
        self.disk.crash(random);
    }

    /// Stops the node in good order.
    pub(super) async fn stop(&mut self, net: &Net) {
        if let Some(life) = &self.life {
            life.node.stop().await;
            self.kill(net);
        }
    }
}

/// A disk as a node in one of its lives has it: when that ends, it is out of reach.
struct Fenced {
    disk: SimDisk,
    is_alive: Arc<AtomicBool>,
}

impl Fenced {
    fn disk(&self) -> io::Result<&SimDisk> {
        alive(&self.is_alive).map(|()| &self.disk)
    }

    fn file(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FencedFile { file: file?, is_alive: self.is_alive.clone() }))
    }
}

fn alive(is_alive: &AtomicBool) -> io::Result<()> {
    if is_alive.load(Ordering::Relaxed) { Ok(()) } else { Err(io::Error::other("this node has crashed")) }
}

impl Disk for Fenced {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk()?.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(self.disk()?.create(name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(self.disk()?.open(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk()?.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk()?.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk()?.sync_names()
    }

    fn lock(&self) -> io::Result<DiskLock> {
        self.disk()?.lock()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

struct FencedFile {
    file: Box<dyn DiskFile>,
    is_alive: Arc<AtomicBool>,
}

impl DiskFile for FencedFile {
    fn bytes(&self) -> io::Result<u64> {
        alive(&self.is_alive)?;
        self.file.bytes()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        alive(&self.is_alive)?;
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        alive(&self.is_alive)?;
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        alive(&self.is_alive)?;
        self.file.sync()
    }
}

/// A storage whose disk takes no time, so that it needs no thread.
struct Immediate(Box<dyn Storage>);

impl Storage for Immediate {
    fn append(&mut self, ops: &[Op]) -> Result<(), StorageError> {
        self.0.append(ops)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.0.sync()
    }

    fn idle(&mut self) -> Result<(), StorageError> {
        self.0.idle()
    }

    fn space(&mut self) -> DiskSpace {
        self.0.space()
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn snapshots(&self) -> Arc<dyn Snapshots> {
        self.0.snapshots()
    }
}
