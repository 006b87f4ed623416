//! What must hold once faults have stopped and everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::alert::{AlertKey, AlertRule, NoticeKind};
use tidegate_core::audit::AuditEntry;
use tidegate_core::change::{Fate, ProposedChange};
use tidegate_core::event::EventState;
use tidegate_core::ids::EventId;
use tidegate_core::ports::{Clock as _, EntityKey, Observer as _};
use tidegate_core::sink::SinkState;
use tidegate_core::task::{DeadCause, Owner, TaskKind};
use tidegate_store::{DeadLetter, DeadLetterFilter, EntityFilter, Reader};

use super::model::{Told, mirror};
use super::sinks::is_letter;
use super::{AGREE, ALERTS, Checked, Checks, NOTHING_LOST, ONCE, READERS, VERSIONS, violation};
use crate::channel::Channel;
use crate::host::{Host, Machine};
use crate::receiver::Receiver;
use crate::webhook::Conduct;
use crate::world::World;

/// What is still on its way; none where everything has come to rest.
pub(crate) fn unrest(world: &World, host: &Host, machine: &Machine) -> Option<String> {
    if !world.is_idle() {
        return Some("partners have something to tell".into());
    }
    let counts = host.reader.counts();
    if counts.scheduled + counts.waiting > 0 {
        return Some(format!(
            "{} tasks are scheduled and {} wait, the first due at {:?}",
            counts.scheduled, counts.waiting, counts.oldest_open
        ));
    }
    let newest = host.reader.newest_change();
    for receiver in &machine.receivers {
        let standing = host.reader.sink(receiver.sink()).ok().flatten();
        let rests = standing.as_ref().is_some_and(|standing| {
            standing.cursor == newest
                && standing.mirror.is_none()
                // One that has nothing left to probe with cannot show that it works again.
                && !matches!(standing.state, SinkState::Paused { .. })
        });
        if !rests {
            return Some(format!("{standing:?} has not come to {newest}"));
        }
    }
    None
}

/// Whether the alerts that stand are those that have a reason.
pub(crate) fn alerts_settled(host: &Host) -> bool {
    let standing = host.reader.alerts().unwrap_or_default();
    let settled = standing.iter().all(|record| record.clear_since.is_none());
    let standing: BTreeSet<AlertKey> = standing.into_iter().map(|record| record.key).collect();
    settled && standing == reasons(host)
}

fn reasons(host: &Host) -> BTreeSet<AlertKey> {
    let now = host.world().now();
    let observed = host.observe().unwrap_or_default();
    let findings = observed.findings(&host.policy().alerts, now);
    findings.into_iter().map(|finding| finding.key).collect()
}

pub(super) fn letters(reader: &Reader) -> Vec<DeadLetter> {
    let page = reader.dead_letters(&DeadLetterFilter::default(), None, 1_000);
    page.map_or_else(|_| Vec::new(), |page| page.letters)
}

impl Checks {
    /// Everything has come to rest.
    pub(crate) fn at_rest(&mut self, world: &World, host: &Host, machine: &Machine) {
        let checked = self
            .ends(world, &host.reader)
            .and_then(|()| self.mirror_is_right(world, &host.reader))
            .and_then(|()| self.sinks_agree(&host.reader, &machine.receivers))
            .and_then(|()| alerts_say(host, &machine.channel));
        self.note(checked);
    }

    /// Every acknowledged event has ended, and in one of the three ways.
    fn ends(&self, world: &World, reader: &Reader) -> Checked {
        let letters = letters(reader);
        let counts = reader.counts();
        if counts.events != self.acknowledged.len() as u64 {
            let said = format!(
                "{} events are stored, and {} were acknowledged",
                counts.events,
                self.acknowledged.len()
            );
            return Err(violation(ONCE, said));
        }
        if counts.dead != letters.len() as u64 {
            let said = format!("{} dead letters count {}", letters.len(), counts.dead);
            return Err(violation(NOTHING_LOST, said));
        }
        for id in self.acknowledged.values() {
            self.ended(*id, world, reader, &letters)?;
        }
        self.acts_are_written_down(reader)
    }

    /// Each act of a person stands in the audit log once, as it was.
    fn acts_are_written_down(&self, reader: &Reader) -> Checked {
        let page = reader.audit(None, 1_000);
        let page = page.map_err(|error| violation(NOTHING_LOST, format!("{error}")))?;
        let written: Vec<AuditEntry> = page.entries.into_iter().map(|(_, entry)| entry).collect();
        let times =
            |all: &[AuditEntry], one: &AuditEntry| all.iter().filter(|entry| *entry == one).count();
        let missing = self
            .audited
            .iter()
            .find(|entry| times(&written, entry) < times(&self.audited, entry));
        match missing {
            Some(entry) => {
                let said = format!("nobody wrote down {entry:?}");
                Err(violation(NOTHING_LOST, said))
            }
            None => Ok(()),
        }
    }

    fn ended(
        &self,
        id: EventId,
        world: &World,
        reader: &Reader,
        letters: &[DeadLetter],
    ) -> Checked {
        let progress = reader.progress(id).ok().flatten();
        let Some(progress) = progress else {
            if self.retention.may_be_gone(id) {
                return Ok(());
            }
            return Err(violation(NOTHING_LOST, format!("nothing is known of {id}")));
        };
        match &progress.state {
            EventState::Mapped => {
                for result in &progress.changes {
                    let Fate::Applied(seq) = result.fate else {
                        continue;
                    };
                    let change = self.log.get(seq);
                    if change.and_then(|change| change.event) != Some(id) {
                        let said = format!("{id} went out as {seq}, which is another's");
                        return Err(violation(ONCE, said));
                    }
                }
                Ok(())
            }
            EventState::Skipped { reason } if reason.is_empty() => Err(violation(
                NOTHING_LOST,
                format!("{id} is skipped without a reason"),
            )),
            EventState::Skipped { .. } => Ok(()),
            EventState::Dead { cause, reason } => {
                let letter = letters.iter().any(|letter| letter.task.id == id.map_task());
                if !letter {
                    let said = format!("{id} is dead and no letter is there");
                    return Err(violation(NOTHING_LOST, said));
                }
                self.may_be_dead(id, *cause, reason, world)
            }
            EventState::Pending { .. } | EventState::Fetching { .. } => {
                let said = format!("{id} has not ended: {:?}", progress.state);
                Err(violation(NOTHING_LOST, said))
            }
        }
    }

    /// What nothing was wrong with is no dead letter.
    fn may_be_dead(&self, id: EventId, cause: DeadCause, reason: &str, world: &World) -> Checked {
        let stored = self.stored.get(&id);
        let webhook = stored.and_then(|stored| world.register().get(&stored.body).cloned());
        let conduct = webhook.map(|webhook| webhook.conduct);
        let innocent = matches!(
            conduct,
            Some(Conduct::Honest | Conduct::Wrong | Conduct::Skip)
        );
        if innocent && cause != DeadCause::HostStopped {
            let said = format!("nothing is wrong with {id}, and it is dead: {reason}");
            return Err(violation(NOTHING_LOST, said));
        }
        Ok(())
    }

    fn mirror_is_right(&self, world: &World, reader: &Reader) -> Checked {
        let register = world.register();
        let told = self.mapped.iter().filter_map(|(event, version)| {
            let stored = self.stored.get(event)?;
            let webhook = register.get(&stored.body)?;
            Some(Told {
                event: *event,
                connection: stored.connection.clone(),
                changes: webhook.mapping(*version).changes,
            })
        });
        let expected = mirror(told.collect());
        let shown = shown(reader)?;
        for (key, change) in &expected {
            if shown.get(key) != Some(change) {
                let said = format!("{key:?} must be {change:?} and is {:?}", shown.get(key));
                return Err(violation(VERSIONS, said));
            }
        }
        match shown.keys().find(|key| !expected.contains_key(*key)) {
            Some(key) => Err(violation(VERSIONS, format!("nobody told of {key:?}"))),
            None => Ok(()),
        }
    }

    fn sinks_agree(&self, reader: &Reader, receivers: &[std::sync::Arc<Receiver>]) -> Checked {
        let mut newest = BTreeMap::new();
        for change in self.log.all() {
            newest.insert(
                (change.connection.clone(), change.change.entity.clone()),
                change,
            );
        }
        for receiver in receivers {
            let (sink, applied) = (receiver.sink(), receiver.applied());
            let start = self.sinks.start(sink);
            for (key, change) in &newest {
                let for_it = receiver.filter().takes(&key.0, &key.1) && change.seq > start;
                let excused = || {
                    self.sinks.was_given_up(sink, change.seq) || is_letter(reader, sink, change.seq)
                };
                let holds = applied.get(key);
                if for_it && holds != Some(*change) && !excused() {
                    let said = format!(
                        "{sink} holds {:?} of {key:?}, and the mirror {}",
                        holds.map(|holds| holds.seq),
                        change.seq
                    );
                    return Err(violation(AGREE, said));
                }
            }
        }
        Ok(())
    }
}

fn shown(reader: &Reader) -> Result<BTreeMap<EntityKey, ProposedChange>, super::Violation> {
    let page = reader.entities(&EntityFilter::default(), None, 1_000);
    let page = page.map_err(|error| violation(READERS, format!("{error}")))?;
    let entities = page.entities.into_iter();
    Ok(entities
        .map(|one| ((one.connection, one.change.entity.clone()), one.change))
        .collect())
}

/// The channel was told of every alert that stands, and that the others are over.
fn alerts_say(host: &Host, channel: &Channel) -> Checked {
    let lost: BTreeSet<AlertKey> = letters(&host.reader)
        .into_iter()
        .filter_map(|letter| match letter.task.kind {
            TaskKind::Alert { notice, .. } => Some(notice.key),
            _ => None,
        })
        .collect();
    let heard = channel.told();
    let standing = host.reader.alerts().unwrap_or_default();
    let standing: BTreeSet<AlertKey> = standing.into_iter().map(|record| record.key).collect();
    for key in reasons(host) {
        if !standing.contains(&key) {
            return Err(violation(
                ALERTS,
                format!("{key:?} has a reason and does not stand"),
            ));
        }
    }
    for group in host.reader.dead_counts() {
        let owner = match &group.owner {
            Owner::Connection(connection) => connection.to_string(),
            Owner::Sink(sink) => sink.to_string(),
            Owner::Channel(channel) => channel.to_string(),
        };
        let stands = standing.iter().any(|key| {
            key.rule == AlertRule::DeadLetters
                && key.subject.contains(&owner)
                && key.subject.contains(group.cause.code())
        });
        if !stands {
            let said = format!("{} dead letters of {owner}, and no alert", group.count);
            return Err(violation(ALERTS, said));
        }
    }
    // What was lost in an outage of the channel is a dead letter itself.
    for key in standing.iter().filter(|key| !lost.contains(key)) {
        let newest = heard.get(key).map(|notice| notice.kind);
        if !matches!(newest, Some(NoticeKind::Opened | NoticeKind::Repeated)) {
            let said = format!("{key:?} stands, and the channel heard {newest:?} last");
            return Err(violation(ALERTS, said));
        }
    }
    let open = heard
        .iter()
        .filter(|(key, _)| !lost.contains(key))
        .find(|(key, notice)| notice.kind != NoticeKind::Over && !standing.contains(key));
    match open {
        Some((key, _)) => Err(violation(
            ALERTS,
            format!("nobody heard that {key:?} is over"),
        )),
        None => Ok(()),
    }
}
