//! The alert desk: looks at how things stand every second, and sends what there is to say.
//!
//! What is looked at stands in `observer`; what follows is the flow's. Notices are tasks,
//! so a channel that is away delays nothing else and a restart forgets none. A store that
//! takes nothing any more cannot keep a task either: what there is to say then is sent
//! once, as well as it goes, in the time that the host still has.

mod observer;
mod outage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tidegate_core::alert::{AlertRecord, AlertRule, AlertUpdate, Notice};
use tidegate_core::alerting::{Subscription, store_had_failed};
use tidegate_core::errors::chain;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::ChannelName;
use tidegate_core::policy::AlertPolicy;
use tidegate_core::ports::{AlertJournal, Claimed, Clock as _, Messenger, NotStored, ReadError};
use tidegate_core::retry::RetryPolicy;
use tidegate_core::task::{Owner, TaskKind, Work};
use tidegate_flow::alert::{LookError, LookPorts, SendPorts, break_off, look, send};
use tidegate_sinks::AnyMessenger;
use tidegate_store::{Answer, Claims, Reader, Submission};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::committer::JournalHandle;
use crate::config::Config;
use crate::gate::{Gate, GateState};
use crate::metrics::Metrics;
use crate::outlets::Outlets;
use crate::panics;
use crate::system::{SystemChance, SystemClock};

use observer::HostObserver;
use outage::Said;

pub(crate) use outage::Outage;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Notices of one channel on their way at once. Each has its own, so that one that hangs
/// keeps no other waiting.
const SENDING_MAX: usize = 8;

/// The shortest rest between two looks into the queue that nothing has asked for.
const REST_MIN: Duration = Duration::from_millis(100);

/// What the alert desk works with.
#[derive(Clone, Debug)]
pub(crate) struct AlertParts {
    pub(crate) reader: Reader,
    pub(crate) claims: Claims,
    pub(crate) journal: JournalHandle,
    pub(crate) gate: Arc<Gate>,
    pub(crate) chance: Arc<SystemChance>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) outlets: Arc<Outlets>,
    pub(crate) outage: Arc<Outage>,
}

/// The alert desk.
#[derive(Debug)]
pub(crate) struct AlertDesk {
    parts: AlertParts,
    observer: HostObserver,
    told: ArcSwap<Told>,
    /// How many more notices of channels without a section may be on their way.
    free_for_gone: Arc<Semaphore>,
    /// The store has failed, and what there was to say about it was sent.
    said_directly: AtomicBool,
    /// What the run before said about its store, until this one's has taken it over.
    inherited: Mutex<Option<Said>>,
}

/// Who is told about what, and when.
#[derive(Debug, Default)]
struct Told {
    subscriptions: Vec<Subscription>,
    channels: BTreeMap<ChannelName, Lane>,
    policy: AlertPolicy,
    retry: RetryPolicy,
}

/// A configured channel, and how many more notices it may have on their way.
#[derive(Debug)]
struct Lane {
    channel: Channel,
    free: Arc<Semaphore>,
}

/// What a configured channel is.
#[derive(Debug)]
enum Channel {
    Works(Box<AnyMessenger>),
    /// It cannot be built: its notices become dead letters that say so.
    Broken(String),
}

impl Messenger for Channel {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        match self {
            Self::Works(messenger) => messenger.send(notice).await,
            Self::Broken(reason) => Err(Failure::new(FailureClass::Permanent, reason.clone())),
        }
    }
}

/// Where alerts are kept.
#[derive(Debug)]
struct Kept<'d>(&'d AlertParts);

impl AlertJournal for Kept<'_> {
    fn alerts(&self) -> Result<Vec<AlertRecord>, ReadError> {
        self.0.reader.alerts()
    }

    async fn put_alerts(&self, update: AlertUpdate) -> Result<(), NotStored> {
        let submission = Submission::PutAlerts(Box::new(update));
        match self.0.journal.submit(submission).await? {
            Answer::Refused(_) => Err(NotStored::Unreadable),
            _ => Ok(()),
        }
    }
}

impl AlertDesk {
    /// A desk without channels; [`Self::configure`] names them.
    pub(crate) fn new(parts: AlertParts) -> Self {
        Self {
            observer: HostObserver::new(&parts),
            inherited: Mutex::new(parts.outage.kept()),
            parts,
            told: ArcSwap::default(),
            free_for_gone: Arc::new(Semaphore::new(SENDING_MAX)),
            said_directly: AtomicBool::new(false),
        }
    }

    /// Takes a configuration over.
    pub(crate) fn configure(&self, config: &Config) {
        let mut told = Told {
            policy: config.policy.alerts,
            retry: config.policy.retry.clone(),
            ..Told::default()
        };
        let before = self.told.load_full();
        for (name, channel) in &config.alerts {
            told.subscriptions.push(Subscription {
                channel: name.clone(),
                rules: channel.rules.clone(),
            });
            let built = match self.parts.outlets.messenger(&channel.kind) {
                Ok(messenger) => Channel::Works(Box::new(messenger)),
                Err(error) => {
                    let reason = chain(&error);
                    let kind = channel.kind.code();
                    tracing::error!(channel = %name, kind, %reason, "an alert channel tells nobody");
                    Channel::Broken(reason)
                }
            };
            // What is on its way counts, whatever the channel was until now.
            let known = before.channels.get(name).map(|lane| lane.free.clone());
            let lane = Lane {
                channel: built,
                free: known.unwrap_or_else(|| Arc::new(Semaphore::new(SENDING_MAX))),
            };
            told.channels.insert(name.clone(), lane);
        }
        self.told.store(Arc::new(told));
    }

    /// Looks and sends until the host ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sending = JoinSet::new();
        let mut gone = Vec::new();
        loop {
            self.send_due(&gone, &mut sending);
            let rest = self.rest();
            tokio::select! {
                _ = looks.tick() => {
                    self.take_over().await;
                    self.look().await;
                    gone = self.gone();
                }
                // Not at each commit, of which there are thousands: a notice is written by a
                // look, or replayed by a person, and may wait for the next tick.
                Some(_) = sending.join_next() => {}
                () = sleep(rest) => {}
            }
        }
    }

    async fn look(self: &Arc<Self>) {
        let desk = self.clone();
        // On a thread that may wait for the disk: it reads letters.
        let looked = tokio::task::spawn_blocking(move || {
            let told = desk.told.load_full();
            let ports = LookPorts {
                observer: &desk.observer,
                alerts: &Kept(&desk.parts),
                clock: &SystemClock,
                policy: &told.policy,
                channels: &told.subscriptions,
            };
            Handle::current().block_on(look(&ports))
        });
        match looked.await {
            Ok(Ok(0)) => {}
            Ok(Ok(notices)) => tracing::info!(notices, "there is something to tell people"),
            Ok(Err(LookError::NotStored {
                notices,
                source: NotStored::Latched,
            })) => self.say_directly(notices).await,
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "alerts were not looked after"),
            Err(error) => tracing::error!(error = chain(&error), "a look at alerts broke off"),
        }
    }

    /// Makes what the run before said without its store an alert of this one's. Its condition
    /// is gone: the looks that follow say so once that has lasted.
    async fn take_over(&self) {
        let mut inherited = self.inherited.lock().await;
        let said = inherited.as_ref().filter(|_| self.store_takes_notices());
        let Some(Said { since, reason }) = said else {
            return;
        };
        let update = AlertUpdate {
            put: vec![store_had_failed(*since, reason, SystemClock.now())],
            ..AlertUpdate::default()
        };
        match Kept(&self.parts).put_alerts(update).await {
            Ok(()) => {
                self.parts.outage.forget();
                *inherited = None;
            }
            Err(error) => tracing::warn!(
                error = chain(&error),
                "that the store takes writes again could not be noted yet"
            ),
        }
    }

    /// Sends without the store, once, what there is to say about its failure.
    async fn say_directly(&self, notices: Vec<(ChannelName, Notice)>) {
        let about_it = |(_, notice): &&(_, Notice)| notice.key.rule == AlertRule::StoreReadOnly;
        let Some((_, first)) = notices.iter().find(about_it) else {
            return;
        };
        if self.said_directly.swap(true, Ordering::Relaxed) {
            return;
        }
        // First: who was told must be told the end, whatever becomes of this process.
        self.parts.outage.keep(&Said {
            since: first.since,
            reason: first.excerpt.clone(),
        });
        let told = self.told.load_full();
        let sent = notices.iter().map(async |(name, notice)| {
            let Some(lane) = told.channels.get(name) else {
                return;
            };
            if let Err(failure) = lane.channel.send(notice).await {
                tracing::error!(channel = %name, %failure, "nobody was told by this channel that the store has failed");
            }
        });
        join_all(sent).await;
    }

    /// Begins to send what is due, of each channel within its bound, and to end what is of
    /// channels that are configured no longer.
    fn send_due(self: &Arc<Self>, gone: &[Owner], sending: &mut JoinSet<()>) {
        if !self.store_takes_notices() {
            return;
        }
        let told = self.told.load_full();
        for (name, lane) in &told.channels {
            self.send_due_of(&Owner::Channel(name.clone()), &lane.free, sending);
        }
        for owner in gone {
            self.send_due_of(owner, &self.free_for_gone, sending);
        }
    }

    /// Low disk is no reason not to say so: a notice and its end are a few bytes.
    fn store_takes_notices(&self) -> bool {
        let state = self.parts.gate.state();
        matches!(state, GateState::Open | GateState::DiskLow { .. })
    }

    fn send_due_of(
        self: &Arc<Self>,
        owner: &Owner,
        free: &Arc<Semaphore>,
        sending: &mut JoinSet<()>,
    ) {
        while let Ok(slot) = free.clone().try_acquire_owned() {
            let claims = &self.parts.claims;
            match claims.claim_of(owner, Work::Alert, 1, SystemClock.now()) {
                Ok(mut claimed) => {
                    let Some(notice) = claimed.pop() else { return };
                    let desk = self.clone();
                    sending.spawn(async move {
                        let _slot = slot;
                        desk.send(notice).await;
                    });
                }
                Err(error) => {
                    tracing::error!(?owner, error = chain(&error), "could not claim a notice");
                    return;
                }
            }
        }
    }

    /// Channels that are configured no longer and have notices all the same.
    fn gone(&self) -> Vec<Owner> {
        let told = self.told.load_full();
        let is_told = |owner: &Owner| match owner {
            Owner::Channel(name) => told.channels.contains_key(name),
            Owner::Connection(_) | Owner::Sink(_) => false,
        };
        let backlogs = self.parts.claims.backlogs(Work::Alert);
        let owners = backlogs.into_iter().map(|backlog| backlog.owner);
        owners.filter(|owner| !is_told(owner)).collect()
    }

    /// How long there is nothing to send, as far as is known.
    fn rest(&self) -> Duration {
        let told = self.told.load_full();
        let due = told.channels.iter().filter_map(|(name, lane)| {
            // The end of one of its notices wakes the desk.
            (lane.free.available_permits() > 0).then_some(())?;
            let owner = Owner::Channel(name.clone());
            self.parts.claims.next_due_of(&owner, Work::Alert)
        });
        match due.min() {
            Some(due) => due.since(SystemClock.now()).clamp(REST_MIN, LOOK_EVERY),
            None => LOOK_EVERY,
        }
    }

    async fn send(&self, claimed: Claimed) {
        let told = self.told.load_full();
        let channel = match &claimed.task.kind {
            TaskKind::Alert { channel, .. } => told.channels.get(channel).map(|lane| &lane.channel),
            _ => None,
        };
        self.send_by(channel, claimed, &told.retry).await;
    }

    /// Sends one notice by that way out. A panic on the way, ours or a library's, fails this
    /// attempt and no other: it is tried again by schedule, and ends as a dead letter.
    async fn send_by<M: Messenger>(
        &self,
        messenger: Option<&M>,
        claimed: Claimed,
        retry: &RetryPolicy,
    ) {
        let ports = SendPorts {
            messenger,
            alerts: &Kept(&self.parts),
            journal: &self.parts.journal,
            clock: &SystemClock,
            chance: &*self.parts.chance,
            retry,
        };
        let (kept, started, task) = (claimed.clone(), SystemClock.now(), claimed.id());
        // What the ports share is whole after a panic: every lock there is taken as it is.
        let sent = AssertUnwindSafe(send(claimed, &ports)).catch_unwind().await;
        let handed_in = match sent {
            Ok(handed_in) => handed_in,
            Err(panic) => {
                let why = panics::words(&*panic);
                tracing::error!(%task, panic = why, "sending a notice panicked: a fault of the host, please report it");
                break_off(kept, started, why, &ports).await
            }
        };
        if let Err(error) = handed_in {
            tracing::debug!(%task, error = chain(&error), "the end of a notice was not handed in");
            self.parts.claims.release(task);
        }
    }
}
