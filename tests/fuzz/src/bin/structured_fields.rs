//! Fuzzes [`tidegate_fuzz::structured_fields`]: `cargo xtask fuzz structured-fields`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_fuzz::structured_fields(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    tidegate_fuzz::not_instrumented()
}
