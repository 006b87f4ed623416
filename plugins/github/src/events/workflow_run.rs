//! `workflow_run`: a run of a workflow. A re-run keeps the id and counts `run_attempt`.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Repository, User};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    workflow_run: WorkflowRun<'a>,
    repository: Repository<'a>,
}

#[derive(Deserialize, Serialize)]
struct WorkflowRun<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(skip_deserializing)]
    repository: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    workflow_id: u64,
    run_number: u64,
    run_attempt: Option<u64>,
    event: Text<'a>,
    status: Option<Text<'a>>,
    conclusion: Option<Text<'a>>,
    head_branch: Option<Text<'a>>,
    head_sha: Text<'a>,
    actor: Option<User<'a>>,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        mut workflow_run,
        repository,
    } = parse_json(json)?;
    workflow_run.repository = repository.full_name;
    Ok(Change::upsert("workflow_run", workflow_run.id)
        .version_at(workflow_run.updated_at)
        .occurred_at(workflow_run.updated_at)
        .data(&workflow_run)?
        .into())
}
