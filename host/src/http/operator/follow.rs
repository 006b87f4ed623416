//! Reading on in the change log as it grows: what the long poll and the stream share.
//!
//! The cursor moves with what was read and never past it, so nothing is skipped and
//! nothing comes twice, whatever is committed meanwhile.

use tidegate_core::change::Change;
use tidegate_core::ids::ChangeSeq;
use tidegate_store::ChangeFilter;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::super::problem::Problem;
use super::super::server::told_to_stop;
use super::Api;
use super::query::{Query, bad};

/// A reader of the change log.
#[derive(Debug)]
pub(super) struct Follower {
    api: Api,
    filter: ChangeFilter,
    cursor: ChangeSeq,
    published: watch::Receiver<ChangeSeq>,
}

impl Follower {
    /// A reader of the changes after `cursor` that the filter takes.
    pub(super) fn new(api: Api, filter: ChangeFilter, cursor: ChangeSeq) -> Self {
        let published = api.host.published.clone();
        Self {
            api,
            filter,
            cursor,
            published,
        }
    }

    /// Everything up to here was read, or passed over by the filter.
    pub(super) const fn cursor(&self) -> ChangeSeq {
        self.cursor
    }

    /// The next changes, as soon as there are any; none at the deadline, or where the
    /// host is ending.
    pub(super) async fn next(
        &mut self,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Change>, Problem> {
        loop {
            // Seen before the read: what is published during it rings again.
            self.published.mark_unchanged();
            let (since, filter) = (self.cursor, self.filter.clone());
            let page = self
                .api
                .read(move |reader| reader.changes(since, &filter, limit))
                .await?;
            let moved = page.next > self.cursor;
            self.cursor = page.next;
            if !page.changes.is_empty() || self.is_ending() || Instant::now() >= deadline {
                return Ok(page.changes);
            }
            // A bounded look that met nothing is followed by another.
            if !moved {
                self.wait(deadline).await;
            }
        }
    }

    async fn wait(&mut self, deadline: Instant) {
        tokio::select! {
            () = told_to_stop(&mut self.api.stopping) => {}
            _ = timeout_at(deadline, self.published.changed()) => {}
        }
    }

    /// Whether the host is ending.
    pub(super) fn is_ending(&self) -> bool {
        *self.api.stopping.borrow() || self.published.has_changed().is_err()
    }
}

/// The parameters of a filter over changes.
pub(super) fn filter(query: &Query<'_>) -> Result<ChangeFilter, Problem> {
    let entity = query
        .text("entity")
        .map(|entity| match entity.split_once('/') {
            Some((kind, id)) => (kind, Some(id)),
            None => (entity, None),
        });
    if let Some(("", _) | (_, Some(""))) = entity {
        return Err(bad(
            "parameter \"entity\" is KIND or KIND/ID, like issue or issue/acme/x#1",
        ));
    }
    Ok(ChangeFilter {
        connector: query.parse("connector")?,
        connection: query.parse("connection")?,
        kind: entity.map(|(kind, _)| kind.to_owned()),
        id: entity.and_then(|(_, id)| id).map(str::to_owned),
    })
}
