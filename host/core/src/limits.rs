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
/// wait. What waits there is what a fresh event of another connection waits for, at the
/// worst twice, and a commit of so many takes about 10 ms: with 2,048 and one connection's
/// 100,000 failing tasks it waited up to half a second. More would not commit more.
pub const COMPLETIONS_MAX: usize = 256;

/// Bytes of those completions, unless one alone is larger: four commits' worth.
pub const COMPLETIONS_BYTES_MAX: usize = 16 * MIB;

/// Most submissions in one commit.
pub const COMMIT_BATCH_MAX: usize = 1_024;

/// Most bytes in one commit, unless one submission alone is larger.
pub const COMMIT_BATCH_BYTES_MAX: usize = 4 * MIB;

/// Tasks that one worker may hold.
pub const CLAIM_BATCH_MAX: usize = 32;

/// Tasks kept ready in memory over all lanes of the queue; the rest waits on disk. A
/// task takes some 300 bytes, so 20 MiB.
pub const READY_TASKS_MAX: usize = 65_536;

/// Tasks of one lane kept ready in memory: seconds of work of one owner.
pub const LANE_TASKS_MAX: usize = 1_024;

/// What a lane may hold where all lanes together hold `READY_TASKS_MAX`: 10,000
/// connections behind at once take 50 MiB.
pub const LANE_TASKS_CROWDED_MAX: usize = 16;

/// Rows of the queue that cannot be read and are set aside with one commit.
pub const TORN_ROWS_MAX: usize = 1_024;

/// Workers whose task at hand is marked beside the store.
pub const MARKS_MAX: usize = 4_096;

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

/// Entries of the audit log; the oldest give way. At a few hundred bytes each: 30 MiB.
pub const AUDIT_ENTRIES_MAX: u64 = 100_000;

/// Looks at what a replay by filter would take before it begins: one for each dead letter or
/// event, and one for each KiB of them that has to be read. A few seconds' worth; what is
/// beyond is counted by the run.
pub const REPLAY_LOOKS_MAX: u64 = 1_000_000;

/// Replays by filter that are kept; the oldest that have ended give way.
pub const REPLAY_RUNS_MAX: usize = 1_000;

/// Waiting tasks that one commit puts back into the queue when their connection is
/// resumed; at up to 400 bytes each way: 8 MiB. The others follow.
pub const RESUMED_AT_ONCE_MAX: usize = 10_000;

/// Rows of one API page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Rows of one API page where the caller does not say.
pub const PAGE_ROWS_DEFAULT: usize = 100;

/// Bytes of one page of anything, unless one row alone is larger.
pub const PAGE_BYTES_MAX: usize = 4 * MIB;

/// Rows that one filtered page may look at before it answers with what it has.
pub const PAGE_SCAN_MAX: usize = 20_000;

/// Longest wait of a long poll.
pub const LONG_POLL_MAX: Duration = Duration::from_mins(1);

/// Streams of changes open at once.
pub const CHANGE_STREAMS_MAX: usize = 256;

/// Most sinks.
pub const SINKS_MAX: usize = 64;

/// Most changes of one hand-over to a sink.
pub const SINK_BATCH_MAX: usize = 1_000;

/// Most hand-overs to one sink at a time.
pub const SINK_CONCURRENCY_MAX: usize = 256;

/// Changes that a sink's loop has read and that are not yet behind its durable cursor.
/// At 10,000 changes/s a tenth of a second: more than a commit takes.
pub const SINK_WINDOW_MAX: usize = 1_024;

/// Bytes of changes from which on a sink's loop reads no further; with the page that
/// reached it 8 MiB a sink, 512 MiB over all sinks at the very worst.
pub const SINK_WINDOW_BYTES_MAX: usize = 4 * MIB;

/// Most open deliveries of one sink, waiting ones too; above it the sink is paused.
pub const SINK_DELIVERIES_MAX: usize = 10_000;

/// Alerts that stand at once; what is beyond is counted in one alert of its own.
pub const ALERTS_MAX: usize = 1_000;

/// Alerts about which something is said in one commit; the rest waits for the next look.
/// With every channel 6,400 notices of about 1 KiB.
pub const ALERTS_TOLD_MAX: usize = 100;

/// Longest excerpt of an alert, in bytes.
pub const ALERT_EXCERPT_BYTES_MAX: usize = 512;

/// Most alert channels.
pub const ALERT_CHANNELS_MAX: usize = 64;

/// Free disk below which nothing is acknowledged and nothing is mapped. What is written
/// after that has to fit: up to 512 MiB that stand in the default engine's journals are
/// written once more as tables before the journals go, and a journal of 64 MiB may have
/// been begun; what was admitted before is 64 MiB of bodies and a batch of 4 MiB. Of
/// these 644 MiB the rest to 1 GiB is for the engine's merges, which give back what they
/// have read when they are done.
pub const DISK_RESERVE_BYTES: u64 = 1024 * 1024 * 1024;

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
