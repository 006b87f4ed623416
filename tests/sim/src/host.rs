//! The host's process: what `serve` wires, over the simulated world.
//!
//! The committer, map workers with running marks, one loop a sink, the looks for alerts
//! and their senders. All of it is gone when the process ends; the disk is not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_core::alert::AlertRule;
use tidegate_core::alerting::{
    Backlog, DeadLetters, Observed, PausedConnection, SignatureFailures, SinkTrouble, Subscription,
};
use tidegate_core::ids::ConnectionId;
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Clock as _, Observer, ReadError};
use tidegate_core::task::{Owner, Work};
use tidegate_core::time::Timestamp;
use tidegate_flow::alert::{LookPorts, SendPorts, look, send};
use tidegate_flow::ingest::{Address, Door};
use tidegate_flow::map::{MapPorts, map};
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Claims, Marks, OpenError, Options, Reader, Submission};

use crate::channel::Channel;
use crate::exec::{Life, lock};
use crate::faults::Fault;
use crate::journal::{HostJournal, commit_for_ever};
use crate::partner::door;
use crate::plugin::Plugins;
use crate::receiver::Receiver;
use crate::sinks::{Control, deliver_for_ever};
use crate::world::{Ending, World};

/// What outlives the host's process.
#[derive(Debug)]
pub struct Machine {
    /// The disk.
    pub memory: Memory,
    /// The page cache, as far as marks are in it.
    pub marks: Marks,
    /// What is at the other end of the sinks.
    pub receivers: Vec<Arc<Receiver>>,
    /// Who is told.
    pub channel: Arc<Channel>,
    /// How often the host has been started.
    pub starts: u64,
}

/// Slots for marks: one a map worker, one for notices.
const SLOTS: usize = 4;

impl Machine {
    /// An empty disk.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            memory: Memory::new(),
            marks: Marks::in_memory(SLOTS),
            receivers: Receiver::all(world),
            channel: Arc::new(Channel::new(world.clone())),
            starts: 0,
        }
    }

    /// What is left of it after the host's process has ended like that.
    pub fn after(&mut self, ending: Ending) {
        self.memory = self.memory.crash();
        if ending == Ending::PowerCut {
            self.marks = Marks::in_memory(SLOTS);
        }
    }
}

/// A host that runs.
pub struct Host {
    /// Through which requests come.
    pub door: Door,
    /// Everyone's way to read.
    pub reader: Reader,
    /// The workers' way to tasks.
    pub claims: Claims,
    /// The way into the store.
    pub journal: Arc<HostJournal>,
    /// What a person asks of sinks.
    pub controls: Vec<Arc<Control>>,
    policy: Policy,
    refusals: Mutex<BTreeMap<ConnectionId, SignatureFailures>>,
    world: Arc<World>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Starts the host on that machine.
pub fn start(world: &Arc<World>, machine: &mut Machine) -> Result<(), OpenError> {
    machine.starts += 1;
    let policy = world.plan.policy();
    let options = Options {
        policy: policy.clone(),
        seed: *b"a seed for tests",
        marks: machine.marks.clone(),
    };
    let engine = Arc::new(machine.memory.clone());
    let opened = tidegate_store::open(engine, options, world.now())?;
    world.tell(format!("the host starts, number {}", machine.starts));
    world.checks().opened(&opened.reader);
    let journal = Arc::new(HostJournal::new(
        world.clone(),
        opened.reader.clone(),
        opened.committer.sealer(),
    ));
    let Some(door) = door() else {
        world.fail("world", "the scheme of this world cannot be read");
        return Ok(());
    };
    let host = Arc::new(Host {
        door,
        reader: opened.reader,
        claims: opened.claims,
        journal: journal.clone(),
        controls: machine.receivers.iter().map(|_| Arc::default()).collect(),
        policy,
        refusals: Mutex::default(),
        world: world.clone(),
    });
    let spawn = |doing| world.spawner.spawn(Life::Host, doing);
    let (inside, memory) = (world.clone(), machine.memory.clone());
    world.spawner.spawn(
        Life::Host,
        commit_for_ever(inside, journal, opened.committer, memory),
    );
    for slot in 0..world.plan.workers.min(SLOTS - 1) {
        spawn(
            Box::pin(map_for_ever(host.clone(), machine.marks.clone(), slot)) as crate::exec::Doing,
        );
    }
    for (receiver, control) in machine.receivers.iter().zip(&host.controls) {
        let number = machine.starts;
        let (receiver, control) = (receiver.clone(), control.clone());
        spawn(Box::pin(deliver_for_ever(
            host.clone(),
            receiver,
            control,
            number,
        )));
    }
    spawn(Box::pin(look_for_ever(host.clone())));
    spawn(Box::pin(send_for_ever(
        host.clone(),
        machine.channel.clone(),
        machine.marks.clone(),
    )));
    spawn(Box::pin(keep_house(host.clone())));
    world.put_host(Some(host));
    Ok(())
}

impl Host {
    /// The world that it runs in.
    pub const fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The portfolio's policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A signature did not verify.
    pub fn refused(&self, address: &Address) {
        let Address::Connection(connection) = address else {
            return;
        };
        let now = self.world.now();
        let mut refusals = lock(&self.refusals);
        let entry = refusals.entry(connection.clone());
        let failures = entry.or_insert_with(|| SignatureFailures {
            connection: connection.clone(),
            in_a_row: 0,
            first: now,
            last: now,
            reason: "it does not verify".into(),
            alert_from: None,
        });
        failures.in_a_row += 1;
        failures.last = now;
    }
}

impl Observer for Host {
    fn observe(&self) -> Result<Observed, ReadError> {
        let dead = self
            .reader
            .dead_counts()
            .into_iter()
            .map(|count| DeadLetters {
                owner: count.owner,
                cause: count.cause,
                count: count.count,
                oldest: count.oldest,
                excerpt: String::new(),
            });
        let works = [Work::Map, Work::Deliver, Work::Alert];
        let backlog = works
            .into_iter()
            .flat_map(|work| self.claims.backlogs(work));
        let paused = self
            .reader
            .paused()?
            .into_iter()
            .map(|paused| PausedConnection {
                connection: paused.connection,
                since: paused.since,
                reason: paused.reason,
            });
        let sinks = self
            .reader
            .sinks()?
            .into_iter()
            .map(|standing| SinkTrouble {
                sink: standing.sink,
                state: standing.state,
            });
        Ok(Observed {
            dead: dead.collect(),
            backlog: backlog
                .map(|of| Backlog {
                    owner: of.owner,
                    oldest: of.oldest,
                    open: of.open,
                    excerpt: String::new(),
                })
                .collect(),
            refusals: lock(&self.refusals).values().cloned().collect(),
            differing: Vec::new(),
            paused: paused.collect(),
            sinks: sinks.collect(),
            unreadable: Vec::new(),
            disk_low: self.journal.is_disk_low(),
            latched: self.journal.is_latched().then(|| "a commit failed".into()),
        })
    }
}

/// A map worker.
async fn map_for_ever(host: Arc<Host>, marks: Marks, slot: usize) {
    let world = host.world.clone();
    let plugins = Plugins(world.clone());
    loop {
        let heard = host.journal.published.rings();
        let (most, now) = (world.rng().index(4) + 1, world.now());
        let claimed = host.claims.claim(Work::Map, most, now).unwrap_or_default();
        if claimed.is_empty() {
            let due = host.claims.next_due(Work::Map);
            world.nap(&host.journal.published, heard, due).await;
            continue;
        }
        for task in claimed {
            world.checks().claimed(&task, now);
            let ports = MapPorts {
                routes: &plugins,
                events: &host.reader,
                journal: &*host.journal,
                clock: &*world,
                chance: &*world,
                retry: &host.policy.retry,
            };
            let id = task.id();
            marks.begin(slot, id);
            world.checks().marked(slot, Some(id));
            world.breathe().await;
            if map(task, &ports).await.is_err() {
                host.claims.release(id);
                world.sleep(Duration::from_millis(200)).await;
            }
            marks.end(slot);
            world.checks().marked(slot, None);
        }
    }
}

/// Looks for what a person should know.
async fn look_for_ever(host: Arc<Host>) {
    let world = host.world.clone();
    let channels = [Subscription {
        channel: crate::channel::name(),
        rules: AlertRule::ALL.to_vec(),
    }];
    loop {
        let ports = LookPorts {
            observer: &*host,
            alerts: &*host.journal,
            clock: &*world,
            policy: &host.policy.alerts,
            channels: &channels,
        };
        let _ = look(&ports).await;
        // What is about to be over is looked at again soon; the rest with what comes.
        let standing = host.reader.alerts().unwrap_or_default();
        let ends = standing.iter().any(|record| record.clear_since.is_some());
        let wait = if ends { 11 } else { 900 };
        let heard = host.journal.published.rings();
        world.sleep(Duration::from_secs(3)).await;
        let due = world.now().plus(Duration::from_secs(wait));
        world.nap(&host.journal.published, heard, Some(due)).await;
    }
}

/// Sends notices.
async fn send_for_ever(host: Arc<Host>, channel: Arc<Channel>, marks: Marks) {
    let world = host.world.clone();
    let slot = SLOTS - 1;
    loop {
        let heard = host.journal.published.rings();
        let now = world.now();
        let claimed = host.claims.claim(Work::Alert, 1, now).unwrap_or_default();
        let Some(task) = claimed.into_iter().next() else {
            let due = host.claims.next_due(Work::Alert);
            world.nap(&host.journal.published, heard, due).await;
            continue;
        };
        world.checks().claimed(&task, now);
        let ports = SendPorts {
            messenger: Some(&*channel),
            alerts: &*host.journal,
            journal: &*host.journal,
            clock: &*world,
            chance: &*world,
            retry: &host.policy.retry,
        };
        let id = task.id();
        marks.begin(slot, id);
        world.checks().marked(slot, Some(id));
        if send(task, &ports).await.is_err() {
            host.claims.release(id);
            world.sleep(Duration::from_millis(200)).await;
        }
        marks.end(slot);
        world.checks().marked(slot, None);
    }
}

/// What the host does now and then.
async fn keep_house(host: Arc<Host>) {
    let world = host.world.clone();
    let often = world.plan.faults.has(Fault::Retention);
    loop {
        let seconds = if often {
            world.rng().between(20, 400)
        } else {
            world.rng().between(600, 4_000)
        };
        world.sleep(Duration::from_secs(seconds)).await;
        let retain = often || world.rng().per_mille(300);
        let what = if retain {
            Submission::Retain
        } else {
            Submission::Touch
        };
        let _ = host.journal.submit(what).await;
    }
}

/// Whose alerts a name of an owner is about; for checks.
pub fn owner_is(owner: &Owner, connection: &ConnectionId) -> bool {
    matches!(owner, Owner::Connection(of) if of == connection)
}

/// When something of that host is due next, for whoever waits.
pub fn due(host: &Host) -> Option<Timestamp> {
    host.claims.next_due(Work::Map)
}
