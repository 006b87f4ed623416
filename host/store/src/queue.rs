//! Claims over the durable queue.
//!
//! The queue on disk is every scheduled task, by due time. Reading its head there would
//! wade through the remains of what has left, so its head is kept in memory: every
//! unclaimed task before the *horizon*. Tasks of a commit go straight there; what does
//! not fit pulls the horizon in, and is read from the horizon on when the head has run
//! dry. Without a horizon the head is everything.
//!
//! A claim lives in memory and ends when the task's completion is committed, or by
//! [`Claims::release`]. After a restart nothing is claimed, so work in flight resumes.
//!
//! The committer applies a commit and swaps the view under this queue's lock, so a
//! refill reads exactly the tasks that were applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_core::ids::TaskId;
use tidegate_core::ports::{Claimed, ReadError};
use tidegate_core::task::Task;
use tidegate_core::time::Timestamp;

use crate::codec::{Corrupt, QueueEntry, Record};
use crate::engine::{Order, Span};
use crate::keys::QueueKey;
use crate::view::{Fault, Published, View};

/// Claims on the tasks of the queue; clones share them.
#[derive(Clone, Debug)]
pub struct Claims {
    head: Arc<Mutex<Head>>,
    published: Published,
}

/// The queue's head in memory.
#[derive(Debug)]
struct Head {
    ready: BTreeMap<QueueKey, Task>,
    horizon: Option<QueueKey>,
    claimed: HashMap<TaskId, (QueueKey, Task)>,
    ready_max: usize,
}

/// What a commit did to the queue.
#[derive(Debug, Default)]
pub(crate) struct QueueChanges {
    pub(crate) added: Vec<(QueueKey, Task)>,
    pub(crate) ended: Vec<QueueKey>,
}

impl Claims {
    /// Claims over what the view has; its first tasks are read at once.
    pub(crate) fn open(published: Published, ready_max: usize) -> Result<Self, Fault> {
        let mut head = Head {
            ready: BTreeMap::new(),
            horizon: Some(QueueKey::FIRST),
            claimed: HashMap::new(),
            ready_max: ready_max.max(2),
        };
        head.refill(&published.view())?;
        Ok(Self {
            head: Arc::new(Mutex::new(head)),
            published,
        })
    }

    /// Claims up to `max` tasks that are due, the longest due first. Nobody else gets
    /// them until their completion is committed or they are released.
    pub fn claim(&self, max: usize, now: Timestamp) -> Result<Vec<Claimed>, ReadError> {
        let mut head = self.lock();
        let mut claims = Vec::new();
        while claims.len() < max {
            if head.ready.is_empty() && head.horizon.is_some() {
                match head.refill(&self.published.view()) {
                    Ok(()) => {}
                    // What is claimed already has to reach the caller, or nobody would
                    // ever end it. The fault comes again with the next call.
                    Err(_) if !claims.is_empty() => break,
                    Err(fault) => return Err(fault.reading("the queue")),
                }
            }
            let Some(first) = head
                .ready
                .first_entry()
                .filter(|first| first.key().due <= now)
            else {
                break;
            };
            let (key, task) = first.remove_entry();
            head.claimed.insert(task.id, (key, task.clone()));
            claims.push(Claimed { task });
        }
        Ok(claims)
    }

    /// When the next unclaimed task is due; in the past where it is now.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().next().map(|key| key.due)
    }

    /// Gives a claim back: the worker ends without a completion.
    pub fn release(&self, task: TaskId) {
        let mut head = self.lock();
        if let Some((key, task)) = head.claimed.remove(&task) {
            head.add(key, task);
        }
    }

    /// Since when the longest due task has been due, claimed or not.
    pub(crate) fn oldest_due(&self) -> Option<Timestamp> {
        let head = self.lock();
        let claimed = head.claimed.values().map(|(key, _)| key.due);
        claimed.chain(head.next().map(|key| key.due)).min()
    }

    /// Swaps in the view after a commit, with what the commit did to the queue.
    pub(crate) fn publish(&self, view: View, changes: QueueChanges) {
        let mut head = self.lock();
        self.published.swap(view);
        for key in changes.ended {
            head.claimed.remove(&key.task);
            head.ready.remove(&key);
        }
        for (key, task) in changes.added {
            head.add(key, task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Head {
    fn next(&self) -> Option<QueueKey> {
        self.ready
            .first_key_value()
            .map(|(key, _)| *key)
            .or(self.horizon)
    }

    fn add(&mut self, key: QueueKey, task: Task) {
        if self.horizon.is_some_and(|horizon| horizon <= key) {
            return;
        }
        self.ready.insert(key, task);
        if self.ready.len() > self.ready_max
            && let Some((last, _)) = self.ready.pop_last()
        {
            self.horizon = Some(last);
        }
    }

    /// Reads on from the horizon. Half of what fits, so that new tasks that are due
    /// earlier still find room.
    fn refill(&mut self, view: &View) -> Result<(), Fault> {
        let Some(horizon) = self.horizon else {
            return Ok(());
        };
        let from = horizon.to_bytes();
        let span = Span {
            from: &from,
            until: None,
        };
        let mut rows = view.rows(view.rooms.queue, span, Order::Ascending)?;
        while let Some(row) = rows.next() {
            let (bytes, record) = row?;
            let key =
                QueueKey::from_bytes(&bytes).ok_or_else(|| rows.corrupt(&bytes, Corrupt::Key))?;
            if self.ready.len() >= self.ready_max / 2 {
                self.horizon = Some(key);
                return Ok(());
            }
            // Claimed tasks stand on disk until they end; and an engine without
            // snapshots may show a task whose commit has not been synced yet.
            let unknown = key.task.get() > view.ledger.tally.last_number;
            if unknown || self.claimed.contains_key(&key.task) {
                continue;
            }
            let entry = QueueEntry::from_record(record);
            let entry = entry.map_err(|source| rows.corrupt(&bytes, source))?;
            self.ready.insert(key, entry.at(key));
        }
        self.horizon = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;
    use tidegate_core::event::{BodyAuthenticated, Event};
    use tidegate_core::policy::Policy;
    use tidegate_core::ports::{Completion, End};
    use tidegate_core::task::Attempt;

    use super::*;
    use crate::engine::memory::Memory;
    use crate::open::open_with;
    use crate::{Opened, Options, Submission};

    /// Fewer than there are tasks, so that the queue goes back to disk all the time.
    const READY_MAX: usize = 6;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn opened(memory: &Memory) -> Opened {
        let options = Options {
            policy: Policy::default(),
            seed: [1; 16],
        };
        open_with(Arc::new(memory.clone()), options, at(0), READY_MAX).unwrap()
    }

    fn accept(opened: &mut Opened, number: u32, received: Timestamp) {
        let event = Event {
            connection: "github/acme".parse().unwrap(),
            partner_id: number.to_string(),
            received,
            method: String::new(),
            path: Vec::new(),
            query: String::new(),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
            body_authenticated: BodyAuthenticated::None,
        };
        let event = opened.committer.sealer().seal(event);
        opened
            .committer
            .commit(vec![Submission::Accept(vec![event])], received)
            .unwrap();
    }

    fn end(opened: &mut Opened, task: Task, end: End) {
        let attempt = Attempt {
            number: 1,
            started: at(0),
            took: Duration::ZERO,
            plugin: None,
            settings: None,
            failure: None,
            stderr: String::new(),
        };
        let completion = Submission::Complete(Box::new(Completion { task, attempt, end }));
        opened.committer.commit(vec![completion], at(0)).unwrap();
    }

    fn skip() -> End {
        End::Skipped {
            reason: "nothing".into(),
        }
    }

    #[test]
    fn a_backlog_beyond_memory_comes_in_order() {
        let memory = Memory::new();
        let mut opened = opened(&memory);
        for number in 0..50 {
            accept(&mut opened, number, at(i64::from(number)));
        }
        let mut due = Vec::new();
        while let Some(claimed) = opened.claims.claim(1, at(1_000)).unwrap().pop() {
            let since = opened.reader.counts().oldest_open;
            assert_eq!(since, Some(due_of(&claimed.task)), "the claimed one counts");
            due.push(claimed.id().get());
            end(&mut opened, claimed.task, skip());
        }
        assert_eq!(due, (1..=50).collect::<Vec<_>>());
        assert_eq!(opened.claims.next_due(), None);
    }

    #[test]
    fn an_earlier_task_overtakes_a_backlog_on_disk() {
        let memory = Memory::new();
        let mut opened = opened(&memory);
        for number in 0..50 {
            accept(&mut opened, number, at(1_000));
        }
        accept(&mut opened, 50, at(5));
        assert_eq!(opened.claims.next_due(), Some(at(5)));
        let claimed = opened.claims.claim(10, at(10)).unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].id(), TaskId::new(51));
        assert!(opened.claims.claim(10, at(999)).unwrap().is_empty());
    }

    #[test]
    fn a_claim_behind_the_horizon_is_not_given_again() {
        let memory = Memory::new();
        let mut opened = opened(&memory);
        accept(&mut opened, 0, at(100));
        let held = opened.claims.claim(1, at(100)).unwrap();
        // Enough earlier ones to pull the horizon in, before the claimed task.
        for number in 1..20 {
            accept(&mut opened, number, at(i64::from(number)));
        }
        let rest = opened.claims.claim(usize::MAX, at(100)).unwrap();
        assert_eq!(rest.len(), 19);
        assert!(!rest.contains(&held[0]));
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_no_claim_before_it() {
        let memory = Memory::new();
        let mut opened = opened(&memory);
        for number in 0..20 {
            accept(&mut opened, number, at(i64::from(number)));
        }
        let torn = memory.keys("queue")[12].clone();
        memory.corrupt("queue", &torn, &[0xff]);
        let mut given = Vec::new();
        let error = loop {
            match opened.claims.claim(usize::MAX, at(1_000)) {
                Ok(claims) => given.extend(claims.iter().map(|claimed| claimed.id().get())),
                Err(error) => break error,
            }
            assert!(given.len() < 20, "the torn row was given out");
        };
        assert_eq!(given, (1..=12).collect::<Vec<_>>());
        assert!(error.to_string().contains("the queue"), "{error}");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Accept(u8),
        Claim(usize),
        End(prop::sample::Index),
        Again(prop::sample::Index, u8),
        Release(prop::sample::Index),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            8 => (0u8..200).prop_map(Step::Accept),
            4 => (1usize..6).prop_map(Step::Claim),
            3 => index().prop_map(Step::End),
            2 => (index(), 0u8..200).prop_map(|(task, due)| Step::Again(task, due)),
            1 => index().prop_map(Step::Release),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        /// Whatever happens: the tasks that are claimed are open, unclaimed and the
        /// longest due; and in the end each is found once.
        #[test]
        fn claims_are_the_head_of_the_queue(steps in proptest::collection::vec(step(), 1..120)) {
            let memory = Memory::new();
            let mut store = opened(&memory);
            let mut free = BTreeSet::new();
            let mut held: Vec<Task> = Vec::new();
            let mut accepted = 0;
            for step in steps {
                match step {
                    Step::Accept(due) => {
                        accepted += 1;
                        accept(&mut store, accepted, at(due.into()));
                        free.insert((at(due.into()), u64::from(accepted)));
                    }
                    Step::Claim(max) => {
                        let claimed = store.claims.claim(max, at(100)).unwrap();
                        let due: Vec<_> =
                            free.iter().take_while(|(due, _)| *due <= at(100)).take(max).copied().collect();
                        let got: Vec<_> =
                            claimed.iter().map(|one| (due_of(&one.task), one.id().get())).collect();
                        prop_assert_eq!(&got, &due);
                        for key in due {
                            free.remove(&key);
                        }
                        held.extend(claimed.into_iter().map(|one| one.task));
                    }
                    Step::End(index) if !held.is_empty() => {
                        let task = held.swap_remove(index.index(held.len()));
                        end(&mut store, task, skip());
                    }
                    Step::Again(index, due) if !held.is_empty() => {
                        let task = held.swap_remove(index.index(held.len()));
                        // A retry is never due at the instant that it failed at.
                        let due = due_of(&task).plus(Duration::from_secs(u64::from(due) + 1));
                        free.insert((due, task.id.get()));
                        end(&mut store, task, End::Again { attempt: 2, due, limited_since: None });
                    }
                    Step::Release(index) if !held.is_empty() => {
                        let task = held.swap_remove(index.index(held.len()));
                        store.claims.release(task.id);
                        free.insert((due_of(&task), task.id.get()));
                    }
                    Step::Restart => {
                        store = opened(&memory);
                        free.extend(held.drain(..).map(|task| (due_of(&task), task.id.get())));
                    }
                    Step::End(_) | Step::Again(..) | Step::Release(_) => {}
                }
            }
            let rest = store.claims.claim(usize::MAX, at(100_000)).unwrap();
            let rest: Vec<_> = rest.iter().map(|one| (due_of(&one.task), one.id().get())).collect();
            prop_assert_eq!(rest, free.into_iter().collect::<Vec<_>>());
        }
    }

    fn due_of(task: &Task) -> Timestamp {
        match task.state {
            tidegate_core::task::TaskState::Scheduled { due, .. } => due,
            ref other => panic!("a claimed task is {other:?}"),
        }
    }
}
