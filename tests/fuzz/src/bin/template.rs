//! Fuzzes [`tidegate_fuzz::template`]: `cargo xtask fuzz template`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_fuzz::template(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    tidegate_fuzz::not_instrumented()
}
