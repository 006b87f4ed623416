//! Receivers: what is at the other end of the sinks. They outlive the host.
//!
//! Healthy, slow, away, full of errors, asking for patience, refusing some changes for
//! good; and the worst of all: they apply what they are given and the answer is lost. One
//! kind keeps a cursor of its own and applies a change once, as a database does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_core::change::Change;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ChangeSeq, SinkName};
use tidegate_core::ports::{EntityKey, Outlet, OutletCapacity};
use tidegate_core::sink::{SinkFilter, SinkStart};

use crate::exec::lock;
use crate::faults::Fault;
use crate::rng::Rng;
use crate::world::World;

/// What a receiver holds of each entity.
pub type Applied = BTreeMap<EntityKey, Change>;

/// One receiver.
pub struct Receiver {
    world: Arc<World>,
    sink: SinkName,
    filter: SinkFilter,
    begins: SinkStart,
    capacity: OutletCapacity,
    /// It keeps a cursor, and applies what is behind it no more.
    keeps_cursor: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    applied: Applied,
    cursor: ChangeSeq,
    away_until: u64,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Those of that world.
    pub fn all(world: &Arc<World>) -> Vec<Arc<Self>> {
        let mut rng = Rng::new(world.plan.seed).fork(3);
        let names =
            (0..world.plan.sinks).filter_map(|number| format!("sink-{number}").parse().ok());
        names
            .map(|sink| Arc::new(Self::draw(world, sink, &mut rng)))
            .collect()
    }

    fn draw(world: &Arc<World>, sink: SinkName, rng: &mut Rng) -> Self {
        let keeps_cursor = rng.per_mille(300);
        let concurrency = *rng.pick(&[1, 4, 4, 8]).unwrap_or(&1);
        let kinds = if rng.per_mille(300) {
            vec!["issue".to_owned()]
        } else {
            Vec::new()
        };
        let begins = [
            SinkStart::Start,
            SinkStart::Start,
            SinkStart::Mirror,
            SinkStart::Now,
        ];
        Self {
            world: world.clone(),
            sink,
            filter: SinkFilter {
                kinds,
                ..SinkFilter::default()
            },
            begins: *rng.pick(&begins).unwrap_or(&SinkStart::Start),
            capacity: OutletCapacity {
                batch: *rng.pick(&[1, 2, 5]).unwrap_or(&1),
                concurrency: if keeps_cursor { 1 } else { concurrency },
            },
            keeps_cursor,
            state: Mutex::default(),
        }
    }

    /// Of which sink it is.
    pub const fn sink(&self) -> &SinkName {
        &self.sink
    }

    /// What it takes.
    pub const fn filter(&self) -> &SinkFilter {
        &self.filter
    }

    /// Where the sink begins.
    pub const fn begins(&self) -> SinkStart {
        self.begins
    }

    /// Whether it keeps a cursor of its own.
    pub const fn keeps_cursor(&self) -> bool {
        self.keeps_cursor
    }

    /// What it holds.
    pub fn applied(&self) -> Applied {
        lock(&self.state).applied.clone()
    }

    /// Whether it will never take that change.
    pub fn rejects(&self, seq: ChangeSeq) -> bool {
        self.world.plan.faults.has(Fault::Rejects) && seq.get() % 5 == 3
    }

    fn apply(&self, changes: &[Change]) {
        let mut state = lock(&self.state);
        for change in changes {
            if self.keeps_cursor {
                state.cursor = state.cursor.max(change.seq);
            }
            let key = (change.connection.clone(), change.change.entity.clone());
            let known = state.applied.get(&key).map(|known| known.seq);
            // A database guards each row by its version.
            if !self.keeps_cursor || known <= Some(change.seq) {
                state.applied.insert(key, change.clone());
            }
        }
    }

    fn is_away(&self) -> bool {
        let now = self.world.passed();
        if self.world.strikes(Fault::Vanishes, 15) {
            let seconds = self.world.rng().between(1, 900);
            lock(&self.state).away_until = now + seconds * 1_000_000;
            self.world
                .tell(format!("{} vanishes for {seconds} s", self.sink));
        }
        !self.world.is_calm() && now < lock(&self.state).away_until
    }
}

/// The way to a receiver from one opening of its loop.
#[derive(Debug)]
pub struct Door {
    receiver: Arc<Receiver>,
    opening: u64,
}

/// How one hand-over goes.
enum Course {
    Taken,
    LostAnswer,
    Fails(FailureClass),
    /// Only every other change.
    Half,
}

impl Door {
    /// From that opening on.
    pub const fn new(receiver: Arc<Receiver>, opening: u64) -> Self {
        Self { receiver, opening }
    }

    /// What one that is away says: nothing at all, or something else to everyone.
    fn excuse(&self) -> FailureClass {
        let world = &self.receiver.world;
        if world.strikes(Fault::RetryAfter, 300) {
            let delay = Some(self.patience());
            return FailureClass::Transient { delay };
        }
        if world.strikes(Fault::FailingSink, 300) {
            return FailureClass::Unauthorized;
        }
        FailureClass::TRANSIENT
    }

    /// How long it wants to be left alone.
    fn patience(&self) -> Duration {
        let spans = [1, 5, 20, 60, 400, 400, 2_000, 100_000];
        let seconds = self.receiver.world.rng().pick(&spans).copied();
        Duration::from_secs(seconds.unwrap_or(1))
    }

    fn course(&self) -> Course {
        let world = &self.receiver.world;
        if self.receiver.is_away() {
            return Course::Fails(self.excuse());
        }
        let delay = Some(self.patience());
        if world.strikes(Fault::RetryAfter, 90) {
            return Course::Fails(FailureClass::RateLimited { delay });
        }
        if world.strikes(Fault::RetryAfter, 70) {
            return Course::Fails(FailureClass::Transient { delay });
        }
        if world.strikes(Fault::Vanishes, 6) {
            return Course::Fails(FailureClass::NotFound);
        }
        if world.strikes(Fault::FailingSink, 60) {
            return Course::Fails(FailureClass::Unauthorized);
        }
        if world.strikes(Fault::FailingSink, 150) {
            return Course::Fails(FailureClass::TRANSIENT);
        }
        if world.strikes(Fault::FailingSink, 100) && !self.receiver.keeps_cursor {
            return Course::Half;
        }
        if world.strikes(Fault::LostAnswer, 150) {
            return Course::LostAnswer;
        }
        Course::Taken
    }

    fn results(&self, changes: &[Change], course: &Course) -> Vec<Result<(), Failure>> {
        let receiver = &self.receiver;
        let one = |(index, change): (usize, &Change)| match course {
            Course::Fails(class) => Err(Failure::new(class.clone(), "it says no")),
            _ if receiver.rejects(change.seq) => {
                Err(Failure::new(FailureClass::Permanent, "never this one"))
            }
            Course::LostAnswer => {
                receiver.apply(std::slice::from_ref(change));
                Err(Failure::new(FailureClass::TRANSIENT, "no answer in time"))
            }
            Course::Half if index % 2 == 1 => {
                Err(Failure::new(FailureClass::TRANSIENT, "not this one"))
            }
            Course::Half | Course::Taken => {
                receiver.apply(std::slice::from_ref(change));
                Ok(())
            }
        };
        changes.iter().enumerate().map(one).collect()
    }
}

impl Outlet for Door {
    fn capacity(&self) -> OutletCapacity {
        self.receiver.capacity
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        let (receiver, world) = (&self.receiver, &self.receiver.world);
        let now = tidegate_core::ports::Clock::now(&**world);
        let given: Vec<String> = changes.iter().map(|one| one.seq.to_string()).collect();
        world.tell(format!("{} is given {}", receiver.sink, given.join(" ")));
        world
            .checks()
            .given(&receiver.sink, self.opening, changes, now);
        let slow = world.strikes(Fault::SlowSink, 300);
        let millis = world.rng().between(1, if slow { 20_000 } else { 60 });
        world.sleep(Duration::from_millis(millis)).await;
        let course = self.course();
        let results = self.results(changes, &course);
        // Applied, and the host does not know it yet.
        world.breathe().await;
        let now = tidegate_core::ports::Clock::now(&**world);
        let said = results.iter().map(|result| match result {
            Ok(()) => "taken".to_owned(),
            Err(failure) => failure.to_string(),
        });
        let said: Vec<String> = said.collect();
        world.tell(format!("{} answers {}", receiver.sink, said.join(" ")));
        world
            .checks()
            .answered(&receiver.sink, self.opening, changes, &results, now);
        results
    }

    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        if !self.receiver.keeps_cursor {
            return Ok(None);
        }
        self.receiver.world.breathe().await;
        if self.receiver.is_away() {
            return Err(Failure::new(FailureClass::TRANSIENT, "nobody answers"));
        }
        let cursor = lock(&self.receiver.state).cursor;
        // It has none before it was given something.
        Ok((cursor > ChangeSeq::new(0)).then_some(cursor))
    }
}
