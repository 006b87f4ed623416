//! What waits for the committer, and within which bounds.

use bytes::Bytes;
use futures_util::FutureExt as _;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::event::BodyAuthenticated;
use tidegate_core::ids::EventId;
use tidegate_core::limits::MIB;
use tidegate_core::policy::Policy;
use tidegate_core::ports::{End, ReadError};
use tidegate_core::task::{Attempt, Task, TaskKind, TaskState};
use tidegate_core::time::Timestamp;
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Marks, Options};

use super::*;

/// A handle whose committer does not get to its work.
fn unattended() -> (JournalHandle, mpsc::Receiver<Ticket>) {
    let options = Options {
        policy: Policy::default(),
        seed: [7; 16],
        marks: Marks::default(),
    };
    let opened = tidegate_store::open(Arc::new(Memory::new()), options, Timestamp::EPOCH);
    let sealer = opened.unwrap().committer.sealer();
    let (queue, waiting) = line();
    let (gate, metrics) = (Arc::new(Gate::new()), Arc::new(Metrics::new()));
    (JournalHandle::new(queue, sealer, gate, metrics), waiting)
}

fn event() -> Event {
    Event {
        connection: "tide/acme".parse().unwrap(),
        partner_id: "d-1".into(),
        received: Timestamp::EPOCH,
        method: "POST".into(),
        path: Vec::new(),
        query: String::new(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
        body_authenticated: BodyAuthenticated::Full,
    }
}

/// The end of a mapping to one change with so many bytes of data.
fn completion(data_bytes: usize) -> Completion {
    let kind = TaskKind::Map {
        event: EventId::new(1),
        connection: "tide/acme".parse().unwrap(),
        with: None,
    };
    let data = Bytes::from(vec![b'x'; data_bytes]);
    let change = ProposedChange {
        entity: EntityRef {
            kind: "ship".into(),
            id: "1".into(),
        },
        operation: Operation::Upsert,
        version: None,
        revision: ProposedChange::content_revision(Some(&data)),
        occurred: None,
        data: Some(data),
    };
    Completion {
        task: Task {
            id: TaskId::new(1),
            kind,
            state: TaskState::Scheduled {
                attempt: 1,
                due: Timestamp::EPOCH,
                since: Timestamp::EPOCH,
                limited_since: None,
            },
        },
        attempt: Attempt {
            number: 1,
            started: Timestamp::EPOCH,
            took: Duration::ZERO,
            plugin: None,
            settings: None,
            failure: None,
            stderr: String::new(),
        },
        end: End::Mapped {
            changes: vec![change],
            fetch: Vec::new(),
            poll_now: false,
        },
    }
}

/// Hands in completions of that size until one has to wait, and counts them.
fn completions_that_fit(journal: &JournalHandle, data_bytes: usize) -> usize {
    let mut fit = 0;
    while let Some(done) = journal.complete(completion(data_bytes)).now_or_never() {
        done.unwrap();
        fit += 1;
    }
    fit
}

#[test]
fn a_backlog_of_completions_leaves_ingress_its_places() {
    let (journal, mut waiting) = unattended();
    assert_eq!(completions_that_fit(&journal, 1), COMPLETIONS_MAX);
    for place in 0..COMMIT_QUEUE_MAX {
        let answer = journal.accept(vec![event()]).now_or_never();
        assert_eq!(answer, None, "place {place} is not there");
    }
    let answer = journal.accept(vec![event()]).now_or_never();
    assert_eq!(answer, Some(Err(NotStored::QueueFull)));
    drop(waiting.try_recv());
    assert_eq!(completions_that_fit(&journal, 1), 1, "one was taken");
}

#[test]
fn completions_that_wait_are_bounded_by_their_bytes() {
    let (journal, mut waiting) = unattended();
    // Each change counts twice: for the log and for the mirror.
    assert_eq!(completions_that_fit(&journal, 2 * MIB - 1024), 4);
    while waiting.try_recv().is_ok() {}
    let alone = COMPLETIONS_BYTES_MAX;
    assert_eq!(completions_that_fit(&journal, alone), 1, "larger than all");
}

#[test]
fn a_request_counts_until_its_ticket_is_gone() {
    let (journal, mut waiting) = unattended();
    let memory = Arc::new(Semaphore::new(100));
    let hold = memory.clone().try_acquire_many_owned(60).unwrap();
    // The client hangs up while its ticket waits.
    let answer = journal.holding(hold).accept(vec![event()]).now_or_never();
    assert_eq!(answer, None);
    assert_eq!(memory.available_permits(), 40);
    let ticket = waiting.try_recv().unwrap();
    let (_, waiters) = gather(ticket, &mut waiting, &mut None);
    assert_eq!(memory.available_permits(), 40, "it is being committed");
    for waiter in waiters {
        assert_eq!(tell(waiter, Err(NotStored::Latched)), None);
    }
    assert_eq!(memory.available_permits(), 100);
}

#[test]
fn a_task_whose_end_was_refused_is_left_over() {
    let waiter = || Waiter {
        task: Some(TaskId::new(7)),
        ..Waiter::default()
    };
    let refused = Answer::Refused(ReadError {
        what: "its row".into(),
        source: "torn".into(),
    });
    assert_eq!(tell(waiter(), Ok(refused)), Some(TaskId::new(7)));
    assert_eq!(tell(waiter(), Ok(Answer::Done)), None);
    assert_eq!(tell(waiter(), Err(NotStored::Latched)), None);
}
