//! An operator who uses the command line.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::common::kv_cluster::soon;
use crate::common::machines::Machines;

/// What a command has come to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    err: String,
}

impl Done {
    /// The object that a command with `--json` has printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.out.trim())
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

/// `traitwire member` with these arguments, at these machines.
pub(crate) fn command(machines: &Machines, at: &[u64], arguments: &[&str]) -> Command {
    let urls: Vec<_> = at.iter().map(|id| machines.url(*id)).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_traitwire"));
    command.arg("member").args(arguments).env("TRAITWIRE_ENDPOINTS", urls.join(","));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn member(machines: &Machines, at: &[u64], arguments: &[&str]) -> Done {
    let Output { status, stdout, stderr } = soon(command(machines, at, arguments).output()).await.unwrap();
    Done {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// The same, which succeeds.
#[track_caller]
pub(crate) fn done(done: Done) -> Done {
    assert_eq!(done.code, 0, "{done:?}");
    done
}

/// Starts an empty node on a machine, which joins the cluster of another one, and gives its id.
pub(crate) async fn join(machines: &mut Machines, machine: u64, at: u64) -> u64 {
    let url = machines.url(at);
    machines.start(machine, &["--join", &url]).await;
    machines.process(machine).id()
}

/// The members: their ids, roles and URLs.
pub(crate) async fn list(machines: &Machines, at: &[u64]) -> Vec<(u64, String, String)> {
    let list = done(member(machines, at, &["list", "--json"]).await).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = list["members"].as_array().unwrap();
    members.iter().map(|it| (it["id"].as_u64().unwrap(), text(&it["role"]), text(&it["url"]))).collect()
}

/// The ids of the voters.
pub(crate) async fn voters(machines: &Machines, at: &[u64]) -> Vec<u64> {
    let members = list(machines, at).await;
    members
        .into_iter()
        .filter(|(_, role, _)| role == "voter" || role == "leader")
        .map(|(id, ..)| id)
        .collect()
}
