//! What others wrote and we ship: under which licences, and nothing twice without a
//! reason.

use std::collections::BTreeMap;

use tidegate_tidy::{Graph, license};

/// Licences that a binary under MIT OR Apache-2.0 can carry.
const LICENSES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are in the host more than once, and who keeps the older one. Those of
/// sled come with its feature alone.
const TWICE: [(&str, &str); 11] = [
    ("base64", "tokio-postgres"),
    ("block-buffer", "sha2 0.10 of wasmtime"),
    ("cpufeatures", "sha2 0.10 of wasmtime"),
    ("crypto-common", "sha2 0.10 of wasmtime"),
    ("digest", "sha2 0.10 of wasmtime"),
    (
        "embedded-io",
        "postcard of wasmtime names two, and builds neither",
    ),
    ("getrandom", "ring of rustls"),
    ("hashbrown", "fjall's dashmap and wasmtime's gimli"),
    ("parking_lot", "sled"),
    ("parking_lot_core", "sled"),
    ("sha2", "wasmtime"),
];

#[test]
fn licenses_can_be_shipped() {
    let graph = Graph::read().unwrap();
    let mut wrong = Vec::new();
    for package in &graph.packages {
        if !license::satisfied(&package.license, &LICENSES) {
            wrong.push(format!(
                "{} {}: {:?}",
                package.name, package.version, package.license
            ));
        }
    }
    assert!(
        graph.packages.len() > 100,
        "cargo told of {} packages",
        graph.packages.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_shipped_twice_without_a_reason() {
    let graph = Graph::read().unwrap();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in graph.shipped_in("tidegate") {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    assert!(
        versions.contains_key("wasmtime"),
        "the graph is not followed: {versions:?}"
    );
    versions.retain(|_, versions| versions.len() > 1);
    let reasons: BTreeMap<&str, &str> = TWICE.into_iter().collect();
    let without: Vec<_> = versions
        .iter()
        .filter(|(name, _)| !reasons.contains_key(*name))
        .collect();
    assert!(
        without.is_empty(),
        "twice, and not in the list: {without:?}"
    );
    let stale: Vec<_> = reasons
        .keys()
        .filter(|name| !versions.contains_key(*name))
        .collect();
    assert!(stale.is_empty(), "in the list, and not twice: {stale:?}");
}
