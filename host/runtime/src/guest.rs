//! What one call of a plugin sees and uses up: the data of its store.
//!
//! Everything in here follows from the event, so that the same call gives the same
//! answer on every machine and at every replay.

use std::time::Duration;

use tidegate_core::limits::STDERR_BYTES_MAX;
use tidegate_core::time::Timestamp;

use crate::limits::{CallLimits, Exceeded, Meter};

/// One call of a plugin.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) meter: Meter,
    pub(crate) clock: Clock,
    pub(crate) chance: Chance,
    pub(crate) stderr: Captured,
    bytes_left: usize,
}

impl Guest {
    /// A call at that instant; `seed` is what its chance follows from.
    pub(crate) fn new(limits: &CallLimits, now: Timestamp, seed: u64) -> Self {
        Self {
            meter: Meter::new(limits),
            clock: Clock {
                wall: now,
                passed: Duration::ZERO,
            },
            chance: Chance { state: seed },
            stderr: Captured::default(),
            bytes_left: limits.host_call_bytes,
        }
    }

    /// Takes note that the host is about to make that many bytes for the guest.
    pub(crate) fn hand_over(&mut self, bytes: u64) -> Result<usize, Exceeded> {
        let bytes = usize::try_from(bytes).map_err(|_| Exceeded::HostCalls)?;
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or(Exceeded::HostCalls)?;
        Ok(bytes)
    }
}

/// The time as a guest sees it. The wall clock stands; the other one counts its readings,
/// so that a guest that waits for time to pass is not caught for ever.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: Timestamp,
    passed: Duration,
}

impl Clock {
    const READING: Duration = Duration::from_micros(1);

    pub(crate) fn wall(&self) -> Timestamp {
        self.wall
    }

    /// Nanoseconds since the call began.
    pub(crate) fn monotonic(&mut self) -> u64 {
        self.pass(Self::READING);
        u64::try_from(self.passed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Lets time pass without waiting for it.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.passed = self.passed.saturating_add(span);
    }

    /// Lets time pass up to that many nanoseconds since the call began.
    pub(crate) fn pass_until(&mut self, nanos: u64) {
        self.passed = self.passed.max(Duration::from_nanos(nanos));
    }
}

/// Numbers that look like chance and follow from a seed: `SplitMix64`. A plugin holds no
/// secret that they would have to protect.
#[derive(Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// What a guest wrote to stderr: the beginning of it, which holds the first cause.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    kept: Vec<u8>,
    dropped: u64,
}

impl Captured {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = STDERR_BYTES_MAX.saturating_sub(self.kept.len());
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        self.kept.extend_from_slice(kept);
        self.dropped = self.dropped.saturating_add(dropped.len() as u64);
    }

    /// The text, with a note of what was dropped; within the bound, note included.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.kept).into_owned();
        if self.dropped > 0 || text.len() > STDERR_BYTES_MAX {
            let note = format!("\n… ({} bytes more)", self.dropped);
            let mut end = STDERR_BYTES_MAX.saturating_sub(note.len()).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(&note);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_captured(writes: &[&[u8]], expect_end: &str) {
        let mut captured = Captured::default();
        for bytes in writes {
            captured.push(bytes);
        }
        let text = captured.text();
        assert!(text.len() <= STDERR_BYTES_MAX, "{} bytes", text.len());
        assert!(
            text.ends_with(expect_end),
            "ends {:?}",
            text.get(text.len().saturating_sub(40)..)
        );
    }

    #[test]
    fn stderr_is_kept_to_its_bound() {
        let page = vec![b'x'; STDERR_BYTES_MAX];
        check_captured(&[b"a", b"b"], "ab");
        check_captured(&[&page], "xxx");
        check_captured(&[&page, b"yy"], "x\n… (2 bytes more)");
        check_captured(&[&vec![0xff; STDERR_BYTES_MAX]], "(0 bytes more)");
    }

    #[test]
    fn chance_follows_from_the_seed() {
        let draw = |seed| Chance { state: seed }.bytes(20);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(7).len(), 20);
    }

    #[test]
    fn what_the_host_makes_for_a_guest_is_bounded_in_all() {
        let mut guest = Guest::new(&CallLimits::default(), Timestamp::EPOCH, 0);
        let half = CallLimits::default().host_call_bytes as u64 / 2;
        assert!(guest.hand_over(half).is_ok());
        assert_eq!(guest.hand_over(u64::MAX), Err(Exceeded::HostCalls));
        assert!(guest.hand_over(half).is_ok());
        assert_eq!(guest.hand_over(1), Err(Exceeded::HostCalls));
    }

    #[test]
    fn waiting_takes_no_time_and_moves_the_clock() {
        let mut clock = Clock {
            wall: Timestamp::EPOCH,
            passed: Duration::ZERO,
        };
        let first = clock.monotonic();
        clock.pass(Duration::from_hours(1));
        assert!(clock.monotonic() > first + 3_600_000_000_000);
        clock.pass_until(1);
        assert_eq!(clock.wall(), Timestamp::EPOCH);
    }
}
