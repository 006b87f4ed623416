//! Secrets that partners handed over.

use tidegate_core::audit::AuditAction;
use tidegate_core::signature::Secret;
use tidegate_store::{ReceivedSecret, SealedSecret, SecretKey, Submission};

use crate::bed::{Bed, HOUR, Store, note_of};

for_every_engine![a_received_secret_survives_and_goes];

fn key() -> SecretKey {
    SecretKey::new(&[7; 32]).unwrap()
}

fn sealed(store: &Store, connection: &str, position: u32, secret: &str) -> SealedSecret {
    let known = ReceivedSecret {
        connection: connection.parse().unwrap(),
        position,
        origin: "store-header".into(),
        received: store.now,
        not_after: None,
    };
    let secret = Secret::new(secret.into()).unwrap();
    key().seal(known, &secret, [1; 12]).unwrap()
}

fn put(store: &mut Store, put: Vec<SealedSecret>, removed: Vec<ReceivedSecret>) {
    let audit = Some(note_of(AuditAction::ReceiveSecret, store.now));
    store.commit(vec![Submission::PutSecrets {
        put,
        removed,
        audit,
    }]);
}

fn opened(store: &Store) -> Vec<String> {
    let sealed = store.reader.received_secrets().unwrap();
    let opened = sealed.iter().map(|sealed| {
        let secret = key().open(sealed).unwrap();
        let text = String::from_utf8(secret.expose().to_vec()).unwrap();
        format!(
            "{} {}: {text}",
            sealed.known.connection, sealed.known.position
        )
    });
    opened.collect()
}

fn a_received_secret_survives_and_goes(bed: &Bed) {
    let mut store = bed.open();
    let both = vec![
        sealed(&store, "asana/acme", 1, "one"),
        sealed(&store, "asana/beta", 1, "other"),
    ];
    put(&mut store, both, vec![]);
    drop(store);
    let mut store = bed.open();
    assert_eq!(opened(&store), ["asana/acme 1: one", "asana/beta 1: other"]);
    let mut first = store.reader.received_secrets().unwrap().remove(0);
    first.known.not_after = Some(store.now.plus(HOUR));
    let next = sealed(&store, "asana/acme", 2, "two");
    put(&mut store, vec![first.clone(), next], vec![]);
    let expect = [
        "asana/acme 1: one",
        "asana/acme 2: two",
        "asana/beta 1: other",
    ];
    assert_eq!(opened(&store), expect);
    let stored = store.reader.received_secrets().unwrap().remove(0);
    assert_eq!(stored.known.not_after, first.known.not_after);
    put(&mut store, vec![], vec![first.known]);
    assert_eq!(opened(&store), expect[1..]);
    assert_eq!(store.reader.audit(None, 9).unwrap().entries.len(), 3);
}
