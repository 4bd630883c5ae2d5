//! Messages to the methods that nodes and clients of the cluster use: what none of them can mean.
//!
//! Peers are not authenticated yet, so that a forged message of the right form is believed: a leader that calls for an election
//! in the name of another one is no subject here. Everything here is wrong in itself.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::FORBIDDEN_KEY;
use crate::wire::{Targets, batch, post, repeat};

/// Sends what `request` makes of each number, to every node in turn, and at the pace of a busy client.
async fn send_made(
    targets: Arc<Targets>,
    every: Duration,
    request: impl Fn(&Targets, u64) -> Vec<u8> + Send + Sync + 'static,
) {
    let request = Arc::new(request);
    repeat(4, every, move |number| {
        let (targets, request) = (Arc::clone(&targets), Arc::clone(&request));
        async move {
            let bytes = request(&targets, number);
            targets.exchange(targets.node(number).1, &bytes).await;
        }
    })
    .await;
}

pub(super) async fn raft_garbage(targets: Arc<Targets>) {
    send_made(targets, Duration::from_millis(40), |targets, number| {
        let (to, _) = targets.node(number);
        // In the name of the leader where that is another node, otherwise of any other.
        let others: Vec<_> = targets.nodes.iter().map(|(id, _)| *id).filter(|id| *id != to).collect();
        let from = if to == targets.leader_id { others[0] } else { targets.leader_id };
        let cases = raft_cases(targets.term, from, to);
        let turn =
            usize::try_from(number / targets.nodes.len() as u64).expect("a test does not run for ages");
        let (method, message) = &cases[turn % cases.len()];
        post(&format!("/raft.{method}"), &message.to_string())
    })
    .await;
}

/// Messages that are wrong, whoever sends them.
fn raft_cases(term: u64, from: u64, to: u64) -> Vec<(&'static str, Value)> {
    let sender = json!({ "cluster": "traitwire", "protocol": 1, "from": from, "to": to });
    let message = |args: Value| json!({ "sender": sender, "args": args });
    let vote = |term: Value| {
        message(json!({ "term": term, "last_index": u64::MAX, "last_term": term, "transfer": false }))
    };
    let append = |term: u64, prev: (u64, u64), entries: Value, commit: u64| {
        let (prev_index, prev_term) = prev;
        message(json!({ "term": term, "round": u64::MAX, "prev_index": prev_index, "prev_term": prev_term,
            "entries": entries, "commit": commit }))
    };
    let install = |term: u64, last_index: u64, offset: u64, data: &str, voters: Value| {
        let snapshot =
            json!({ "last_index": last_index, "last_term": term, "membership": { "voters": voters } });
        message(json!({ "term": term, "round": u64::MAX, "snapshot": snapshot, "offset": offset,
            "data": data, "last": true }))
    };
    let entry = |term: u64, payload: Value| json!({ "term": term, "payload": payload });
    let garbage = || json!({ "command": { "no such command": [1, 2, 3] } });
    let far = u64::MAX >> 1;
    let noise = "bm9pc2U=".repeat(1_000);
    let mut cases = vec![
        ("pre_vote", vote(json!(far))),
        ("request_vote", vote(json!(far))),
        ("request_vote", vote(json!(far - 1_000_000))),
        ("request_vote", vote(json!(1_u64 << 62))),
        ("request_vote", vote(json!(u64::MAX))),
        ("request_vote", vote(json!(0))),
        ("append_entries", append(far, (0, 0), json!([]), far)),
        ("append_entries", append(1 << 60, (0, 0), json!([entry(1 << 60, garbage())]), far)),
        ("append_entries", append(term, (far, term), json!([entry(term, garbage())]), far)),
        ("append_entries", append(term, (0, 0), json!([entry(term, garbage())]), 0)),
        ("append_entries", append(term, (u64::MAX, term), json!([entry(term, garbage())]), u64::MAX)),
        ("append_entries", append(term, (1, term), json!([entry(term, json!({ "command": null }))]), 0)),
        ("append_entries", append(term, (1, term), json!([entry(term, json!("garbage"))]), 0)),
        ("append_entries", append(term, (5, term), json!([entry(term + 1, json!("blank"))]), 0)),
        (
            "append_entries",
            append(term, (5, term), json!([entry(term, json!({ "membership": { "voters": [] } }))]), 0),
        ),
        ("install_snapshot", install(far, far, 0, &noise, json!([1, 2, 3]))),
        ("install_snapshot", install(term, far, 0, &noise, json!([1, 2, 3]))),
        ("install_snapshot", install(term, 1 << 40, 0, &noise, json!([1, 2, 3]))),
        ("install_snapshot", install(term, 1 << 40, 0, "", json!([1, 2, 3]))),
        ("install_snapshot", install(term, 1 << 40, u64::MAX, &noise, json!([1, 2, 3]))),
        ("install_snapshot", install(term, 1 << 40, 0, "not base64!", json!([1, 2, 3]))),
        ("install_snapshot", install(term, 1 << 40, 0, &noise, json!([]))),
        ("install_snapshot", install(term, 1 << 40, 0, &noise, json!([7, 8, 9]))),
        ("timeout_now", message(json!({ "term": far }))),
        ("timeout_now", message(json!({ "term": term + 1 }))),
    ];
    let strangers = [
        ("cluster", json!("another")),
        ("cluster", json!("c".repeat(100_000))),
        ("cluster", json!("\u{1b}[2J\n".repeat(1_000))),
        ("protocol", json!(u32::MAX)),
        ("from", json!(to)),
        ("from", json!(0)),
        ("from", json!(u64::MAX)),
        ("to", json!(from)),
    ];
    for (field, value) in strangers {
        let mut stranger = vote(json!(term + 1));
        stranger["sender"][field] = value;
        cases.push(("request_vote", stranger));
    }
    cases
}

pub(super) async fn rsm_garbage(targets: Arc<Targets>) {
    let long = "x".repeat(300_000);
    let put = json!({ "put": { "key": FORBIDDEN_KEY, "value": "x", "version": 0 } });
    let key_of = |bytes: usize| json!({ "put": { "key": "k".repeat(bytes), "value": "x", "version": 0 } });
    let commands = [
        json!(null),
        json!(7),
        json!({}),
        json!({ "put": {} }),
        json!({ "put": { "key": "", "value": "x", "version": 0 } }),
        json!({ "put": { "key": "a", "value": null, "version": 0 } }),
        json!({ "put": { "key": "a", "value": "x", "version": -1 } }),
        json!({ "put": ["a", "x", 0] }),
        key_of(65_537),
        key_of(1_000_000),
        json!({ "erase": { "key": "a" } }),
        json!({ long.as_str(): 1 }),
    ];
    let mut requests = Vec::new();
    for command in &commands {
        requests.push(post("/rsm.submit", &json!({ "command": command }).to_string()));
        requests.push(post("/rsm.query", &json!({ "question": command }).to_string()));
    }
    for (session, number, below) in
        [(0, 1, 1), (1, 1, 1), (u64::MAX, u64::MAX, u64::MAX), (7, u64::MAX, 0), (9, 0, u64::MAX)]
    {
        let ticket = json!({ "session": session, "number": number, "answered_below": below });
        requests.push(post("/rsm.submit", &json!({ "ticket": ticket, "command": put }).to_string()));
    }
    send_made(targets, Duration::from_millis(40), move |targets, number| {
        let turn =
            usize::try_from(number / targets.nodes.len() as u64).expect("a test does not run for ages");
        requests[turn % requests.len()].clone()
    })
    .await;
}

/// Session after session, more than a server can remember, and commands in the name of sessions of others.
pub(super) async fn session_flood(targets: Arc<Targets>) {
    const SESSIONS: usize = 4_000;
    const GUESSES: u64 = 500;
    let open = Arc::new(post("/", &batch(SESSIONS, "rsm.open_session", "{}")));
    let guess = |session: u64| {
        let ticket = json!({ "session": session, "number": 1_u64 << 40, "answered_below": 1_u64 << 40 });
        let command = json!({ "put": { "key": FORBIDDEN_KEY, "value": "x", "version": 7 } });
        let params = json!({ "ticket": ticket, "command": command });
        json!({ "jsonrpc": "2.0", "method": "rsm.submit", "id": session, "params": params })
    };
    repeat(2, Duration::from_secs(1), move |number| {
        let (targets, open) = (Arc::clone(&targets), Arc::clone(&open));
        async move {
            if number % 2 == 0 {
                targets.exchange(targets.leader, &open).await;
            } else {
                // Ids that could be guessed from the length of the log.
                let first = number / 2 * GUESSES;
                let guesses: Vec<_> = (first..first + GUESSES).map(guess).collect();
                targets.exchange(targets.leader, &post("/", &Value::from(guesses).to_string())).await;
            }
        }
    })
    .await;
}
