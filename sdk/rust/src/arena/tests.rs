//! The arena against a model: every live block is whole, alone and where it belongs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::slice;

use proptest::prelude::*;

use super::Arena;

const BYTES: usize = 1_024;

/// The allocator behind. It knows its own blocks, and takes no other back.
#[derive(Default)]
struct Behind {
    live: RefCell<BTreeMap<usize, Layout>>,
}

impl Behind {
    fn forget(&self, block: *mut u8, layout: Layout) {
        let known = self.live.borrow_mut().remove(&block.addr());
        assert_eq!(known, Some(layout), "not a block of the allocator behind");
    }
}

// SAFETY: the system's allocator does it, this one only takes note.
unsafe impl GlobalAlloc for Behind {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc(layout) };
        self.live.borrow_mut().insert(block.addr(), layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.forget(block, layout);
        // SAFETY: it was made by the system's allocator, with this layout.
        unsafe { System.dealloc(block, layout) };
    }
}

/// A live block: where it is, what was asked for, and the byte that fills it.
struct Block {
    at: *mut u8,
    layout: Layout,
    fill: u8,
}

/// The arena, and every block that it gave and was not given back.
struct Model {
    arena: Arena<Behind, BYTES>,
    live: Vec<Block>,
    blocks: u8,
}

impl Model {
    fn new() -> Self {
        Self {
            arena: Arena::new(Behind::default()),
            live: Vec::new(),
            blocks: 0,
        }
    }

    /// Fills the block, and looks at all of them.
    fn put(&mut self, at: *mut u8, layout: Layout) {
        assert!(!at.is_null());
        self.blocks = self.blocks.wrapping_add(1);
        let fill = self.blocks;
        // SAFETY: the block is that long, and the arena's promise is what is tested.
        unsafe { at.write_bytes(fill, layout.size()) };
        self.live.push(Block { at, layout, fill });
        self.check();
    }

    fn alloc(&mut self, layout: Layout) {
        // SAFETY: the layout is not empty.
        let at = unsafe { self.arena.alloc(layout) };
        self.put(at, layout);
    }

    fn dealloc(&mut self, index: usize) {
        let Block { at, layout, .. } = self.live.swap_remove(index);
        // SAFETY: it is a live block, with its layout.
        unsafe { self.arena.dealloc(at, layout) };
        self.check();
    }

    fn realloc(&mut self, index: usize, len: usize) {
        let Block { at, layout, fill } = self.live.swap_remove(index);
        // SAFETY: it is a live block, with its layout; the length is not zero.
        let at = unsafe { self.arena.realloc(at, layout, len) };
        let kept = layout.size().min(len);
        // SAFETY: the block is at least that long.
        let bytes = unsafe { slice::from_raw_parts(at, kept) };
        assert!(bytes.iter().all(|byte| *byte == fill), "lost on the way");
        self.put(at, Layout::from_size_align(len, layout.align()).unwrap());
    }

    fn check(&self) {
        let mut spans = Vec::new();
        for block in &self.live {
            let (start, len) = (block.at.addr(), block.layout.size());
            assert_eq!(start % block.layout.align(), 0, "not aligned");
            // SAFETY: it is a live block of that length.
            let bytes = unsafe { slice::from_raw_parts(block.at, len) };
            assert!(bytes.iter().all(|byte| *byte == block.fill), "overwritten");
            let known = self.arena.behind.live.borrow().get(&start).copied();
            match self.arena.offset(block.at) {
                Some(offset) => assert!(known.is_none() && offset + len <= BYTES),
                None => assert_eq!(known, Some(block.layout)),
            }
            spans.push((start, start + len));
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "two blocks overlap");
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        while !self.live.is_empty() && !std::thread::panicking() {
            self.dealloc(self.live.len() / 2);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc {
        len: usize,
        align_log2: u32,
    },
    Dealloc {
        which: prop::sample::Index,
    },
    Realloc {
        which: prop::sample::Index,
        len: usize,
    },
    /// The block that was made last: what grows where it lies.
    ReallocNewest {
        len: usize,
    },
    DeallocNewest,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![4 => 1_usize..64, 1 => 1_usize..=BYTES + 8];
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => (len(), 0_u32..9).prop_map(|(len, align_log2)| Step::Alloc { len, align_log2 }),
        2 => which().prop_map(|which| Step::Dealloc { which }),
        1 => (which(), len()).prop_map(|(which, len)| Step::Realloc { which, len }),
        2 => len().prop_map(|len| Step::ReallocNewest { len }),
        1 => Just(Step::DeallocNewest),
    ]
}

proptest! {
    #[test]
    fn live_blocks_are_whole_alone_and_given_back_to_whom_they_belong(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut model = Model::new();
        for step in steps {
            let count = model.live.len();
            match step {
                Step::Alloc { len, align_log2 } => {
                    model.alloc(Layout::from_size_align(len, 1 << align_log2).unwrap());
                }
                _ if count == 0 => {}
                Step::Dealloc { which } => model.dealloc(which.index(count)),
                Step::Realloc { which, len } => model.realloc(which.index(count), len),
                Step::ReallocNewest { len } => model.realloc(count - 1, len),
                Step::DeallocNewest => model.dealloc(count - 1),
            }
        }
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, 1).unwrap()
}

#[test]
fn the_newest_block_grows_where_it_lies() {
    let mut model = Model::new();
    model.alloc(layout(8));
    model.alloc(layout(8));
    let newest = model.live[1].at;
    model.realloc(1, 900);
    assert_eq!(model.live[1].at, newest);
    // An older one does not, and shrinks where it lies.
    let older = model.live[0].at;
    model.realloc(0, 9);
    assert_ne!(model.live[1].at, older);
    model.realloc(0, 5);
    assert_eq!(model.live[1].at, newest);
}

#[test]
fn the_newest_block_is_given_back() {
    let mut model = Model::new();
    // Many times what the arena has.
    for _ in 0..100 {
        model.alloc(layout(BYTES));
        assert!(model.arena.offset(model.live[0].at).is_some());
        model.dealloc(0);
    }
}

#[test]
fn what_does_not_fit_goes_behind_and_comes_back() {
    let mut model = Model::new();
    model.alloc(layout(BYTES - 8));
    model.alloc(layout(9));
    assert!(model.arena.offset(model.live[1].at).is_none());
    // It stays there, though it would fit now.
    model.realloc(1, 4);
    assert!(model.arena.offset(model.live[1].at).is_none());
    model.alloc(layout(8));
    assert!(model.arena.offset(model.live[2].at).is_some());
    // The newest block, grown past the end of the room, makes room there.
    model.realloc(2, 80);
    assert!(model.arena.offset(model.live[2].at).is_none());
    model.alloc(layout(8));
    assert!(model.arena.offset(model.live[3].at).is_some());
}

#[test]
fn a_block_beside_the_room_is_not_the_arenas() {
    let arena: Arena<System, BYTES> = Arena::new(System);
    let start = arena.start();
    assert_eq!(arena.offset(start.wrapping_sub(1)), None);
    assert_eq!(arena.offset(start.wrapping_add(BYTES - 1)), Some(BYTES - 1));
    assert_eq!(arena.offset(start.wrapping_add(BYTES)), None);
}

#[test]
fn a_length_near_the_end_of_the_address_space_is_behinds_to_refuse() {
    let arena: Arena<System, BYTES> = Arena::new(System);
    let large = Layout::from_size_align(isize::MAX as usize - 15, 16).unwrap();
    // SAFETY: the layout is not empty.
    assert!(unsafe { arena.alloc(large) }.is_null());
    // SAFETY: the layout is not empty.
    let block = unsafe { arena.alloc(layout(8)) };
    // SAFETY: it is the live block.
    assert!(unsafe { arena.realloc(block, layout(8), large.size()) }.is_null());
    assert_eq!(arena.offset(block), Some(0));
}
