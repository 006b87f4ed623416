//! What a guest's standard library has of the world: stderr, and nothing else.
//!
//! std for wasm32-wasip2 reaches the world through functions of the C library, and those
//! that every panic and every exit might call import 23 functions of WASI, which the host
//! must hand to each fresh instance: 1.5 µs a call, for streams, an environment and a terminal
//! that a plugin does not have. Defined here they are taken instead of the C
//! library's, and two imports are left: a panic's message still reaches the operator.
//!
//! Nothing else changes. What a plugin really uses (clocks, chance, even files) is linked
//! as ever, and answers as ever. A plugin that wants stdout to reach a host which shows it,
//! or its end to be an exit and no trap, turns the feature `stderr-only` off.

#![expect(unsafe_code, reason = "functions of the C library are raw")]

use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicI32, Ordering};
use std::{ptr, slice};

/// The C library's number of stderr.
const STDERR: c_int = 2;

/// What WASI takes in one write.
const WRITE_BYTES: usize = 4_096;

#[link(wasm_import_module = "wasi:cli/stderr@0.2.0")]
unsafe extern "C" {
    #[link_name = "get-stderr"]
    safe fn get_stderr() -> i32;
}

#[link(wasm_import_module = "wasi:io/streams@0.2.0")]
unsafe extern "C" {
    #[link_name = "[method]output-stream.blocking-write-and-flush"]
    fn blocking_write_and_flush(stream: i32, bytes: *const u8, len: usize, result: *mut u32);
}

/// The instance's handle of its stderr: asked for once, since each answer is a handle more
/// and the host bounds them. No handle is 0.
static STREAM: AtomicI32 = AtomicI32::new(0);

fn stream() -> i32 {
    match STREAM.load(Ordering::Relaxed) {
        0 => {
            let stream = get_stderr();
            STREAM.store(stream, Ordering::Relaxed);
            stream
        }
        stream => stream,
    }
}

/// A piece of a scattered write.
#[repr(C)]
struct Piece {
    bytes: *const u8,
    len: usize,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, bytes: *const u8, len: usize) -> isize {
    let len = len.min(WRITE_BYTES);
    if file == STDERR {
        // What it answers changes nothing: there is nobody else to tell.
        let mut result = [0_u32; 3];
        // SAFETY: the caller promises the bytes; a result is three words at most.
        unsafe { blocking_write_and_flush(stream(), bytes, len, result.as_mut_ptr()) };
    }
    len.cast_signed()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(file: c_int, pieces: *const Piece, count: c_int) -> isize {
    // SAFETY: the caller promises that many pieces.
    let pieces = unsafe { slice::from_raw_parts(pieces, usize::try_from(count).unwrap_or(0)) };
    // Short writes are allowed: the caller comes again with the rest.
    match pieces.iter().find(|piece| piece.len > 0) {
        // SAFETY: the caller promises the bytes of each piece.
        Some(piece) => unsafe { write(file, piece.bytes, piece.len) },
        None => 0,
    }
}

#[unsafe(no_mangle)]
extern "C" fn getenv(_: *const c_char) -> *mut c_char {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn exit(_: c_int) -> ! {
    core::arch::wasm32::unreachable()
}

#[unsafe(no_mangle)]
extern "C" fn _Exit(_: c_int) -> ! {
    core::arch::wasm32::unreachable()
}

#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    core::arch::wasm32::unreachable()
}
