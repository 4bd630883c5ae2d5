//! Every bound of a server, by name.

use std::time::Duration;

/// What a server holds at most, and how long it waits; past a limit the caller gets `resource_exhausted` or
/// `deadline_exceeded`, or a connection that never said anything is closed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one request body. 4 MiB.
    pub body_bytes: usize,
    /// Bytes of all request bodies held at once, each until the last call that came in it has ended. 256 MiB.
    pub bodies_bytes: usize,
    /// Bytes of a body over its limit that are read and dropped, so that the refusal can be read. 64 MiB.
    pub refused_body_bytes: usize,
    /// Calls of one JSON-RPC batch. 4,096.
    pub batch_items: usize,
    /// Calls under way at once, those of callers that have left included. 16,384.
    pub concurrent_calls: usize,
    /// Open connections; past it the one that is idle for longest makes room. 10,000.
    pub connections: usize,
    /// How long a head may take to arrive, and how long a connection may be idle. 30 s.
    pub header_timeout: Duration,
    /// How long a body may take to arrive. 10 s.
    pub body_timeout: Duration,
    /// How long a shutdown waits for calls that are under way. 4 s.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            bodies_bytes: 256 << 20,
            refused_body_bytes: 64 << 20,
            batch_items: 4_096,
            concurrent_calls: 16_384,
            connections: 10_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(4),
        }
    }
}
