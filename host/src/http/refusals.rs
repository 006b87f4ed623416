//! The last refusals of each configured path, for the operator who asks why a partner's
//! webhooks do not arrive.
//!
//! Reasons only: not a byte that the sender chose is kept. In memory, bounded by what is
//! configured times [`KEPT`], and gone with a restart; the counters have the rest.
//! How many there were in a row stands beside them, for alerts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_core::alerting::SignatureFailures;
use tidegate_core::ids::{AccountName, ConnectionId, ConnectorName};
use tidegate_core::signature::Refusal;
use tidegate_core::time::Timestamp;
use tidegate_flow::ingest::Address;

use super::percent;

/// How many are kept of each.
const KEPT: usize = 32;

/// After how long without one a refusal is news again.
const QUIET: Duration = Duration::from_mins(1);

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: Timestamp,
    pub(crate) refusal: Refusal,
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
    connections: HashMap<ConnectionId, VecDeque<Refused>>,
    connectors: HashMap<ConnectorName, VecDeque<Refused>>,
    rows: HashMap<ConnectionId, SignatureFailures>,
}

impl Refusals {
    /// Keeps one, and lets the oldest go. Whether it is the first there for a while, and
    /// so worth a line in the log: strangers must not fill it.
    pub(crate) fn keep(&self, address: &Address, refusal: &Refusal, at: Timestamp) -> bool {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match address {
            Address::Connection(id) => shelves.connections.entry(id.clone()).or_default(),
            Address::ByAccount { connector, .. } => {
                shelves.connectors.entry(connector.clone()).or_default()
            }
        };
        let news = kept.back().is_none_or(|last| at.since(last.at) > QUIET);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Refused {
            at,
            refusal: refusal.clone(),
        });
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
                alert_from: None,
            });
        row.in_a_row = row.in_a_row.saturating_add(1);
        row.last = at;
        row.reason = refusal.to_string();
        self.rows.store(shelves.rows.len(), Ordering::Relaxed);
        news
    }

    /// A request verified there: what was refused is no row any more.
    pub(crate) fn verified(&self, address: &Address) {
        if self.rows.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.rows.remove(&row_of(address));
        self.rows.store(shelves.rows.len(), Ordering::Relaxed);
    }

    /// Where requests were refused since the last one that verified, and how many.
    pub(crate) fn in_a_row(&self) -> Vec<SignatureFailures> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.rows.values().cloned().collect()
    }

    /// Those at a connection's own path, newest first.
    pub(crate) fn of_connection(&self, id: &ConnectionId) -> Vec<Refused> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        newest_first(shelves.connections.get(id))
    }

    /// At which paths something was refused since then, by path.
    pub(crate) fn since(&self, since: Timestamp) -> Vec<RefusedThere> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let own = shelves
            .connections
            .iter()
            .filter_map(|(id, shelf)| refused_there(own_path(id), shelf, since));
        let shared = shelves
            .connectors
            .iter()
            .filter_map(|(name, shelf)| refused_there(format!("/in/{name}"), shelf, since));
        let mut all: Vec<_> = own.chain(shared).collect();
        all.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        all
    }

    /// Those at the path that all of a connector's accounts share, newest first.
    pub(crate) fn of_connector(&self, name: &ConnectorName) -> Vec<Refused> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        newest_first(shelves.connectors.get(name))
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

fn refused_there(
    path: String,
    shelf: &VecDeque<Refused>,
    since: Timestamp,
) -> Option<RefusedThere> {
    let count = shelf.iter().filter(|refused| refused.at >= since).count();
    let newest = shelf.back().filter(|_| count > 0)?.clone();
    Some(RefusedThere {
        path,
        count,
        or_more: count == KEPT,
        newest,
    })
}

fn newest_first(shelf: Option<&VecDeque<Refused>>) -> Vec<Refused> {
    shelf.into_iter().flatten().rev().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_apart_for_each_path() {
        let refusals = Refusals::default();
        let id: ConnectionId = "github/acme".parse().unwrap();
        let own = Address::Connection(id.clone());
        let shared = Address::ByAccount {
            connector: id.connector.clone(),
            rule: None,
        };
        for number in 0..40 {
            let refusal = Refusal::NoMatch { keys: number };
            refusals.keep(&own, &refusal, Timestamp::from_secs(1));
        }
        assert!(refusals.keep(&shared, &Refusal::NoKeys, Timestamp::from_secs(2)));
        assert!(!refusals.keep(&own, &Refusal::NoKeys, Timestamp::from_secs(61)));
        assert!(refusals.keep(
            &own,
            &Refusal::NoMatch { keys: 39 },
            Timestamp::from_secs(122)
        ));
        let kept = refusals.of_connection(&id);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].refusal, Refusal::NoMatch { keys: 39 });
        assert_eq!(refusals.of_connector(&id.connector).len(), 1);

        let mut rows = refusals.in_a_row();
        rows.sort_by_key(|row| row.in_a_row);
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.connection.to_string(), row.in_a_row))
            .collect();
        assert_eq!(
            rows,
            [("github/unknown".into(), 1), ("github/acme".to_owned(), 42)]
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
}
