//! Heads and bodies that arrive in tiny pieces, slowly, or never to their end.

use std::sync::Arc;
use std::time::Duration;

use super::BIG_VALUE_BYTES;
use crate::wire::{Targets, head, repeat};

/// How often something more arrives of what arrives slowly.
const TRICKLE_EVERY: Duration = Duration::from_millis(500);
/// When a connection that the server has ended is replaced.
const AGAIN_EVERY: Duration = Duration::from_millis(100);

/// A body in chunks of one byte that does not end, at the leader. It is less than 2 MB of traffic, and all that a server may hold
/// of bodies if it charges a kilobyte for a chunk.
pub(super) async fn one_byte_chunks(targets: Arc<Targets>) {
    const CHUNKS: usize = (256 << 10) - 2;
    const CHUNKS_AT_ONCE: usize = 5_000;
    const CHUNK: &str = "1\r\n \r\n";
    let piece = Arc::new(CHUNK.repeat(CHUNKS_AT_ONCE));
    repeat(1, AGAIN_EVERY, move |_| {
        let (targets, piece) = (Arc::clone(&targets), Arc::clone(&piece));
        async move {
            let Ok(mut connection) = targets.connect(targets.leader).await else { return };
            if connection.send(head("/put", "transfer-encoding: chunked").as_bytes()).await.is_err() {
                return;
            }
            let mut left = CHUNKS;
            while left > 0 {
                let chunks = left.min(CHUNKS_AT_ONCE);
                if connection.send(&piece.as_bytes()[..chunks * CHUNK.len()]).await.is_err() {
                    return;
                }
                left -= chunks;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _refused = connection.drain().await;
        }
    })
    .await;
}

/// Opens `connections`, sends this on each, and then a byte of `rest` in turn for as long as the server takes it.
async fn trickle(targets: Arc<Targets>, connections: u64, begin: String, rest: &'static [u8]) {
    let begin = Arc::new(begin);
    repeat(connections, AGAIN_EVERY, move |number| {
        let (targets, begin) = (Arc::clone(&targets), Arc::clone(&begin));
        async move {
            let Ok(mut connection) = targets.connect(targets.node(number).1).await else { return };
            if connection.send(begin.as_bytes()).await.is_err() {
                return;
            }
            for byte in rest.iter().cycle() {
                tokio::time::sleep(TRICKLE_EVERY).await;
                if connection.send(&[*byte]).await.is_err() || connection.drain_ready().is_err() {
                    return;
                }
            }
        }
    })
    .await;
}

pub(super) async fn slow_heads(targets: Arc<Targets>) {
    trickle(targets, 300, "POST /get HTTP/1.1\r\nhost: 127.0.0.1\r\n".to_owned(), b"a: b\r\n").await;
}

pub(super) async fn slow_bodies(targets: Arc<Targets>) {
    trickle(targets, 300, head("/put", "content-length: 4000000"), b" ").await;
}

pub(super) async fn held_bodies(targets: Arc<Targets>) {
    // They arrive one after the other: what is tried is how much is held, not how fast a machine can copy.
    const ARRIVAL: Duration = Duration::from_millis(1_800);
    let body = " ".repeat(BIG_VALUE_BYTES);
    let request = head("/put", &format!("content-length: {}", body.len() + 1)) + &body;
    let request = Arc::new(request.into_bytes());
    repeat(100, ARRIVAL, move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            // Most of them at the leader: together more than a server may hold.
            let to = if number % 4 == 0 { targets.node(number / 4).1 } else { targets.leader };
            if let Ok(mut connection) = targets.connect(to).await
                && connection.send(&request).await.is_ok()
            {
                let _refused = connection.drain().await;
            }
        }
    })
    .await;
}
