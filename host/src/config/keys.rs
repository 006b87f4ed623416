//! Keys as they are written, and as they were meant.

use toml_edit::Item;

/// Every key that has one place in the file, to find the one that was meant.
pub(super) const KEYS: &[&str] = &[
    "alerts",
    "connections",
    "connectors",
    "egress.allow",
    "egress.ca_file",
    "ingress.body_max",
    "ingress.listen",
    "ingress.public_url",
    "ingress.trusted_proxies",
    "log.format",
    "log.level",
    "operator.listen",
    "operator.tokens",
    "policy.dedupe.window",
    "policy.poll.every",
    "policy.reconcile.every",
    "policy.retention.changes",
    "policy.retention.events",
    "policy.alerts.backlog_age",
    "policy.alerts.clear_after",
    "policy.alerts.dead_letters",
    "policy.alerts.repeat",
    "policy.alerts.signature_failures",
    "policy.retention.max",
    "policy.retry.delay_max",
    "policy.retry.rate_limited_max",
    "policy.retry.schedule",
    "policy.store.linger",
    "policy.waivers",
    "sinks",
    "store.reserve",
    "store.secret_key",
    "store.url",
    "workers.map_threads",
];

/// The only keys within a table that was made by a header or a dotted key alone, so
/// that `[polcy.retry]` is reported as it was written.
pub(super) fn implied_keys(item: &Item) -> String {
    let mut tail = String::new();
    let mut table = item.as_table();
    while let Some(implied) = table.filter(|table| table.is_implicit() && table.len() == 1) {
        let Some((key, item)) = implied.iter().next() else {
            break;
        };
        tail.push('.');
        tail.push_str(&written(key));
        table = item.as_table();
    }
    tail
}

/// A key of that name in another place of the file.
pub(super) fn elsewhere(key: &str) -> Option<&'static str> {
    KEYS.iter()
        .copied()
        .find(|known| known.rsplit('.').next() == Some(key))
}

/// A key as it is written in a path.
pub(super) fn written(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare {
        key.to_owned()
    } else {
        format!("\"{}\"", printable(key))
    }
}

/// Text from the file for a message: short, and nothing that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(120)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_elsewhere_by_its_name() {
        assert_eq!(elsewhere("linger"), Some("policy.store.linger"));
        assert_eq!(elsewhere("colour"), None);
    }

    #[test]
    fn keys_are_written_as_toml_writes_them() {
        assert_eq!(written("map_threads"), "map_threads");
        assert_eq!(written("github/acme"), "\"github/acme\"");
        assert_eq!(written(""), "\"\"");
        assert_eq!(printable("a\u{1b}b"), "a\u{fffd}b");
    }
}
