//! What a person has the host do: handed in as one submission together with who did it
//! and why, so that neither is ever stored without the other.

use std::sync::Arc;

use hyper::StatusCode;
use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::ports::{Clock as _, NotStored};
use tidegate_store::{Answer, Submission};

use super::super::problem::{self, Problem};
use super::Api;
use crate::system::SystemClock;

/// The name of the operator token that a request came with.
#[derive(Clone, Debug)]
pub(super) struct Who(Arc<str>);

impl Who {
    pub(super) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// The line of the audit log about what they do now.
    pub(super) fn entry(
        &self,
        action: AuditAction,
        subject: impl Into<String>,
        reason: Option<&str>,
    ) -> AuditEntry {
        AuditEntry {
            at: SystemClock.now(),
            who: self.name().to_owned(),
            action,
            subject: subject.into(),
            reason: reason.map(str::to_owned),
            count: 1,
        }
    }
}

impl Api {
    /// Hands something in and waits until it is durable.
    pub(super) async fn submit(&self, submission: Submission) -> Result<Answer, Problem> {
        match self.host.journal.submit(submission).await {
            Ok(Answer::Refused(error)) => Err(problem::unreadable(&error)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(not_stored(&error)),
        }
    }
}

/// Nothing of it was kept.
pub(super) fn not_stored(error: &NotStored) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-stored",
        "It was not stored",
        format!("nothing of it was done: {error}"),
    )
    .retry_after(5)
}
