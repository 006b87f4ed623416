//! Secrets that partners handed over.

use super::draft::Draft;
use crate::keys;
use crate::received::{ReceivedSecret, SealedSecret};

/// Stages what stands from now on, and what goes.
pub(super) fn stage(draft: &mut Draft<'_>, put: &[SealedSecret], removed: &[ReceivedSecret]) {
    let room = draft.view.rooms.secrets;
    for gone in removed {
        let key = keys::received_secret(&gone.connection, gone.position);
        draft.remove(room, key);
    }
    for secret in put {
        let key = keys::received_secret(&secret.known.connection, secret.known.position);
        draft.put(room, key, secret);
    }
}
