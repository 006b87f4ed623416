//! One mapping per event type.

use tidegate_sdk::{Failure, Outcome};

pub(crate) mod issue_comment;
pub(crate) mod issues;
pub(crate) mod membership;
pub(crate) mod organization;
pub(crate) mod pull_request;
pub(crate) mod pull_request_review;
pub(crate) mod push;
pub(crate) mod release;
pub(crate) mod repository;
pub(crate) mod star;
pub(crate) mod workflow_run;

/// Maps the JSON of one payload.
pub(crate) type Map = fn(&[u8]) -> Result<Outcome, Failure>;
