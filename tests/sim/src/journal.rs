//! The committer, as the host drives it: gather what waits, commit it at once, release
//! the answers.
//!
//! Full queue and low disk are answered at the door; a failed commit latches: everything
//! is refused until the host has restarted, which it does after a while.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_core::alert::{AlertRecord, AlertUpdate};
use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::ConnectionId;
use tidegate_core::ports::{
    AlertJournal, Clock as _, Completion, Journal, NotStored, PollWishes, ReadError,
};
use tidegate_core::sink::SinkAdvance;
use tidegate_core::task::TaskKind;
use tidegate_store::engine::memory::{self, Memory};
use tidegate_store::{Answer, Committer, Reader, Sealer, Submission};

use crate::checks::SOUND;
use crate::exec::{Bell, Reply, lock, reply};
use crate::faults::Fault;
use crate::world::{Ending, World};

/// How long a latched host answers before it ends.
const LINGER: Duration = Duration::from_secs(3);

type Answered = Reply<Result<Answer, NotStored>>;

struct Ticket {
    handed_in: HandedIn,
    answer: Option<Answered>,
}

/// A submission, with the events as they were before they were sealed.
#[derive(Clone, Debug)]
pub struct HandedIn {
    /// What the committer is given.
    pub submission: Submission,
    /// What is sealed in it.
    pub events: Vec<Event>,
}

/// The way into the store.
pub struct HostJournal {
    world: Arc<World>,
    reader: Reader,
    queue: Mutex<VecDeque<Ticket>>,
    room: usize,
    came: Bell,
    went: Bell,
    /// Rung after each commit.
    pub published: Bell,
    latched: AtomicBool,
    disk_low: AtomicBool,
    sealer: Sealer,
    /// A fault of the disk is on its way.
    armed: AtomicBool,
}

impl fmt::Debug for HostJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostJournal").finish_non_exhaustive()
    }
}

impl HostJournal {
    /// A journal with an empty queue.
    pub fn new(world: Arc<World>, reader: Reader, sealer: Sealer) -> Self {
        let short = world.plan.faults.has(Fault::FullStore);
        Self {
            world,
            reader,
            queue: Mutex::default(),
            room: if short { 3 } else { 64 },
            came: Bell::default(),
            went: Bell::default(),
            published: Bell::default(),
            latched: AtomicBool::new(false),
            disk_low: AtomicBool::new(false),
            sealer,
            armed: AtomicBool::new(false),
        }
    }

    /// Whether a commit has failed.
    pub fn is_latched(&self) -> bool {
        self.latched.load(Ordering::SeqCst)
    }

    /// Free disk is below the reserve, or above it again.
    pub fn disk_is_low(&self, low: bool) {
        self.disk_low.store(low, Ordering::SeqCst);
    }

    /// Whether it is.
    pub fn is_disk_low(&self) -> bool {
        self.disk_low.load(Ordering::SeqCst)
    }

    /// Hands in a submission and waits until it is durable.
    pub async fn submit(&self, submission: Submission) -> Result<Answer, NotStored> {
        let (answer, answered) = reply();
        self.push(submission, Some(answer)).await?;
        let answer = answered.answer().await;
        answer.unwrap_or(Err(NotStored::ShuttingDown))
    }

    /// Hands it in once there is room.
    async fn push(
        &self,
        submission: Submission,
        answer: Option<Answered>,
    ) -> Result<(), NotStored> {
        loop {
            if self.is_latched() {
                return Err(NotStored::Latched);
            }
            let heard = self.went.rings();
            if lock(&self.queue).len() < self.room {
                break;
            }
            self.went.after(heard).await;
        }
        lock(&self.queue).push_back(Ticket {
            handed_in: HandedIn {
                submission,
                events: Vec::new(),
            },
            answer,
        });
        self.came.ring();
        Ok(())
    }

    async fn done(&self, submission: Submission) -> Result<(), NotStored> {
        match self.submit(submission).await? {
            Answer::Refused(_) => Err(NotStored::Unreadable),
            Answer::Accepted(_)
            | Answer::Replayed { .. }
            | Answer::Discarded { .. }
            | Answer::Resumed { .. }
            | Answer::Done => Ok(()),
        }
    }
}

impl PollWishes for HostJournal {
    async fn wish_poll(&self, connection: ConnectionId) -> Result<(), NotStored> {
        self.done(Submission::WishPoll(connection)).await
    }
}

impl Journal for HostJournal {
    async fn accept(&self, events: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        if self.is_latched() {
            return Err(NotStored::Latched);
        }
        if self.is_disk_low() {
            return Err(NotStored::DiskLow);
        }
        let (answer, answered) = reply();
        let sealed = events.iter().cloned().map(|one| self.sealer.seal(one));
        let sealed = sealed.collect();
        {
            let mut queue = lock(&self.queue);
            if queue.len() >= self.room {
                return Err(NotStored::QueueFull);
            }
            queue.push_back(Ticket {
                handed_in: HandedIn {
                    submission: Submission::Accept(sealed),
                    events,
                },
                answer: Some(answer),
            });
        }
        self.came.ring();
        match answered.answer().await {
            Some(Ok(Answer::Accepted(accepted))) => Ok(accepted),
            Some(Ok(Answer::Refused(_))) => Err(NotStored::Unreadable),
            Some(Err(why)) => Err(why),
            Some(Ok(_)) | None => Err(NotStored::ShuttingDown),
        }
    }

    /// Mapping does not wait for its own commit; deliveries and notices do.
    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        self.world.checks().handed_in(&completion, self.world.now());
        if self.world.strikes(Fault::Duplicates, 60) {
            // Whoever hands it in has not heard that it was taken.
            let again = Submission::Complete(Box::new(completion.clone()));
            self.world.spawner.spawn(
                crate::exec::Life::Host,
                hand_in_later(self.world.clone(), again),
            );
        }
        let waits = !matches!(completion.task.kind, TaskKind::Map { .. });
        let submission = Submission::Complete(Box::new(completion));
        if waits {
            self.done(submission).await
        } else {
            self.push(submission, None).await
        }
    }

    async fn advance(&self, advance: SinkAdvance) -> Result<(), NotStored> {
        self.done(Submission::Advance(Box::new(advance))).await
    }
}

async fn hand_in_later(world: Arc<World>, submission: Submission) {
    let millis = world.rng().between(1, 4_000);
    world.sleep(Duration::from_millis(millis)).await;
    if let Some(host) = world.host() {
        let _ = host.journal.submit(submission).await;
    }
}

impl AlertJournal for HostJournal {
    fn alerts(&self) -> Result<Vec<AlertRecord>, ReadError> {
        self.reader.alerts()
    }

    async fn put_alerts(&self, update: AlertUpdate) -> Result<(), NotStored> {
        self.done(Submission::PutAlerts(Box::new(update))).await
    }
}

/// The committer's thread.
pub async fn commit_for_ever(
    world: Arc<World>,
    journal: Arc<HostJournal>,
    mut committer: Committer,
    memory: Memory,
) {
    loop {
        let heard = journal.came.rings();
        if lock(&journal.queue).is_empty() {
            journal.came.after(heard).await;
            continue;
        }
        if world.strikes(Fault::SlowStore, 300) {
            let millis = world.rng().between(1, 400);
            world.sleep(Duration::from_millis(millis)).await;
        }
        let batch = gather(&world, &journal);
        if journal.is_latched() {
            refuse(batch);
            continue;
        }
        commit(&world, &journal, &mut committer, &memory, batch).await;
    }
}

fn gather(world: &World, journal: &HostJournal) -> Vec<Ticket> {
    let most = world.rng().index(24) + 1;
    let mut queue = lock(&journal.queue);
    let most = most.min(queue.len());
    let batch = queue.drain(..most).collect();
    drop(queue);
    journal.went.ring();
    batch
}

fn refuse(batch: Vec<Ticket>) {
    for answer in batch.into_iter().filter_map(|ticket| ticket.answer) {
        answer.send(Err(NotStored::Latched));
    }
}

async fn commit(
    world: &Arc<World>,
    journal: &HostJournal,
    committer: &mut Committer,
    memory: &Memory,
    batch: Vec<Ticket>,
) {
    let (batch, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|ticket| (ticket.handed_in, ticket.answer))
        .unzip();
    if world.strikes(Fault::FailedCommit, 15) {
        // It may wait for a later batch, where this one has nothing to write.
        journal.armed.store(true, Ordering::SeqCst);
        let faults = [
            memory::Fault::Write,
            memory::Fault::SyncLost,
            memory::Fault::SyncKept,
        ];
        let fault = world.rng().pick(&faults).copied();
        memory.fail_next(fault.unwrap_or(memory::Fault::Write));
    }
    let said: Vec<String> = batch.iter().map(said).collect();
    let submissions = batch.iter().map(|one| one.submission.clone()).collect();
    let now = world.now();
    match committer.commit(submissions, now) {
        Ok(results) => {
            world.tell(format!("committed: {}", said.join("; ")));
            world
                .checks()
                .committed(&batch, &results, &journal.reader, now);
            journal.published.ring();
            // Durable, and nobody has heard of it yet: the host may end here.
            world.breathe().await;
            for (answer, result) in answers.into_iter().zip(results) {
                if let Some(answer) = answer {
                    answer.send(Ok(result));
                }
            }
        }
        Err(error) => {
            world.tell(format!("the commit failed: {error}: {}", said.join("; ")));
            if !journal.armed.load(Ordering::SeqCst) {
                world.fail(
                    SOUND,
                    format!("{error}, and nothing is wrong with the disk"),
                );
            }
            world.checks().not_committed(&batch, &journal.reader);
            journal.latched.store(true, Ordering::SeqCst);
            for answer in answers.into_iter().flatten() {
                answer.send(Err(NotStored::Latched));
            }
            journal.went.ring();
            let world = world.clone();
            world
                .clone()
                .spawner
                .spawn(crate::exec::Life::Host, async move {
                    world.sleep(LINGER).await;
                    world.end_host(Ending::Killed);
                });
        }
    }
}

fn said(handed_in: &HandedIn) -> String {
    match &handed_in.submission {
        Submission::Accept(_) => {
            let keys: Vec<String> = handed_in
                .events
                .iter()
                .map(|event| format!("{} {}", event.connection, event.partner_id))
                .collect();
            format!("accept {}", keys.join(", "))
        }
        Submission::Complete(completion) => {
            let failure = completion.attempt.failure.as_ref();
            let failure = failure.map_or_else(String::new, |failure| format!(" ({failure})"));
            let name = match &completion.task.kind {
                TaskKind::Map { event, .. } => format!("map {event}"),
                TaskKind::Deliver(delivery) => {
                    format!("deliver {} to {}", delivery.seq, delivery.sink)
                }
                TaskKind::Alert { channel, notice } => format!(
                    "tell {channel} {} {} {}",
                    notice.kind.code(),
                    notice.key.rule.code(),
                    notice.key.subject
                ),
                other => other.code().to_owned(),
            };
            format!(
                "{name}, attempt {}: {}{failure}",
                completion.attempt.number,
                ended(&completion.end)
            )
        }
        Submission::Advance(advance) => {
            let failed: Vec<String> = advance
                .failed
                .iter()
                .map(|failed| failed.seq.to_string())
                .collect();
            let failed = if failed.is_empty() {
                String::new()
            } else {
                format!(", failed {}", failed.join(" "))
            };
            format!(
                "{} at {} {}{failed}",
                advance.standing.sink,
                advance.standing.cursor,
                advance.standing.state.code()
            )
        }
        Submission::PutSink { standing, .. } => format!(
            "{} put at {} {}",
            standing.sink,
            standing.cursor,
            standing.state.code()
        ),
        Submission::PutSecrets { put, removed, .. } => {
            format!("keep {} secrets, drop {}", put.len(), removed.len())
        }
        Submission::WishPoll(connection) => format!("wish to poll {connection}"),
        Submission::Note(entry) => format!("note {}", entry.action.code()),
        Submission::PauseConnection { connection, .. } => format!("pause {connection}"),
        Submission::ResumeConnection { connection, .. } => format!("resume {connection}"),
        Submission::Replay(batch) => format!("replay {:?}", batch.items),
        Submission::Discard { letters, .. } => format!("discard {letters:?}"),
        Submission::PutAlerts(update) => {
            let put = update
                .put
                .iter()
                .map(|record| format!("{} {}", record.key.rule.code(), record.key.subject));
            let over = update
                .removed
                .iter()
                .map(|key| format!("no {} {}", key.rule.code(), key.subject));
            let all: Vec<String> = put.chain(over).collect();
            format!("alerts: {}", all.join(", "))
        }
        Submission::Retain => "retain".into(),
        Submission::Touch => "touch".into(),
        Submission::DropSink(_) | Submission::PutGrant { .. } => "something else".into(),
    }
}

fn ended(end: &tidegate_core::ports::End) -> String {
    use tidegate_core::ports::End;
    match end {
        End::Mapped { changes, .. } => {
            let all: Vec<String> = changes
                .iter()
                .map(|change| {
                    let version = change.version.map_or_else(String::new, |v| format!("@{v}"));
                    format!(
                        "{} {}/{}{version}",
                        change.operation.code(),
                        change.entity.kind,
                        change.entity.id
                    )
                })
                .collect();
            all.join(", ")
        }
        End::Skipped { .. } => "skipped".into(),
        End::Delivered => "delivered".into(),
        End::Superseded => "superseded".into(),
        End::Again(again) => format!("attempt {} at {}", again.attempt, again.due),
        End::Park { cause, .. } => format!("parked, {}", cause.code()),
        End::Pause { .. } => "its connection is paused".into(),
    }
}
