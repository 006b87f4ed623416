//! Where changes and notices go: core's `Outlet` and `Messenger`, carried out.
//!
//! Sinks are a signed webhook ([`webhook`]), a file of lines ([`mod@file`]) and PostgreSQL
//! ([`postgres`]); channels for alerts are in [`channel`]. Each bounds its own time and
//! says of every change whether the receiver has it. What follows from a failure is the
//! flow's, and it may hand over the same change again at any time, after a crash above
//! all: each sink sees to it that this has no second effect, by the means of its receiver.
//!
//! Deliberately absent: cursors and retries (the flow's), the store, configuration files.
//! Everything here needs a tokio runtime around it.

#![deny(missing_docs)]

pub mod channel;
pub mod file;
pub mod postgres;
#[cfg(test)]
mod receiver;
mod record;
#[cfg(test)]
mod samples;
mod signing;
pub mod webhook;

use tidegate_core::alert::Notice;
use tidegate_core::change::Change;
use tidegate_core::failure::Failure;
use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::{Messenger, Outlet, OutletCapacity};

pub use signing::{InvalidSigningSecret, Signer};

/// A sink of any kind.
#[derive(Debug)]
pub enum AnyOutlet {
    /// Signed HTTP requests.
    Webhook(Box<webhook::WebhookOutlet>),
    /// Lines of a file.
    File(file::FileOutlet),
    /// Rows of a database.
    Postgres(Box<postgres::PostgresOutlet>),
}

impl Outlet for AnyOutlet {
    fn capacity(&self) -> OutletCapacity {
        match self {
            Self::Webhook(outlet) => outlet.capacity(),
            Self::File(outlet) => outlet.capacity(),
            Self::Postgres(outlet) => outlet.capacity(),
        }
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        match self {
            Self::Webhook(outlet) => outlet.deliver(changes).await,
            Self::File(outlet) => outlet.deliver(changes).await,
            Self::Postgres(outlet) => outlet.deliver(changes).await,
        }
    }

    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        match self {
            Self::Webhook(outlet) => outlet.cursor().await,
            Self::File(outlet) => outlet.cursor().await,
            Self::Postgres(outlet) => outlet.cursor().await,
        }
    }
}

/// An alert channel of any kind.
#[derive(Debug)]
pub enum AnyMessenger {
    /// A signed webhook.
    Webhook(channel::WebhookChannel),
    /// Slack.
    Slack(channel::SlackChannel),
    /// `PagerDuty`.
    PagerDuty(channel::PagerDutyChannel),
    /// A program.
    Command(channel::CommandChannel),
}

impl Messenger for AnyMessenger {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        match self {
            Self::Webhook(channel) => channel.send(notice).await,
            Self::Slack(channel) => channel.send(notice).await,
            Self::PagerDuty(channel) => channel.send(notice).await,
            Self::Command(channel) => channel.send(notice).await,
        }
    }
}

/// One result for all of them.
fn all(count: usize, result: &Result<(), Failure>) -> Vec<Result<(), Failure>> {
    std::iter::repeat_n(result, count).cloned().collect()
}
