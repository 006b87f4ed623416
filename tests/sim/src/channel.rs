//! The alert channel: it takes notices, fails now and then, and remembers what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tidegate_core::alert::{AlertKey, Notice, NoticeKind};
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::ChannelName;
use tidegate_core::ports::Messenger;

use crate::exec::lock;
use crate::faults::Fault;
use crate::world::World;

/// The one channel of every world.
#[derive(Debug)]
pub struct Channel {
    world: Arc<World>,
    told: Mutex<BTreeMap<AlertKey, Notice>>,
}

/// Its name.
pub fn name() -> ChannelName {
    // A literal that is one.
    "ops".parse().unwrap_or_else(|_| unreachable!())
}

impl Channel {
    /// One that was told nothing yet.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            told: Mutex::default(),
        }
    }

    /// The last that it was told about each alert.
    pub fn told(&self) -> BTreeMap<AlertKey, Notice> {
        lock(&self.told).clone()
    }
}

impl Messenger for Channel {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        self.world.breathe().await;
        let lost = self.world.strikes(Fault::Channel, 200);
        if self.world.strikes(Fault::Channel, 300) {
            return Err(Failure::new(FailureClass::TRANSIENT, "nobody answers"));
        }
        let mut told = lock(&self.told);
        let before = told
            .get(&notice.key)
            .map(|before| (before.kind, before.since));
        if before == Some((NoticeKind::Over, notice.since)) && notice.kind != NoticeKind::Over {
            drop(told);
            let said = format!("{:?} is said after it was over", notice.key);
            self.world.fail(crate::checks::ALERTS, said);
            return Ok(());
        }
        told.insert(notice.key.clone(), notice.clone());
        drop(told);
        self.world.tell(format!(
            "the channel hears: {} {} {}",
            notice.kind.code(),
            notice.key.rule.code(),
            notice.key.subject
        ));
        if lost {
            return Err(Failure::new(FailureClass::TRANSIENT, "no answer in time"));
        }
        Ok(())
    }
}
