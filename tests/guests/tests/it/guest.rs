//! Builds the guest, loads it, and calls it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::ids::EventId;
use tidegate_core::mapping::{MapCall, MapReport, Mapped};
use tidegate_core::ports::Mapper;
use tidegate_core::time::Timestamp;
use tidegate_runtime::{CallLimits, Plugin, Runtime, RuntimeOptions};

/// The time that a call has here: short, since many tests use it up.
pub(crate) const TIME: Duration = Duration::from_millis(200);

/// When the event of every call was received: 2026-01-31T08:00:00.000007Z.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_micros(1_769_846_400_000_007);

/// The runtime that all tests share, so that they run beside each other's faults.
pub(crate) static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| runtime(None));

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| RUNTIME.load(wasm()).unwrap());

pub(crate) fn runtime(cache_dir: Option<PathBuf>) -> Arc<Runtime> {
    Runtime::new(RuntimeOptions {
        cache_dir,
        limits: CallLimits {
            time: TIME,
            ..CallLimits::default()
        },
        ..RuntimeOptions::default()
    })
    .unwrap()
}

/// The guest's file, built on first use.
pub(crate) fn wasm() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> = LazyLock::new(|| build("guests", &[]));
    &WASM
}

/// The same guest with the SDK linked in, built on first use.
pub(crate) fn wasm_with_sdk() -> &'static [u8] {
    static WASM: LazyLock<Vec<u8>> = LazyLock::new(|| build("guests-sdk", &["--features", "sdk"]));
    &WASM
}

/// A target folder of its own: the one of the tests is locked by whoever runs them.
fn build(folder: &str, options: &[&str]) -> Vec<u8> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(folder);
    let built = Command::new(env!("CARGO"))
        .current_dir(package)
        .args(["build", "--quiet", "--lib", "--profile", "plugin"])
        .args(["--target", "wasm32-wasip2", "--target-dir"])
        .arg(&target)
        .args(options)
        .status()
        .unwrap();
    assert!(
        built.success(),
        "the guest does not build; is the target wasm32-wasip2 installed?"
    );
    std::fs::read(target.join("wasm32-wasip2/plugin/tidegate_test_guests.wasm")).unwrap()
}

/// The guest that describes itself in that way.
pub(crate) fn describing(word: &str) -> Vec<u8> {
    const MARK: &[u8] = b"tidegate-describe:";
    let mut wasm = wasm().to_vec();
    let at = wasm
        .windows(MARK.len())
        .position(|bytes| bytes == MARK)
        .unwrap();
    let choice = &mut wasm[at + MARK.len()..at + 32];
    choice.fill(b' ');
    choice[..word.len()].copy_from_slice(word.as_bytes());
    wasm
}

pub(crate) fn event(order: &str) -> Event {
    Event {
        connection: "misbehave/acme".parse().unwrap(),
        partner_id: "1".into(),
        received: RECEIVED,
        method: "POST".into(),
        path: vec!["a b".into(), "ü".into()],
        query: "x=1".into(),
        headers: vec![
            ("x-one".into(), Bytes::from_static(b"1")),
            ("x-bytes".into(), Bytes::from_static(b"\xff\x00")),
        ],
        body: Bytes::from(order.to_owned()),
        body_authenticated: BodyAuthenticated::Fields,
    }
}

pub(crate) fn call_with(plugin: &Plugin, id: u64, order: &str) -> MapReport {
    plugin.map(&MapCall {
        id: EventId::new(id),
        event: &event(order),
        base_url: Some("https://api.example"),
        settings: &Bytes::from_static(b"{\"owner\":\"acme\"}"),
    })
}

pub(crate) fn call(order: &str) -> MapReport {
    call_with(&PLUGIN, 42, order)
}

/// An ordinary call works.
#[track_caller]
pub(crate) fn check_unharmed() {
    let report = call("map");
    assert!(
        matches!(&report.answer, Ok(Mapped::Mapping(mapping)) if mapping.changes.len() == 1),
        "the next call: {report:?}"
    );
    assert_eq!(report.stderr, "");
}

/// The answer, in one line.
pub(crate) fn said(report: &MapReport) -> String {
    match &report.answer {
        Ok(Mapped::Skip { reason }) => format!("skip: {reason}"),
        Ok(Mapped::Mapping(mapping)) => format!(
            "mapped: {} changes, {} fetches, poll {}",
            mapping.changes.len(),
            mapping.fetch.len(),
            mapping.poll_now
        ),
        Err(failure) => failure.to_string(),
    }
}
