//! Files that are not loaded: each refusal names the item and the fix.

use tidegate_runtime::LoadError;

use crate::guest::{RUNTIME, check_unharmed, describing, wasm};

#[track_caller]
fn refusal(wasm: &[u8]) -> LoadError {
    let error = RUNTIME.load(wasm).expect_err("loaded");
    check_unharmed();
    error
}

#[track_caller]
fn check(wasm: &[u8], expect: &str) {
    let said = refusal(wasm).to_string();
    assert!(
        said.starts_with(expect),
        "{said:?} does not begin with {expect:?}"
    );
}

#[track_caller]
fn check_text(component: &str, expect: &str) {
    check(&wat::parse_str(component).unwrap(), expect);
}

/// A component that exports those interfaces, as empty ones.
fn exporting(names: &[&str]) -> String {
    let exports: Vec<String> = names
        .iter()
        .map(|name| format!("(export \"{name}\" (instance $empty))"))
        .collect();
    format!("(component (instance $empty) {})", exports.join(" "))
}

const DESCRIBER: &str = "tidegate:connector/describer@0.1.0";
const MAPPER: &str = "tidegate:connector/mapper@0.1.0";

#[test]
fn a_good_one_says_what_it_can() {
    let plugin = RUNTIME.load(wasm()).unwrap();
    let can = plugin.capabilities();
    assert!(can.mapper && can.poller && can.lister, "{can:?}");
    assert_eq!(&plugin.descriptor_json()[..], br#"{"name":"misbehave"}"#);
    assert_eq!(plugin.digest(), RUNTIME.load(wasm()).unwrap().digest());
    assert_ne!(
        plugin.digest(),
        RUNTIME.load(&describing("garbage")).unwrap().digest()
    );
}

#[test]
fn not_webassembly() {
    check(b"", "the file is not WebAssembly but empty: copy it again");
    check(
        b"\n<!DOCTYPE html><title>Sign in</title>",
        "the file is not WebAssembly but a web page: the address that it came from",
    );
    check(
        b"{\"message\":\"Not Found\"}",
        "the file is not WebAssembly but JSON",
    );
    check(
        b"(component)",
        "the file is not WebAssembly but WebAssembly text: give the binary form",
    );
    check(
        b"\x1f\x8b\x08",
        "the file is not WebAssembly but an archive: unpack it",
    );
    check(
        b"\x7fELF\x02",
        "the file is not WebAssembly but a program for this machine",
    );
    check(b"hello", "the file is not WebAssembly but something else");
}

#[test]
fn not_a_component() {
    check(
        b"\0asm\x01\0\0\0",
        "the file is a core WebAssembly module, not a component: build it with --target wasm32-wasip2",
    );
    check(
        b"\0asm\x07\0\x01\0",
        "the file is WebAssembly of an unknown kind (version bytes 07000100)",
    );
}

#[test]
fn cut_short_anywhere() {
    check(b"\0asm", "the component is damaged or cut short at byte 4");
    let whole = wasm();
    for end in [9, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let said = refusal(&whole[..end]).to_string();
        // Between two sections the beginning of a component is a component: then its
        // exports are what is missing.
        assert!(
            said.starts_with("the component is damaged or cut short at byte")
                || said.starts_with("it exports nothing of tidegate:connector"),
            "{end}: {said}"
        );
    }
}

#[test]
fn damaged_in_the_middle() {
    let mut damaged = wasm().to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let said = refusal(&damaged).to_string();
    assert!(
        said.starts_with("it does not compile: ") || said.starts_with("the component is damaged"),
        "{said}"
    );
}

#[test]
fn too_large() {
    check(
        &vec![0; 64 * 1024 * 1024 + 1],
        "the file is 64 MiB large, over 64 MiB",
    );
}

#[test]
fn exports() {
    check_text(
        "(component)",
        "it exports nothing of tidegate:connector: export tidegate:connector/describer@0.1.0",
    );
    check_text(
        &exporting(&["wasi:cli/run@0.2.0"]),
        "it exports nothing of tidegate:connector",
    );
    check_text(
        &exporting(&[MAPPER]),
        "it does not export tidegate:connector/describer@0.1.0",
    );
    check_text(
        &exporting(&[DESCRIBER]),
        "it describes itself and can do nothing",
    );
    check_text(
        &exporting(&[DESCRIBER, "tidegate:connector/mapper@0.2.0"]),
        "it exports tidegate:connector/mapper@0.2.0, this host serves 0.1.x: rebuild it against",
    );
    check_text(
        &exporting(&[DESCRIBER, MAPPER]),
        "its export tidegate:connector/mapper does not fit the contract: ",
    );
}

#[test]
fn imports() {
    let importing = |name: &str| {
        format!(
            "(component (import \"{name}\" (instance)) (instance $e) (export \"{DESCRIBER}\" (instance $e)) (export \"{MAPPER}\" (instance $e)))"
        )
    };
    check_text(
        &importing("wasi:http/outgoing-handler@0.2.0"),
        "it imports wasi:http/outgoing-handler@0.2.0: a plugin has no network; requests go through",
    );
    check_text(
        &importing("wasi:cli/environment@0.3.0"),
        "it imports wasi:cli/environment@0.3.0: this host serves WASI 0.2",
    );
    check_text(
        &importing("acme:tools/shell"),
        "it imports acme:tools/shell: a plugin may import tidegate:connector and WASI 0.2 and nothing else",
    );
    check_text(
        &importing("tidegate:connector/partner@0.2.0"),
        "it imports tidegate:connector/partner@0.2.0, this host serves 0.1.x",
    );
}

/// A component of that many core modules with a memory of that many pages each.
fn with_memories(count: usize, pages: usize) -> String {
    let instances: Vec<String> = (0..count)
        .map(|n| format!("(core instance $m{n} (instantiate $memory))"))
        .collect();
    let instances = instances.join(" ");
    format!(
        r#"(component
            (core module $memory (memory {pages}) (func (export "f")))
            {instances}
            (func $f (canon lift (core func $m0 "f")))
            (instance $describer (export "describe" (func $f)))
            (instance $mapper (export "map-webhook" (func $f)))
            (export "{DESCRIBER}" (instance $describer))
            (export "{MAPPER}" (instance $mapper)))"#
    )
}

#[test]
fn exports_of_another_type() {
    check_text(
        &with_memories(1, 1),
        "its export tidegate:connector/mapper does not fit the contract: ",
    );
}

#[test]
fn memories_are_summed() {
    // 3 times 20 MiB are allowed, a fourth is not.
    check_text(
        &with_memories(3, 320),
        "its export tidegate:connector/mapper does not fit the contract: ",
    );
    check_text(
        &with_memories(4, 320),
        "it could not describe itself: plugin-memory: describe asked for more than 64 MiB of memory",
    );
    check_text(&with_memories(1, 1_025), "it does not compile: ");
    check_text(&with_memories(9, 1), "it does not compile: ");
}

#[test]
fn descriptions() {
    assert_eq!(
        &RUNTIME
            .load(&describing("garbage"))
            .unwrap()
            .descriptor_json()[..],
        b"\xff\0{",
        "what it means is for core to judge"
    );
    check(
        &describing("large"),
        "its descriptor is 262145 bytes long, over 256 KiB",
    );
    check(
        &describing("panic"),
        "it could not describe itself: plugin-trap: describe panicked at",
    );
    check(
        &describing("spin"),
        "it could not describe itself: plugin-time: describe ran longer than 200ms",
    );
    let LoadError::Describe { stderr, .. } = refusal(&describing("panic")) else {
        panic!("another error");
    };
    assert!(stderr.contains("cannot say"), "{stderr}");
}
