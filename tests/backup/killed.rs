//! Commands that make a folder are killed at each of the system calls that change it. What they leave opens, or names the command to
//! run again, and that command succeeds: nothing that the folder had is lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Desk, fs, put_all, single, soon};
use crate::common::machines::copy_folder;
use crate::common::process::strace_is_required;

/// The calls that change a folder.
const CALLS: [&str; 5] = ["pwrite64", "fdatasync", "fsync", "rename", "unlink"];

/// How many calls of one kind a command makes at most.
const CALLS_MAX: usize = 100;

/// How many keys the folders have.
const KEYS: usize = 20;

/// Whether this machine can kill a program at a system call.
async fn can_trace(desk: &Desk) -> bool {
    let traces = soon(desk.command("strace", &["-qq", "-o", "/dev/null", "true"]).output()).await;
    let traces = traces.is_ok_and(|output| output.status.success());
    assert!(traces || !strace_is_required(), "strace is not there, or may not trace");
    if !traces {
        eprintln!("not tried: strace is not there, or may not trace");
    }
    traces
}

/// Runs a command that is killed at its n-th call of a kind. False when it makes fewer, and so has ended well.
async fn is_killed(desk: &Desk, call: &str, number: usize, arguments: &[&str]) -> bool {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
    let strace =
        ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, env!("CARGO_BIN_EXE_traitwire")];
    let output =
        soon(desk.command("strace", &[&strace, arguments].concat()).stdout(Stdio::null()).output()).await;
    let output = output.unwrap();
    match output.status.code() {
        Some(0) => false,
        None => true,
        Some(code) => panic!("{arguments:?}: {code}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// How many keys the newest snapshot of a folder has.
async fn keys(desk: &Desk, data: &Path) -> serde_json::Value {
    let names = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let snapshots: BTreeSet<_> =
        names.filter(|path| path.extension().is_some_and(|it| it == "snap")).collect();
    let newest = snapshots.last().expect("there is a snapshot");
    desk.json(&["debug", "snapshot", newest.to_str().unwrap(), "--json"]).await["keys"].clone()
}

/// What `debug wal` says of a folder as a whole: nothing if it can be opened.
async fn refusal(desk: &Desk, data: &str) -> Option<String> {
    let (code, out, error) = desk.traitwire(&["debug", "wal", data]).await;
    (code != 0).then_some(out + &error)
}

async fn recovery_is_killed(desk: &Desk, call: &'static str) {
    for number in 1..CALLS_MAX {
        let data = format!("{call}-{number}");
        copy_folder(&desk.path("node"), &desk.path(&data));
        let recover = ["debug", "recover", &data, "--force-new-cluster"];
        let killed = is_killed(desk, call, number, &recover).await;
        let place = format!("killed at {call} {number}");
        if let Some(refusal) = refusal(desk, &data).await {
            let says = "a recovery of this folder has not finished: run `traitwire debug recover` again";
            assert!(killed && refusal.contains(says), "{place}: {refusal}");
            // A restore would remove what the folder has.
            let (code, _, error) = desk.traitwire(&["restore", "b", "--data", &data]).await;
            assert_eq!((code, error.contains("is not empty")), (1, true), "{place}: {error}");
        }
        let (code, _, error) = desk.traitwire(&recover).await;
        assert_eq!(code, 0, "{place}: {error}");
        assert_eq!(keys(desk, &desk.path(&data)).await, KEYS, "{place}");
        assert_eq!(refusal(desk, &data).await, None, "{place}");
        if !killed {
            return;
        }
    }
    panic!("more calls of {call} than expected");
}

async fn restore_is_killed(desk: &Desk, call: &'static str) {
    for number in 1..CALLS_MAX {
        let data = format!("new-{call}-{number}");
        let restore = ["restore", "b", "--data", &data];
        let killed = is_killed(desk, call, number, &restore).await;
        let place = format!("killed at {call} {number}");
        let (code, _, error) = desk.traitwire(&restore).await;
        // It may have been killed when all was done.
        let is_done = error.contains("is not empty");
        assert!(code == 0 || code == 1 && is_done, "{place}: {error}");
        assert!(killed || is_done, "{place}: it was restored twice");
        assert_eq!(keys(desk, &desk.path(&data)).await, KEYS, "{place}");
        assert_eq!(refusal(desk, &data).await, None, "{place}");
        if !killed {
            return;
        }
    }
    panic!("more calls of {call} than expected");
}

/// A folder with some keys, and a backup of them.
async fn desk() -> Arc<Desk> {
    let (mut server, desk) = single().await;
    put_all(&desk.endpoints, 0..KEYS).await;
    desk.json(&["backup", "--out", "b", "--json"]).await;
    server.kill().await;
    Arc::new(desk)
}

/// Tries a command with each call, on a desk that all tries share; not where programs cannot be killed at a call.
async fn with_each_call<F>(attempt: impl Fn(Arc<Desk>, &'static str) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let desk = desk().await;
    if !can_trace(&desk).await {
        return;
    }
    let running: JoinSet<_> = CALLS.into_iter().map(|call| attempt(desk.clone(), call)).collect();
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_killed_anywhere_is_run_again() {
    with_each_call(|desk, call| async move { recovery_is_killed(&desk, call).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_anywhere_is_run_again() {
    with_each_call(|desk, call| async move { restore_is_killed(&desk, call).await }).await;
}
