//! The shell blocks of the README work as printed, one after the other. Its Rust is tested as documentation of the crate.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "process/running.rs"]
#[allow(dead_code, reason = "process_test uses the rest")]
mod running;

use std::path::Path;

use tokio::process::Command;

use common::kv_cluster::soon;
use common::process::{example, free_ports};
use common::script::{run_script, shell_lines};

/// The port that the commands use by themselves; a cluster has the ones after it too.
const PORT: u16 = 7101;

/// The script to run: without what builds and tests the workspace, on other ports, and with short measurements.
fn script(readme: &str, port: u16) -> String {
    let mut script = String::from("set -eux -o pipefail; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    for line in shell_lines(readme) {
        if line.starts_with("cargo ") || line.starts_with("export PATH=") {
            continue;
        }
        let mut line = line.to_owned();
        for offset in (0..3).rev() {
            line = line.replace(&(PORT + offset).to_string(), &(port + offset).to_string());
        }
        line = line.replace("traitwire serve", &format!("traitwire serve --listen 127.0.0.1:{port}"));
        line = line.replace("traitwire cluster", &format!("traitwire cluster --port {port}"));
        line = line.replace("traitwire bench kv", "traitwire bench kv --rounds 1 --seconds 1");
        if line.starts_with("curl ") {
            line = line.replacen("curl", "curl --fail --silent --show-error --max-time 20", 1);
        }
        script.push_str(&format!("{line}\n"));
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let port = free_ports(3);
    let script = script(&readme, port);
    for command in
        ["demo", "serve", "kv get", "lock", "schema diff", "schema check", "cluster", "status", "bench kv"]
    {
        assert!(script.contains(&format!("traitwire {command}")), "{command} is not in the README: {script}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("rpc-schema"), folder.path().join("rpc-schema")).unwrap();
    let (out, err) = run_script(&script, folder.path(), port).await;
    for part in ["all of it held", r#""value":"1""#, "[+]leader ok", "token 1", "openrpc", "leader"] {
        assert!(out.contains(part), "{part} is not in\n{out}\n---\n{err}");
    }
    assert!(folder.path().join("docs.html").exists());
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("nothing is left running");
}

/// An example that shows a URL serves it: the `curl` command that it prints works.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_the_greeter_prints_reaches_it() {
    let mut greeter = running::Running::start_command(&mut Command::new(example("greeter")));
    let mut printed = Vec::new();
    let curl = loop {
        let line = soon(greeter.out.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("no command is in {printed:#?}"));
        if line.trim_start().starts_with("curl ") {
            break line;
        }
        printed.push(line);
    };
    let command = curl.replacen("curl", "curl --fail --silent --show-error --max-time 20", 1);
    let output = soon(Command::new("sh").args(["-c", &command]).output()).await.unwrap();
    let reply = String::from_utf8(output.stdout).unwrap();
    assert!(reply.contains("Hello, "), "{curl}: {reply}{}", String::from_utf8_lossy(&output.stderr));
    greeter.signal("INT").await;
    assert_eq!(greeter.ended().await.code(), Some(0));
}
