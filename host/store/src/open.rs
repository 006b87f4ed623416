//! Opening a store: creating it, or finding it as the last synced commit left it.
//!
//! The engine recovers its own files; here nothing is replayed. Buckets that no ledger
//! names are what a crash left between creating or dropping a keyspace and the commit
//! beside it: they are dropped. Fails half-way without harm: the next opening begins
//! again.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_core::policy::Policy;
use tidegate_core::time::Timestamp;

use crate::buckets::Buckets;
use crate::codec::Corrupt;
use crate::commit::Committer;
use crate::engine::{Batch, Durability, Engine, EngineError, Profile};
use crate::keys::EventHasher;
use crate::ledger::{LEDGER, Ledger, LedgerRecord, Tally};
use crate::marks::{Marks, Stops};
use crate::queue::{BOUNDS, Bounds, Claims};
use crate::read::Reader;
use crate::rooms::{META, RoomName, Rooms};
use crate::view::{Fault, Published, View};

/// The disk format of this version. A change of layout raises it, and one of records that
/// are not read in their older form, too.
const FORMAT: u32 = 3;
/// Its key in `meta`.
const FORMAT_KEY: &[u8] = b"format";
/// The key in `meta` of what event keys are hashed with. Never changed.
const HASH_KEY: &[u8] = b"hash-key";

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// Dedupe window and retention.
    pub policy: Policy,
    /// Random bytes that a new store hashes event keys with. An existing store has its
    /// own and does not look at these.
    pub seed: [u8; 16],
    /// Where the tasks at hand are marked. What stands there when the store is opened
    /// has been running when the host stopped.
    pub marks: Marks,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("policy", &self.policy)
            .field("marks", &self.marks)
            .finish_non_exhaustive()
    }
}

/// An open store.
#[derive(Debug)]
pub struct Opened {
    /// The only writer.
    pub committer: Committer,
    /// Everyone's way to read.
    pub reader: Reader,
    /// The workers' way to tasks.
    pub claims: Claims,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine says so.
    #[error("the store's engine failed while the store was opened")]
    Engine(#[from] EngineError),
    /// A record without which there is no store.
    #[error("the store cannot be read")]
    Read(#[from] Fault),
    /// A newer host wrote it.
    #[error(
        "the store has format {found}, and this host knows up to {FORMAT}: start the host that wrote it, or a newer one"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
    },
    /// A host before the first release wrote it.
    #[error(
        "the store has format {found}, and this host reads {FORMAT} only: nothing leads from a host before the first release to this one, so begin with an empty folder"
    )]
    OlderFormat {
        /// Its format.
        found: u32,
    },
    /// A part without which there is no store.
    #[error("the store has no {what}: its folder is incomplete")]
    Incomplete {
        /// Which.
        what: String,
    },
}

/// Opens the store in that engine, or creates it.
pub fn open(
    engine: Arc<dyn Engine>,
    options: Options,
    now: Timestamp,
) -> Result<Opened, OpenError> {
    open_with(engine, options, now, BOUNDS)
}

/// As [`open`], with a bound of its own on tasks in memory.
pub(crate) fn open_with(
    engine: Arc<dyn Engine>,
    options: Options,
    now: Timestamp,
    bounds: Bounds,
) -> Result<Opened, OpenError> {
    let existing: HashSet<String> = engine.keyspaces()?.into_iter().collect();
    let meta = read_meta(&*engine, &existing)?;
    let rooms = Rooms::open(&*engine)?;
    let (mut ledger, hasher) = match meta {
        Some(meta) => {
            reconcile_buckets(&*engine, &existing, &meta.ledger)?;
            (meta.ledger.open(&*engine)?, EventHasher::new(meta.hash_key))
        }
        None => (
            create(&*engine, &rooms, &options, now)?,
            EventHasher::new(options.seed),
        ),
    };
    count_stops(&*engine, &rooms, &mut ledger, &options.marks)?;
    let view = View {
        snapshot: engine.snapshot()?,
        ledger,
        rooms,
    };
    let published = Published::new(engine, view)?;
    let claims = Claims::open(published.clone(), bounds)?;
    let reader = Reader::new(published.clone(), claims.clone());
    let committer = Committer::new(published, claims.clone(), options.policy, hasher);
    Ok(Opened {
        committer,
        reader,
        claims,
    })
}

struct Meta {
    hash_key: [u8; 16],
    ledger: LedgerRecord,
}

/// What an existing store says of itself; nothing else of it is touched before.
fn read_meta(engine: &dyn Engine, existing: &HashSet<String>) -> Result<Option<Meta>, OpenError> {
    if !existing.contains(META) {
        return Ok(None);
    }
    let meta = engine.open_keyspace(META, Profile::Churn)?;
    let snapshot = engine.snapshot()?;
    let Some(format) = snapshot.get(meta, FORMAT_KEY)? else {
        // The first commit of a new store never happened.
        return Ok(None);
    };
    let corrupt = |key: &[u8], source| Fault::Corrupt {
        keyspace: META.to_owned(),
        key: String::from_utf8_lossy(key).into_owned(),
        source,
    };
    let format = <[u8; 4]>::try_from(format.as_ref());
    let found = u32::from_be_bytes(format.map_err(|_| corrupt(FORMAT_KEY, Corrupt::Truncated))?);
    if found > FORMAT {
        return Err(OpenError::NewerFormat { found });
    }
    if found < FORMAT {
        return Err(OpenError::OlderFormat { found });
    }
    let need = |key: &'static [u8]| {
        let missing = || OpenError::Incomplete {
            what: format!("{} record", String::from_utf8_lossy(key)),
        };
        snapshot.get(meta, key)?.ok_or_else(missing)
    };
    let hash_key = <[u8; 16]>::try_from(need(HASH_KEY)?.as_ref())
        .map_err(|_| corrupt(HASH_KEY, Corrupt::Truncated))?;
    let ledger =
        LedgerRecord::from_record(need(LEDGER)?).map_err(|source| corrupt(LEDGER, source))?;
    Ok(Some(Meta { hash_key, ledger }))
}

/// Drops buckets that no ledger names. One that the ledger names and the engine does
/// not have must not be taken for an empty one.
fn reconcile_buckets(
    engine: &dyn Engine,
    existing: &HashSet<String>,
    ledger: &LedgerRecord,
) -> Result<(), OpenError> {
    let named: HashSet<String> = ledger.keyspaces().map(|name| name.to_string()).collect();
    if let Some(name) = named.difference(existing).next() {
        return Err(OpenError::Incomplete {
            what: format!("keyspace {name}"),
        });
    }
    for name in existing
        .difference(&named)
        .filter(|name| RoomName::is_bucket(name))
    {
        tracing::info!(keyspace = %name, "dropping a bucket that a crash left behind");
        let orphan = engine.open_keyspace(name, Profile::Churn)?;
        engine.drop_keyspace(orphan)?;
    }
    Ok(())
}

/// Charges the tasks that were running when the host stopped with one more stop. They
/// are durable before the marks are cleared: breaking off between costs a stop too many,
/// never one too few. Marks that cannot be read are no reason not to start.
fn count_stops(
    engine: &dyn Engine,
    rooms: &Rooms,
    ledger: &mut Ledger,
    marks: &Marks,
) -> Result<(), EngineError> {
    let running = marks.standing().unwrap_or_else(|error| {
        tracing::warn!(%error, "the marks of running tasks cannot be read");
        Vec::new()
    });
    let last = ledger.tally.last_number;
    let known = running.into_iter().filter(|task| task.get() <= last);
    let stops = ledger.stops.after(known);
    if stops != ledger.stops {
        ledger.stops = stops;
        let mut batch = Batch::default();
        batch.put(rooms.meta.keyspace, LEDGER, ledger.to_record());
        engine.write(batch, Durability::Synced)?;
    }
    if let Err(error) = marks.clear() {
        tracing::warn!(%error, "the marks of running tasks cannot be cleared");
    }
    Ok(())
}

fn create(
    engine: &dyn Engine,
    rooms: &Rooms,
    options: &Options,
    now: Timestamp,
) -> Result<Ledger, EngineError> {
    let ledger = Ledger {
        tally: Tally::default(),
        stops: Stops::default(),
        events: Buckets::begin(engine, now)?,
        keys: Buckets::begin(engine, now)?,
        changes: Buckets::begin(engine, now)?,
    };
    let mut batch = Batch::default();
    let meta = rooms.meta.keyspace;
    batch.put(meta, FORMAT_KEY, FORMAT.to_be_bytes().to_vec());
    batch.put(meta, HASH_KEY, options.seed.to_vec());
    batch.put(meta, LEDGER, ledger.to_record());
    engine.write(batch, Durability::Synced)?;
    Ok(ledger)
}
