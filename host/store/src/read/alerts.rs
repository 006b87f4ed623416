//! Reading the alerts that stand, the connections that are paused, and the secrets that
//! partners handed over. All are few.
//!
//! A torn one is passed over: the others must be known all the same.

use tidegate_core::alert::AlertRecord;
use tidegate_core::ports::ReadError;

use super::Reader;
use crate::codec::Record;
use crate::engine::{Order, Span};
use crate::paused::PausedConnection;
use crate::received::SealedSecret;
use crate::rooms::Room;
use crate::view::{Fault, View};

impl Reader {
    /// The alerts that stand, by rule and subject.
    pub fn alerts(&self) -> Result<Vec<AlertRecord>, ReadError> {
        let view = self.view();
        self.whole_room(&view, view.rooms.alerts)
            .map_err(|fault| fault.reading("alerts"))
    }

    /// The connections whose outgoing work rests.
    pub fn paused(&self) -> Result<Vec<PausedConnection>, ReadError> {
        let view = self.view();
        let mut paused: Vec<PausedConnection> = self
            .whole_room(&view, view.rooms.pauses)
            .map_err(|fault| fault.reading("paused connections"))?;
        paused.retain(|paused| !paused.resuming);
        Ok(paused)
    }

    /// The secrets that partners handed over, sealed, by connection and position.
    pub fn received_secrets(&self) -> Result<Vec<SealedSecret>, ReadError> {
        let view = self.view();
        self.whole_room(&view, view.rooms.secrets)
            .map_err(|fault| fault.reading("received secrets"))
    }

    /// Every record of a keyspace that holds few, but for torn ones. Those are said once:
    /// such a keyspace is read every second.
    pub(super) fn whole_room<T: Record>(&self, view: &View, room: Room) -> Result<Vec<T>, Fault> {
        let mut readable = Vec::new();
        for row in view.rows(room, Span::ALL, Order::Ascending)? {
            let (key, record) = row?;
            match T::from_record(record) {
                Ok(record) => readable.push(record),
                Err(source) => self.said.say(&Fault::corrupt(room, &key, source)),
            }
        }
        Ok(readable)
    }
}
