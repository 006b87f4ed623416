//! Memory for one call: an allocator that hands out a fixed piece front to back.
//!
//! A plugin's instance lives for one call, so most of what a mapping allocates need never
//! be found again: to take it from the front of a free piece costs a few instructions, and
//! what is taken so lies together, in pages that the host must not wipe twice. Only the
//! newest block grows where it lies, or is given back.
//!
//! What does not fit goes to the allocator behind the arena, which takes its own blocks
//! back. So a plugin that allocates and frees without end needs no more memory for it than
//! the arena is large. Whose a block is, its address says: a pointer from elsewhere is
//! never taken for the arena's.
//!
//! What must not be here: who gets such memory, which is decided where the guest is put
//! together.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// The piece that is handed out. Aligned as the C library aligns, so that offsets are.
#[repr(C, align(16))]
struct Room<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

/// `BYTES` of memory, and the allocator behind it.
pub(crate) struct Arena<Behind, const BYTES: usize> {
    /// How much of the room has been handed out. All before it is taken, all from it free.
    taken: Cell<usize>,
    room: Room<BYTES>,
    behind: Behind,
}

// SAFETY: a WebAssembly module without shared memory has one thread.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl<Behind: Sync, const BYTES: usize> Sync for Arena<Behind, BYTES> {}

impl<Behind, const BYTES: usize> Arena<Behind, BYTES> {
    pub(crate) const fn new(behind: Behind) -> Self {
        Self {
            taken: Cell::new(0),
            room: Room(UnsafeCell::new([0; BYTES])),
            behind,
        }
    }

    fn start(&self) -> *mut u8 {
        self.room.0.get().cast()
    }

    /// Where in the room a block begins, if it is the arena's. No block of another
    /// allocator can lie in the room, not even an empty one at its end.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = block.addr().wrapping_sub(self.start().addr());
        (offset < BYTES).then_some(offset)
    }

    /// Takes so many bytes, if there are as many.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let start = self.start();
        let free = start.addr() + self.taken.get();
        // An alignment is a power of two, at most half of the address space.
        let aligned = free.checked_add(layout.align() - 1)? & !(layout.align() - 1);
        let offset = aligned - start.addr();
        self.resize(offset, layout.size())?;
        Some(start.wrapping_add(offset))
    }

    /// Makes the block at that offset the newest, and so long.
    fn resize(&self, offset: usize, len: usize) -> Option<()> {
        let end = offset.checked_add(len)?;
        if end > BYTES {
            return None;
        }
        self.taken.set(end);
        Some(())
    }

    /// Whether nothing was taken after that block.
    fn is_newest(&self, offset: usize, len: usize) -> bool {
        offset + len == self.taken.get()
    }
}

// SAFETY: a block is either the inner allocator's, or a part of the room that `take`
// handed out: aligned, within the room, and from `taken` on, where no live block lies.
// `taken` moves back only over the newest block, when that is freed or shrinks.
unsafe impl<Behind: GlobalAlloc, const BYTES: usize> GlobalAlloc for Arena<Behind, BYTES> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(block) => block,
            // SAFETY: the caller's promise.
            None => unsafe { self.behind.alloc(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if self.is_newest(offset, layout.size()) => self.taken.set(offset),
            Some(_) => {}
            // SAFETY: a block of this allocator that lies outside the room is the inner
            // one's; for the rest the caller's promise.
            None => unsafe { self.behind.dealloc(block, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: as for `dealloc`.
            return unsafe { self.behind.realloc(block, layout, len) };
        };
        let in_place = if self.is_newest(offset, layout.size()) {
            self.resize(offset, len).is_some()
        } else {
            len <= layout.size()
        };
        if in_place {
            return block;
        }
        // SAFETY: the caller promises that the length is valid for the alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(len, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both are that long, and two live blocks do not overlap; after this
            // the caller knows the old one no more.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(len));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests;
