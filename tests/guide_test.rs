//! The guide: its commands work as printed, its pages are listed, its programs are compiled, and links in all documents lead
//! somewhere.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::process::free_ports;
use common::script::{local_script, run_script};

/// The pages whose commands are run here, each in a folder of its own.
const PAGES: [&str; 6] =
    ["clients.md", "documents.md", "compatibility.md", "store.md", "benchmarks.md", "operating/run-nodes.md"];
/// Pages with commands that other tests run, or that run the tests.
const ELSEWHERE: [&str; 5] = [
    "testing.md",
    "operating/grow-a-cluster.md",
    "operating/replace-a-dead-machine.md",
    "operating/move-to-new-machines.md",
    "operating/restore-a-backup.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Runs the commands of a page, and returns what they have printed.
async fn run(page: &str) -> String {
    assert!(PAGES.contains(&page), "{page} is not listed above");
    let port = free_ports(3);
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("rpc-schema"), folder.path().join("rpc-schema")).unwrap();
    let script = local_script(&read(Path::new("docs").join(page)), port);
    let (out, err) = run_script(&script, folder.path(), port).await;
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("nothing is left running");
    format!("{out}\n---\n{err}")
}

fn assert_contains(out: &str, parts: &[&str]) {
    for part in parts {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients() {
    assert_contains(&run("clients.md").await, &[r#""version":1"#, r#""jsonrpc":"2.0""#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents() {
    assert_contains(&run("documents.md").await, &["openrpc", "Writes a key if its version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn compatibility() {
    assert_contains(&run("compatibility.md").await, &["schema probe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn store() {
    assert_contains(&run("store.md").await, &["red", "token 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn benchmarks() {
    assert_contains(&run("benchmarks.md").await, &["256"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_nodes() {
    assert_contains(&run("operating/run-nodes.md").await, &["leader"]);
}

/// The Markdown files below a folder, by their paths from the root.
fn documents_below(folder: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = Path::new(folder).join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            found.extend(documents_below(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(path);
        }
    }
    found
}

/// What the links of a document lead to, without those to other sites.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        in_code ^= is_fence;
        !is_fence && !in_code
    });
    let targets = lines.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

/// The name by which links know a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut documents = documents_below("docs");
    documents
        .extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "benches/README.md"].map(PathBuf::from));
    let mut links_seen = 0;
    for document in documents {
        let text = read(&document);
        for link in links(&text) {
            links_seen += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            assert!(root().join(&target).exists(), "{}: {link} leads nowhere", document.display());
            // A page of the book can only link to other pages.
            let leaves = document.starts_with("docs")
                && !root()
                    .join(&target)
                    .canonicalize()
                    .unwrap()
                    .starts_with(root().join("docs").canonicalize().unwrap());
            assert!(!leaves, "{}: {link} leaves the guide", document.display());
            let is_heading =
                |line: &str| line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == heading;
            assert!(
                heading.is_empty() || read(&target).lines().any(is_heading),
                "{}: there is no heading for {link}",
                document.display()
            );
        }
    }
    assert!(links_seen > 40, "only {links_seen} links were found");
}

#[test]
fn no_page_is_forgotten() {
    let summary = read("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> =
        links(&summary).into_iter().map(|link| Path::new("docs").join(link)).collect();
    let pages: BTreeSet<PathBuf> =
        documents_below("docs").into_iter().filter(|path| !path.ends_with("SUMMARY.md")).collect();
    assert_eq!(pages, listed, "docs/SUMMARY.md lists every page");
    let compiled = read("src/lib.rs");
    for path in pages {
        let text = read(&path);
        let page = path.strip_prefix("docs").unwrap().to_str().unwrap();
        let is_run = PAGES.contains(&page) || ELSEWHERE.contains(&page);
        assert_eq!(text.contains("```sh\n"), is_run, "{page}: the commands of a page are run by a test");
        let is_compiled = compiled.contains(&format!("include_str!(\"../docs/{page}\")"));
        assert_eq!(
            text.contains("```rust\n"),
            is_compiled,
            "{page}: src/lib.rs compiles the programs of a page"
        );
    }
}
