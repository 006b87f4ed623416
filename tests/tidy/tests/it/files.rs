//! Files: where they may lie, how long they may be, what they may not hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tidegate_tidy::{files, root};

/// Everything that may lie in the workspace's folder.
const PLACES: [&str; 22] = [
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    ".tools",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "host",
    "plugins",
    "rust-toolchain.toml",
    "sdk",
    "target",
    "tests",
    "tidegate-data",
    "tidegate.toml",
    "wit",
];

/// Longest source file.
const LINES_MAX: usize = 500;

/// Longer files, and why they are one piece all the same.
const LONGER: [(&str, &str); 0] = [];

/// What no source file may hold, and what to do instead. In two halves, so that this
/// list does not find itself.
const FORBIDDEN: [(&str, &str, &str); 7] = [
    ("to", "do!(", "write it, or file an issue"),
    ("unimplemen", "ted!(", "write it, or file an issue"),
    ("// TO", "DO", "write it, or file an issue"),
    ("FIX", "ME", "fix it, or file an issue"),
    (
        "#[all",
        "ow(",
        "#[expect(…, reason = …)] tells when it is no longer needed",
    ),
    ("#[ign", "ore", "a test that does not run proves nothing"),
    ("dbg", "!(", "use the log"),
];

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[test]
fn everything_has_its_place() {
    let places: BTreeSet<&str> = PLACES.into_iter().collect();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            places.contains(name.as_str()),
            "{name} has no place in the workspace's folder"
        );
    }
}

#[test]
fn source_files_hold_one_concept_each() {
    let longer: Vec<&str> = LONGER.iter().map(|(path, _)| *path).collect();
    let mut too_long = Vec::new();
    for path in files(&root(), ".rs").unwrap() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let path = shown(&path);
        if lines > LINES_MAX && !longer.contains(&path.as_str()) {
            too_long.push(format!("{path}: {lines} lines"));
        }
    }
    assert!(too_long.is_empty(), "over {LINES_MAX} lines: {too_long:#?}");
}

#[test]
fn source_files_begin_with_what_they_are_for() {
    let mut silent = Vec::new();
    for path in files(&root(), ".rs").unwrap() {
        let text = fs::read_to_string(&path).unwrap();
        let documented = text.starts_with("//!") || text.starts_with("#![doc");
        // A `tests.rs` is about the file that declares it.
        if !documented && !path.ends_with("tests.rs") {
            silent.push(shown(&path));
        }
    }
    assert!(silent.is_empty(), "no module doc: {silent:#?}");
}

#[test]
fn nothing_is_left_open() {
    let mut found = Vec::new();
    for path in files(&root(), ".rs").unwrap() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            for (start, end, instead) in FORBIDDEN {
                let forbidden = format!("{start}{end}");
                if line.contains(&forbidden) {
                    found.push(format!("{}:{number}: {forbidden}: {instead}", shown(&path)));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
