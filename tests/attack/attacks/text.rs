//! Hostile text: long names, ids and numbers, deep values, and requests that come from web pages.

use std::sync::Arc;
use std::time::Duration;

use super::FORBIDDEN_KEY;
use crate::wire::{Targets, call, post, post_with, repeat};

/// How often each worker sends a text of up to a few megabytes.
const EVERY: Duration = Duration::from_millis(250);
const WORKERS: u64 = 4;

/// Sends these requests in turn, to every node.
async fn send_all(targets: Arc<Targets>, requests: Vec<Vec<u8>>, every: Duration) {
    let requests = Arc::new(requests);
    repeat(WORKERS, every, move |number| {
        let (targets, requests) = (Arc::clone(&targets), Arc::clone(&requests));
        async move {
            let (turn, place) = (number / requests.len() as u64, number % requests.len() as u64);
            let request = &requests[usize::try_from(place).expect("a remainder of a length fits")];
            // Each request reaches each node in the end, whatever the lengths of the two lists are.
            let (_, node) = targets.node(turn + number);
            targets.exchange(node, request).await;
        }
    })
    .await;
}

pub(super) async fn long_names(targets: Arc<Targets>) {
    let name = |bytes: usize| "m".repeat(bytes);
    // Nearly the name of a method, so that a comparison with it is not over at once.
    let near = |bytes: usize| format!("raft.append_entries{}", "é".repeat(bytes / 2));
    let quoted = |name: &str| format!("\"{name}\"");
    let shorts: Vec<_> =
        (0..500).map(|id| call(&quoted(&format!("{id}{}", name(2_000))), "{}", &id.to_string())).collect();
    let mut requests = vec![
        post("/", &call(&quoted(&name(200_000)), "{}", "1")),
        post("/", &call(&quoted(&near(3_900_000)), "{}", "1")),
        post("/", &format!("[{}]", shorts.join(","))),
        post(&format!("/{}", name(60_000)), "{}"),
        post(&format!("/raft.{}", name(300_000)), "{}"),
        post("/get", &format!(r#"{{"key":"a","{}":1}}"#, name(1_000_000))),
        post("/put", &format!(r#"{{"key":"a","{}":1}}"#, near(3_900_000))),
        post("/get", &format!(r#"{{"key":"{}"}}"#, name(3_900_000))),
        post("/put", &format!(r#"{{"key":"{}","value":"","version":7}}"#, name(65_536))),
        post("/rsm.query", &format!(r#"{{"question":{{"{}":{{}}}}}}"#, name(1_000_000))),
        post("/rsm.submit", &format!(r#"{{"command":{{"{}":{{}}}}}}"#, near(1_000_000))),
    ];
    let many_fields: Vec<_> = (0..20_000).map(|number| format!("\"keyy{number}\":0")).collect();
    requests.push(post("/get", &format!("{{{}}}", many_fields.join(","))));
    send_all(targets, requests, EVERY).await;
}

pub(super) async fn long_ids(targets: Arc<Targets>) {
    let get = r#"{"key":"a"}"#;
    let with_id = |id: String| call("\"get\"", get, &id);
    let of_each: Vec<_> = (0..3_000).map(|number| with_id(format!("\"{number:i>1000}\""))).collect();
    let requests = vec![
        post("/", &with_id(format!("\"{}\"", "i".repeat(1_000_000)))),
        post("/", &with_id(format!("\"{}\"", "\\u0000".repeat(600_000)))),
        post("/", &with_id("9".repeat(1_000_000))),
        post("/", &with_id(format!("-0.{}e5", "1".repeat(1_000_000)))),
        post("/", &with_id(format!("[{}]", "1,".repeat(100_000)))),
        post("/", &with_id(format!(" {} ", " ".repeat(1_000_000)))),
        post("/", &format!("[{}]", of_each.join(","))),
    ];
    send_all(targets, requests, EVERY).await;
}

pub(super) async fn deep_json(targets: Arc<Targets>) {
    const DEPTH: usize = 100_000;
    let array = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let object = format!("{}1{}", r#"{"key":"#.repeat(DEPTH), "}".repeat(DEPTH));
    let open = "[{\"a\":".repeat(DEPTH);
    let mut requests = Vec::new();
    for deep in [&array, &object, &open] {
        for path in ["/", "/get", "/put", "/raft.append_entries", "/rsm.submit"] {
            requests.push(post(path, deep));
        }
        requests.push(post("/", &call("\"get\"", deep, "1")));
        requests.push(post("/", &call("\"get\"", "{}", deep)));
        requests.push(post("/get", &format!(r#"{{"key":{deep}}}"#)));
        requests.push(post("/get", &format!(r#"{{"key":"a","unknown":{deep}}}"#)));
        requests.push(post("/rsm.submit", &format!(r#"{{"command":{deep}}}"#)));
        requests.push(post("/rsm.query", &format!(r#"{{"question":{deep}}}"#)));
    }
    send_all(targets, requests, EVERY).await;
}

pub(super) async fn huge_numbers(targets: Arc<Targets>) {
    let digits = "9".repeat(1_000_000);
    let numbers = [
        &digits,
        &format!("-{digits}"),
        &format!("0.{digits}"),
        &format!("1e{digits}"),
        "1e400",
        "-1e400",
        "1e-400",
        "18446744073709551616",
        "-9223372036854775809",
        "1.7976931348623159e308",
    ];
    let mut requests = Vec::new();
    for number in numbers {
        let put = format!(r#"{{"key":"number","value":"x","version":{number}}}"#);
        requests.push(post("/put", &put));
        requests.push(post("/", &call("\"put\"", &put, number)));
        requests.push(post("/", &call("\"put\"", &format!(r#"["number","x",{number}]"#), "1")));
        let ticket = format!(r#"{{"session":{number},"number":{number},"answered_below":{number}}}"#);
        requests.push(post("/rsm.submit", &format!(r#"{{"ticket":{ticket},"command":{{"put":{put}}}}}"#)));
        let timed = format!(
            r#"{{"jsonrpc":"2.0","method":"get","params":{{"key":"a"}},"id":1,"timeout_ms":{number}}}"#
        );
        requests.push(post("/", &timed));
        let header = format!("connect-timeout-ms: {}\r\n", &number[..number.len().min(10_000)]);
        requests.push(post_with("/get", &header, br#"{"key":"a"}"#));
    }
    send_all(targets, requests, EVERY).await;
}

/// Requests as a browser sends them for a page of another site, some of them under a name that leads to this machine.
pub(super) async fn cross_site(targets: Arc<Targets>) {
    let put = format!(r#"{{"key":"{FORBIDDEN_KEY}","value":"written by a page","version":0}}"#);
    let rpc = call("\"put\"", &put, "1");
    let submit = format!(r#"{{"command":{{"put":{put}}}}}"#);
    let bodies = [("/put", &put), ("/", &rpc), ("/rsm.submit", &submit)];
    let mut requests = Vec::new();
    for (path, body) in bodies {
        for origin in ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://localhost:1"]
        {
            let headers = format!("origin: {origin}\r\ncontent-type: text/plain\r\n");
            requests.push(post_with(path, &headers, body.as_bytes()));
        }
        requests.push(post_with(path, "sec-fetch-site: cross-site\r\n", body.as_bytes()));
        // The page's own site, by a name that its owner lets lead to this machine.
        let rebound = format!(
            "POST {path} HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        requests.push(rebound.into_bytes());
    }
    let long = format!("origin: http://{}\r\n", "o".repeat(100_000));
    requests.push(post_with("/put", &long, put.as_bytes()));
    send_all(targets, requests, Duration::from_millis(20)).await;
}
