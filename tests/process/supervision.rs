//! Signals to a node, and a cluster whose nodes die.

use tokio::process::Command;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use crate::common::kv_cluster::soon;
use crate::common::process::free_ports;
use crate::common::process::signal;
use crate::common::wait::until;
use crate::running::{PATIENCE, Running, children, gone, state};

async fn serve(data: &std::path::Path) -> Running {
    let data = data.to_str().unwrap();
    let mut node = Running::start(["serve", "--listen", "127.0.0.1:0", "--data", data]);
    node.url().await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_stops_a_node_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["TERM", "INT", "QUIT", "HUP"] {
        let mut node = serve(folder.path()).await;
        node.logged(&["started", "version=", "listen=127.0.0.1:", "data=", "peers="]).await;
        node.signal(name).await;
        node.logged(&["stopping", &format!("SIG{name}")]).await;
        let status = node.ended().await;
        assert_eq!(status.code(), Some(0), "{name}: {:#?}", node.log);
        assert!(node.log.last().unwrap().contains("stopped"), "{:#?}", node.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_node_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (second, code) in [("INT", 130), ("QUIT", 131), ("HUP", 129)] {
        let mut node = serve(folder.path()).await;
        node.logged(&["became leader"]).await;
        // Both are there when the node looks, so that it cannot be done with stopping before.
        node.signal("STOP").await;
        until(PATIENCE, "the node is stopped", async || (state(node.pid()) == Some('T')).then_some(())).await;
        node.signal("TERM").await;
        node.signal(second).await;
        node.signal("CONT").await;
        node.logged(&["ending at once", second]).await;
        assert_eq!(node.ended().await.code(), Some(code), "{:#?}", node.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nohup_keeps_a_node_alive() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"trap "" HUP; exec "$0" serve --listen 127.0.0.1:0 --data "$1""#;
    let program = env!("CARGO_BIN_EXE_traitwire");
    let mut node =
        Running::start_command(Command::new("sh").args(["-c", script, program]).arg(folder.path()));
    node.url().await;
    node.logged(&["became leader"]).await;
    node.signal("HUP").await;
    node.signal("TERM").await;
    assert_eq!(node.ended().await.code(), Some(0));
    assert!(node.log.iter().any(|line| line.contains("SIGTERM")), "{:#?}", node.log);
    assert!(!node.log.iter().any(|line| line.contains("SIGHUP")), "{:#?}", node.log);
}

/// The id of the process of a node, as `cluster` reports it.
fn pid_of(line: &str) -> u32 {
    line.split_once("(pid ").unwrap().1.split_once(')').unwrap().0.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_is_reported_and_started_again_while_the_cluster_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(3);
    let arguments = ["cluster", "--port", &port.to_string(), "--data", folder.path().to_str().unwrap()];
    let mut cluster = Running::start(arguments);
    let exported = soon(cluster.out.next_line()).await.unwrap().unwrap();
    let urls = exported.strip_prefix("export TRAITWIRE_ENDPOINTS=").unwrap().split(',').map(str::to_owned);
    let kv = ClusterKvClient::new(urls, 1);
    let log = folder.path().join("node-2.log");
    let pid = pid_of(&cluster.logged(&["node 2 ", "serves", log.to_str().unwrap()]).await);
    cluster.logged(&["node 3 ", "serves"]).await;
    let time = std::time::Duration::from_secs(30);
    kv.try_put("k", "before", 0, time).await.unwrap();
    signal(pid, "KILL").await;
    cluster.logged(&["node 2 ", &pid.to_string(), "killed by signal 9", log.to_str().unwrap()]).await;
    let last = std::fs::read_to_string(&log).unwrap().lines().last().unwrap().to_owned();
    cluster.logged(&["|", &last]).await;
    kv.try_put("k", "meanwhile", 1, time).await.unwrap();
    cluster.logged(&["node 2 starts again in 1s"]).await;
    let again = pid_of(&cluster.logged(&["node 2 ", "serves"]).await);
    assert_ne!(again, pid);
    // The second time soon after, it waits longer.
    signal(again, "KILL").await;
    cluster.logged(&["node 2 starts again in 2s"]).await;
    assert_eq!(kv.try_get("k", time).await.unwrap(), ("meanwhile".to_owned(), 2));
    cluster.signal("TERM").await;
    assert_eq!(cluster.ended().await.code(), Some(0));
    let other = std::fs::read_to_string(folder.path().join("node-1.log")).unwrap();
    assert!(other.contains("stopping") && other.contains("stopped"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_restarts_a_dead_node_stays_down_until_none_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(2).to_string();
    let data = folder.path().to_str().unwrap();
    let mut cluster =
        Running::start(["cluster", "--nodes", "2", "--port", &port, "--data", data, "--no-restart"]);
    cluster.logged(&["node 2 ", "serves"]).await;
    for (left, pid) in children(cluster.pid(), 2).await.into_iter().enumerate() {
        signal(pid, "KILL").await;
        cluster.logged(&["killed by signal 9"]).await;
        cluster.logged(&["stays down"]).await;
        gone(pid).await;
        if left == 0 {
            children(cluster.pid(), 1).await;
        }
    }
    assert_eq!(cluster.ended().await.code(), Some(1));
    assert!(cluster.log.last().unwrap().contains("all nodes have ended"), "{:#?}", cluster.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_start_says_why_and_leaves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(2);
    let taken = std::net::TcpListener::bind(("127.0.0.1", port + 1)).unwrap();
    let data = folder.path().to_str().unwrap();
    let mut cluster =
        Running::start(["cluster", "--nodes", "2", "--port", &port.to_string(), "--data", data]);
    assert_eq!(cluster.ended().await.code(), Some(1));
    let log = cluster.log.join("\n");
    assert!(log.contains("node 2:") && log.contains("exited with code 1"), "{log}");
    assert!(
        log.contains(&format!("cannot listen on 127.0.0.1:{}", taken.local_addr().unwrap().port())),
        "{log}"
    );
    assert!(!folder.path().join("node-2").exists(), "a taken address is noticed before the data is touched");
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("node 1 has gone");
}
