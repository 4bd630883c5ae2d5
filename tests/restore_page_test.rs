//! The commands of the page about backups work as printed, one after the other, beside a cluster.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::process::free_ports;
use common::script::{run_script, shell_lines};

/// The script to run: a cluster with a key, and the commands of the page, on other ports.
fn script(page: &str, port: u16) -> String {
    let mut script =
        String::from("set -eux -o pipefail; trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n");
    script += &format!("traitwire cluster --port {port} & cluster=$!\n");
    let url = format!("http://127.0.0.1:{port}");
    script += &format!("curl --fail --silent --retry 60 --retry-delay 1 --retry-all-errors {url}/readyz\n");
    script += "traitwire kv put greeting hello\n";
    for line in shell_lines(page) {
        if line.starts_with("traitwire debug recover") {
            script += "kill $cluster; wait $cluster\n";
        }
        let line = line.replace("7201", &(port + 3).to_string()).replace("7202", &(port + 4).to_string());
        let line =
            line.replace("curl --retry 9", "curl --fail --silent --show-error --retry 60 --retry-delay 1");
        script += &format!("{line}\n");
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_work_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/operating/restore-a-backup.md")).unwrap();
    let port = free_ports(5);
    let script = script(&page, port);
    for command in ["backup", "debug snapshot", "restore", "serve", "debug recover"] {
        assert!(script.contains(&format!("traitwire {command} ")), "{command} is not on the page: {script}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = run_script(&script, folder.path(), port).await;
    let values = out.lines().filter(|line| line.trim_start().starts_with("hello")).count();
    assert_eq!(values, 2, "{out}\n---\n{err}");
}
