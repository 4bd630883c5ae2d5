//! The commands on each page about operating a cluster work as printed, in their order.
//!
//! Comments of a page say what happens to machines: `start 1 2 3` starts the nodes of a new cluster on them, and `kill 2` ends one.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use common::process::{ServerProcess, free_ports};
use common::wait::within;

/// The port on the pages, and the folder.
const PORT: &str = ":7101";
const DATA: &str = "/var/lib/traitwire";

/// How long one command may take.
const COMMAND_TIME: Duration = Duration::from_secs(60);

/// Something that happens on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Start(Vec<u8>),
    Kill(Vec<u8>),
    Serve(String),
    Run(String),
}

fn steps(page: &str) -> Vec<Step> {
    let mut is_shell = false;
    let mut steps = Vec::new();
    for line in page.lines() {
        let comment = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        if line.starts_with("```") {
            is_shell = line == "```sh";
        } else if is_shell && line.starts_with("traitwire serve ") {
            steps.push(Step::Serve(line.to_owned()));
        } else if is_shell {
            steps.push(Step::Run(line.to_owned()));
        } else if let Some((what, machines)) = comment.and_then(|comment| comment.split_once(' ')) {
            let machines = machines.split(' ').map(|machine| machine.parse().unwrap()).collect();
            steps.push(match what {
                "start" => Step::Start(machines),
                "kill" => Step::Kill(machines),
                other => panic!("a page cannot {other} machines"),
            });
        }
    }
    steps
}

/// The machines of a page: loopback addresses, each with a folder of its own.
struct Page {
    port: u16,
    folder: tempfile::TempDir,
    starts: usize,
    running: BTreeMap<u8, ServerProcess>,
    environment: Vec<(String, String)>,
    out: String,
}

impl Page {
    fn new() -> Self {
        let port = free_ports(1);
        let folder = tempfile::tempdir().unwrap();
        let (running, environment) = (BTreeMap::new(), Vec::new());
        Self { port, folder, starts: 0, running, environment, out: String::new() }
    }

    fn here(&self, line: &str) -> String {
        line.replace("10.0.0.", "127.0.0.").replace(PORT, &format!(":{}", self.port))
    }

    fn data(&self, machine: u8) -> PathBuf {
        self.folder.path().join(format!("{}-{machine}", self.starts))
    }

    async fn serve(&mut self, line: &str) {
        let (_, rest) = line.split_once("--listen 10.0.0.").unwrap();
        let machine: u8 = rest.split_once(':').unwrap().0.parse().unwrap();
        let data = self.data(machine);
        let line = self.here(line).replace(DATA, data.to_str().unwrap());
        let arguments = line.split(' ').skip(1).map(Into::into).collect();
        let process = ServerProcess::start_traitwire(arguments).await;
        assert!(self.running.insert(machine, process).is_none(), "machine {machine} has a node already");
    }

    async fn start(&mut self, machines: &[u8]) {
        self.running.clear();
        self.starts += 1;
        let peers: Vec<_> = machines.iter().map(|it| format!("{it}=http://10.0.0.{it}:7101")).collect();
        for machine in machines {
            let peers = peers.join(",");
            let listen = format!("--listen 10.0.0.{machine}:7101 --data {DATA}");
            self.serve(&format!("traitwire serve --id {machine} --peers {peers} {listen}")).await;
        }
        let urls: Vec<_> = self.running.values().map(|node| node.url().to_owned()).collect();
        self.run(&format!(
            "until traitwire status --endpoints {} >/dev/null 2>&1; do sleep 0.1; done",
            urls.join(",")
        ))
        .await;
    }

    async fn run(&mut self, line: &str) {
        let line = self.here(line);
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
            self.environment.push((name.to_owned(), value.to_owned()));
            return;
        }
        let program = Path::new(env!("CARGO_BIN_EXE_traitwire"));
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-euc", &line]).env("PATH", path).envs(self.environment.iter().cloned());
        command.current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = within(COMMAND_TIME, format!("`{line}` to end"), command.output()).await.unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}\n{out}\n{err}");
        self.out.push_str(&out);
    }
}

/// Runs a page, and gives what its commands have printed.
async fn run(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/operating").join(name)).unwrap();
    let mut page = Page::new();
    for step in steps(&text) {
        match step {
            Step::Start(machines) => page.start(&machines).await,
            Step::Kill(machines) => {
                for machine in machines {
                    page.running.remove(&machine).unwrap().kill().await;
                }
            }
            Step::Serve(line) => page.serve(&line).await,
            Step::Run(line) => page.run(&line).await,
        }
    }
    page.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows() {
    let out = run("grow-a-cluster.md").await;
    assert!(out.contains("node 5 votes") && out.ends_with("blue"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_machine_is_replaced() {
    let out = run("replace-a-dead-machine.md").await;
    assert!(out.contains("node 4 votes") && out.contains("node 2 has left"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_moves() {
    let out = run("move-to-new-machines.md").await;
    assert!(out.contains("node 6 votes") && out.contains("no"), "{out}");
}

/// Each page is tested, and listed.
#[test]
fn no_page_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let tests = [
        include_str!("operating_test.rs"),
        include_str!("restore_page_test.rs"),
        include_str!("guide_test.rs"),
    ];
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "{name} is not listed");
            assert!(tests.iter().any(|test| test.contains(&*name)), "{name} is not tested");
        }
    }
}
