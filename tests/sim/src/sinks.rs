//! One loop a sink, as the host drives it: step, rest until something is new or due, open
//! another after an error, and when a person pauses or resumes it.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};
use tidegate_core::ids::TaskId;
use tidegate_core::ports::{Claimed, ReadError};
use tidegate_core::sink::{SinkStanding, SinkState};
use tidegate_core::task::{Owner, Work};
use tidegate_core::time::Timestamp;
use tidegate_flow::deliver::{DeliverPorts, SinkLoop};
use tidegate_store::{Claims, Submission};

use crate::exec::{Bell, lock};
use crate::host::Host;
use crate::receiver::{Door, Receiver};
use crate::world::World;

/// What a person asks of a sink's loop.
#[derive(Debug, Default)]
pub struct Control {
    wanted: Mutex<Option<SinkState>>,
    bell: Bell,
}

impl Control {
    /// The sink shall stand like this.
    pub fn want(&self, state: SinkState) {
        *lock(&self.wanted) = Some(state);
        self.bell.ring();
    }

    fn is_wanted(&self) -> bool {
        lock(&self.wanted).is_some()
    }
}

/// A sink's loop, for as long as the host runs.
pub async fn deliver_for_ever(
    host: Arc<Host>,
    receiver: Arc<Receiver>,
    control: Arc<Control>,
    start: u64,
) {
    let world = host.world().clone();
    let mut openings = 0;
    loop {
        openings += 1;
        run(&world, &host, &receiver, &control, start * 1_000 + openings).await;
        let millis = world.rng().between(50, 1_500);
        world.sleep(Duration::from_millis(millis)).await;
    }
}

/// Opens a loop and drives it until it ends.
async fn run(
    world: &Arc<World>,
    host: &Arc<Host>,
    receiver: &Arc<Receiver>,
    control: &Control,
    opening: u64,
) {
    let sink = receiver.sink();
    let standing = match host.reader.sink(sink) {
        Ok(Some(standing)) => standing,
        Ok(None) => {
            let standing = host.reader.new_sink(sink.clone(), receiver.begins());
            let put = Submission::PutSink {
                standing: Box::new(standing),
                audit: None,
            };
            let _ = host.journal.submit(put).await;
            return;
        }
        Err(_) => return,
    };
    let claims = Held {
        world: world.clone(),
        claims: host.claims.clone(),
    };
    let door = Door::new(receiver.clone(), opening);
    world.checks().sink_opens(
        &standing,
        receiver.filter(),
        receiver.keeps_cursor(),
        opening,
        &host.reader,
    );
    let ports = DeliverPorts {
        log: &host.reader,
        claims: &claims,
        outlet: &door,
        journal: &*host.journal,
        clock: &**world,
        chance: &**world,
        filter: receiver.filter(),
        retry: &host.policy().retry,
    };
    let Ok(mut driven) = SinkLoop::open(standing, ports) else {
        return;
    };
    loop {
        let (news, wish) = (host.journal.published.rings(), control.bell.rings());
        if control.is_wanted() {
            driven.stop();
            if driven.step().await.is_ok() {
                let standing = driven.standing().clone();
                drop(driven);
                obey(host, control, standing).await;
            }
            return;
        }
        let stepped = {
            let step = pin!(driven.step());
            let news = pin!(host.journal.published.after(news));
            let wish = pin!(control.bell.after(wish));
            match select(step, select(news, wish)).await {
                Either::Left((stepped, _)) => Some(stepped),
                Either::Right(_) => None,
            }
        };
        match stepped {
            Some(Ok(rest)) => {
                let nap = pin!(world.nap(&host.journal.published, news, rest.due));
                let wish = pin!(control.bell.after(wish));
                select(nap, wish).await;
            }
            Some(Err(error)) => {
                world.tell(format!("the loop of {sink} ends: {error}"));
                return;
            }
            None => {}
        }
    }
}

/// Writes down how a person wants the sink to stand.
async fn obey(host: &Host, control: &Control, mut standing: SinkStanding) {
    let Some(state) = lock(&control.wanted).take() else {
        return;
    };
    standing.state = state;
    let put = Submission::PutSink {
        standing: Box::new(standing),
        audit: None,
    };
    let _ = host.journal.submit(put).await;
}

/// The sink's tasks, watched.
#[derive(Debug)]
struct Held {
    world: Arc<World>,
    claims: Claims,
}

impl tidegate_core::ports::Claims for Held {
    fn claim_of(
        &self,
        owner: &Owner,
        work: Work,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError> {
        let claimed = self.claims.claim_of(owner, work, max, now)?;
        for task in &claimed {
            self.world.checks().claimed(task, now);
        }
        Ok(claimed)
    }

    fn next_due_of(&self, owner: &Owner, work: Work) -> Option<Timestamp> {
        self.claims.next_due_of(owner, work)
    }

    fn release(&self, task: TaskId) {
        self.claims.release(task);
    }
}
