//! `lock` as a process: signals, broken locks, servers that disappear.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::common::process::{ServerProcess, signal};
use crate::{command, nobody, server, traitwire};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `lock` that runs a shell command.
struct Holder {
    lock: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    /// Starts `lock l` and waits for the line `ready` of its command.
    async fn start(url: &str, script: &str) -> Self {
        let lock = command(url, &["lock", "l", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn();
        let mut lock = lock.unwrap();
        let mut out = BufReader::new(lock.stdout.take().unwrap()).lines();
        assert_eq!(soon(out.next_line()).await.unwrap().as_deref(), Some("ready"));
        Self { lock, out }
    }

    async fn signal(&self, name: &str) {
        signal(self.lock.id().unwrap(), name).await;
    }

    async fn next_line(&mut self) -> Option<String> {
        soon(self.out.next_line()).await.unwrap()
    }

    /// The exit code, and what was printed until everything that could print had ended.
    async fn ended(mut self) -> (Option<i32>, String) {
        let code = soon(self.lock.wait()).await.unwrap().code();
        let mut rest = String::new();
        soon(self.out.get_mut().read_to_string(&mut rest)).await.unwrap();
        (code, rest)
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it ends soon")
}

/// The lock is free: somebody else gets it at once.
async fn assert_free(url: &str) {
    let (code, _, error) = traitwire(url, &["lock", "l", "--timeout", "5", "--", "true"]).await;
    assert_eq!(code, 0, "{error}");
}

#[tokio::test]
async fn it_passes_exit_codes_on_and_tokens_rise() {
    let (server, _folder) = server().await;
    let run = |arguments: &'static [&'static str]| traitwire(server.url(), arguments);
    let (code, out, _) = run(&["lock", "l", "--", "sh", "-c", "echo $TRAITWIRE_LOCK_TOKEN; exit 7"]).await;
    assert_eq!((code, out.as_str()), (7, "1\n"));
    let (_, out, _) = run(&["lock", "l", "--", "sh", "-c", "echo $TRAITWIRE_LOCK_TOKEN"]).await;
    assert_eq!(out, "3\n", "tokens rise strictly");
    assert_eq!(run(&["lock", "l", "--", "sh", "-c", "kill -TERM $$"]).await.0, 128 + 15);
    assert_eq!(run(&["lock", "l", "--", "no-such-command"]).await.0, 127);
    assert_eq!(run(&["lock", "l", "--", "/"]).await.0, 126);
    assert_eq!(run(&["lock", "l", "--", "/dev/null"]).await.0, 126);
    for usage in
        [&["lock", "", "--", "true"][..], &["lock", "l"], &["lock", "l", "--timeout", "x", "--", "true"]]
    {
        assert_eq!(traitwire(server.url(), usage).await.0, 2, "{usage:?}");
    }
    assert_free(server.url()).await;
}

/// Each signal reaches the command once, and the lock is free when `lock` has ended, whatever the command returned.
#[tokio::test]
async fn signals_are_forwarded_and_release_the_lock() {
    let (server, _folder) = server().await;
    for (name, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)] {
        for returned in ["exit 3", "exit 0", "trap - $S; kill -$S $$"] {
            let script = format!(
                "S={name}; trap 'echo got; {returned}' {name}; echo ready; while :; do sleep 0.05; done"
            );
            let holder = Holder::start(server.url(), &script).await;
            holder.signal(name).await;
            assert_eq!(holder.ended().await, (Some(128 + number), "got\n".to_owned()), "{name}, {returned}");
            assert_free(server.url()).await;
        }
    }
}

/// A command may take its time, or not end at all; what only it understands does not end anything.
#[tokio::test]
async fn a_command_decides_itself_when_it_ends() {
    let (server, _folder) = server().await;
    let script =
        "trap 'echo usr1' USR1; trap 'echo usr2' USR2; trap 'echo int' INT; trap 'echo term; exit 9' TERM
        echo ready; while :; do sleep 0.05; done";
    let mut holder = Holder::start(server.url(), script).await;
    for name in ["USR1", "USR2", "INT"] {
        holder.signal(name).await;
        assert_eq!(holder.next_line().await, Some(name.to_lowercase()));
    }
    let (code, _, error) = traitwire(server.url(), &["lock", "l", "--timeout", "50ms", "--", "true"]).await;
    assert_eq!((code, error.contains("not free within 50ms")), (125, true), "{error}");
    holder.signal("TERM").await;
    // The first of the signals that ask to end.
    assert_eq!(holder.ended().await, (Some(128 + 2), "term\n".to_owned()));
    assert_free(server.url()).await;
}

/// A signal reaches what the command has started, too.
#[tokio::test]
async fn grandchildren_get_the_signal() {
    let (server, _folder) = server().await;
    let holder = Holder::start(
        server.url(),
        "sh -c 'trap \"echo got; exit\" TERM; echo ready; while :; do sleep 0.05; done'; exit 0",
    );
    let holder = holder.await;
    holder.signal("TERM").await;
    assert_eq!(holder.ended().await, (Some(128 + 15), "got\n".to_owned()));
    assert_free(server.url()).await;
}

#[tokio::test]
async fn a_waiter_that_is_interrupted_leaves_the_lock_alone() {
    let (server, _folder) = server().await;
    let holder = Holder::start(server.url(), "echo ready; while :; do sleep 0.05; done").await;
    let names = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)];
    let waiters = names.map(|(name, number)| {
        let waiter =
            command(server.url(), &["lock", "l", "--", "echo", "held"]).stdout(Stdio::piped()).spawn();
        (name, number, waiter.unwrap())
    });
    for (name, number, waiter) in waiters {
        handles_signals(waiter.id().unwrap()).await;
        signal(waiter.id().unwrap(), name).await;
        let ended = soon(waiter.wait_with_output()).await.unwrap();
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(128 + number), 0));
    }
    holder.signal("TERM").await;
    assert_eq!(holder.ended().await.0, Some(128 + 15));
    assert_free(server.url()).await;
}

/// Waits until the process handles TERM itself.
async fn handles_signals(pid: u32) {
    let is_handled = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 14) != 0
    };
    // Nothing announces it.
    soon(async {
        while !is_handled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Under nohup, a hangup is nothing.
#[tokio::test]
async fn an_ignored_hangup_stays_ignored() {
    let (server, _folder) = server().await;
    let line = format!(
        "trap '' HUP; exec {} lock l -- sh -c 'echo ready; while :; do sleep 0.05; done'",
        env!("CARGO_BIN_EXE_traitwire")
    );
    let mut lock = tokio::process::Command::new("sh");
    lock.args(["-c", &line])
        .env("TRAITWIRE_ENDPOINTS", server.url())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut lock = lock.spawn().unwrap();
    let mut out = BufReader::new(lock.stdout.take().unwrap()).lines();
    assert_eq!(soon(out.next_line()).await.unwrap().as_deref(), Some("ready"));
    let holder = Holder { lock, out };
    holder.signal("HUP").await;
    holder.signal("TERM").await;
    assert_eq!(holder.ended().await.0, Some(128 + 15));
}

/// The command of a lock that was taken away is stopped with all that it has started, gently if it can be.
#[tokio::test]
async fn a_lost_lock_stops_the_command() {
    let lose = async |script: &str, taken: &[&str], expected: &str| {
        let (server, _folder) = server().await;
        let holder = Holder::start(server.url(), script).await;
        let (code, _, error) = traitwire(server.url(), taken).await;
        assert_eq!(code, 0, "{error}");
        assert_eq!(holder.ended().await, (Some(75), expected.to_owned()), "{script}");
    };
    let by_break = ["lock", "l", "--break"];
    let by_put = ["kv", "put", "l", "mine", "--version", "1"];
    tokio::join!(
        lose("trap 'echo got; exit 0' TERM; echo ready; while :; do sleep 0.05; done", &by_break, "got\n"),
        lose("trap '' TERM; echo ready; while :; do sleep 0.05; done", &by_break, ""),
        lose("(trap '' TERM; while :; do sleep 0.05; done) & echo ready; wait", &by_put, ""),
        lose("echo ready; kill -STOP $$; echo no", &by_put, ""),
    );
}

/// A command that has ended before anybody noticed that its lock was taken away.
#[tokio::test]
async fn a_lock_that_was_lost_at_the_end_is_reported() {
    let (server, _folder) = server().await;
    let mut holder =
        command(server.url(), &["lock", "l", "--", "sh", "-c", "echo ready; read _line; exit 0"]);
    let mut lock = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(lock.stdout.take().unwrap()).lines();
    assert_eq!(soon(out.next_line()).await.unwrap().as_deref(), Some("ready"));
    assert_eq!(traitwire(server.url(), &["lock", "l", "--break"]).await.0, 0);
    // Somebody else has it now, and keeps it.
    let rival = Holder::start(server.url(), "echo ready; while :; do sleep 0.05; done").await;
    drop(lock.stdin.take());
    assert_eq!(soon(lock.wait()).await.unwrap().code(), Some(75));
    let (code, ..) = traitwire(server.url(), &["lock", "l", "--timeout", "50ms", "--", "true"]).await;
    assert_eq!(code, 125, "the rival lost its lock");
    rival.signal("TERM").await;
    assert_eq!(rival.ended().await.0, Some(128 + 15));
}

/// Ordinary keys are not locks: they are neither broken nor locked, and stay as they are.
#[tokio::test]
async fn ordinary_keys_are_left_alone() {
    let (server, _folder) = server().await;
    let values = ["production", "{\"a\":1}", "0123456789abcdef0123456789abcdef", "traitwire-lock:7", "lock"];
    for (place, value) in values.into_iter().enumerate() {
        let key = format!("app/{place}");
        assert_eq!(traitwire(server.url(), &["kv", "put", &key, value]).await.0, 0);
        let (code, _, error) = traitwire(server.url(), &["lock", &key, "--break"]).await;
        assert_eq!((code, error.contains(&key) && error.contains("ordinary value")), (125, true), "{error}");
        let is_older = value.len() == 32;
        let (code, out, error) =
            traitwire(server.url(), &["lock", &key, "--timeout", "100ms", "--", "echo", "held"]).await;
        assert_eq!((code, out.as_str(), error.contains("ordinary value")), (125, "", !is_older), "{error}");
        let (code, out, _) = traitwire(server.url(), &["kv", "get", &key, "--json"]).await;
        let expected = format!("{}\n", serde_json::json!({ "value": value, "version": 1 }));
        assert_eq!((code, out), (0, expected));
    }
    for key in ["never", "l"] {
        assert_eq!(traitwire(server.url(), &["lock", key, "--break"]).await.0, 0);
    }
    assert_eq!(traitwire(server.url(), &["kv", "get", "never"]).await.0, 3);
}

/// Nobody waits for ever for a server that is not there.
#[tokio::test]
async fn a_server_that_disappears_ends_the_wait() {
    let (code, _, error) = traitwire(&nobody(), &["lock", "l", "--timeout", "1", "--", "true"]).await;
    assert_eq!((code, error.matches("unavailable").count()), (125, 1), "{error}");

    let mut server = ServerProcess::start(["--memory"]).await;
    let holder =
        Holder::start(server.url(), "trap 'echo got; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    let holder = holder.await;
    server.kill().await;
    // The release is tried for a while.
    holder.signal("TERM").await;
    assert_eq!(holder.ended().await, (Some(128 + 15), "got\n".to_owned()));
}
