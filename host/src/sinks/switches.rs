//! People's way to pause a sink and to resume it.
//!
//! Both take the sink's loop down, write how it stands and start a loop where it may have
//! one. Whoever asked may hang up at any moment between: both are carried through all the
//! same, or a sink that counts as running would be left without its loop.

use std::sync::Arc;

use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::ids::SinkName;
use tidegate_core::ports::Clock as _;
use tidegate_core::sink::{PauseCause, SinkStanding, SinkState};

use super::{Known, SinkDesk, SinkError};
use crate::carried::carried_through;
use crate::system::SystemClock;

/// Who asks for it, and why.
#[derive(Debug)]
struct Wish {
    who: String,
    reason: Option<String>,
}

impl SinkDesk {
    /// Pauses a sink in a person's name. What is on its way is waited for.
    pub(crate) async fn pause(
        self: &Arc<Self>,
        name: &SinkName,
        reason: Option<String>,
        who: &str,
    ) -> Result<SinkStanding, SinkError> {
        let (desk, name) = (self.clone(), name.clone());
        let wish = Wish {
            who: who.to_owned(),
            reason,
        };
        carried_through(async move { desk.take_out(&name, wish).await }).await
    }

    /// Lets a sink run again, from where it stands.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        name: &SinkName,
        reason: Option<String>,
        who: &str,
    ) -> Result<SinkStanding, SinkError> {
        let (desk, name) = (self.clone(), name.clone());
        let wish = Wish {
            who: who.to_owned(),
            reason,
        };
        carried_through(async move { desk.put_in(&name, wish).await }).await
    }

    async fn take_out(&self, name: &SinkName, wish: Wish) -> Result<SinkStanding, SinkError> {
        let mut loops = self.loops.lock().await;
        let known = self.of(name)?;
        if let Some(running) = loops.remove(name) {
            running.end().await;
        }
        let paused = self.put_paused(name, &known, wish).await;
        if paused.is_err() {
            self.start(&mut loops, name, &known).await;
        }
        paused
    }

    async fn put_paused(
        &self,
        name: &SinkName,
        known: &Known,
        wish: Wish,
    ) -> Result<SinkStanding, SinkError> {
        let mut standing = self.standing(name, known).await?;
        // One that is paused already has a reason that counts for more than this one.
        if !matches!(standing.state, SinkState::Paused { .. }) {
            let words = wish.reason.clone();
            standing.state = SinkState::Paused {
                why: PauseCause::Operator,
                reason: words.unwrap_or_else(|| format!("paused by {}", wish.who)),
                since: SystemClock.now(),
            };
        }
        let audit = audit(AuditAction::PauseSink, name, wish);
        self.put(standing, Some(audit)).await
    }

    async fn put_in(&self, name: &SinkName, wish: Wish) -> Result<SinkStanding, SinkError> {
        let mut loops = self.loops.lock().await;
        let known = self.of(name)?;
        // One that keeps failing is tried at once.
        if let Some(running) = loops.remove(name) {
            running.end().await;
        }
        let resumed = match self.standing(name, &known).await {
            Ok(mut standing) => {
                standing.state = SinkState::Running;
                let audit = audit(AuditAction::ResumeSink, name, wish);
                self.put(standing, Some(audit)).await
            }
            Err(error) => Err(error),
        };
        self.start(&mut loops, name, &known).await;
        resumed
    }
}

fn audit(action: AuditAction, name: &SinkName, wish: Wish) -> AuditEntry {
    AuditEntry {
        at: SystemClock.now(),
        who: wish.who,
        action,
        subject: name.to_string(),
        reason: wish.reason,
        count: 1,
    }
}
