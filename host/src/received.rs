//! The desk of secrets that partners hand over: while an operator lets a connection await
//! one, and sealed from then on.
//!
//! That a connection awaits its secret stands in memory: it is a matter of minutes, and a
//! restart that forgets it only has the operator ask again, where one that remembered would
//! leave a door open that nobody watches. The audit log says who opened it. The first secret
//! closes it; what was there before is believed for a while, since deliveries under it may
//! still be on their way.
//!
//! A secret is durable before anyone is told so. If that fails, nothing has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::ids::ConnectionId;
use tidegate_core::ports::{NotStored, ReadError};
use tidegate_core::signature::Secret;
use tidegate_core::time::Timestamp;
use tidegate_store::{
    Answer, NotOpened, Reader, ReceivedSecret, SealedSecret, SecretKey, Submission,
};

use crate::committer::JournalHandle;
use crate::rules::CurrentRules;
use crate::system::random_bytes;

/// Most received secrets of one connection: with each one more the oldest goes.
const KEPT_MAX: usize = 8;

/// How long the secret before the newest is believed on.
const BELIEVED_ON: Duration = Duration::from_hours(48);

/// The desk.
#[derive(Debug)]
pub(crate) struct ReceivedDesk {
    key: SecretKey,
    journal: JournalHandle,
    rules: Arc<CurrentRules>,
    /// Until when which connections await their secret.
    awaiting: Mutex<HashMap<ConnectionId, Timestamp>>,
}

/// Why the secrets of a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// They cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key is another one.
    #[error(
        "the received secret {position} of {connection} does not open with this key: set store.secret_key, or put back secret.key beside the store, as it was when the secret came"
    )]
    WrongKey {
        /// Whose.
        connection: ConnectionId,
        /// Which.
        position: u32,
        /// Why not.
        #[source]
        source: NotOpened,
    },
}

/// Why a secret was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// Nobody awaits it.
    #[error("the connection does not await a secret")]
    Unawaited,
    /// It could not be made durable.
    #[error("the secret could not be stored")]
    NotStored(#[source] NotStored),
    /// It could not be sealed.
    #[error("the secret could not be sealed")]
    Unsealed,
}

impl ReceivedDesk {
    /// Opens what was received before this start, and has it verified with.
    pub(crate) fn open(
        key: SecretKey,
        reader: &Reader,
        journal: JournalHandle,
        rules: Arc<CurrentRules>,
    ) -> Result<Self, OpenError> {
        let mut received: HashMap<ConnectionId, Vec<(ReceivedSecret, Secret)>> = HashMap::new();
        for sealed in reader.received_secrets()? {
            let secret = key.open(&sealed).map_err(|source| OpenError::WrongKey {
                connection: sealed.known.connection.clone(),
                position: sealed.known.position,
                source,
            })?;
            let of_connection = received.entry(sealed.known.connection.clone());
            of_connection.or_default().push((sealed.known, secret));
        }
        for (connection, secrets) in received {
            rules.receive(connection, secrets);
        }
        Ok(Self {
            key,
            journal,
            rules,
            awaiting: Mutex::default(),
        })
    }

    /// Lets a connection await its partner's secret until then. Who did it is durable before.
    pub(crate) async fn await_secret(
        &self,
        connection: ConnectionId,
        until: Timestamp,
        audit: AuditEntry,
    ) -> Result<(), NotStored> {
        self.journal
            .submit(Submission::Note(Box::new(audit)))
            .await?;
        self.lock().insert(connection, until);
        Ok(())
    }

    /// Until when a connection awaits its secret, where it does.
    pub(crate) fn awaiting(&self, connection: &ConnectionId, now: Timestamp) -> Option<Timestamp> {
        let mut awaiting = self.lock();
        let until = *awaiting.get(connection)?;
        if now < until {
            Some(until)
        } else {
            awaiting.remove(connection);
            None
        }
    }

    /// What is known of the secrets that a connection's partner handed over, oldest first.
    pub(crate) fn of(&self, connection: &ConnectionId) -> Vec<ReceivedSecret> {
        let received = self.rules.received(connection).into_iter();
        received.map(|(known, _)| known).collect()
    }

    /// Takes the secret that a connection awaits: durable, and verified with, once this is
    /// done. Of two at once one is taken.
    pub(crate) async fn receive(
        &self,
        connection: &ConnectionId,
        secret: Secret,
        origin: &str,
        now: Timestamp,
    ) -> Result<(), ReceiveError> {
        let until = self
            .awaiting(connection, now)
            .and_then(|_| self.lock().remove(connection))
            .ok_or(ReceiveError::Unawaited)?;
        let taken = self.take(connection, secret, origin, now).await;
        if taken.is_err() {
            // It goes on waiting: the partner sends it again.
            self.lock().insert(connection.clone(), until);
        }
        taken
    }

    async fn take(
        &self,
        connection: &ConnectionId,
        secret: Secret,
        origin: &str,
        now: Timestamp,
    ) -> Result<(), ReceiveError> {
        let mut secrets = self.rules.received(connection);
        let last = secrets.last().map_or(0, |(known, _)| known.position);
        let until = now.plus(BELIEVED_ON);
        for (known, secret) in &mut secrets {
            let sooner = known.not_after.map_or(until, |before| before.min(until));
            known.not_after = Some(sooner);
            *secret = secret.clone().with_not_after(sooner);
        }
        let known = ReceivedSecret {
            connection: connection.clone(),
            position: last.saturating_add(1),
            origin: origin.to_owned(),
            received: now,
            not_after: None,
        };
        secrets.push((known, secret));
        let gone = secrets.len().saturating_sub(KEPT_MAX);
        let removed = secrets.drain(..gone).map(|(known, _)| known).collect();
        let put = secrets
            .iter()
            .map(|(known, secret)| self.seal(known, secret))
            .collect::<Result<_, ReceiveError>>()?;
        let submission = Submission::PutSecrets {
            put,
            removed,
            audit: Some(handed_over(connection, origin, now)),
        };
        match self.journal.submit(submission).await {
            Ok(Answer::Refused(_)) => Err(ReceiveError::NotStored(NotStored::Unreadable)),
            Ok(_) => {
                self.rules.receive(connection.clone(), secrets);
                tracing::info!(%connection, origin, "the partner handed its secret over");
                Ok(())
            }
            Err(error) => Err(ReceiveError::NotStored(error)),
        }
    }

    fn seal(&self, known: &ReceivedSecret, secret: &Secret) -> Result<SealedSecret, ReceiveError> {
        let nonce = random_bytes().map_err(|_| ReceiveError::Unsealed)?;
        self.key
            .seal(known.clone(), secret, nonce)
            .ok_or(ReceiveError::Unsealed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Timestamp>> {
        self.awaiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn handed_over(connection: &ConnectionId, origin: &str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        at: now,
        who: "partner".into(),
        action: AuditAction::ReceiveSecret,
        subject: connection.to_string(),
        reason: Some(origin.to_owned()),
        count: 1,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::ports::Clock as _;
    use tidegate_store::SECRET_KEY_BYTES;

    use super::*;
    use crate::bed::Bed;
    use crate::config::ConfigSource;
    use crate::rules::Rules;
    use crate::system::SystemClock;

    fn desk(bed: &Bed, key: u8) -> Result<ReceivedDesk, OpenError> {
        let config = ConfigSource::new(None).load().unwrap();
        let rules = CurrentRules::new(Rules::build(&config, &HashMap::new()));
        let key = SecretKey::new(&[key; SECRET_KEY_BYTES]).unwrap();
        ReceivedDesk::open(key, &bed.reader, bed.journal.clone(), Arc::new(rules))
    }

    fn acme() -> ConnectionId {
        "asana/acme".parse().unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.into()).unwrap()
    }

    async fn open_for_a_minute(desk: &ReceivedDesk, now: Timestamp) {
        let audit = handed_over(&acme(), "test", now);
        let until = now.plus(Duration::from_mins(1));
        desk.await_secret(acme(), until, audit).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_secret_is_taken_while_it_is_awaited_and_outlives_the_host() {
        let bed = Bed::new();
        let (desk, now) = (desk(&bed, 7).unwrap(), SystemClock.now());
        let early = desk.receive(&acme(), secret("s"), "header", now).await;
        assert!(matches!(early, Err(ReceiveError::Unawaited)));
        open_for_a_minute(&desk, now).await;
        let late = now.plus(Duration::from_mins(1));
        assert_eq!(desk.awaiting(&acme(), late), None);

        for text in ["one", "two"] {
            open_for_a_minute(&desk, now).await;
            desk.receive(&acme(), secret(text), "header", now)
                .await
                .unwrap();
            let again = desk
                .receive(&acme(), secret("stranger"), "header", now)
                .await;
            assert!(matches!(again, Err(ReceiveError::Unawaited)));
        }
        let known = desk.of(&acme());
        let known: Vec<_> = known
            .iter()
            .map(|known| (known.position, known.not_after.is_some()))
            .collect();
        assert_eq!(known, [(1, true), (2, false)]);

        let again = self::desk(&bed, 7).unwrap();
        let secrets = again.rules.received(&acme());
        let secrets: Vec<_> = secrets.iter().map(|(_, secret)| secret.expose()).collect();
        assert_eq!(secrets, [b"one", b"two"]);
        let refused = self::desk(&bed, 8).unwrap_err().to_string();
        assert!(refused.contains("set store.secret_key"), "{refused}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_last_few_are_kept() {
        let bed = Bed::new();
        let (desk, now) = (desk(&bed, 7).unwrap(), SystemClock.now());
        for number in 0..KEPT_MAX + 2 {
            open_for_a_minute(&desk, now).await;
            let text = secret(&number.to_string());
            desk.receive(&acme(), text, "header", now).await.unwrap();
        }
        assert_eq!(desk.of(&acme()).len(), KEPT_MAX);
        assert_eq!(bed.reader.received_secrets().unwrap().len(), KEPT_MAX);
        assert_eq!(desk.of(&acme())[0].position, 3);
    }
}
