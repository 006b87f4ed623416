//! Every bound that the host keeps, in one place, each with the sum behind it.
//!
//! Memory at the worst: requests hold at most `INGRESS_BYTES_MAX` (65 MiB) of headers
//! and bodies, from their arrival until their events are durable, so what waits for the
//! committer is part of that; completions that wait for it hold at most
//! `COMPLETIONS_BYTES_MAX` (16 MiB) beside it, each plugin thread one instance of
//! `PLUGIN_MEMORY_BYTES_MAX` (64 MiB), and each reader one page of `PAGE_BYTES_MAX`
//! (4 MiB). A request counts once although its event is a copy of it: the record that is
//! made of it takes its place.

use std::time::Duration;

/// A mebibyte.
pub const MIB: usize = 1024 * 1024;

/// Longest account name, in bytes: it stands in URLs and keys.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 128;

/// Longest partner event id kept as text; a longer one is replaced by its hash.
pub const EVENT_ID_BYTES_MAX: usize = 512;

/// Largest webhook body unless configured. GitHub caps at 25 MiB, most partners at 1.
pub const BODY_BYTES_MAX: usize = 10 * MIB;

/// Largest header block of a request: eight times what known partners send.
pub const HEADER_BLOCK_BYTES_MAX: usize = 32 * 1024;

/// Most headers in a request.
pub const HEADERS_MAX: usize = 100;

/// Largest body that may be configured.
pub const INGRESS_BODIES_BYTES_MAX: usize = 64 * MIB;

/// Headers and bodies that may be in memory at once over all requests; above it: 503.
/// The largest body fits in with its headers.
pub const INGRESS_BYTES_MAX: usize = INGRESS_BODIES_BYTES_MAX + MIB;

/// Longest wait for a request's header block, and for its body. The slowest known
/// partner gives up after 60 s; most after 10.
pub const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest idle time of a kept-alive ingress connection.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);

/// Most open ingress connections: two per request that 64 MiB of 16 KiB bodies allow.
pub const INGRESS_CONNECTIONS_MAX: usize = 8_192;

/// Most open connections to the operator API: every stream of changes, and as many
/// again three times over.
pub const OPERATOR_CONNECTIONS_MAX: usize = 1_024;

/// Requests that may wait for the committer; above it: 503. A quarter of a second of
/// work at the measured rate of a small machine.
pub const COMMIT_QUEUE_MAX: usize = 8_192;

/// Completions that may wait for the committer beside the requests; above it the workers
/// wait. Twice the most that one commit takes.
pub const COMPLETIONS_MAX: usize = 2_048;

/// Bytes of those completions, unless one alone is larger: four commits' worth.
pub const COMPLETIONS_BYTES_MAX: usize = 16 * MIB;

/// Most submissions in one commit.
pub const COMMIT_BATCH_MAX: usize = 1_024;

/// Most bytes in one commit, unless one submission alone is larger.
pub const COMMIT_BATCH_BYTES_MAX: usize = 4 * MIB;

/// Tasks that one worker may hold.
pub const CLAIM_BATCH_MAX: usize = 32;

/// Task ids kept ready in memory; the rest waits on disk.
pub const READY_TASKS_MAX: usize = 65_536;

/// Most changes of one mapping.
pub const MAPPING_CHANGES_MAX: usize = 1_000;

/// Most entities to fetch of one mapping.
pub const MAPPING_FETCHES_MAX: usize = 100;

/// Longest entity kind, in bytes.
pub const ENTITY_KIND_BYTES_MAX: usize = 64;

/// Longest entity id, in bytes.
pub const ENTITY_ID_BYTES_MAX: usize = 512;

/// Longest revision, in bytes.
pub const REVISION_BYTES_MAX: usize = 256;

/// Largest entity document, in bytes.
pub const ENTITY_DATA_BYTES_MAX: usize = MIB;

/// Longest reason of a skipped event, in bytes.
pub const SKIP_REASON_BYTES_MAX: usize = 1_024;

/// Longest failure message, in bytes.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 4_096;

/// Captured stderr of one attempt, in bytes.
pub const STDERR_BYTES_MAX: usize = 16 * 1024;

/// Attempts kept with an event; older ones give way.
pub const ATTEMPTS_KEPT_MAX: usize = 16;

/// Largest descriptor document, in bytes.
pub const DESCRIPTOR_BYTES_MAX: usize = 256 * 1024;

/// Largest plugin file, in bytes: a Python component is about 20 MiB.
pub const PLUGIN_BYTES_MAX: usize = 64 * MIB;

/// Memory of one plugin call, summed over all its memories. A 10 MiB body, its copy
/// in the guest and the parsed form fit.
pub const PLUGIN_MEMORY_BYTES_MAX: usize = 64 * MIB;

/// Stack of one plugin call.
pub const PLUGIN_STACK_BYTES_MAX: usize = 512 * 1024;

/// Longest mapping call. A mapping takes microseconds; this is for the broken one.
pub const MAP_TIME_MAX: Duration = Duration::from_secs(2);

/// Data that one call may move from the guest to the host (wasmtime's host-call fuel).
pub const HOST_CALL_FUEL: usize = 8 * MIB;

/// Rows of one API page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Rows of one API page where the caller does not say.
pub const PAGE_ROWS_DEFAULT: usize = 100;

/// Bytes of one page of the change log, unless one change alone is larger.
pub const PAGE_BYTES_MAX: usize = 4 * MIB;

/// Rows that one filtered page may look at before it answers with what it has.
pub const PAGE_SCAN_MAX: usize = 20_000;

/// Longest wait of a long poll.
pub const LONG_POLL_MAX: Duration = Duration::from_mins(1);

/// Streams of changes open at once.
pub const CHANGE_STREAMS_MAX: usize = 256;

/// Free disk below which nothing is acknowledged.
pub const DISK_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// Longest clean shutdown.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// `text` as it is, or cut at a character boundary with a mark that says so.
pub fn cut_text(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = " … (cut)";
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_text_keeps_the_bound_and_characters_whole() {
        assert_eq!(cut_text("short".into(), 16), "short");
        let cut = cut_text("ä".repeat(100), 33);
        assert!(cut.len() <= 33 && cut.ends_with("(cut)"), "{cut}");
    }
}
