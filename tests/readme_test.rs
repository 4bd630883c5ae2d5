//! The commands of the README work as printed, in their order. Its Rust is tested as documentation of the crate.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "process/running.rs"]
#[allow(dead_code, reason = "process_test uses the rest")]
mod running;

use std::path::Path;

use tokio::process::Command;

use common::kv_cluster::soon;
use common::process::{example, free_ports};
use common::script::{local_script, run_script};

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_in_order() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let port = free_ports(3);
    let script = local_script(&readme, port);
    for command in ["demo", "cluster", "kv put", "lock", "status"] {
        assert!(script.contains(&format!("traitwire {command}")), "{command} is not in the README: {script}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = run_script(&script, folder.path(), port).await;
    for part in [r#""value":"blue""#, "token 1", "leader"] {
        assert!(out.contains(part), "{part} is not in\n{out}\n---\n{err}");
    }
    same_demo(&readme, &out);
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("nothing is left running");
}

/// The output of `demo` in the README is what it prints, except for numbers and what `…` leaves out.
fn same_demo(readme: &str, out: &str) {
    let (_, printed) = readme.split_once("```text\n1. ").unwrap();
    let (printed, _) = printed.split_once("\n```").unwrap();
    let mut lines = out.lines();
    for line in format!("1. {printed}").lines() {
        let found = lines.next().unwrap_or_else(|| panic!("`demo` does not print `{line}`: {out}"));
        let (expected, found) = (without_numbers(line), without_numbers(found));
        match expected.strip_suffix('…') {
            Some(start) => assert!(found.starts_with(start), "{found}"),
            None => assert_eq!(expected, found),
        }
    }
}

/// A line without its numbers and the units of times.
fn without_numbers(line: &str) -> String {
    let (start, _) = line.split_once("put took").unwrap_or((line, ""));
    start.chars().filter(|character| !character.is_ascii_digit()).collect()
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
