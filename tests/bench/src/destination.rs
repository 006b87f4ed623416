//! Where changes go in a measurement, and what has arrived there.
//!
//! Each destination runs on a thread of its own in this process and writes down when an
//! event's change came first. It is as lean as it can be, since it shares the machine
//! with the server under test.

pub(crate) mod receipts;
pub(crate) mod receiver;
mod rows;
mod tail;

use std::path::Path;
use std::sync::Arc;

use receipts::Receipts;
use receiver::Receiver;
use rows::Rows;
pub(crate) use rows::forget;
use tail::Tail;

/// Something that changes go to.
#[derive(Debug)]
pub(crate) enum Destination {
    /// An HTTP server.
    Receiver(Receiver),
    /// A file that a sink writes.
    File(Tail),
    /// Tables that a sink fills.
    Rows(Rows),
}

impl Destination {
    /// An HTTP server of its own.
    pub(crate) fn receiver(receipts: Arc<Receipts>) -> anyhow::Result<Self> {
        Ok(Self::Receiver(Receiver::start(receipts)?))
    }

    /// The lines of that file, which need not be there yet.
    pub(crate) fn file(path: &Path, receipts: Arc<Receipts>) -> Self {
        Self::File(Tail::start(path, receipts))
    }

    /// The tables in that database, which need not be there yet.
    pub(crate) fn rows(database: &str, receipts: Arc<Receipts>) -> Self {
        Self::Rows(Rows::start(database, receipts))
    }

    /// Ends it; the receipts are complete afterwards.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Receiver(_) => Ok(()),
            Self::File(tail) => tail.finish(),
            Self::Rows(rows) => rows.finish(),
        }
    }
}
