//! Uses of memory that only a sound allocator survives; the answer is the reason of a skip.

use std::collections::BTreeMap;

use crate::bindings::exports::tidegate::connector::mapper::Outcome;
use crate::bindings::tidegate::connector::types::Failure;
use crate::senses::entropy;

/// Blocks that are alive at a time.
const LIVE: usize = 64;

/// Bytes of a block that are looked at from either end.
const END: usize = 32;

pub(crate) fn perform(name: &str) -> Option<Result<Outcome, Failure>> {
    let found = match name {
        "churn" => churn(),
        "libc-lists" => libc_lists(),
        _ => return None,
    };
    Some(Ok(Outcome::Skip(found)))
}

/// A block that tells whether anybody else wrote into it.
struct Marked {
    mark: u8,
    bytes: Vec<u8>,
}

impl Marked {
    fn new(number: usize, len: usize) -> Self {
        let mark = number.to_le_bytes()[0];
        Self {
            mark,
            bytes: vec![mark; len],
        }
    }

    fn extend(&mut self, len: usize) {
        self.bytes.resize(self.bytes.len() + len, self.mark);
    }

    /// Looks at both ends only: the call has a time limit too.
    fn is_whole(&self) -> bool {
        let ends = self
            .bytes
            .iter()
            .take(END)
            .chain(self.bytes.iter().rev().take(END));
        ends.into_iter().all(|byte| *byte == self.mark)
    }
}

/// Makes 80,000 blocks of 1 to 4,000 bytes, twice what the call may have: one in eight
/// grows later, and they are freed in another order than they were made in.
fn churn() -> String {
    let mut live = BTreeMap::new();
    let (mut bytes, mut spoilt) = (0, 0);
    for number in 0..80_000_usize {
        let len = number * 7_919 % 4_000 + 1;
        bytes += len;
        if number % 8 == 0
            && let Some(other) = live.get_mut(&(number * 13 % LIVE))
        {
            Marked::extend(other, len);
        }
        let old = live.insert(number * 31 % LIVE, Marked::new(number, len));
        spoilt += usize::from(old.is_some_and(|block| !block.is_whole()));
    }
    spoilt += live.values().filter(|block| !block.is_whole()).count();
    format!("{} MiB, {spoilt} spoilt", bytes / 1024 / 1024)
}

/// Has the C library ask the host for lists, which it frees itself, between blocks of the
/// guest's own.
fn libc_lists() -> String {
    let mut live: Vec<Marked> = Vec::new();
    let mut failed = 0;
    for number in 0..1_000_usize {
        let mut chance = [0_u8; 256];
        let len = number % chance.len() + 1;
        failed += usize::from(!entropy(chance.get_mut(..len).unwrap_or_default()));
        live.push(Marked::new(number, number * 31 % 700 + 1));
        if live.len() > LIVE {
            drop(live.swap_remove(number % LIVE));
        }
    }
    let spoilt = live.iter().filter(|block| !block.is_whole()).count();
    format!("{failed} failed, {spoilt} spoilt")
}
