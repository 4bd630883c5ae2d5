//! The help of every command.

use crate::traitwire;

/// Every command, and what its long help says beside its exit codes.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&["serve"], &["first line on standard output"]),
    (&["cluster"], &["stops its nodes too"]),
    (&["status"], &["no_leader", "memory"]),
    (&["kv"], &["--endpoints need not include the leader"]),
    (&["kv", "get"], &["exactly as it is stored", "{\"error\":{\"code\",\"message\"}}"]),
    (&["kv", "put"], &["standard input", "--file", "KEY -- VALUE", "{\"error\":{\"code\",\"message\"}}"]),
    (&["member"], &["--endpoints need not include the leader", "missing"]),
    (&["member", "list"], &["{\"error\":{\"code\",\"message\"}}", "Examples:"]),
    (&["member", "add"], &["serve --join", "the same command waits for it again", "Examples:"]),
    (&["member", "promote"], &["Examples:"]),
    (&["member", "remove"], &["less than a majority", "Examples:"]),
    (&["member", "replace"], &["alive or dead", "Examples:"]),
    (
        &["lock"],
        &[
            "TRAITWIRE_LOCK_TOKEN",
            "TRAITWIRE_ENDPOINTS",
            "killed by KILL",
            "--break",
            "128 + n",
            "75",
            "125",
            "126",
            "127",
        ],
    ),
    (&["call"], &["TRAITWIRE_ENDPOINTS", "arguments that do not fit it are refused"]),
    (&["schema"], &["compatibility"]),
    (&["schema", "list"], &["{\"error\":{\"code\",\"message\"}}"]),
    (&["schema", "show"], &["curl"]),
    (&["schema", "export"], &["standard output"]),
    (&["schema", "diff"], &["breaks old clients"]),
    (&["schema", "check"], &["lock"]),
    (&["schema", "bless"], &["--allow R07"]),
    (&["schema", "probe"], &["running server"]),
    (&["bench"], &["Measure"]),
    (&["bench", "rpc"], &["processes of their own"]),
    (&["bench", "kv"], &["put-if-version"]),
    (&["backup"], &["acknowledged before", "temporary name"]),
    (&["restore"], &["new id", "traitwire serve"]),
    (&["debug"], &["Only `recover` changes"]),
    (&["debug", "wal"], &["beside a running node"]),
    (&["debug", "snapshot"], &["every byte"]),
    (&["debug", "recover"], &["--force-new-cluster", "never reached this node"]),
    (&["demo"], &["temporary folder"]),
];

/// The long help says more than the short one, in particular every exit code.
#[tokio::test]
async fn every_command_shows_its_long_text() {
    for (command, texts) in COMMANDS {
        let help = async |option| {
            let arguments: Vec<_> = command.iter().copied().chain([option]).collect();
            let (code, out, _) = traitwire("http://127.0.0.1:1", &arguments).await;
            assert_eq!(code, 0, "{arguments:?}");
            // Where a line is broken depends on the terminal.
            out.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let (short, long) = (help("-h").await, help("--help").await);
        assert!(long.len() > short.len(), "{command:?} has no long help");
        assert!(long.contains("Exit code"), "{command:?} does not name its exit codes: {long}");
        for text in *texts {
            assert!(long.contains(text), "the help of {command:?} does not say {text:?}: {long}");
        }
    }
}

/// The list above is complete.
#[tokio::test]
async fn no_command_is_forgotten() {
    let mut pending: Vec<Vec<String>> = vec![Vec::new()];
    let mut found = 0;
    while let Some(command) = pending.pop() {
        let arguments: Vec<_> = command.iter().map(String::as_str).chain(["-h"]).collect();
        let (_, out, _) = traitwire("http://127.0.0.1:1", &arguments).await;
        let Some((_, commands)) = out.split_once("Commands:\n") else { continue };
        let names = commands.lines().take_while(|line| line.starts_with("  "));
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            let mut deeper = command.clone();
            deeper.push(name.to_owned());
            assert!(COMMANDS.iter().any(|(known, _)| *known == deeper), "{deeper:?} is not in the list");
            pending.push(deeper);
            found += 1;
        }
    }
    assert_eq!(found, COMMANDS.len());
}
