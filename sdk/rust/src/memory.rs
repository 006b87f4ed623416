//! Where a guest's memory comes from.
//!
//! What a mapping allocates comes from an [`Arena`], since its instance lives for one
//! call, and from the C library once that is used up.
//!
//! Values that the host makes for the guest come through [`cabi_realloc`], and must be
//! told apart by who will free them:
//!
//! - the call's arguments go to the SDK, which frees them as its own: the arena's;
//! - what an import answers may go to the C library (chance, an environment), which frees
//!   it with its own `free` and knows of no arena: always the C library's.
//!
//! What must not be here: how an arena works, which is tested natively. An author who
//! brings an allocator of his own turns the feature `arena` off.

#![expect(
    unsafe_code,
    reason = "the canonical ABI asks for memory by a raw export"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arena::Arena;

/// What mapping a payload of 50 KiB takes, and small enough that stack, data and arena of
/// a usual plugin fit into three pages of WebAssembly. What is not touched costs nothing.
const ARENA_BYTES: usize = 64 * 1024;

#[global_allocator]
static MEMORY: Arena<System, ARENA_BYTES> = Arena::new(System);

/// Whether code of the guest has begun to run. Before that only arguments are made.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The first of the constructors, which run when an export is entered: the C library
/// cannot have asked the host for anything before.
#[used]
#[unsafe(link_section = ".init_array.0")]
static ENTER: extern "C" fn() = enter;

extern "C" fn enter() {
    ENTERED.store(true, Ordering::Relaxed);
}

/// Memory for a value that the host makes. Linked instead of std's, which is weak.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    len: usize,
) -> *mut u8 {
    if len == 0 {
        return ptr::without_provenance_mut(align);
    }
    // SAFETY: the canonical ABI promises a valid alignment and length, and that an old
    // block is one which this function answered, of that length. The arena tells its own.
    let block = unsafe {
        if old_len > 0 {
            MEMORY.realloc(old, Layout::from_size_align_unchecked(old_len, align), len)
        } else if ENTERED.load(Ordering::Relaxed) {
            System.alloc(Layout::from_size_align_unchecked(len, align))
        } else {
            MEMORY.alloc(Layout::from_size_align_unchecked(len, align))
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable();
    }
    block
}
