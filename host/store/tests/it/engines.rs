//! The contract of an engine by itself.

use std::sync::Arc;

use tidegate_store::engine::{
    Batch, Durability, Engine, EngineError, Keyspace, Order, Profile, Snapshot, Span,
};

use crate::bed::Bed;

for_every_engine![
    a_range_goes_both_ways_and_keeps_its_bounds,
    a_batch_over_several_keyspaces_is_read_back,
    a_long_range_is_whole,
    keyspaces_are_found_again_and_dropped,
    tending_shows_nowhere,
];

#[track_caller]
fn write(engine: &dyn Engine, batch: Batch) {
    engine.write(batch, Durability::Synced).unwrap();
}

#[track_caller]
fn keys(view: &dyn Snapshot, keyspace: Keyspace, span: Span<'_>, order: Order) -> Vec<String> {
    view.range(keyspace, span, order)
        .unwrap()
        .map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap())
        .collect()
}

fn a_range_goes_both_ways_and_keeps_its_bounds(bed: &Bed) {
    let engine = bed.engine();
    let below = engine.open_keyspace("below", Profile::State).unwrap();
    let rows = engine.open_keyspace("rows", Profile::State).unwrap();
    let above = engine.open_keyspace("above", Profile::State).unwrap();
    let mut batch = Batch::default();
    for key in ["a", "b", "ba", "c", "d"] {
        batch.put(rows, key, key);
    }
    batch.put(below, "b", vec![1]);
    batch.put(above, "b", vec![1]);
    write(&*engine, batch);
    let view = engine.snapshot().unwrap();
    let span = |from: &'static str, until: Option<&'static str>| Span {
        from: from.as_bytes(),
        until: until.map(str::as_bytes),
    };
    let check = |span: Span<'_>, expect: &[&str]| {
        assert_eq!(keys(&*view, rows, span, Order::Ascending), expect);
        let reversed: Vec<_> = expect.iter().rev().copied().collect();
        assert_eq!(keys(&*view, rows, span, Order::Descending), reversed);
    };
    check(Span::ALL, &["a", "b", "ba", "c", "d"]);
    check(span("b", Some("c")), &["b", "ba"]);
    check(span("b", None), &["b", "ba", "c", "d"]);
    check(span("", Some("b")), &["a"]);
    check(span("c", Some("c")), &[]);
    check(span("d", Some("a")), &[]);
    check(span("e", None), &[]);
}

fn a_batch_over_several_keyspaces_is_read_back(bed: &Bed) {
    let engine = bed.engine();
    let one = engine.open_keyspace("one", Profile::Lookup).unwrap();
    let two = engine.open_keyspace("two", Profile::Churn).unwrap();
    let mut batch = Batch::default();
    batch.put(one, "key", b"1".to_vec());
    batch.put(two, "key", b"2".to_vec());
    batch.put(two, "goes", b"3".to_vec());
    write(&*engine, batch);
    let mut batch = Batch::default();
    batch.put(one, "key", b"4".to_vec());
    batch.remove(two, "goes");
    batch.remove(two, "never was");
    write(&*engine, batch);
    drop(engine);

    let engine = bed.engine();
    let one = engine.open_keyspace("one", Profile::Lookup).unwrap();
    let two = engine.open_keyspace("two", Profile::Churn).unwrap();
    let view = engine.snapshot().unwrap();
    assert_eq!(view.get(one, b"key").unwrap().unwrap(), "4");
    assert_eq!(view.get(two, b"key").unwrap().unwrap(), "2");
    assert_eq!(view.get(two, b"goes").unwrap(), None);
}

fn a_long_range_is_whole(bed: &Bed) {
    let engine = bed.engine();
    let rows = engine.open_keyspace("rows", Profile::Sequence).unwrap();
    for chunk in 0..10_u64 {
        let mut batch = Batch::default();
        for number in 0..100 {
            batch.put(rows, (chunk * 100 + number).to_be_bytes(), vec![7; 100]);
        }
        write(&*engine, batch);
    }
    let view = engine.snapshot().unwrap();
    for order in [Order::Ascending, Order::Descending] {
        let mut found: Vec<_> = view
            .range(rows, Span::ALL, order)
            .unwrap()
            .map(|row| u64::from_be_bytes(row.unwrap().0.as_ref().try_into().unwrap()))
            .collect();
        if order == Order::Descending {
            found.reverse();
        }
        assert_eq!(found, (0..1_000).collect::<Vec<_>>());
    }
}

fn keyspaces_are_found_again_and_dropped(bed: &Bed) {
    let engine = bed.engine();
    let gone = engine.open_keyspace("gone", Profile::Sequence).unwrap();
    let stays = engine.open_keyspace("stays", Profile::Sequence).unwrap();
    let mut batch = Batch::default();
    batch.put(gone, "key", vec![1]);
    batch.put(stays, "key", vec![2]);
    write(&*engine, batch);
    engine.drop_keyspace(gone).unwrap();
    assert_eq!(engine.keyspaces().unwrap(), ["stays"]);
    drop(engine);
    let engine = bed.engine();
    assert_eq!(engine.keyspaces().unwrap(), ["stays"]);
    let again = engine.open_keyspace("gone", Profile::Sequence).unwrap();
    let stays = engine.open_keyspace("stays", Profile::Sequence).unwrap();
    let view = engine.snapshot().unwrap();
    assert_eq!(
        view.get(again, b"key").unwrap(),
        None,
        "nothing of the dropped one is left"
    );
    assert_eq!(view.get(stays, b"key").unwrap().unwrap().as_ref(), [2]);
}

fn tending_shows_nowhere(bed: &Bed) {
    let engine = bed.engine();
    let rows = engine.open_keyspace("rows", Profile::Churn).unwrap();
    engine.tend().unwrap();
    engine.tend().unwrap();
    let view = engine.snapshot().unwrap();
    assert_eq!(
        keys(&*view, rows, Span::ALL, Order::Ascending),
        Vec::<String>::new()
    );
    assert_eq!(
        keys(&*view, rows, Span::ALL, Order::Descending),
        Vec::<String>::new()
    );
}

/// Where an engine has snapshots, they do not move.
#[track_caller]
fn a_snapshot_stands_still(engine: &Arc<dyn Engine>) {
    let rows = engine.open_keyspace("rows", Profile::State).unwrap();
    let put = |value: u8| {
        let mut batch = Batch::default();
        batch.put(rows, "key", vec![value]);
        batch.put(rows, [value], vec![value]);
        write(&**engine, batch);
    };
    put(1);
    let view = engine.snapshot().unwrap();
    put(2);
    assert_eq!(view.get(rows, b"key").unwrap().unwrap().as_ref(), [1]);
    let count = view
        .range(rows, Span::ALL, Order::Ascending)
        .unwrap()
        .count();
    assert_eq!(count, 2);
}

#[test]
fn snapshots_of_memory_stand_still() {
    a_snapshot_stands_still(&Bed::memory().engine());
}

#[test]
fn snapshots_of_fjall_stand_still() {
    a_snapshot_stands_still(&Bed::fjall().engine());
}

#[test]
fn a_second_opening_of_fjall_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = tidegate_store::engine::fjall::open(dir.path()).unwrap();
    let second = tidegate_store::engine::fjall::open(dir.path());
    assert!(
        matches!(second, Err(EngineError::Locked { .. })),
        "{second:?}"
    );
}

#[cfg(feature = "sled")]
#[test]
fn a_second_opening_of_sled_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = tidegate_store::engine::sled::open(dir.path()).unwrap();
    let second = tidegate_store::engine::sled::open(dir.path());
    assert!(
        matches!(second, Err(EngineError::Locked { .. })),
        "{second:?}"
    );
}

#[cfg(feature = "sled")]
#[test]
fn a_folder_of_the_other_engine_is_refused() {
    use tidegate_store::engine::{fjall, sled};

    let dir = tempfile::tempdir().unwrap();
    drop(fjall::open(dir.path()).unwrap());
    let wrong = sled::open(dir.path());
    assert!(
        matches!(wrong, Err(EngineError::Foreign { found: "fjall", .. })),
        "{wrong:?}"
    );
    let dir = tempfile::tempdir().unwrap();
    drop(sled::open(dir.path()).unwrap());
    let wrong = fjall::open(dir.path());
    assert!(
        matches!(wrong, Err(EngineError::Foreign { found: "sled", .. })),
        "{wrong:?}"
    );
}

#[test]
fn the_memory_engine_refuses_a_key_written_twice() {
    let engine = Bed::memory().engine();
    let rows = engine.open_keyspace("rows", Profile::State).unwrap();
    let mut batch = Batch::default();
    batch.put(rows, "key", vec![1]);
    batch.remove(rows, "key");
    let written = engine.write(batch, Durability::Synced);
    assert!(matches!(written, Err(EngineError::KeyTwice)), "{written:?}");
}
