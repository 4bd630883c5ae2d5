//! The attacks, each a kind of abuse that one caller can commit. They are bounded in what they send: what they must not
//! bring down is the service, and any machine can be kept busy by enough traffic.

mod bodies;
mod peers;
mod replies;
mod sockets;
mod text;

use std::sync::Arc;

use clap::ValueEnum;

use crate::wire::Targets;

/// The key under which the suite stores [`BIG_VALUE_BYTES`], for replies that are much larger than their requests.
pub(crate) const BIG_KEY: &str = "big";
pub(crate) const BIG_VALUE_BYTES: usize = 3_000_000;
/// The same for attacks that try how much is held, and not how fast a machine can copy.
pub(crate) const MEDIUM_KEY: &str = "medium";
pub(crate) const MEDIUM_VALUE_BYTES: usize = 300_000;
/// The key that only refused requests try to write.
pub(crate) const FORBIDDEN_KEY: &str = "forbidden";

/// A kind of abuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Names of methods, fields, variants and keys that are very long.
    LongNames,
    /// Long and strange ids of JSON-RPC requests, which replies repeat.
    LongIds,
    /// Values nested a hundred thousand deep.
    DeepJson,
    /// Numbers with a great many digits, or beyond what a number can be.
    HugeNumbers,
    /// Batches of a thousand gets of 3 MB.
    ReplyFlood,
    /// Batches of 4,096 calls of `rpc.discover`.
    DiscoverFlood,
    /// 200 clients that ask for 30 MB each and never read.
    UnreadReplies,
    /// Clients that send requests one after the other and never read.
    UnreadPipeline,
    /// Bodies in chunks of one byte.
    OneByteChunks,
    /// Heads that arrive slowly and never end.
    SlowHeads,
    /// Bodies that arrive slowly and never end.
    SlowBodies,
    /// Large bodies that lack their last byte.
    HeldBodies,
    /// More idle connections than a node may have descriptors.
    IdleFlood,
    /// Connections that are opened and reset.
    Churn,
    /// Requests whose sender closes its side at once, in the middle or at the end.
    HalfClosed,
    /// Long rows of requests sent without waiting for replies.
    Pipelining,
    /// Heads with many, long and strange header lines.
    HeaderFlood,
    /// Bytes that are not HTTP.
    Garbage,
    /// Large batches of puts, sent to every node.
    SlowBatches,
    /// Large batches whose sender leaves at once.
    DroppedBatches,
    /// Messages that no peer can mean, in the name of peers.
    RaftGarbage,
    /// Commands, questions and tickets that are not valid.
    RsmGarbage,
    /// Sessions by the thousand, and commands under the ids of other sessions.
    SessionFlood,
    /// What web pages of other sites can make a browser send.
    CrossSite,
}

impl Attack {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("no variant is skipped").get_name().to_owned()
    }

    /// Attacks until it is dropped.
    pub(crate) async fn run(self, targets: Arc<Targets>) {
        match self {
            Self::LongNames => text::long_names(targets).await,
            Self::LongIds => text::long_ids(targets).await,
            Self::DeepJson => text::deep_json(targets).await,
            Self::HugeNumbers => text::huge_numbers(targets).await,
            Self::CrossSite => text::cross_site(targets).await,
            Self::ReplyFlood => replies::reply_flood(targets).await,
            Self::DiscoverFlood => replies::discover_flood(targets).await,
            Self::UnreadReplies => replies::unread_replies(targets).await,
            Self::UnreadPipeline => replies::unread_pipeline(targets).await,
            Self::SlowBatches => replies::slow_batches(targets).await,
            Self::DroppedBatches => replies::dropped_batches(targets).await,
            Self::OneByteChunks => bodies::one_byte_chunks(targets).await,
            Self::SlowHeads => bodies::slow_heads(targets).await,
            Self::SlowBodies => bodies::slow_bodies(targets).await,
            Self::HeldBodies => bodies::held_bodies(targets).await,
            Self::IdleFlood => sockets::idle_flood(targets).await,
            Self::Churn => sockets::churn(targets).await,
            Self::HalfClosed => sockets::half_closed(targets).await,
            Self::Pipelining => sockets::pipelining(targets).await,
            Self::HeaderFlood => sockets::header_flood(targets).await,
            Self::Garbage => sockets::garbage(targets).await,
            Self::RaftGarbage => peers::raft_garbage(targets).await,
            Self::RsmGarbage => peers::rsm_garbage(targets).await,
            Self::SessionFlood => peers::session_flood(targets).await,
        }
    }
}
