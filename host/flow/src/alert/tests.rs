//! Looking and sending against a store and a channel in memory.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use tidegate_core::alert::{AlertRule, AlertUpdate};
use tidegate_core::alerting::Observed;
use tidegate_core::event::{Accepted, Event};
use tidegate_core::retry::Jitter;
use tidegate_core::sink::SinkAdvance;
use tidegate_core::task::Task;

use super::*;

/// Every port at once.
#[derive(Default)]
struct World {
    low: Mutex<bool>,
    now: Mutex<i64>,
    records: Mutex<Vec<AlertRecord>>,
    notices: Mutex<Vec<Notice>>,
    refuses: Option<NotStored>,
    answer: Mutex<Option<Failure>>,
    sent: Mutex<usize>,
    ends: Mutex<Vec<Completion>>,
}

impl Observer for World {
    fn observe(&self) -> Result<Observed, ReadError> {
        Ok(Observed {
            disk_low: *self.low.lock().unwrap(),
            ..Observed::default()
        })
    }
}

impl AlertJournal for World {
    fn alerts(&self) -> Result<Vec<AlertRecord>, ReadError> {
        Ok(self.records.lock().unwrap().clone())
    }

    async fn put_alerts(&self, update: AlertUpdate) -> Result<(), NotStored> {
        if let Some(refusal) = &self.refuses {
            return Err(refusal.clone());
        }
        let mut records = self.records.lock().unwrap();
        records.retain(|record| {
            !update.removed.contains(&record.key)
                && !update.put.iter().any(|put| put.key == record.key)
        });
        records.extend(update.put);
        let notices = update.notices.into_iter().map(|(_, notice)| notice);
        self.notices.lock().unwrap().extend(notices);
        Ok(())
    }
}

impl Messenger for World {
    async fn send(&self, _: &Notice) -> Result<(), Failure> {
        *self.sent.lock().unwrap() += 1;
        self.answer.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Journal for World {
    async fn accept(&self, _: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        Err(NotStored::ShuttingDown)
    }

    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        self.ends.lock().unwrap().push(completion);
        Ok(())
    }

    async fn advance(&self, _: SinkAdvance) -> Result<(), NotStored> {
        Err(NotStored::ShuttingDown)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(*self.now.lock().unwrap())
    }
}

impl Chance for World {
    fn jitter(&self) -> Jitter {
        Jitter::new(0)
    }
}

/// Nothing here waits, so one poll is the whole run.
fn finish<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the flow waited for something"),
    }
}

impl World {
    fn look(&self, low: bool, now: i64) -> Result<usize, LookError> {
        *self.low.lock().unwrap() = low;
        *self.now.lock().unwrap() = now;
        let ports = LookPorts {
            observer: self,
            alerts: self,
            clock: self,
            policy: &AlertPolicy::default(),
            channels: &[Subscription {
                channel: "ops".parse().unwrap(),
                rules: AlertRule::ALL.to_vec(),
            }],
        };
        finish(look(&ports))
    }

    /// The last notice that was written, as a claim.
    fn claim(&self, attempt: u32, stops: u32) -> Claimed {
        let notice = self.notices.lock().unwrap().last().unwrap().clone();
        Claimed {
            stops,
            task: Task {
                id: TaskId::new(7),
                kind: TaskKind::Alert {
                    channel: "ops".parse().unwrap(),
                    notice: Box::new(notice),
                },
                state: TaskState::Scheduled {
                    attempt,
                    due: self.now(),
                    since: self.now(),
                    limited_since: None,
                },
            },
        }
    }

    #[track_caller]
    fn check(&self, claimed: Claimed, configured: bool, sends: usize, expect: &str) {
        *self.sent.lock().unwrap() = 0;
        let ports = SendPorts {
            messenger: configured.then_some(self),
            alerts: self,
            journal: self,
            clock: self,
            chance: self,
            retry: &RetryPolicy::default(),
        };
        finish(send(claimed, &ports)).unwrap();
        let done = self.ends.lock().unwrap().pop().unwrap();
        let got = match done.end {
            End::Delivered => "delivered".to_owned(),
            End::Superseded => "superseded".to_owned(),
            End::Again(again) => format!("again {} at {}", again.attempt, again.due.as_secs()),
            End::Park { cause, reason } => format!("{}: {reason}", cause.code()),
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expect);
        assert_eq!(*self.sent.lock().unwrap(), sends);
    }
}

#[test]
fn what_is_wrong_is_written_once_and_so_is_its_end() {
    let world = World::default();
    let looks = [(true, 0), (true, 1), (false, 2), (false, 12), (false, 13)];
    let said = looks.map(|(low, now)| world.look(low, now).unwrap());
    assert_eq!(said, [1, 0, 0, 1, 0]);
}

#[test]
fn a_store_that_takes_nothing_leaves_the_notices_to_the_caller() {
    let world = World {
        refuses: Some(NotStored::Latched),
        ..World::default()
    };
    let Err(LookError::NotStored { notices, source }) = world.look(true, 0) else {
        panic!("it was stored")
    };
    assert_eq!((notices.len(), source), (1, NotStored::Latched));
}

#[test]
fn a_notice_is_sent_or_retried_by_the_schedule() {
    let world = World::default();
    world.look(true, 100).unwrap();
    world.check(world.claim(1, 0), true, 1, "delivered");
    *world.answer.lock().unwrap() = Some(Failure::new(FailureClass::TRANSIENT, "503"));
    world.check(world.claim(1, 0), true, 1, "again 2 at 102");
    let expect = "alert-channel: 8 attempts failed, the last with: 503";
    world.check(world.claim(8, 0), true, 1, expect);
    let expect = "host-stopped: host stopped while running it, 3 times in a row";
    world.check(world.claim(1, 3), true, 0, expect);
    let expect = "alert-channel: alert channel ops is not configured: add [alerts.ops]";
    world.check(world.claim(1, 0), false, 0, expect);
}

#[test]
fn what_is_over_is_not_opened_late_and_what_is_open_not_ended_late() {
    let world = World::default();
    world.look(true, 0).unwrap();
    let opened = world.claim(2, 0);
    world.look(false, 1).unwrap();
    world.check(opened.clone(), true, 1, "delivered");
    world.look(false, 11).unwrap();
    world.check(opened, true, 0, "superseded");
    let over = world.claim(1, 0);
    world.check(over.clone(), true, 1, "delivered");
    world.look(true, 20).unwrap();
    world.check(over, true, 0, "superseded");
    world.check(world.claim(1, 0), true, 1, "delivered");
}

#[test]
fn other_work_is_not_touched() {
    let world = World::default();
    world.look(true, 0).unwrap();
    let mut claimed = world.claim(1, 0);
    claimed.task.kind = TaskKind::Poll {
        connection: "github/acme".parse().unwrap(),
    };
    let ports = SendPorts {
        messenger: Some(&world),
        alerts: &world,
        journal: &world,
        clock: &world,
        chance: &world,
        retry: &RetryPolicy::default(),
    };
    let error = finish(send(claimed, &ports)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tsk_0000000000000007 is not a scheduled notice"
    );
}
