//! House rules that a machine can check.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// The lines of a file, without its tests.
const FILE_LINES_MAX: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the workspace, but for fixtures, cases of wrong code and goldens.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let skipped = ["target", "fixtures", "ui", "expand", "schemas"].contains(&name) && path.is_dir();
            if path.is_dir() && !name.starts_with('.') && (!skipped || path.ends_with("codegen/expand")) {
                folders.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the walk has missed the sources: {found:?}");
    found
}

fn check(rule: &str, breaks: impl Fn(&Path, &str) -> bool) {
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|path| breaks(path, &std::fs::read_to_string(path).unwrap()))
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert!(broken.is_empty(), "{rule}: {broken:?}");
}

#[test]
fn every_file_begins_by_saying_what_lives_in_it() {
    check("the first line must be `//!`", |_, text| !text.starts_with("//!"));
}

#[test]
fn no_file_is_too_long_to_be_read() {
    check(&format!("split what has over {FILE_LINES_MAX} lines without tests"), |path, text| {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        !is_test && code.lines().count() > FILE_LINES_MAX
    });
}

/// A path in `ARCHITECTURE.md` is a promise to who looks for it.
#[test]
fn the_paths_in_the_architecture_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let paths: Vec<_> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| !word.contains(' ') && (word.ends_with('/') || word.ends_with(".rs")))
        .collect();
    assert!(paths.len() > 20, "{paths:?}");
    let folders = [
        "",
        "lib/src",
        "lib/src/server",
        "lib/src/transport",
        "rpc-schema/src",
        "src/kv_raft",
        "src/kv_raft/raft",
        "src/kv_raft/raft/core",
        "src/kv_raft/raft/driver",
    ];
    for path in paths {
        let exists = folders.iter().any(|folder| root().join(folder).join(path).exists());
        assert!(exists, "`{path}` is in ARCHITECTURE.md and nowhere else");
    }
}
