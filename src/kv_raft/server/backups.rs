//! The backups that are being read from this node.
//!
//! A backup is read from the node's state in memory, frozen at its begin, so that nothing of it is written to the node's disk and a
//! backup does not fail where that is full. Until a part of the state is read, a command that changes it copies it: the backups of a
//! node take at most [`BACKUPS_MAX`] times the memory of its state.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};
use traitwire::log::LogThrottle;
use traitwire::{Code, RpcError, RpcResult};

use super::{At, Front};
use crate::kv_raft::rsm::Frozen;
use crate::services::backup::{
    Backup, BackupHeader, BackupPiece, BackupReply, EndBackupArgs, ReadBackupArgs,
};
use crate::services::raft::{Index, SnapshotBytes};
use crate::services::rsm::{ReplyErr, Rsm as _};

/// How many backups one node keeps at a time.
const BACKUPS_MAX: usize = 2;
/// How long a backup is kept after a piece of it was read.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a backup is kept, however often pieces of it are read.
const KEPT_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a node may take to catch up with what was acknowledged when a backup began.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);
/// The bytes of a piece. The thread that serves everything else encodes them, so they are few.
const PIECE_BYTES: usize = 256 << 10;
/// How long a backup rests after a piece, in multiples of the time that the piece took: commands go on meanwhile.
const REST_PER_WORK: u32 = 3;
/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(100);
/// Ids are whole numbers in JavaScript too.
const IDS: std::ops::Range<u64> = 1..1 << 53;

/// Anybody can begin backups, so lines about them are few.
static LOG: LogThrottle = LogThrottle::new(Duration::from_secs(1));

/// The backups of one node.
pub(super) struct Backups {
    places: Arc<Semaphore>,
    running: Mutex<BTreeMap<u64, Arc<Running>>>,
}

/// A backup that is being read.
struct Running {
    began: Instant,
    read_at: Mutex<Instant>,
    stream: Arc<tokio::sync::Mutex<Stream>>,
    _place: OwnedSemaphorePermit,
}

impl Default for Backups {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(BACKUPS_MAX)), running: Mutex::default() }
    }
}

impl Backups {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Running>>> {
        locked(&self.running)
    }

    fn reserve(&self) -> RpcResult<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            RpcError::resource_exhausted(format!(
                "this node has {BACKUPS_MAX} backups under way: wait for one of them, or ask another node"
            ))
            .not_executed()
        })
    }

    /// Keeps a backup, until nobody reads it any more.
    fn insert(self: &Arc<Self>, place: OwnedSemaphorePermit, state: Box<dyn Read + Send>) -> u64 {
        let now = Instant::now();
        let running = Arc::new(Running {
            began: now,
            read_at: Mutex::new(now),
            stream: Arc::new(tokio::sync::Mutex::new(Stream::new(state))),
            _place: place,
        });
        let backup = {
            let mut all = self.running();
            let free = std::iter::repeat_with(|| fastrand::u64(IDS)).find(|id| !all.contains_key(id));
            let backup = free.expect("few ids are taken");
            all.insert(backup, running.clone());
            backup
        };
        let (backups, running) = (Arc::downgrade(self), Arc::downgrade(&running));
        tokio::spawn(async move {
            while let Some(end) = running.upgrade().map(|running| running.end()) {
                sleep_until(end).await;
                let Some((backups, running)) = backups.upgrade().zip(running.upgrade()) else { return };
                if Instant::now() >= running.end() && backups.running().remove(&backup).is_some() {
                    log(|| tracing::warn!(backup, "ended a backup that nobody has read for a while"));
                }
            }
        });
        backup
    }

    async fn read(&self, front: &Front, args: ReadBackupArgs) -> RpcResult<BackupPiece> {
        let ReadBackupArgs { backup, offset } = args;
        let running = self.running().get(&backup).cloned().ok_or_else(|| {
            let message = format!(
                "there is no backup {backup} here: it has ended, or the node was started again. Begin a new one"
            );
            RpcError::new(Code::NotFound, message).not_executed()
        })?;
        running.touch();
        let mut stream = running.stream.clone().lock_owned().await;
        let read = front.rsm.raft().with_disk(move || {
            let began = std::time::Instant::now();
            (stream.piece(offset), began.elapsed())
        });
        let (piece, took) = read.await.map_err(|error| RpcError::internal(error.to_string()))?;
        let piece = piece.inspect_err(|error| {
            if error.code() == Code::DataLoss {
                self.running().remove(&backup);
            }
        })?;
        sleep((took * REST_PER_WORK).min(REST_MAX)).await;
        running.touch();
        Ok(piece)
    }
}

impl Running {
    fn touch(&self) {
        *locked(&self.read_at) = Instant::now();
    }

    /// When it ends if nobody reads.
    fn end(&self) -> Instant {
        (*locked(&self.read_at) + IDLE_MAX).min(self.began + KEPT_MAX)
    }
}

/// A state that is read piece by piece.
struct Stream {
    /// Nothing once all of it is read.
    state: Option<Box<dyn Read + Send>>,
    /// The bytes before the last piece, which can be read once more.
    last_offset: u64,
    last: Option<BackupPiece>,
    crc: crc32fast::Hasher,
}

impl Stream {
    fn new(state: Box<dyn Read + Send>) -> Self {
        Self { state: Some(state), last_offset: 0, last: None, crc: crc32fast::Hasher::new() }
    }

    /// The piece at an offset: the next one, or the last one once more.
    fn piece(&mut self, offset: u64) -> RpcResult<BackupPiece> {
        let next_offset = match &self.last {
            Some(piece) if offset == self.last_offset => return Ok(piece.clone()),
            Some(piece) => self.last_offset + piece.data.0.len() as u64,
            None => 0,
        };
        let Some(state) = self.state.as_mut().filter(|_| offset == next_offset) else {
            let message = format!("`offset` must be {next_offset} or {}, not {offset}", self.last_offset);
            return Err(RpcError::new(Code::OutOfRange, message).not_executed());
        };
        let mut data = Vec::with_capacity(PIECE_BYTES);
        if let Err(error) = state.take(PIECE_BYTES as u64).read_to_end(&mut data) {
            return Err(RpcError::new(Code::DataLoss, format!("the state cannot be read: {error}")));
        }
        let last = data.len() < PIECE_BYTES;
        if last {
            self.state = None;
        }
        self.crc.update(&data);
        let piece = BackupPiece { data: SnapshotBytes(data.into()), crc: self.crc.clone().finalize(), last };
        (self.last_offset, self.last) = (offset, Some(piece.clone()));
        Ok(piece)
    }
}

async fn read_index(at: At) -> Result<Index, ReplyErr> {
    match at {
        At::Here(rsm) => rsm.read_index().await,
        At::There(stub) => Ok(stub.read_index().await?.index),
    }
}

#[traitwire::async_trait]
impl Backup for Front {
    async fn begin(&self) -> RpcResult<BackupReply> {
        let place = self.backups.reserve()?;
        let index = self.at_leader(0, read_index).await?;
        let Frozen { meta, state, bytes_estimate } =
            self.rsm.freeze(index, Instant::now() + CATCH_UP_MAX).await?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = BackupHeader {
            cluster: self.rsm.raft().cluster().to_owned(),
            revision: meta.last_index,
            term: meta.last_term,
            membership: *meta.membership,
            node: self.id,
            time_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        };
        let backup = self.backups.insert(place, state);
        let revision = header.revision;
        log(|| tracing::info!(backup, revision, "began a backup"));
        let state_check = self.rsm.state_check();
        Ok(BackupReply { backup, header, state_bytes_estimate: bytes_estimate, state_check })
    }

    async fn read(&self, args: ReadBackupArgs) -> RpcResult<BackupPiece> {
        self.backups.read(self, args).await
    }

    async fn end(&self, args: EndBackupArgs) -> RpcResult<()> {
        let backup = args.backup;
        if self.backups.running().remove(&backup).is_some() {
            log(|| tracing::info!(backup, "ended a backup"));
        }
        Ok(())
    }
}

fn log(write: impl FnOnce()) {
    if LOG.permit().is_some() {
        write();
    }
}

/// Nothing is left half done by a panic under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn stream(bytes: usize) -> (Vec<u8>, Stream) {
        let state: Vec<u8> = (0..bytes).map(|place| place.to_le_bytes()[0]).collect();
        (state.clone(), Stream::new(Box::new(std::io::Cursor::new(state))))
    }

    #[test]
    fn each_piece_can_be_read_again_until_the_next_one_is() {
        for bytes in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 9] {
            let (state, mut stream) = stream(bytes);
            let mut read = Vec::new();
            loop {
                let offset = read.len() as u64;
                let piece = stream.piece(offset).unwrap();
                assert_eq!(stream.piece(offset).unwrap(), piece, "it is lost on its way and asked for again");
                for elsewhere in
                    [offset + 1, u64::MAX].into_iter().filter(|it| *it != offset + piece.data.0.len() as u64)
                {
                    assert_eq!(stream.piece(elsewhere).unwrap_err().code(), Code::OutOfRange);
                }
                read.extend(&piece.data.0);
                assert_eq!(piece.crc, crc32fast::hash(&read));
                if piece.last {
                    break;
                }
            }
            assert!(read == state, "{bytes}");
        }
    }

    fn insert(backups: &Arc<Backups>) -> u64 {
        backups.insert(backups.reserve().unwrap(), Box::new(std::io::empty()))
    }

    #[tokio::test(start_paused = true)]
    async fn backups_are_few_and_end_when_nobody_reads_them() {
        let backups = Arc::new(Backups::default());
        let (first, second) = (insert(&backups), insert(&backups));
        let refused = backups.reserve().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.executed(), traitwire::Executed::No);

        sleep(IDLE_MAX / 2).await;
        backups.running()[&second].touch();
        sleep(IDLE_MAX / 2 + Duration::from_millis(1)).await;
        assert!(!backups.running().contains_key(&first), "nobody has read it");
        assert!(backups.running().contains_key(&second), "it was read");
        let third = insert(&backups);
        assert!(backups.running().contains_key(&third));

        // However often it is read, a backup ends.
        let kept = backups.running()[&second].began + KEPT_MAX;
        while Instant::now() < kept {
            assert!(backups.running().contains_key(&second));
            backups.running()[&second].touch();
            sleep(IDLE_MAX / 2).await;
        }
        sleep(Duration::from_millis(1)).await;
        assert!(backups.running().is_empty());
        assert_eq!(backups.places.available_permits(), BACKUPS_MAX);
    }

    /// A node that has ended leaves no task behind.
    #[tokio::test(start_paused = true)]
    async fn backups_end_with_their_node() {
        let backups = Arc::new(Backups::default());
        insert(&backups);
        let places = backups.places.clone();
        drop(backups);
        assert_eq!(places.available_permits(), BACKUPS_MAX);
    }
}
