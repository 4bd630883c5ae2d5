//! Small requests with large or many replies, read or not.

use std::sync::Arc;
use std::time::Duration;

use super::{BIG_KEY, MEDIUM_KEY};
use crate::wire::{Targets, batch, head, post, repeat};

fn get_big() -> String {
    format!(r#"{{"key":"{BIG_KEY}"}}"#)
}

fn get_medium() -> String {
    format!(r#"{{"key":"{MEDIUM_KEY}"}}"#)
}

pub(super) async fn reply_flood(targets: Arc<Targets>) {
    let request = Arc::new(post("/", &batch(1_000, "get", &get_big())));
    repeat(1, Duration::from_secs(1), move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move { targets.exchange(targets.node(number).1, &request).await }
    })
    .await;
}

pub(super) async fn discover_flood(targets: Arc<Targets>) {
    let request = Arc::new(post("/", &batch(4_096, "rpc.discover", "{}")));
    repeat(2, Duration::from_secs(1), move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move { targets.exchange(targets.node(number).1, &request).await }
    })
    .await;
}

pub(super) async fn unread_replies(targets: Arc<Targets>) {
    const CLIENTS: u64 = 200;
    let body = batch(100, "get", &get_medium());
    let request = head("/", &format!("content-length: {}", body.len())) + &body;
    let request = Arc::new(request.into_bytes());
    repeat(CLIENTS, Duration::from_millis(1_800), move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            // Most of them at the leader.
            let to = if number % 4 == 0 { targets.node(number / 4).1 } else { targets.leader };
            if let Ok(mut connection) = targets.connect_unread(to).await
                && connection.send(&request).await.is_ok()
            {
                connection.hold().await;
            }
        }
    })
    .await;
}

pub(super) async fn unread_pipeline(targets: Arc<Targets>) {
    const CLIENTS: u64 = 100;
    let (medium, small) = (get_medium(), r#"{"key":"a"}"#.to_owned());
    let request = |body: String| head("/get", &format!("content-length: {}", body.len())) + &body;
    let documents = "GET /_schema/docs HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let row = Arc::new(
        (request(small.clone()).repeat(100) + documents + &request(small).repeat(100) + &request(medium))
            .repeat(20)
            .into_bytes(),
    );
    repeat(CLIENTS, Duration::from_millis(1_800), move |number| {
        let (targets, row) = (Arc::clone(&targets), Arc::clone(&row));
        async move {
            if let Ok(mut connection) = targets.connect_unread(targets.node(number).1).await
                && connection.send(&row).await.is_ok()
            {
                connection.hold().await;
            }
        }
    })
    .await;
}

/// Puts that are refused in the end, each after the log has taken it.
pub(super) async fn slow_batches(targets: Arc<Targets>) {
    let put = r#"{"key":"absent","value":"x","version":7}"#;
    let requests = [post("/", &batch(500, "put", put)), post("/", &batch(4_096, "get", r#"{"key":"a"}"#))];
    let requests = Arc::new(requests);
    repeat(6, Duration::from_secs(1), move |number| {
        let (targets, requests) = (Arc::clone(&targets), Arc::clone(&requests));
        async move { targets.exchange(targets.node(number).1, &requests[usize::from(number % 6 == 5)]).await }
    })
    .await;
}

pub(super) async fn dropped_batches(targets: Arc<Targets>) {
    let requests = [batch(2_000, "get", r#"{"key":"a"}"#), batch(500, "get", &get_big())]
        .map(|body| (head("/", &format!("content-length: {}", body.len())) + &body).into_bytes());
    let requests = Arc::new(requests);
    repeat(4, Duration::from_millis(250), move |number| {
        let (targets, requests) = (Arc::clone(&targets), Arc::clone(&requests));
        async move {
            if let Ok(mut connection) = targets.connect(targets.node(number).1).await {
                let _sent = connection.send(&requests[usize::from(number % 8 == 0)]).await;
                // With what comes unread, dropping the connection resets it.
                let _first = connection.stream.readable().await;
            }
        }
    })
    .await;
}
