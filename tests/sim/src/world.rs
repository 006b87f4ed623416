//! What every actor shares: the time, chance, the story, what is checked, the host.
//!
//! Time is virtual. Within a poll it stands still; it moves between polls, and to the
//! next timer where nobody can go on. The wall clock runs beside it, drifts and jumps.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::{Either, select};
use tidegate_core::ports::{Chance, Clock};
use tidegate_core::retry::Jitter;
use tidegate_core::time::Timestamp;

use crate::checks::Checks;
use crate::exec::{Bell, Spawner, lock};
use crate::faults::Fault;
use crate::host::Host;
use crate::plan::Plan;
use crate::plugin::Shelf;
use crate::rng::Rng;
use crate::story::Story;
use crate::webhook::Register;

/// How the host's process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process alone: marks in the page cache stay.
    Killed,
    /// With the power: marks may be lost.
    PowerCut,
}

struct Time {
    passed: u64,
    offset: i64,
    drift_ppm: i64,
    timers: BTreeMap<(u64, u64), Waker>,
    timer: u64,
}

/// Everything that is not the host's.
pub struct World {
    /// What the run is.
    pub plan: Plan,
    /// New actors.
    pub spawner: Spawner,
    /// Rung when the host has started, and when faults stop.
    pub bell: Bell,
    /// The plugin that is loaded, and what it remembers of the partner.
    pub shelf: Mutex<Shelf>,
    time: Mutex<Time>,
    rng: Mutex<Rng>,
    story: Mutex<Story>,
    checks: Mutex<Checks>,
    register: Mutex<Register>,
    host: Mutex<Option<Arc<Host>>>,
    ending: Mutex<Option<Ending>>,
    starts: AtomicBool,
    calm: AtomicBool,
    step: AtomicU64,
    busy: AtomicU64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// When every run begins.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(plan: Plan, keeps_story: bool) -> Self {
        let mut rng = Rng::new(plan.seed).fork(2);
        let drift = i64::try_from(rng.below(400)).unwrap_or(0) - 200;
        Self {
            plan,
            spawner: Spawner::default(),
            bell: Bell::default(),
            shelf: Mutex::default(),
            time: Mutex::new(Time {
                passed: 0,
                offset: 0,
                drift_ppm: if plan.faults.has(Fault::Clock) {
                    drift
                } else {
                    0
                },
                timers: BTreeMap::new(),
                timer: 0,
            }),
            rng: Mutex::new(rng),
            story: Mutex::new(Story::new(keeps_story)),
            checks: Mutex::new(Checks::over(plan.policy().retention)),
            register: Mutex::default(),
            host: Mutex::new(None),
            ending: Mutex::new(None),
            starts: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            step: AtomicU64::new(0),
            busy: AtomicU64::new(0),
        }
    }

    /// Chance.
    pub fn rng(&self) -> MutexGuard<'_, Rng> {
        lock(&self.rng)
    }

    /// What is checked.
    pub fn checks(&self) -> MutexGuard<'_, Checks> {
        lock(&self.checks)
    }

    /// Every body that a partner has signed.
    pub fn register(&self) -> MutexGuard<'_, Register> {
        lock(&self.register)
    }

    /// What happened.
    pub fn story(&self) -> MutexGuard<'_, Story> {
        lock(&self.story)
    }

    /// Notes what happened.
    pub fn tell(&self, what: impl AsRef<str>) {
        let (step, now) = (self.step.load(Ordering::SeqCst), self.now());
        self.story().tell(step, now, what.as_ref());
    }

    /// An invariant does not hold.
    pub fn fail(&self, checker: &'static str, what: impl Into<String>) {
        self.checks().fail(checker, what);
    }

    /// Whether a fault of that kind strikes now; so often in a thousand.
    pub fn strikes(&self, fault: Fault, per_mille: u64) -> bool {
        let struck = self.rng().per_mille(per_mille);
        struck && self.plan.faults.has(fault) && !self.is_calm()
    }

    /// The host, where it runs.
    pub fn host(&self) -> Option<Arc<Host>> {
        lock(&self.host).clone()
    }

    /// The host has started, or ended.
    pub fn put_host(&self, host: Option<Arc<Host>>) {
        let before = std::mem::replace(&mut *lock(&self.host), host);
        drop(before);
        self.bell.ring();
    }

    /// The host's process ends after this poll.
    pub fn end_host(&self, ending: Ending) {
        lock(&self.ending).get_or_insert(ending);
    }

    /// Whether and how it shall end.
    pub fn take_ending(&self) -> Option<Ending> {
        lock(&self.ending).take()
    }

    /// Somebody starts the host after that long.
    pub fn start_host_in(self: &Arc<Self>, span: Duration) {
        let world = self.clone();
        let starting = async move {
            world.sleep(span).await;
            world.starts.store(true, Ordering::SeqCst);
        };
        self.spawner.spawn(crate::exec::Life::World, starting);
    }

    /// Whether it is time to start it.
    pub fn take_start(&self) -> bool {
        self.starts.swap(false, Ordering::SeqCst)
    }

    /// Whether faults have stopped.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Faults stop.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
        self.tell("faults stop");
        self.bell.ring();
    }

    /// The next step begins.
    pub fn begin_step(&self, step: u64) {
        self.step.store(step, Ordering::SeqCst);
    }

    /// Somebody in the world has something to do yet, or no longer.
    pub fn busy(&self, more: bool) {
        if more {
            self.busy.fetch_add(1, Ordering::SeqCst);
        } else {
            self.busy.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether nobody has.
    pub fn is_idle(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }

    /// Microseconds since the run began.
    pub fn passed(&self) -> u64 {
        lock(&self.time).passed
    }

    /// Time passes.
    pub fn pass(&self, micros: u64) {
        let due = {
            let mut time = lock(&self.time);
            time.passed += micros;
            let passed = time.passed;
            let later = time.timers.split_off(&(passed + 1, 0));
            std::mem::replace(&mut time.timers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// Time passes to the next timer; whether there is one.
    pub fn pass_to_timer(&self) -> bool {
        let until = {
            let time = lock(&self.time);
            let next = time.timers.first_key_value();
            next.map(|((at, _), _)| at.saturating_sub(time.passed))
        };
        until.is_some_and(|micros| {
            self.pass(micros);
            true
        })
    }

    /// The wall clock is set, forward or back.
    pub fn jump(&self, micros: i64) {
        let before = self.now();
        lock(&self.time).offset += micros;
        self.tell(format!("the clock jumps by {} s", micros / 1_000_000));
        if micros < 0 {
            self.checks().clock_went_back(before);
        }
    }

    /// Waits until that much time has passed.
    pub fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + '_ {
        let until = self.passed() + u64::try_from(span.as_micros()).unwrap_or(u64::MAX / 4);
        poll_fn(move |context| {
            let mut time = lock(&self.time);
            if time.passed >= until {
                return Poll::Ready(());
            }
            time.timer += 1;
            let number = time.timer;
            time.timers.insert((until, number), context.waker().clone());
            Poll::Pending
        })
    }

    /// Lets others go first, for a moment.
    pub async fn breathe(&self) {
        let micros = self.rng().between(1, 400);
        self.sleep(Duration::from_micros(micros)).await;
    }

    /// Waits until the bell has rung after `heard`, or the wall clock may show `due`.
    pub async fn nap(&self, bell: &Bell, heard: u64, due: Option<Timestamp>) {
        let Some(due) = due else {
            return bell.after(heard).await;
        };
        let span = due.since(self.now()) + Duration::from_millis(1);
        let rung = std::pin::pin!(bell.after(heard));
        let slept = std::pin::pin!(self.sleep(span));
        match select(rung, slept).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        let time = lock(&self.time);
        let passed = i64::try_from(time.passed).unwrap_or(i64::MAX);
        let drifted = passed / 1_000_000 * time.drift_ppm;
        Timestamp::from_micros(START.as_micros() + passed + drifted + time.offset)
    }
}

impl Chance for World {
    fn jitter(&self) -> Jitter {
        Jitter::new(self.rng().draw())
    }
}
