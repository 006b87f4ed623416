//! People: they replay, give up, pause, resume, and load a corrected plugin; and once the
//! faults stop they see to what only a person can see to.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::event::EventState;
use tidegate_core::ids::EventId;
use tidegate_core::ports::Clock as _;
use tidegate_core::replay::{ReplayItem, ReplayMode};
use tidegate_core::sink::{PauseCause, SinkState};
use tidegate_store::{Answer, DeadLetterFilter, ReplayBatch, Submission};

use crate::exec::lock;
use crate::faults::Fault;
use crate::host::Host;
use crate::world::World;

/// What people do while there are faults.
pub async fn operate(world: Arc<World>) {
    // Who replays at once meets what is still open behind it.
    let eager = world.plan.faults.has(Fault::Replay);
    let most = if eager { 2_500 } else { 9_000 };
    while !world.is_calm() {
        let millis = world.rng().between(200, most);
        world.sleep(Duration::from_millis(millis)).await;
        let Some(host) = world.host() else {
            continue;
        };
        if world.strikes(Fault::NewPlugin, 60) {
            lock(&world.shelf).correct();
            world.tell("a corrected plugin is loaded");
        }
        if world.strikes(Fault::Pause, 120) {
            renew(&world);
        }
        if world.strikes(Fault::Replay, 500) {
            replay(&world, &host).await;
        }
        if world.strikes(Fault::Discard, 60) {
            discard(&world, &host).await;
        }
        if world.strikes(Fault::Pause, 150) {
            turn_a_sink(&world, &host);
        }
        if world.strikes(Fault::Pause, 150) {
            turn_a_connection(&world, &host).await;
        }
    }
}

/// What people do once the faults have stopped: nothing stays paused.
pub async fn see_to_it(world: Arc<World>) {
    lock(&world.shelf).correct();
    renew(&world);
    loop {
        if let Some(host) = world.host() {
            resume_all(&world, &host).await;
        }
        world.sleep(Duration::from_secs(30)).await;
    }
}

fn renew(world: &World) {
    lock(&world.shelf).renew_credentials();
}

async fn resume_all(world: &World, host: &Host) {
    for standing in host.reader.sinks().unwrap_or_default() {
        if matches!(standing.state, SinkState::Paused { .. }) {
            want(host, standing.sink.as_str(), SinkState::Running);
        }
    }
    for paused in host.reader.paused().unwrap_or_default() {
        let resume = Submission::ResumeConnection {
            connection: paused.connection,
            audit: Some(note(world, AuditAction::ResumeConnection)),
        };
        submit(world, host, resume).await;
    }
}

fn note(world: &World, action: AuditAction) -> AuditEntry {
    AuditEntry {
        at: world.now(),
        who: "someone".into(),
        action,
        subject: "something".into(),
        reason: Some("a reason".into()),
        count: 1,
    }
}

async fn submit(world: &World, host: &Host, submission: Submission) -> Option<Answer> {
    let entry = match &submission {
        Submission::Replay(batch) => batch.audit.clone(),
        Submission::Discard { audit, .. } => Some((**audit).clone()),
        Submission::PauseConnection { audit, .. } | Submission::ResumeConnection { audit, .. } => {
            audit.clone()
        }
        _ => None,
    };
    let answer = host.journal.submit(submission).await.ok()?;
    if let Some(mut entry) = entry {
        match answer {
            Answer::Replayed { queued, .. } => entry.count = queued,
            Answer::Discarded { letters } => entry.count = letters,
            _ => {}
        }
        world.checks().audited(entry);
    }
    Some(answer)
}

async fn replay(world: &World, host: &Host) {
    let mut items = Vec::new();
    let letters = host
        .reader
        .dead_letters(&DeadLetterFilter::default(), None, 20);
    let letters = letters.map_or_else(|_| Vec::new(), |page| page.letters);
    for letter in &letters {
        if world.rng().per_mille(400) {
            items.push(ReplayItem::Letter(letter.task.id));
        }
    }
    for _ in 0..4 {
        let newest = host.reader.counts().events.max(1);
        let id = EventId::new(world.rng().between(1, newest * 2));
        let state = host.reader.progress(id).ok().flatten();
        let ended = state.map(|progress| progress.state);
        if matches!(ended, Some(EventState::Mapped | EventState::Skipped { .. })) {
            items.push(ReplayItem::Event(id));
        }
    }
    items.sort_by_key(number);
    items.dedup();
    if items.is_empty() {
        return;
    }
    let count = items.len() as u64;
    let batch = ReplayBatch {
        items,
        mode: ReplayMode::default(),
        run: None,
        audit: Some(note(world, AuditAction::Replay)),
    };
    let answer = submit(world, host, Submission::Replay(Box::new(batch))).await;
    if let Some(Answer::Replayed { queued, passed }) = answer
        && queued + passed != count
    {
        let said = format!("of {count} replayed items {queued} were queued and {passed} passed");
        world.fail(crate::checks::NOTHING_LOST, said);
    }
}

/// Letters first, then events, each by its number.
const fn number(item: &ReplayItem) -> (bool, u64) {
    match item {
        ReplayItem::Letter(task) => (false, task.get()),
        ReplayItem::Event(event) => (true, event.get()),
    }
}

async fn discard(world: &World, host: &Host) {
    let letters = host
        .reader
        .dead_letters(&DeadLetterFilter::default(), None, 20);
    let letters = letters.map_or_else(|_| Vec::new(), |page| page.letters);
    let letter = world.rng().pick(&letters).cloned();
    if let Some(letter) = letter {
        world.checks().gives_up(&letter.task.kind);
        let discard = Submission::Discard {
            letters: vec![letter.task.id],
            audit: Box::new(note(world, AuditAction::Discard)),
        };
        submit(world, host, discard).await;
    }
}

fn want(host: &Host, sink: &str, state: SinkState) {
    let sinks = host.reader.sinks().unwrap_or_default();
    let place = sinks.iter().position(|one| one.sink.as_str() == sink);
    let number = place.and_then(|_| sink.rsplit('-').next()?.parse::<usize>().ok());
    if let Some(control) = number.and_then(|number| host.controls.get(number)) {
        control.want(state);
    }
}

fn turn_a_sink(world: &World, host: &Host) {
    let sinks = host.reader.sinks().unwrap_or_default();
    let Some(standing) = world.rng().pick(&sinks).cloned() else {
        return;
    };
    let state = match standing.state {
        SinkState::Paused { .. } => SinkState::Running,
        SinkState::Running | SinkState::Failing { .. } => SinkState::Paused {
            why: PauseCause::Operator,
            reason: "a person said so".into(),
            since: world.now(),
        },
    };
    world.tell(format!(
        "a person turns {} to {}",
        standing.sink,
        state.code()
    ));
    want(host, standing.sink.as_str(), state);
}

async fn turn_a_connection(world: &World, host: &Host) {
    let connections = crate::partner::connections(world.plan.connections);
    let Some(connection) = world.rng().pick(&connections).cloned() else {
        return;
    };
    let paused = host.reader.paused().unwrap_or_default();
    let turn = if paused.iter().any(|one| one.connection == connection) {
        Submission::ResumeConnection {
            connection,
            audit: Some(note(world, AuditAction::ResumeConnection)),
        }
    } else {
        Submission::PauseConnection {
            connection,
            reason: "a person said so".into(),
            secrets: None,
            audit: Some(note(world, AuditAction::PauseConnection)),
        }
    };
    submit(world, host, turn).await;
}
