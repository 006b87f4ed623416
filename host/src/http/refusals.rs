//! The last refusals of each configured path, for the operator who asks why a partner's
//! webhooks do not arrive.
//!
//! Kept are reasons, and of what was sent the method, the names of the headers and the body's
//! length: no value and no byte of a body, for an hour. In memory, bounded by what is
//! configured times [`KEPT`] and by [`SEEN_MAX`], and gone with a restart; the counters have the
//! rest. How many there were in a row stands beside them, for alerts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::alerting::SignatureFailures;
use tidegate_core::ids::{AccountName, ConnectionId, ConnectorName};
use tidegate_core::signature::Refusal;
use tidegate_core::time::Timestamp;
use tidegate_flow::ingest::Address;

use super::percent;

/// How many are kept of each.
const KEPT: usize = 32;

/// For how long they are shown.
const SHOWN_FOR: Duration = Duration::from_hours(1);

/// Requests of which more than the reason is kept, of all paths together.
const SEEN_MAX: usize = 16_384;

/// Bytes of a request's header names that are kept.
const NAMES_BYTES_MAX: usize = 512;

/// Bytes of a method that are kept: the longest that is registered has 17.
const METHOD_BYTES_MAX: usize = 20;

/// After how long without one a refusal is news again.
const QUIET: Duration = Duration::from_mins(1);

/// Why a request was refused: a word for counts, and words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        Self {
            code: refusal.code(),
            message: refusal.to_string(),
        }
    }
}

/// What is kept of a request besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: Box<str>,
    /// With spaces between them.
    pub(crate) header_names: Box<str>,
    pub(crate) body_bytes: usize,
}

impl Seen {
    /// Of a request with that method, those headers and a body of that length.
    pub(crate) fn of<'n>(
        method: &str,
        header_names: impl Iterator<Item = &'n str>,
        body_bytes: usize,
    ) -> Self {
        let mut names = String::new();
        for name in header_names {
            if names.len() + name.len() >= NAMES_BYTES_MAX {
                names.push_str(" …");
                break;
            }
            if !names.is_empty() {
                names.push(' ');
            }
            names.push_str(name);
        }
        Self {
            method: method.chars().take(METHOD_BYTES_MAX).collect(),
            header_names: names.into(),
            body_bytes,
        }
    }
}

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: Timestamp,
    pub(crate) reason: Reason,
    /// What else is kept of it, where there was room.
    pub(crate) seen: Option<Seen>,
}

/// What was refused at one path since some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedThere {
    /// The path.
    pub(crate) path: String,
    /// How many requests.
    pub(crate) count: usize,
    /// Whether there may have been more, of which nothing is kept.
    pub(crate) or_more: bool,
    /// The last of them.
    pub(crate) newest: Refused,
}

/// Everything that is known of what was refused at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RefusedAtPath {
    /// How many for each reason, since the host started.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// The last of them within an hour, newest first.
    pub(crate) last: Vec<Refused>,
}

/// The last refusals of each configured path.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    shelves: Mutex<Shelves>,
    /// How many paths have refusals in a row: a request that verified looks at this alone
    /// where there are none.
    rows: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shelves {
    paths: HashMap<Path, Shelf>,
    rows: HashMap<ConnectionId, SignatureFailures>,
    /// How many are kept with more than their reason.
    seen: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    counts: BTreeMap<&'static str, u64>,
    /// Oldest first.
    last: VecDeque<Refused>,
}

/// A configured path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Path {
    Own(ConnectionId),
    Shared(ConnectorName),
}

impl Path {
    fn of(address: &Address) -> Self {
        match address {
            Address::Connection(id) => Self::Own(id.clone()),
            Address::ByAccount { connector, .. } => Self::Shared(connector.clone()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Own(id) => own_path(id),
            Self::Shared(name) => format!("/in/{name}"),
        }
    }
}

impl Refusals {
    /// Keeps one, and lets the oldest go. Whether it is the first there for a while, and
    /// so worth a line in the log: strangers must not fill it. From `alert_from` in a row on
    /// its partner is about to give up.
    pub(crate) fn keep(
        &self,
        address: &Address,
        refused: Refused,
        alert_from: Option<u64>,
    ) -> bool {
        let Refused { at, .. } = refused;
        let mut shelves = self.lock();
        let message = refused.reason.message.clone();
        let news = shelves.put(Path::of(address), refused);
        let connection = row_of(address);
        let row = shelves
            .rows
            .entry(connection)
            .or_insert_with_key(|connection| SignatureFailures {
                connection: connection.clone(),
                in_a_row: 0,
                first: at,
                last: at,
                reason: String::new(),
                alert_from,
            });
        row.in_a_row = row.in_a_row.saturating_add(1);
        row.last = at;
        row.reason = message;
        row.alert_from = alert_from;
        self.rows.store(shelves.rows.len(), Ordering::Relaxed);
        news
    }

    /// Keeps one that says nothing of the partner's deliveries: it is no part of a row.
    pub(crate) fn note(&self, address: &Address, refused: Refused) {
        self.lock().put(Path::of(address), refused);
    }

    /// A request verified there: what was refused is no row any more.
    pub(crate) fn verified(&self, address: &Address) {
        if self.rows.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut shelves = self.lock();
        shelves.rows.remove(&row_of(address));
        self.rows.store(shelves.rows.len(), Ordering::Relaxed);
    }

    /// Where requests were refused since the last one that verified, and how many.
    pub(crate) fn in_a_row(&self) -> Vec<SignatureFailures> {
        self.lock().rows.values().cloned().collect()
    }

    /// Those at a connection's own path.
    pub(crate) fn of_connection(&self, id: &ConnectionId, now: Timestamp) -> RefusedAtPath {
        self.lock().at(&Path::Own(id.clone()), now)
    }

    /// Those at the path that all of a connector's accounts share.
    pub(crate) fn of_connector(&self, name: &ConnectorName, now: Timestamp) -> RefusedAtPath {
        self.lock().at(&Path::Shared(name.clone()), now)
    }

    /// At which paths something was refused since then, by path.
    pub(crate) fn since(&self, since: Timestamp) -> Vec<RefusedThere> {
        let shelves = self.lock();
        let there = shelves
            .paths
            .iter()
            .filter_map(|(path, shelf)| refused_there(path, shelf, since));
        let mut all: Vec<_> = there.collect();
        drop(shelves);
        all.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        all
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn put(&mut self, path: Path, mut refused: Refused) -> bool {
        let kept = self.paths.entry(path).or_default();
        let last = kept.last.back();
        let news = last.is_none_or(|last| refused.at.since(last.at) > QUIET);
        let count = kept.counts.entry(refused.reason.code).or_default();
        *count = count.saturating_add(1);
        while kept.last.len() >= KEPT
            || kept
                .last
                .front()
                .is_some_and(|oldest| refused.at.since(oldest.at) > SHOWN_FOR)
        {
            if kept
                .last
                .pop_front()
                .is_some_and(|gone| gone.seen.is_some())
            {
                self.seen = self.seen.saturating_sub(1);
            }
        }
        if self.seen >= SEEN_MAX {
            refused.seen = None;
        }
        self.seen += usize::from(refused.seen.is_some());
        kept.last.push_back(refused);
        news
    }

    fn at(&self, path: &Path, now: Timestamp) -> RefusedAtPath {
        let Some(kept) = self.paths.get(path) else {
            return RefusedAtPath::default();
        };
        let last = kept.last.iter().rev();
        let shown = last.filter(|refused| now.since(refused.at) <= SHOWN_FOR);
        RefusedAtPath {
            counts: kept.counts.clone(),
            last: shown.cloned().collect(),
        }
    }
}

/// Under which connection refusals at that path count. Who sent to the path that all of a
/// connector's accounts share is not known before its signature verifies.
fn row_of(address: &Address) -> ConnectionId {
    match address {
        Address::Connection(id) => id.clone(),
        Address::ByAccount { connector, .. } => ConnectionId {
            connector: connector.clone(),
            account: AccountName::unknown(),
        },
    }
}

/// The path of a connection's webhooks.
pub(crate) fn own_path(id: &ConnectionId) -> String {
    format!(
        "/in/{}/{}",
        id.connector,
        percent::encode(id.account.as_str())
    )
}

fn refused_there(path: &Path, shelf: &Shelf, since: Timestamp) -> Option<RefusedThere> {
    let last = shelf.last.iter();
    let count = last.filter(|refused| refused.at >= since).count();
    let newest = shelf.last.back().filter(|_| count > 0)?.clone();
    Some(RefusedThere {
        path: path.text(),
        count,
        or_more: count == KEPT,
        newest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: &Refusal, at: i64) -> Refused {
        Refused {
            at: Timestamp::from_secs(at),
            reason: refusal.into(),
            seen: Some(Seen::of("POST", ["x-token"].into_iter(), 7)),
        }
    }

    fn acme() -> (ConnectionId, Address, Address) {
        let id: ConnectionId = "github/acme".parse().unwrap();
        let shared = Address::ByAccount {
            connector: id.connector.clone(),
            rule: None,
        };
        (id.clone(), Address::Connection(id), shared)
    }

    #[test]
    fn the_newest_are_kept_apart_for_each_path() {
        let refusals = Refusals::default();
        let (id, own, shared) = acme();
        for keys in 0..40 {
            refusals.keep(&own, refused(&Refusal::NoMatch { keys }, 1), None);
        }
        assert!(refusals.keep(&shared, refused(&Refusal::NoKeys, 2), None));
        assert!(!refusals.keep(&own, refused(&Refusal::NoKeys, 61), None));
        let last = Refusal::NoMatch { keys: 39 };
        assert!(refusals.keep(&own, refused(&last, 122), Some(2)));
        let now = Timestamp::from_secs(200);
        let kept = refusals.of_connection(&id, now);
        assert_eq!(kept.last.len(), KEPT);
        assert_eq!(kept.last[0].reason, Reason::from(&last));
        let counts = BTreeMap::from([("no_keys", 1), ("no_match", 41)]);
        assert_eq!(kept.counts, counts);
        assert_eq!(refusals.of_connector(&id.connector, now).last.len(), 1);

        let mut rows = refusals.in_a_row();
        rows.sort_by_key(|row| row.in_a_row);
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.connection.to_string(), row.in_a_row, row.alert_from))
            .collect();
        assert_eq!(
            rows,
            [
                ("github/unknown".into(), 1, None),
                ("github/acme".to_owned(), 42, Some(2))
            ]
        );
        refusals.verified(&own);
        assert_eq!(refusals.in_a_row().len(), 1);
        refusals.verified(&shared);
        assert_eq!(refusals.in_a_row(), []);

        let counted = |since| -> Vec<_> {
            let all = refusals.since(Timestamp::from_secs(since)).into_iter();
            all.map(|there| (there.path, there.count, there.or_more))
                .collect()
        };
        let (own, shared) = ("/in/github/acme".to_owned(), "/in/github".to_owned());
        assert_eq!(counted(0), [(shared, 1, false), (own.clone(), 32, true)]);
        assert_eq!(counted(61), [(own, 2, false)]);
        assert_eq!(counted(123), []);
    }

    #[test]
    fn nothing_is_shown_for_longer_than_an_hour() {
        let refusals = Refusals::default();
        let (id, own, _) = acme();
        refusals.keep(&own, refused(&Refusal::NoKeys, 0), None);
        let kept = refusals.of_connection(&id, Timestamp::from_secs(3_600));
        let seen = kept.last[0].seen.as_ref().unwrap();
        assert_eq!((&*seen.header_names, seen.body_bytes), ("x-token", 7));
        let later = refusals.of_connection(&id, Timestamp::from_secs(3_601));
        assert_eq!((later.last.len(), later.counts["no_keys"]), (0, 1));
        refusals.keep(&own, refused(&Refusal::NoKeys, 4_000), None);
        assert_eq!(refusals.lock().seen, 1, "the old one went");
    }

    #[test]
    fn header_names_are_bounded() {
        let names: Vec<String> = (0..200).map(|n| format!("x-header-{n}")).collect();
        let method = "X".repeat(99);
        let seen = Seen::of(&method, names.iter().map(String::as_str), 0);
        assert!(seen.header_names.len() <= NAMES_BYTES_MAX + 4 && seen.header_names.ends_with('…'));
        assert_eq!(seen.method.len(), METHOD_BYTES_MAX);
    }
}
