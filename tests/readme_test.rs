//! The shell blocks of the README work as printed, one after the other. Its Rust is tested as documentation of the crate.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "process/running.rs"]
#[allow(dead_code, reason = "process_test uses the rest")]
mod running;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use common::kv_cluster::soon;
use common::process::{example, guard_group};

/// The port that the commands use by themselves; a cluster has the ones after it too.
const PORT: u16 = 7101;

/// How long all commands may take together.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(120);

/// The lines of all blocks of shell commands.
fn shell_lines(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.flat_map(str::lines).collect()
}

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
    let program = Path::new(env!("CARGO_BIN_EXE_traitwire"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let port = running::free_ports(3);
    let script = script(&readme, port);
    for command in
        ["demo", "serve", "kv get", "lock", "schema diff", "schema check", "cluster", "status", "bench kv"]
    {
        assert!(script.contains(&format!("traitwire {command}")), "{command} is not in the README: {script}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("rpc-schema"), folder.path().join("rpc-schema")).unwrap();
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
