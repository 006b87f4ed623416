//! The executor: one thread, and the seed says who goes on.
//!
//! What runs are actors, plain futures. One of those that can go on is polled at a time;
//! between two polls nothing else happens, so every await is a place where the host may
//! end. No actor ever waits for real time.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// What an actor does.
pub type Doing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether an actor ends with the host's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It goes on whatever becomes of the host.
    World,
    /// It is part of the host's process.
    Host,
}

/// Takes the lock; a poisoned one is taken all the same, for the panic is the news.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where new actors are put until the executor takes them.
#[derive(Default)]
pub struct Spawner(Mutex<Vec<(Life, Doing)>>);

impl Spawner {
    /// Begins an actor.
    pub fn spawn(&self, life: Life, doing: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0).push((life, Box::pin(doing)));
    }

    /// Forgets actors that have not begun: of the host alone, or all.
    pub fn forget(&self, life: Option<Life>) {
        let gone: Vec<_> = {
            let mut new = lock(&self.0);
            let all = std::mem::take(&mut *new);
            let (gone, kept) = all
                .into_iter()
                .partition(|(of, _)| life.is_none_or(|life| life == *of));
            *new = kept;
            gone
        };
        drop::<Vec<(Life, Doing)>>(gone);
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Actor {
    life: Life,
    doing: Doing,
    ready: Arc<Ready>,
    waker: Waker,
}

/// All actors.
#[derive(Default)]
pub struct Executor {
    actors: Vec<Actor>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("actors", &self.actors.len())
            .finish()
    }
}

impl Executor {
    /// Takes in new actors.
    pub fn adopt(&mut self, spawner: &Spawner) {
        let new = std::mem::take(&mut *lock(&spawner.0));
        self.actors.extend(new.into_iter().map(|(life, doing)| {
            let ready = Arc::new(Ready(AtomicBool::new(true)));
            Actor {
                life,
                doing,
                waker: Waker::from(ready.clone()),
                ready,
            }
        }));
    }

    /// Who can go on.
    pub fn ready(&self) -> Vec<usize> {
        let actors = self.actors.iter().enumerate();
        actors
            .filter(|(_, actor)| actor.ready.0.load(Ordering::SeqCst))
            .map(|(index, _)| index)
            .collect()
    }

    /// Lets one go on until it waits or ends.
    pub fn poll(&mut self, index: usize) {
        let Some(actor) = self.actors.get_mut(index) else {
            return;
        };
        actor.ready.0.store(false, Ordering::SeqCst);
        let mut context = Context::from_waker(&actor.waker);
        if actor.doing.as_mut().poll(&mut context).is_ready() {
            drop(self.actors.remove(index));
        }
    }

    /// The host's process ends, wherever each of its actors stands.
    pub fn end_host(&mut self) {
        self.actors.retain(|actor| actor.life != Life::Host);
    }
}

/// Rung when there may be something new for whoever waits.
#[derive(Default)]
pub struct Bell {
    rings: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

impl Bell {
    /// Something may be new.
    pub fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        for waker in waiting {
            waker.wake();
        }
    }

    /// How often it has rung.
    pub fn rings(&self) -> u64 {
        self.rings.load(Ordering::SeqCst)
    }

    /// Waits until it has rung after `heard`.
    pub async fn after(&self, heard: u64) {
        poll_fn(|context| {
            if self.rings() != heard {
                return Poll::Ready(());
            }
            let mut waiting = lock(&self.waiting);
            if !waiting.iter().any(|one| one.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// One answer on its way. Dropped unsent, the other side is told so.
#[derive(Debug)]
pub struct Reply<T>(Arc<Mutex<Slot<T>>>);

/// Where the answer arrives.
#[derive(Debug)]
pub struct Awaited<T>(Arc<Mutex<Slot<T>>>);

#[derive(Debug)]
struct Slot<T> {
    answer: Option<T>,
    closed: bool,
    waker: Option<Waker>,
}

/// Both ends.
pub fn reply<T>() -> (Reply<T>, Awaited<T>) {
    let slot = Arc::new(Mutex::new(Slot {
        answer: None,
        closed: false,
        waker: None,
    }));
    (Reply(slot.clone()), Awaited(slot))
}

impl<T> Reply<T> {
    /// Answers.
    pub fn send(self, answer: T) {
        lock(&self.0).answer = Some(answer);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = lock(&self.0);
            slot.closed = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Awaited<T> {
    /// The answer; none where whoever owed it has ended.
    pub async fn answer(self) -> Option<T> {
        poll_fn(|context| {
            let mut slot = lock(&self.0);
            if let Some(answer) = slot.answer.take() {
                return Poll::Ready(Some(answer));
            }
            if slot.closed {
                return Poll::Ready(None);
            }
            slot.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
