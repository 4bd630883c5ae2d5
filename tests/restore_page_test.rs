//! The commands of the page about backups work as printed, one after the other, beside a cluster.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "process/running.rs"]
#[allow(dead_code, reason = "process_test uses the rest")]
mod running;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use common::process::guard_group;

/// How long all commands may take together.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(120);

/// The script to run: a cluster with a key, and the commands of the page, on other ports.
fn script(page: &str, port: u16) -> String {
    let mut script =
        String::from("set -eux -o pipefail; trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n");
    script += &format!("traitwire cluster --port {port} & cluster=$!\n");
    let url = format!("http://127.0.0.1:{port}");
    script += &format!("curl --fail --silent --retry 60 --retry-delay 1 --retry-all-errors {url}/readyz\n");
    script += "traitwire kv put greeting hello\n";
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    for line in blocks.flat_map(str::lines) {
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
    let port = running::free_ports(5);
    let script = script(&page, port);
    for command in ["backup", "debug snapshot", "restore", "serve", "debug recover"] {
        assert!(script.contains(&format!("traitwire {command} ")), "{command} is not on the page: {script}");
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_traitwire"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let bash = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("TRAITWIRE_ENDPOINTS", format!("http://127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let _guard = guard_group(bash.id().unwrap());
    let group = format!("-{}", bash.id().unwrap());
    let Ok(output) = tokio::time::timeout(SCRIPT_TIMEOUT, bash.wait_with_output()).await else {
        let _ended = Command::new("kill").args(["-KILL", "--", &group]).status().await;
        panic!("the script did not end within {SCRIPT_TIMEOUT:?}: {script}");
    };
    let output = output.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n---\n{out}\n---\n{err}");
    let values = out.lines().filter(|line| line.trim_start().starts_with("hello")).count();
    assert_eq!(values, 2, "{out}\n---\n{err}");
}
