//! This program as the compiler of another one like it.
//!
//! `serve` starts it for each plugin that it has no compiled form of; why, is told in
//! [`tidegate_runtime::CompilerProcess`]. Nobody else is meant to: it is no part of the
//! command line that people see.

use std::error::Error;
use std::io::{self, Read, Write};

use rustix::process::{Resource, Rlimit, setrlimit};
use tidegate_core::limits::PLUGIN_BYTES_MAX;
use tidegate_runtime::{CompilerProcess, Runtime, RuntimeOptions};

/// The command by which it is started.
pub(crate) const COMMAND: &str = "compile-plugin";

/// CPU time of one compilation, in seconds. A plugin of a few hundred KiB takes less than
/// ten; the kernel ends what takes longer than this.
const CPU_SECONDS_MAX: u64 = 600;

/// How much less urgent compiling is than the host's work.
const NICENESS: i32 = 10;

/// This program, told to compile; none where it cannot tell where it stands.
pub(crate) fn process() -> Option<CompilerProcess> {
    let program = std::env::current_exe().ok()?;
    Some(CompilerProcess {
        program,
        arguments: vec![COMMAND.into()],
    })
}

/// Compiles what comes on stdin.
pub(crate) fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let limit = Some(CPU_SECONDS_MAX);
    setrlimit(
        Resource::Cpu,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?;
    rustix::process::nice(NICENESS)?;
    let mut wasm = Vec::new();
    let bound = PLUGIN_BYTES_MAX as u64 + 1;
    io::stdin().lock().take(bound).read_to_end(&mut wasm)?;
    let compiled = Runtime::new(RuntimeOptions::default())?.compile(&wasm)?;
    io::stdout().lock().write_all(&compiled)?;
    Ok(())
}
