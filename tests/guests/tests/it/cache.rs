//! Compiled forms on disk: taken when whole, made anew when not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::guest::{call_with, runtime, said, wasm};

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Loads in a new runtime, as after a restart.
#[track_caller]
fn check(dir: &Path, from_cache: bool) {
    let plugin = runtime(Some(dir.to_owned())).load(wasm()).unwrap();
    assert_eq!(plugin.from_cache(), from_cache);
    let said = said(&call_with(&plugin, 1, "map"));
    assert_eq!(said, "mapped: 1 changes, 0 fetches, poll false");
    assert_eq!(entries(dir).len(), 1, "{:?}", entries(dir));
}

#[test]
fn a_restart_compiles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    check(dir.path(), false);
    check(dir.path(), true);
}

#[test]
fn the_folder_is_this_users_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    check(dir.path(), false);
    let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn damage_is_found_and_repaired() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [Damage; 4] = [
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
        |bytes| *bytes = b"hello".repeat(100),
    ];
    let dir = tempfile::tempdir().unwrap();
    check(dir.path(), false);
    for damage in damages {
        let [entry] = &entries(dir.path())[..] else {
            panic!("one entry");
        };
        let mut bytes = fs::read(entry).unwrap();
        damage(&mut bytes);
        fs::remove_file(entry).unwrap();
        fs::write(entry, bytes).unwrap();
        check(dir.path(), false);
        check(dir.path(), true);
    }
}

#[test]
fn what_a_crash_left_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("1-0.tmp"), b"half").unwrap();
    check(dir.path(), false);
}

#[test]
fn a_folder_that_cannot_be_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = tidegate_runtime::Runtime::new(tidegate_runtime::RuntimeOptions {
        cache_dir: Some(file.clone()),
        ..tidegate_runtime::RuntimeOptions::default()
    })
    .unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains(&*file.to_string_lossy()),
        "{error}: {source}"
    );
}

#[test]
fn a_plugin_outlives_its_runtime() {
    let plugin = runtime(None).load(wasm()).unwrap();
    let said = said(&call_with(&plugin, 1, "spin"));
    assert_eq!(said, "plugin-time: map-webhook ran longer than 200ms");
}
