//! Abuse of connections and of HTTP itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::DESCRIPTORS_MAX;
use crate::wire::{Targets, head, post, post_with, repeat};

fn small_get() -> String {
    let body = r#"{"key":"a"}"#;
    head("/get", &format!("content-length: {}", body.len())) + body
}

/// Half again as many connections to each node as it can have open. Every other one has made a request before.
///
/// Puts fill the log meanwhile: a node needs descriptors of its own for the next segment.
pub(super) async fn idle_flood(targets: Arc<Targets>) {
    tokio::join!(puts(Arc::clone(&targets)), idle_connections(targets));
}

/// Five megabytes a second, on a connection that was there before the flood.
async fn puts(targets: Arc<Targets>) {
    const EVERY: Duration = Duration::from_millis(20);
    let body = format!(r#"{{"key":"large","value":"{}","version":7}}"#, "v".repeat(100_000));
    let request = Arc::new(head("/put", &format!("content-length: {}", body.len())) + &body);
    repeat(1, EVERY, move |_| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            let Ok(mut connection) = targets.connect(targets.leader).await else { return };
            while connection.send(request.as_bytes()).await.is_ok() && connection.drain_ready().is_ok() {
                tokio::time::sleep(EVERY).await;
            }
        }
    })
    .await;
}

async fn idle_connections(targets: Arc<Targets>) {
    let connections = targets.nodes.len() as u64 * (DESCRIPTORS_MAX as u64 * 3 / 2);
    let own = own_descriptors_max();
    assert!(own > connections + 20, "this attack needs {connections} descriptors, and may have {own}");
    let request = Arc::new(small_get().into_bytes());
    repeat(connections, Duration::from_secs(1), move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            let Ok(mut connection) = targets.connect(targets.node(number).1).await else { return };
            if number % 2 == 0 && connection.send(&request).await.is_err() {
                return;
            }
            let _ended = connection.drain().await;
        }
    })
    .await;
}

/// How many descriptors this process may have open.
fn own_descriptors_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("this process runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).expect("Linux reports the limit");
    soft.parse().unwrap_or(u64::MAX)
}

pub(super) async fn churn(targets: Arc<Targets>) {
    let request = Arc::new(small_get().into_bytes());
    repeat(6, Duration::from_millis(20), move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            let Ok(mut connection) = targets.connect(targets.node(number).1).await else { return };
            if number % 3 != 0 && connection.send(&request).await.is_ok() && number % 3 == 1 {
                // With the reply unread, dropping the connection resets it.
                let _replied = connection.stream.readable().await;
            }
        }
    })
    .await;
}

pub(super) async fn half_closed(targets: Arc<Targets>) {
    let request = Arc::new(small_get().into_bytes());
    repeat(30, Duration::from_millis(300), move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            let Ok(mut connection) = targets.connect(targets.node(number).1).await else { return };
            let parts = [0, 5, request.len() / 2, request.len() - 1, request.len()];
            let part = parts[usize::try_from(number % 5).expect("a remainder fits")];
            if connection.send(&request[..part]).await.is_ok() && connection.stream.shutdown().await.is_ok() {
                let _replied = tokio::time::timeout(Duration::from_secs(1), connection.drain()).await;
            }
        }
    })
    .await;
}

pub(super) async fn pipelining(targets: Arc<Targets>) {
    const REQUESTS: usize = 300;
    let status = "GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let wrong = "DELETE /status HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let close = "GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    let rows = [small_get(), status.to_owned(), format!("{}{wrong}", small_get())];
    let rows = Arc::new(rows.map(|row| (row.repeat(REQUESTS) + close).into_bytes()));
    repeat(4, Duration::from_secs(1), move |number| {
        let (targets, rows) = (Arc::clone(&targets), Arc::clone(&rows));
        async move {
            let row = &rows[usize::try_from(number % 3).expect("a remainder fits")];
            targets.exchange(targets.node(number).1, row).await;
        }
    })
    .await;
}

pub(super) async fn header_flood(targets: Arc<Targets>) {
    let lines = |count: usize, bytes: usize| -> String {
        (0..count).map(|number| format!("x-{number}: {}\r\n", "v".repeat(bytes))).collect()
    };
    let body = br#"{"key":"a"}"#;
    let mut requests = vec![
        post_with("/get", &lines(90, 4_000), body),
        post_with("/get", &lines(10_000, 10), body),
        post_with("/get", &lines(1, 2_000_000), body),
        post_with("/get", &"connect-timeout-ms: 1\r\n".repeat(50), body),
        post_with("/get", &format!("traceparent: {}\r\n", "0".repeat(300_000)), body),
        post_with("/get", &format!("x-client-id: {}\r\n", "9".repeat(300_000)), body),
        post_with("/get", &format!("x-traitwire-schema: {}\r\n", "\u{ff}".repeat(100_000)), body),
        post_with("/get", &format!("content-type: {}\r\n", "a/b;".repeat(50_000)), body),
        post_with("/get", &format!("{}: 1\r\n", "n".repeat(300_000)), body),
        post_with("/get", "content-encoding: gzip\r\n", &[0; 100_000]),
        post_with("/get", "content-type: application/proto\r\n", body),
    ];
    requests.push(post(&format!("/get?{}", "q=1&".repeat(10_000)), r#"{"key":"a"}"#));
    let requests = Arc::new(requests);
    repeat(4, Duration::from_millis(100), move |number| {
        let (targets, requests) = (Arc::clone(&targets), Arc::clone(&requests));
        async move {
            let place = usize::try_from(number % requests.len() as u64).expect("a remainder fits");
            targets.exchange(targets.node(number / 3).1, &requests[place]).await;
        }
    })
    .await;
}

pub(super) async fn garbage(targets: Arc<Targets>) {
    let mut random = fastrand::Rng::with_seed(13);
    let mut noise = |bytes: usize| std::iter::repeat_with(|| random.u8(..)).take(bytes).collect::<Vec<_>>();
    let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let inputs = Arc::new(vec![
        noise(100),
        noise(100_000),
        tls_hello,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\r\n".repeat(50_000),
        vec![0; 200_000],
        b"POST / HTTP/1.1\r\ncontent-length: 18446744073709551616\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_vec(),
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;"
            .iter()
            .copied()
            .chain(noise(50_000))
            .collect(),
    ]);
    repeat(6, Duration::from_millis(50), move |number| {
        let (targets, inputs) = (Arc::clone(&targets), Arc::clone(&inputs));
        async move {
            let place = usize::try_from(number % inputs.len() as u64).expect("a remainder fits");
            let Ok(mut connection) = targets.connect(targets.node(number / 10).1).await else { return };
            if connection.send(&inputs[place]).await.is_ok() {
                let _answer = tokio::time::timeout(Duration::from_millis(300), connection.drain()).await;
            }
        }
    })
    .await;
}
