//! What `/livez` and `/readyz` say, and which changes of a cluster are logged.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::kv_single::client::SingleKvClient;

use crate::common::process::{free_ports, strace_is_required};
use crate::common::wait::until;
use crate::running::{PATIENCE, Running};

async fn get(url: &str, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let response = client.get(format!("{url}{path}")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Lets the nodes found their cluster, and kills them.
async fn found(ids: &[u16], first_port: u16, data: &Path) {
    // Two of three need not wait for the third. All three do, so that the cluster begins with the data folder of each.
    let bootstrap: &[_] = if ids.len() < 3 { &["--bootstrap"] } else { &[] };
    let mut nodes: Vec<_> = ids.iter().map(|id| node_with(*id, first_port, data, bootstrap)).collect();
    for node in &mut nodes {
        let url = node.url().await;
        until(PATIENCE, "a leader", async || (get(&url, "/readyz").await.0 == 200).then_some(())).await;
    }
    for node in &mut nodes {
        node.child.kill().await.unwrap();
    }
}

fn node(id: u16, first_port: u16, data: &Path) -> Running {
    node_with(id, first_port, data, &[])
}

fn node_with(id: u16, first_port: u16, data: &Path, more: &[&str]) -> Running {
    let peers: Vec<_> = (1..=3).map(|id| format!("{id}=http://127.0.0.1:{}", first_port + id)).collect();
    let listen = format!("127.0.0.1:{}", first_port + id);
    let data = data.join(id.to_string());
    let (id, peers, data) = (id.to_string(), peers.join(","), data.to_str().unwrap());
    let usual = [
        "serve",
        "--snapshot-log-bytes",
        "1000",
        "--id",
        &id,
        "--listen",
        &listen,
        "--peers",
        &peers,
        "--data",
        data,
    ];
    Running::start(usual.iter().chain(more).copied())
}

/// Node 1 alone, then with node 2, and alone again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_quorum_and_its_return_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let first_port = free_ports(4);
    found(&[1, 2], first_port, folder.path()).await;
    let mut first = node(1, first_port, folder.path());
    let url = first.url().await;
    let peers = [2, 3].map(|id| format!("http://127.0.0.1:{}", first_port + id));
    first.logged(&["recovered the log"]).await;
    let (status, body) = get(&url, "/readyz").await;
    assert_eq!((status, body.contains("[-]leader failed: no leader known\n")), (503, true), "{body}");
    for path in ["/livez", "/healthz"] {
        assert_eq!(get(&url, path).await, (200, "ok\n".to_owned()));
    }
    assert!(get(&url, "/livez?verbose").await.1.starts_with("[+]disk ok\n"));
    first.logged(&["no leader:", &peers[0], &peers[1]]).await;
    let unreachable = |log: &[String], peer: &str| {
        log.iter().filter(|line| line.contains("peer unreachable") && line.contains(peer)).count()
    };
    for peer in &peers {
        assert_eq!(unreachable(&first.log, peer), 1, "{:#?}", first.log);
    }
    let mut second = node(2, first_port, folder.path());
    first.logged(&["there is a leader again"]).await;
    let (status, body) = get(&url, "/readyz?verbose").await;
    assert_eq!((status, body.contains("[+]leader ok\n")), (200, true), "{body}");
    // A follower asks for the status of the others, so it may notice later than the leader that one is back.
    let reachable = |line: &String| line.contains("peer reachable") && line.contains(&peers[0]);
    if !first.log.iter().any(reachable) {
        first.logged(&["peer reachable", &peers[0]]).await;
    }
    let elected = |line: &String| line.contains("became leader") || line.contains("follows leader");
    assert!(first.log.iter().any(|line| elected(line) && line.contains("term=")), "{:#?}", first.log);
    second.child.kill().await.unwrap();
    first.logged(&["no leader:", &peers[0]]).await;
    assert_eq!(get(&url, "/readyz").await.0, 503);
    assert_eq!(first.log.iter().filter(|line| reachable(line)).count(), 1, "{:#?}", first.log);
    assert!(first.log.len() < 40, "too much is logged: {:#?}", first.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_and_snapshots_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--snapshot-log-bytes", "1000"];
    let mut node = Running::start(arguments);
    let client = SingleKvClient::new(traitwire::RpcClient::new(node.url().await, 1));
    for version in 0..20 {
        traitwire::KvClient::put(&client, "k", &"v".repeat(200), version).await.unwrap();
    }
    node.logged(&["snapshot taken", "index=", "bytes="]).await;
    node.signal("KILL").await;
    node.ended().await;
    let mut node = Running::start(arguments);
    node.url().await;
    node.logged(&["recovered the log", "term=", "last_index=", "snapshot_index="]).await;
}

/// A node that comes late gets a snapshot instead of entries that are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_sent_is_logged_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let first_port = free_ports(4);
    found(&[1, 2, 3], first_port, folder.path()).await;
    let mut nodes = [1, 2].map(|id| node(id, first_port, folder.path()));
    let mut urls = Vec::new();
    for node in &mut nodes {
        urls.push(node.url().await);
    }
    let client = ClusterKvClient::new(urls.clone(), 1);
    for version in 0..60 {
        client.try_put("k", &"v".repeat(200), version, PATIENCE).await.unwrap();
    }
    let mut late = node(3, first_port, folder.path());
    late.url().await;
    late.logged(&["snapshot received from the leader", "index="]).await;
    late.logged(&["snapshot installed", "index=", "bytes="]).await;
    let leading = get(&urls[0], "/status").await.1.contains(r#""role":"leader""#);
    nodes[usize::from(!leading)].logged(&["snapshot sent", "peer=3", "index="]).await;
}

/// A disk that hangs is one that syncs for very long; strace makes it do so.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_disk_fails_the_liveness_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut node =
        Running::start(["serve", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]);
    let url = node.url().await;
    node.logged(&["became leader"]).await;
    let pid = node.pid().to_string();
    let inject = "inject=fdatasync,fsync:delay_enter=60000000";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=fdatasync,fsync", "-e", inject, "-p", &pid]).kill_on_drop(true);
    let Ok(mut strace) = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() else {
        assert!(!strace_is_required(), "strace is not there");
        return eprintln!("not tried: strace is not there");
    };
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(strace.stderr.take().unwrap()));
    let first = lines.next_line().await.unwrap().unwrap_or_default();
    if !first.contains("attached") {
        assert!(!strace_is_required(), "strace may not trace: {first}");
        return eprintln!("not tried: strace may not trace");
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    assert_eq!(get(&url, "/livez").await.0, 200);
    let put = tokio::spawn({
        let client = SingleKvClient::new(traitwire::RpcClient::new(url.clone(), 1));
        async move { traitwire::KvClient::put(&client, "k", "v", 0).await }
    });
    let body = until(PATIENCE, "the liveness check fails", async || {
        let (status, body) = get(&url, "/livez").await;
        (status == 503).then_some(body)
    })
    .await;
    assert!(body.starts_with("[-]disk failed: one write has taken 1"), "{body}");
    assert_eq!(get(&url, "/readyz").await.0, 503);
    put.abort();
    strace.kill().await.unwrap();
    until(PATIENCE, "the disk works again", async || (get(&url, "/livez").await.0 == 200).then_some(()))
        .await;
}

/// Peers that cannot answer as peers, each for a reason of its own.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_cannot_be_used_are_reported_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut stranger = Running::start(["serve", "--listen", "127.0.0.1:0", "--data", &data("stranger")]);
    let mut store = Running::start(["serve", "--listen", "127.0.0.1:0", "--memory"]);
    let urls = [
        format!("http://127.0.0.1:{}", free_ports(1)),
        "http://no-such-host.invalid:7101".to_owned(),
        stranger.url().await,
        store.url().await,
    ];
    let mut peers = vec!["1=http://127.0.0.1:1".to_owned()];
    peers.extend((2..).zip(&urls).map(|(id, url)| format!("{id}={url}")));
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", &data("1"), "--peers", &peers.join(",")];
    let mut node = Running::start(arguments);
    node.url().await;
    node.logged(&["cannot be reached", "refused", "dns error", "answers at", "method"]).await;
    let lines: Vec<_> = node.log.iter().filter(|line| line.contains("cannot be reached")).collect();
    assert!((1..=2).contains(&lines.len()), "{:#?}", node.log);
    for (id, (url, reason)) in (2..).zip(urls.iter().zip(["refused", "dns error", "answers at", "method"])) {
        for part in [format!("node {id}"), url.clone(), reason.to_owned()] {
            assert!(lines[lines.len() - 1].contains(&part), "`{part}` is not in {lines:#?}");
        }
    }
}
