//! Delivers the change log to one sink: read → hand over → move the cursor.
//!
//! One loop a sink. The window (`tidegate_core::window`) decides; here its decisions are
//! carried out over the ports, several at a time in one future. Deliveries that became
//! tasks are claimed and run here too, in order with the window.
//!
//! A failure half-way leaves nothing: what was handed over and is not behind the durable
//! cursor is handed over again by the next loop, and claims that were not handed in are
//! given back when the loop is dropped. After an error the loop is of no more use: the
//! caller opens another over the durable standing. Pausing and resuming a sink is the
//! same: stop, write the standing, open another.

mod carry;
mod overtaken;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tidegate_core::failure::Failure;
use tidegate_core::ids::{ChangeSeq, SinkName, TaskId};
use tidegate_core::limits::SINK_CONCURRENCY_MAX;
use tidegate_core::ports::{
    Chance, ChangeLog, Claimed, Claims, Clock, Journal, LogError, NotStored, Outlet, ReadError,
};
use tidegate_core::retry::RetryPolicy;
use tidegate_core::sink::{FailedDelivery, SinkAdvance, SinkFilter, SinkStanding, SinkState};
use tidegate_core::task::{Delivery, Next, Owner, Work};
use tidegate_core::time::Timestamp;
use tidegate_core::window::{HandOver, Judgement, TaskRun, Want, Window};

use overtaken::Search;

/// What the loop needs from the world.
#[derive(Debug)]
pub struct DeliverPorts<'a, L, T, O, J, C, H> {
    /// The change log and the mirror.
    pub log: &'a L,
    /// The sink's tasks.
    pub claims: &'a T,
    /// The receiver.
    pub outlet: &'a O,
    /// The way back into the store.
    pub journal: &'a J,
    /// The time.
    pub clock: &'a C,
    /// Chance.
    pub chance: &'a H,
    /// What the sink takes.
    pub filter: &'a SinkFilter,
    /// When to try again.
    pub retry: &'a RetryPolicy,
}

/// Why a sink's loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The change log could not be read.
    #[error("could not read on for sink {sink}")]
    Log {
        /// Which sink.
        sink: SinkName,
        /// Why not.
        #[source]
        source: LogError,
    },
    /// Something else of the store could not be read.
    #[error("could not look something up for sink {sink}")]
    Read {
        /// Which sink.
        sink: SinkName,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// A claim of other work.
    #[error("{task} is not a scheduled delivery of sink {sink}")]
    NotADelivery {
        /// Which sink.
        sink: SinkName,
        /// Which task.
        task: TaskId,
    },
    /// What became of deliveries was not taken.
    #[error("could not hand in what became of deliveries to sink {sink}")]
    NotStored {
        /// Which sink.
        sink: SinkName,
        /// Why not.
        #[source]
        source: NotStored,
    },
}

/// There is nothing to do for a sink until something new is there, or until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When something is due; none where only something new can be.
    pub due: Option<Timestamp>,
}

/// The loop of one sink. See the module.
pub struct SinkLoop<'a, L, T: Claims, O, J, C, H> {
    ports: DeliverPorts<'a, L, T, O, J, C, H>,
    owner: Owner,
    window: Window,
    /// Whether the receiver has said where it stands itself.
    located: bool,
    /// The question, while it is on its way: a step that is dropped does not take it back.
    locating: Option<BoxFuture<'a, Result<Option<ChangeSeq>, Failure>>>,
    flights: FuturesUnordered<BoxFuture<'a, Landed>>,
    held: Vec<Claimed>,
    claimed: BTreeSet<TaskId>,
    /// The task that is sent, or not, once the log has been searched.
    search: Option<Search>,
    tasks_first: bool,
}

/// What has come back.
enum Landed {
    HandOver {
        hand_over: HandOver,
        results: Vec<Result<(), Failure>>,
        started: Timestamp,
    },
    Task {
        run: TaskRun,
        claimed: Box<Claimed>,
        result: Result<(), Failure>,
        started: Timestamp,
    },
    Advanced {
        /// What is open as a task from now on, as far as the window knows.
        opened: Vec<Delivery>,
        taken: Result<(), NotStored>,
    },
    Completed {
        run: TaskRun,
        task: TaskId,
        open: bool,
        taken: Result<(), NotStored>,
    },
}

/// After a step nothing is due at once: what says so could not be claimed.
const REST_MIN: std::time::Duration = std::time::Duration::from_millis(100);

impl<'a, L, T, O, J, C, H> SinkLoop<'a, L, T, O, J, C, H>
where
    L: ChangeLog,
    T: Claims,
    O: Outlet,
    J: Journal,
    C: Clock,
    H: Chance,
{
    /// A loop that goes on from a durable standing.
    pub fn open(
        mut standing: SinkStanding,
        ports: DeliverPorts<'a, L, T, O, J, C, H>,
    ) -> Result<Self, DeliverError> {
        if let Some(walk) = &mut standing.mirror
            && walk.after.is_none()
        {
            // It has not begun: what came since it was ordered is in the mirror too.
            walk.then = ports.log.newest();
        }
        let sink = standing.sink.clone();
        let open = ports.log.open_deliveries(&sink);
        let open = open.map_err(|source| DeliverError::Read {
            sink: sink.clone(),
            source,
        })?;
        let mut capacity = ports.outlet.capacity();
        capacity.concurrency = capacity.concurrency.min(SINK_CONCURRENCY_MAX);
        Ok(Self {
            located: standing.mirror.is_some(),
            locating: None,
            window: Window::open(standing, capacity, open),
            ports,
            owner: Owner::Sink(sink),
            flights: FuturesUnordered::new(),
            held: Vec::new(),
            claimed: BTreeSet::new(),
            search: None,
            tasks_first: true,
        })
    }

    /// How the sink stands.
    pub const fn standing(&self) -> &SinkStanding {
        self.window.standing()
    }

    /// Its open deliveries.
    pub const fn open_deliveries(&self) -> usize {
        self.window.open_deliveries()
    }

    /// Begins nothing more. A step then ends once what is on its way has come back and is
    /// durable.
    pub fn stop(&mut self) {
        self.window.stop();
        self.release_held();
        self.give_search_up();
    }

    /// Does everything there is to do. May be dropped while it waits and called again,
    /// which the caller does when there may be something new or due: what is on its way
    /// stays so. Between two pages of the store others go first: the thread is not its own.
    pub async fn step(&mut self) -> Result<Rest, DeliverError> {
        loop {
            if !self.located {
                self.locate().await;
            }
            let moved = self.pump()?;
            if self.search.is_some() {
                // It goes on, however long what is on its way takes.
                others_first().await;
            } else {
                match self.flights.next().await {
                    Some(landed) => self.land(landed)?,
                    None if moved => others_first().await,
                    None => return Ok(Rest { due: self.due() }),
                }
            }
            // Together, so that one advance covers them.
            while let Some(Some(landed)) = self.flights.next().now_or_never() {
                self.land(landed)?;
            }
        }
    }

    /// When a step has something to do, although nothing new comes.
    pub fn due(&self) -> Option<Timestamp> {
        let task = self.ports.claims.next_due_of(&self.owner, Work::Deliver);
        let due = match &self.window.standing().state {
            SinkState::Failing { next, .. } if !self.located => Some(*next),
            _ => self.window.due(task),
        };
        let soonest = self.ports.clock.now().plus(REST_MIN);
        due.map(|due| due.max(soonest))
    }

    /// Asks the receiver where it stands itself; one that cannot say counts as failing.
    async fn locate(&mut self) {
        let now = self.ports.clock.now();
        match &self.window.standing().state {
            SinkState::Paused { .. } => return,
            SinkState::Failing { next, .. } if now < *next => return,
            SinkState::Failing { .. } | SinkState::Running => {}
        }
        let outlet = self.ports.outlet;
        let question = self.locating.get_or_insert_with(|| outlet.cursor().boxed());
        let said = question.await;
        self.locating = None;
        match said {
            Ok(kept) => {
                if let Some(kept) = kept {
                    let log = self.ports.log;
                    self.window.begin_at(kept, log.oldest(), log.newest());
                }
                self.located = true;
            }
            Err(failure) => {
                let judgement = self.judgement(now);
                self.window.unreachable(&failure, &judgement);
            }
        }
    }

    /// Reads, starts and writes what may be, without waiting; whether anything moved.
    fn pump(&mut self) -> Result<bool, DeliverError> {
        let now = self.ports.clock.now();
        let mut moved = false;
        if self.located {
            // One page each: whoever drives this has other sinks as well.
            moved |= self.read(now)?;
            moved |= self.search_on()?;
            while self.start(now)? {
                moved = true;
            }
        }
        if let Some(advance) = self.window.advance(now) {
            let (journal, opened) = (self.ports.journal, opened_by(&advance));
            let flight = async move {
                let taken = journal.advance(advance).await;
                Landed::Advanced { opened, taken }
            };
            self.flights.push(flight.boxed());
            moved = true;
        }
        Ok(moved)
    }

    fn read(&mut self, now: Timestamp) -> Result<bool, DeliverError> {
        let (log, filter) = (self.ports.log, self.ports.filter);
        match self.window.want() {
            None => Ok(false),
            Some(Want::Log { after, .. }) if log.newest() <= after => Ok(false),
            Some(Want::Log { after, limit }) => match log.page(after, filter, limit) {
                Ok(page) => {
                    let moved = page.next > after;
                    self.window.offer_log(page);
                    Ok(moved)
                }
                Err(LogError::Expired { .. }) => {
                    self.window.fell_behind(log.newest(), now);
                    Ok(true)
                }
                Err(source) => Err(DeliverError::Log {
                    sink: self.sink(),
                    source,
                }),
            },
            Some(Want::Mirror { after, limit }) => {
                let page = log.mirror(after.as_ref(), filter, limit);
                let page = page.map_err(|source| self.unread(source))?;
                self.window.offer_mirror(page);
                Ok(true)
            }
        }
    }

    /// Starts a hand-over or a task, each in its turn; whether there was one.
    fn start(&mut self, now: Timestamp) -> Result<bool, DeliverError> {
        let tasks_first = self.tasks_first;
        self.tasks_first = !tasks_first;
        if tasks_first && self.start_task(now)? {
            return Ok(true);
        }
        Ok(self.start_hand_over(now) || (!tasks_first && self.start_task(now)?))
    }

    fn start_hand_over(&mut self, now: Timestamp) -> bool {
        let Some(hand_over) = self.window.next(now) else {
            return false;
        };
        let outlet = self.ports.outlet;
        let flight = async move {
            let results = outlet.deliver(hand_over.changes()).await;
            Landed::HandOver {
                hand_over,
                results,
                started: now,
            }
        };
        self.flights.push(flight.boxed());
        true
    }

    fn land(&mut self, landed: Landed) -> Result<(), DeliverError> {
        match landed {
            Landed::HandOver {
                hand_over,
                results,
                started,
            } => {
                let judgement = self.judgement(started);
                self.window.finished(hand_over, results, &judgement);
                Ok(())
            }
            Landed::Task {
                run,
                claimed,
                result,
                started,
            } => {
                self.task_landed(run, *claimed, result, started);
                Ok(())
            }
            Landed::Advanced { opened, taken } => {
                taken.map_err(|source| self.not_stored(source))?;
                self.window.advanced();
                // A change that was given to the sink before may have its dead letter already.
                for delivery in opened {
                    let open = self.ports.log.is_open(&delivery);
                    if !open.map_err(|source| self.unread(source))? {
                        self.window.never_opened(&delivery);
                    }
                }
                Ok(())
            }
            Landed::Completed {
                run,
                task,
                open,
                taken,
            } => {
                taken.map_err(|source| self.not_stored(source))?;
                self.claimed.remove(&task);
                self.window.task_left(&run, open);
                Ok(())
            }
        }
    }

    fn judgement(&self, started: Timestamp) -> Judgement<'a> {
        Judgement {
            started,
            now: self.ports.clock.now(),
            retry: self.ports.retry,
            jitter: self.ports.chance.jitter(),
        }
    }

    fn sink(&self) -> SinkName {
        self.window.standing().sink.clone()
    }

    fn unread(&self, source: ReadError) -> DeliverError {
        DeliverError::Read {
            sink: self.sink(),
            source,
        }
    }

    fn not_stored(&self, source: NotStored) -> DeliverError {
        DeliverError::NotStored {
            sink: self.sink(),
            source,
        }
    }
}

impl<L, T: Claims, O, J, C, H> SinkLoop<'_, L, T, O, J, C, H> {
    fn release_held(&mut self) {
        for claimed in self.held.drain(..) {
            self.claimed.remove(&claimed.id());
            self.ports.claims.release(claimed.id());
        }
    }
}

/// The deliveries that an advance opens, unless they are known already.
fn opened_by(advance: &SinkAdvance) -> Vec<Delivery> {
    let stays = |failed: &&FailedDelivery| matches!(failed.tried, None | Some((_, Next::Again(_))));
    let failed = advance.failed.iter().filter(stays);
    let delivery = |failed: &FailedDelivery| Delivery {
        sink: advance.standing.sink.clone(),
        seq: failed.seq,
        connection: failed.connection.clone(),
        entity: failed.entity.clone(),
        forced: false,
    };
    failed.map(delivery).collect()
}

/// Lets whatever else shares the thread go first, once.
async fn others_first() {
    let mut passed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<L, T: Claims, O, J, C, H> Drop for SinkLoop<'_, L, T, O, J, C, H> {
    fn drop(&mut self) {
        for task in &self.claimed {
            self.ports.claims.release(*task);
        }
    }
}

impl<L, T: Claims, O, J, C, H> std::fmt::Debug for SinkLoop<'_, L, T, O, J, C, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkLoop")
            .field("standing", self.window.standing())
            .field("in_flight", &self.flights.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
