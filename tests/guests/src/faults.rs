//! Calls that do not end, or end badly.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::bindings::exports::tidegate::connector::mapper::Outcome;
use crate::bindings::tidegate::connector::types::Failure;

pub(crate) fn perform(name: &str) -> Option<Result<Outcome, Failure>> {
    match name {
        "spin" => loop {
            black_box(());
        },
        "spin-in-host" => loop {
            black_box(Instant::now());
        },
        "endless-stderr" => loop {
            let _ = std::io::stderr().write_all(&[b'x'; 1000]);
        },
        "sleep" => {
            std::thread::sleep(Duration::from_hours(1));
            Some(Ok(Outcome::Skip("slept".into())))
        }
        "allocate" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(black_box(vec![1_u8; 1024 * 1024]));
            }
        }
        "recurse" => Some(Ok(Outcome::Skip(recurse(black_box(1)).to_string()))),
        "recurse-frames" => Some(Ok(Outcome::Skip(recurse_frames(black_box(1)).to_string()))),
        "panic" => panic!("on purpose"),
        "index" => {
            let empty: &[u8] = black_box(&[]);
            let at = black_box(7);
            #[expect(clippy::indexing_slicing, reason = "the fault that is asked for")]
            let byte = empty[at];
            Some(Ok(Outcome::Skip(byte.to_string())))
        }
        "abort" => std::process::abort(),
        "unreachable" => core::arch::wasm32::unreachable(),
        "exit" => std::process::exit(0),
        _ => None,
    }
}

/// Keeps all its state in wasm locals, so the host's stack ends first.
fn recurse(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    recurse(depth.wrapping_add(2)).wrapping_mul(depth) ^ depth
}

/// Keeps an array in every frame, so the stack in the plugin's memory ends first.
fn recurse_frames(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 {
        return 0;
    }
    recurse_frames(depth.wrapping_add(2)) ^ frame.iter().fold(0, |a, b| a ^ b)
}
