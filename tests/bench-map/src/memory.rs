//! Resident memory of loaded plugins.

use anyhow::Context as _;
use tidegate_core::event::Event;
use tidegate_core::ports::Mapper as _;
use tidegate_e2e::reload::variant;
use tidegate_runtime::{Runtime, RuntimeOptions};

/// Plugins loaded beside the first.
const MORE: u32 = 10;

/// KiB that one more plugin adds, used once, averaged over [`MORE`] that differ.
///
/// All are compiled beforehand: the compiler's own memory is given back late, and a host
/// that starts again finds its plugins compiled.
pub(crate) fn of_one_more_plugin(wasm: &[u8], events: &[Event]) -> anyhow::Result<f64> {
    let cache = tempfile::tempdir()?;
    let runtime = Runtime::new(RuntimeOptions {
        cache_dir: Some(cache.path().join("compiled")),
        ..RuntimeOptions::default()
    })?;
    let event = events.first().context("no event")?;
    let variants: Vec<Vec<u8>> = (0..=MORE).map(|number| variant(wasm, number)).collect();
    for bytes in &variants {
        runtime.load(bytes)?;
    }
    let mut loaded = Vec::new();
    let mut before = 0;
    for bytes in &variants {
        let plugin = runtime.load(bytes)?;
        std::hint::black_box(plugin.map(&crate::call(event, 1)));
        loaded.push(plugin);
        if loaded.len() == 1 {
            before = resident_kib()?;
        }
    }
    let after = resident_kib()?;
    Ok((f64::from(after) - f64::from(before)) / f64::from(MORE))
}

fn resident_kib() -> anyhow::Result<u32> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line
        .context("no VmRSS")?
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()?)
}
