//! What each engine promises, said by name.

use std::time::Duration;

use tidegate_store::engine::{Batch, Durability, Engine, Guarantees, Profile, fjall};

use crate::bed::Bed;

#[test]
fn fjall_keeps_every_guarantee() {
    let all = Guarantees {
        survives_power_loss: true,
        snapshot_isolation: true,
        drop_returns_space: true,
    };
    assert_eq!(Bed::fjall().engine().guarantees(), all);
    assert_eq!(Bed::memory().engine().guarantees(), all);
}

#[test]
fn fjall_returns_the_space_of_a_dropped_keyspace() {
    let Bed::Fjall(dir) = Bed::fjall() else {
        panic!("it is a bed of fjall");
    };
    let engine = fjall::open(dir.path()).unwrap();
    let rows = engine.open_keyspace("rows", Profile::Sequence).unwrap();
    // More than its memtable takes, so that tables are written.
    for chunk in 0..25_u32 {
        let mut batch = Batch::default();
        for number in 0..1_000 {
            batch.put(rows, (chunk * 1_000 + number).to_be_bytes(), vec![7; 2_000]);
        }
        engine.write(batch, Durability::Buffered).unwrap();
    }
    let folders = || {
        std::fs::read_dir(dir.path().join("keyspaces"))
            .unwrap()
            .count()
    };
    let before = folders();
    engine.drop_keyspace(rows).unwrap();
    // Workers may still hold it for a moment.
    let gone = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        folders() < before
    });
    assert!(gone, "its folder is still there");
}

#[cfg(feature = "sled")]
mod sled {
    use tidegate_store::engine::{Batch, Durability, Profile};

    use crate::bed::Bed;

    #[test]
    fn sled_does_not_survive_power_loss() {
        // Its flush ends in sync_file_range on Linux; no call of it is an fsync.
        assert!(!Bed::sled().engine().guarantees().survives_power_loss);
    }

    #[test]
    fn sled_has_no_snapshot_isolation() {
        let engine = Bed::sled().engine();
        assert!(!engine.guarantees().snapshot_isolation);
        let rows = engine.open_keyspace("rows", Profile::State).unwrap();
        let view = engine.snapshot().unwrap();
        let mut batch = Batch::default();
        batch.put(rows, "later", vec![1]);
        engine.write(batch, Durability::Synced).unwrap();
        let shown = view.get(rows, b"later").unwrap();
        assert!(
            shown.is_some(),
            "it has become isolated: say so in its guarantees"
        );
    }

    #[test]
    fn sled_does_not_return_the_space_of_a_dropped_keyspace() {
        let bed = Bed::sled();
        let engine = bed.engine();
        assert!(!engine.guarantees().drop_returns_space);
        let rows = engine.open_keyspace("rows", Profile::Sequence).unwrap();
        for chunk in 0..40_u32 {
            let mut batch = Batch::default();
            for number in 0..100 {
                batch.put(rows, (chunk * 100 + number).to_be_bytes(), vec![7; 2_000]);
            }
            engine.write(batch, Durability::Synced).unwrap();
        }
        let before = engine.disk().unwrap().bytes;
        engine.drop_keyspace(rows).unwrap();
        let after = engine.disk().unwrap().bytes;
        assert!(
            after > before / 2,
            "{before} bytes became {after}: say so in its guarantees"
        );
    }
}
