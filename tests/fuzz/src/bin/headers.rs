//! Fuzzes [`tidegate_fuzz::headers`]: `cargo xtask fuzz headers`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_fuzz::headers(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    tidegate_fuzz::not_instrumented()
}
