//! Keyspaces by name: the fixed ones, and those of a bucket.
//!
//! A [`Room`] is an open keyspace that knows its name, so that an error can say where
//! it was. What is in each stands in [`crate::keys`].

use std::fmt;

use crate::engine::{Engine, EngineError, Keyspace, Profile};

/// An open keyspace and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) keyspace: Keyspace,
    pub(crate) name: RoomName,
}

/// A keyspace's name: a word, and a bucket's number where it is one of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoomName {
    series: &'static str,
    bucket: Option<u64>,
}

impl RoomName {
    /// The keyspaces of a bucket of that kind.
    pub(crate) fn of_bucket<R: BucketRooms>(number: u64) -> impl Iterator<Item = Self> {
        R::SERIES.iter().map(move |series| Self {
            series,
            bucket: Some(number),
        })
    }

    /// Whether a keyspace of that name is a bucket's.
    pub(crate) fn is_bucket(name: &str) -> bool {
        let series = [EventRooms::SERIES, KeyRoom::SERIES, ChangeRoom::SERIES].concat();
        name.rsplit_once('-')
            .is_some_and(|(before, _)| series.contains(&before))
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bucket {
            None => f.write_str(self.series),
            Some(bucket) => write!(f, "{}-{bucket:08}", self.series),
        }
    }
}

impl Room {
    fn open(engine: &dyn Engine, name: RoomName, profile: Profile) -> Result<Self, EngineError> {
        Ok(Self {
            keyspace: engine.open_keyspace(&name.to_string(), profile)?,
            name,
        })
    }
}

/// The name of the keyspace that says what the others are.
pub(crate) const META: &str = "meta";

/// The keyspaces that every store has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    pub(crate) meta: Room,
    pub(crate) queue: Room,
    pub(crate) waiting: Room,
    pub(crate) attempts: Room,
    pub(crate) deliveries: Room,
    pub(crate) dead: Room,
    pub(crate) dead_heads: Room,
    pub(crate) replaying: Room,
    pub(crate) pauses: Room,
    pub(crate) sinks: Room,
    pub(crate) alerts: Room,
    pub(crate) replays: Room,
    pub(crate) secrets: Room,
    pub(crate) audit: Room,
    pub(crate) standing: Room,
    pub(crate) mirror: Room,
    pub(crate) grants: Room,
    pub(crate) unreadable: Room,
}

impl Rooms {
    pub(crate) fn open(engine: &dyn Engine) -> Result<Self, EngineError> {
        let open = |series, profile| {
            Room::open(
                engine,
                RoomName {
                    series,
                    bucket: None,
                },
                profile,
            )
        };
        Ok(Self {
            meta: open(META, Profile::Churn)?,
            queue: open("queue", Profile::Churn)?,
            waiting: open("waiting", Profile::Churn)?,
            attempts: open("attempts", Profile::Churn)?,
            deliveries: open("deliveries", Profile::Churn)?,
            dead: open("dead", Profile::State)?,
            dead_heads: open("dead-heads", Profile::Churn)?,
            replaying: open("replaying", Profile::Churn)?,
            pauses: open("pauses", Profile::Churn)?,
            sinks: open("sinks", Profile::Churn)?,
            alerts: open("alerts", Profile::Churn)?,
            replays: open("replays", Profile::Churn)?,
            secrets: open("secrets", Profile::Churn)?,
            audit: open("audit", Profile::Churn)?,
            standing: open("standing", Profile::Lookup)?,
            mirror: open("mirror", Profile::State)?,
            grants: open("grants", Profile::Churn)?,
            unreadable: open("unreadable", Profile::State)?,
        })
    }
}

/// The keyspaces of one bucket of a kind.
pub(crate) trait BucketRooms: Copy + fmt::Debug {
    /// Their names before the number.
    const SERIES: &'static [&'static str];

    /// Opens or creates those of that number.
    fn open(engine: &dyn Engine, number: u64) -> Result<Self, EngineError>;

    /// Each of them.
    fn each(self) -> Vec<Room>;
}

/// Where the events of one stretch of time are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRooms {
    pub(crate) events: Room,
    pub(crate) progress: Room,
}

impl BucketRooms for EventRooms {
    const SERIES: &'static [&'static str] = &["events", "progress"];

    fn open(engine: &dyn Engine, number: u64) -> Result<Self, EngineError> {
        let open = |series| {
            let name = RoomName {
                series,
                bucket: Some(number),
            };
            Room::open(engine, name, Profile::Sequence)
        };
        Ok(Self {
            events: open("events")?,
            progress: open("progress")?,
        })
    }

    fn each(self) -> Vec<Room> {
        vec![self.events, self.progress]
    }
}

/// Where the event keys of one stretch of time are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRoom(pub(crate) Room);

impl BucketRooms for KeyRoom {
    const SERIES: &'static [&'static str] = &["keys"];

    fn open(engine: &dyn Engine, number: u64) -> Result<Self, EngineError> {
        let name = RoomName {
            series: "keys",
            bucket: Some(number),
        };
        Room::open(engine, name, Profile::Lookup).map(Self)
    }

    fn each(self) -> Vec<Room> {
        vec![self.0]
    }
}

/// Where the changes of one stretch of time are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChangeRoom(pub(crate) Room);

impl BucketRooms for ChangeRoom {
    const SERIES: &'static [&'static str] = &["changes"];

    fn open(engine: &dyn Engine, number: u64) -> Result<Self, EngineError> {
        let name = RoomName {
            series: "changes",
            bucket: Some(number),
        };
        Room::open(engine, name, Profile::Sequence).map(Self)
    }

    fn each(self) -> Vec<Room> {
        vec![self.0]
    }
}
