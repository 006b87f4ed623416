//! Which crate of ours may know which. A new arrow needs a written reason, here and in
//! ARCHITECTURE.md.

use std::path::Path;

use tidegate_tidy::{Graph, Package};

/// Everything that a package of ours may ask for of ours, development included.
fn may_know(package: &Package) -> Option<&'static [&'static str]> {
    match package.name.as_str() {
        "tidegate-core" | "tidegate-sdk" | "xtask" => Some(&[]),
        "tidegate-egress" | "tidegate-flow" | "tidegate-runtime" | "tidegate-store" => {
            Some(&["tidegate-core"])
        }
        "tidegate-sinks" => Some(&["tidegate-core", "tidegate-egress"]),
        "tidegate" => Some(&[
            "tidegate-core",
            "tidegate-egress",
            "tidegate-flow",
            "tidegate-runtime",
            "tidegate-sinks",
            "tidegate-store",
        ]),
        name if name.starts_with("tidegate-plugin-") => Some(&["tidegate-sdk"]),
        _ if package
            .folder
            .starts_with(tidegate_tidy::root().join("tests")) =>
        {
            None
        }
        name => panic!("{name} is not in the table of directions"),
    }
}

#[test]
fn arrows_go_one_way() {
    let graph = Graph::read().unwrap();
    let ours: Vec<&str> = graph
        .ours()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in graph.ours() {
        let Some(allowed) = may_know(package) else {
            continue;
        };
        let known = package
            .asks_for
            .iter()
            .filter(|name| ours.contains(&name.as_str()));
        let too_many = known.filter(|name| !allowed.contains(&name.as_str()));
        wrong.extend(too_many.map(|name| format!("{} → {name}", package.name)));
    }
    assert!(
        wrong.is_empty(),
        "not in the table of directions: {wrong:?}"
    );
}

/// Packages that build in seconds because they do without these.
#[test]
fn heavy_dependencies_stay_behind_their_fence() {
    let graph = Graph::read().unwrap();
    let fences: [(&str, &[&str]); 6] = [
        ("wasmtime", &["tidegate-runtime"]),
        ("fjall", &["tidegate-store"]),
        ("sled", &["tidegate-store"]),
        ("tokio-postgres", &["tidegate-sinks"]),
        ("rustls", &["tidegate-egress"]),
        ("tokio-rustls", &["tidegate-egress"]),
    ];
    // What rustls reads certificates with, and no TLS: partners sign with certificates too.
    let light = ["rustls-pki-types", "rustls-webpki"];
    let tests = tidegate_tidy::root().join("tests");
    for package in graph.ours() {
        if package.folder.starts_with(&tests) {
            continue;
        }
        for (heavy, inside) in fences {
            let asked = package.asks_for.iter().map(String::as_str);
            let mut asked = asked.filter(|name| !light.contains(name));
            let found = asked.any(|name| name.starts_with(heavy));
            let may = inside.contains(&package.name.as_str());
            assert!(!found || may, "{} asks for {heavy}", package.name);
        }
    }
    assert!(
        graph
            .ours()
            .iter()
            .any(|one| one.name == "xtask" && one.asks_for.is_empty())
    );
}

#[test]
fn every_crate_follows_the_workspace_lints_and_is_in_the_architecture() {
    let architecture =
        std::fs::read_to_string(tidegate_tidy::root().join("ARCHITECTURE.md")).unwrap();
    for package in Graph::read().unwrap().ours() {
        let manifest = std::fs::read_to_string(package.folder.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} has lints of its own",
            package.name
        );
        // By its name, or with all of its folder.
        let folder = package.folder.parent().and_then(Path::file_name);
        let group = folder.unwrap_or_default().to_string_lossy();
        let named = [format!("`{}`", package.name), format!("`{group}/*`")]
            .iter()
            .any(|name| architecture.contains(name));
        assert!(named, "ARCHITECTURE.md does not name `{}`", package.name);
    }
}
