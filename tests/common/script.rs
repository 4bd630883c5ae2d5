//! The shell commands of a document, run as one script.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::process::guard_group;

/// How long all commands of a script may take together.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(120);

/// The lines of all blocks of shell commands.
pub(crate) fn shell_lines(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.flat_map(str::lines).collect()
}

/// The port that the commands of a document use; a cluster has the two after it too.
const PORT: u16 = 7101;

/// The shell commands of a document as a script: without those that build and test the workspace, on the three ports from
/// `port`, and with short measurements.
pub(crate) fn local_script(document: &str, port: u16) -> String {
    let mut script = String::from("set -eux -o pipefail; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    for line in shell_lines(document) {
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
        // A loaded machine may take longer to start a node than a reader's does.
        line = line.replace("curl --retry 9", "curl --retry 60 --retry-delay 1");
        if line.starts_with("curl ") {
            line = line.replacen("curl", "curl --fail --silent --show-error --max-time 20", 1);
        }
        script.push_str(&format!("{line}\n"));
    }
    script
}

/// Runs a script in a folder, with `traitwire` in its path and the endpoint at `port` in its environment. Returns what it has
/// printed on standard output and on standard error.
///
/// # Panics
/// If the script fails or does not end in time.
pub(crate) async fn run_script(script: &str, folder: &Path, port: u16) -> (String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_traitwire"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let bash = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
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
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{script}\n---\n{out}\n---\n{err}");
    (out, err)
}
