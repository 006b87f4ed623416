//! What the tree looks like to its rules: packages as cargo resolves them, files as they
//! lie there. The rules themselves are the tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde_json::Value;

pub mod license;

/// Folders that hold nothing of the project's own writing.
const NOT_OURS: [&str; 5] = [".git", ".tools", "node_modules", "target", "tidegate-data"];

/// The workspace's folder.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}

/// All files below that folder whose name ends so, without what others wrote.
pub fn files(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One package of the graph.
#[derive(Clone, Debug)]
pub struct Package {
    /// Cargo's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence expression; empty where it has none.
    pub license: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Names of the packages that it asks for, development and build included.
    pub asks_for: BTreeSet<String>,
    /// Whether it runs in the compiler and is linked into nothing.
    is_macro: bool,
}

/// The packages, as cargo resolves them for Linux with every feature.
#[derive(Debug)]
pub struct Graph {
    /// All of them.
    pub packages: Vec<Package>,
    members: BTreeSet<String>,
    resolved: Value,
}

impl Graph {
    /// Asks cargo. Fails as text, for a test to show.
    pub fn read() -> Result<Self, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let asked = Command::new(cargo)
            .current_dir(root())
            .args([
                "metadata",
                "--format-version=1",
                "--all-features",
                "--locked",
            ])
            .arg("--filter-platform=x86_64-unknown-linux-gnu")
            .output()
            .map_err(|error| error.to_string())?;
        if !asked.status.success() {
            return Err(String::from_utf8_lossy(&asked.stderr).into_owned());
        }
        let metadata: Value =
            serde_json::from_slice(&asked.stdout).map_err(|error| error.to_string())?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Ok(Self {
            packages: list(at(&metadata, "/packages"))
                .iter()
                .map(package)
                .collect(),
            members: list(at(&metadata, "/workspace_members"))
                .iter()
                .map(text)
                .collect(),
            resolved: at(&metadata, "/resolve/nodes").clone(),
        })
    }

    /// The packages of this workspace.
    pub fn ours(&self) -> Vec<&Package> {
        self.packages
            .iter()
            .filter(|package| self.members.contains(&package.id))
            .collect()
    }

    /// All that is linked into that package: what its users run.
    pub fn shipped_in(&self, name: &str) -> Vec<&Package> {
        let macros = self.packages.iter().filter(|package| package.is_macro);
        let macros: BTreeSet<&str> = macros.map(|package| package.id.as_str()).collect();
        let mut reached: BTreeSet<String> = BTreeSet::new();
        let start = self.ours().into_iter().find(|package| package.name == name);
        let mut next: Vec<String> = start
            .map(|package| package.id.clone())
            .into_iter()
            .collect();
        while let Some(id) = next.pop() {
            let nodes = self.resolved.as_array().into_iter().flatten();
            let deps = nodes.filter(|node| text(at(node, "/id")) == id);
            let deps = deps.flat_map(|node| at(node, "/deps").as_array().into_iter().flatten());
            next.extend(
                deps.filter(|dep| is_linked(dep))
                    .map(|dep| text(at(dep, "/pkg"))),
            );
            reached.insert(id);
            next.retain(|id| !reached.contains(id) && !macros.contains(id.as_str()));
        }
        self.packages
            .iter()
            .filter(|package| reached.contains(&package.id))
            .collect()
    }
}

fn is_linked(dependency: &Value) -> bool {
    let mut kinds = at(dependency, "/dep_kinds")
        .as_array()
        .into_iter()
        .flatten();
    kinds.any(|kind| at(kind, "/kind").is_null())
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn package(package: &Value) -> Package {
    let manifest = PathBuf::from(text(at(package, "/manifest_path")));
    let asked = at(package, "/dependencies")
        .as_array()
        .into_iter()
        .flatten();
    let mut targets = at(package, "/targets").as_array().into_iter().flatten();
    Package {
        id: text(at(package, "/id")),
        name: text(at(package, "/name")),
        version: text(at(package, "/version")),
        license: text(at(package, "/license")),
        folder: manifest.parent().unwrap_or(&manifest).to_path_buf(),
        asks_for: asked
            .map(|dependency| text(at(dependency, "/name")))
            .collect(),
        is_macro: targets.any(|target| at(target, "/kind/0") == "proc-macro"),
    }
}
