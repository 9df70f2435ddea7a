//! Readers: what they see beside those who write.

use std::sync::mpsc::sync_channel;

use super::{TestPlace, add_page, add_run, both, numbers, write};
use crate::catalog::Reader;
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Snapshot;
use crate::catalog::tables::{KEY_PAGES, RUNS};

both! {
    a_reader_without_a_snapshot_sees_each_commit,
    a_snapshot_stays_beside_commits_until_it_ends,
    a_snapshot_has_all_tables_of_one_moment,
    a_snapshot_is_taken_when_it_begins,
    a_snapshot_that_begins_twice_is_one,
    snapshots_of_two_readers_are_their_own,
    a_reader_that_is_used_again_has_no_snapshot,
    a_guard_within_a_guard_keeps_the_snapshot,
    readers_on_several_threads_see_whole_transactions,
    a_snapshot_keeps_the_last_number,
    a_reader_goes_to_another_thread_with_its_snapshot,
    a_new_store_has_nothing_wrong_with_it,
}

fn pages(reader: &dyn Reader) -> Vec<i64> {
    numbers(reader, &Query::of(&KEY_PAGES, &["id"]).ascending("id"))
}

fn add(place: &TestPlace, id: i64) {
    place.write(|transaction| add_page(transaction, id, b""));
}

fn a_reader_without_a_snapshot_sees_each_commit(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    for id in 0..3 {
        add(place, id);
        assert_eq!(pages(&*reader), (0..=id).collect::<Vec<_>>());
    }
}

fn a_snapshot_stays_beside_commits_until_it_ends(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    add(place, 1);
    assert!(reader.begin().unwrap());
    add(place, 2);
    place.write(|transaction| transaction.delete(&KEY_PAGES, &Filter::of("id", 1_i64)).unwrap());
    assert_eq!(pages(&*reader), [1]);
    reader.end();
    assert_eq!(pages(&*reader), [2]);
    assert!(reader.begin().unwrap());
    reader.end();
}

fn a_snapshot_has_all_tables_of_one_moment(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    reader.begin().unwrap();
    place.write(|transaction| {
        add_page(transaction, 1, b"");
        add_run(transaction, "a", "p", 0, None);
    });
    assert!(pages(&*reader).is_empty());
    assert!(numbers(&*reader, &Query::of(&RUNS, &["id"])).is_empty(), "first read after the commit");
    reader.end();
    assert_eq!(numbers(&*reader, &Query::of(&RUNS, &["id"])), [1]);
}

fn a_snapshot_is_taken_when_it_begins(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    reader.begin().unwrap();
    add(place, 1);
    assert!(pages(&*reader).is_empty());
    reader.end();
}

fn a_snapshot_that_begins_twice_is_one(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    assert!(reader.begin().unwrap());
    add(place, 1);
    assert!(!reader.begin().unwrap());
    assert!(pages(&*reader).is_empty());
    reader.end();
    assert_eq!(pages(&*reader), [1]);
}

fn snapshots_of_two_readers_are_their_own(place: &TestPlace) {
    let catalog = place.catalog();
    let (early, late) = (catalog.reader().unwrap(), catalog.reader().unwrap());
    early.begin().unwrap();
    add(place, 1);
    late.begin().unwrap();
    add(place, 2);
    assert_eq!((pages(&*early), pages(&*late)), (vec![], vec![1]));
    late.end();
    assert_eq!((pages(&*early), pages(&*late)), (vec![], vec![1, 2]));
    early.end();
}

fn a_reader_that_is_used_again_has_no_snapshot(place: &TestPlace) {
    let catalog = place.catalog();
    for id in 0..12 {
        let readers: Vec<_> = (0..3).map(|_| catalog.reader().unwrap()).collect();
        for reader in &readers {
            assert_eq!(pages(&**reader), (0..id).collect::<Vec<_>>());
        }
        assert!(readers[0].begin().unwrap() && readers[1].begin().unwrap());
        readers[1].end();
        add(place, id);
        assert_eq!(i64::try_from(pages(&*readers[0]).len()).unwrap(), id);
    }
}

fn a_guard_within_a_guard_keeps_the_snapshot(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    let outer = Snapshot::take(&*reader).unwrap();
    assert!(outer.is_begun());
    add(place, 1);
    let inner = Snapshot::take(&*reader).unwrap();
    assert!(!inner.is_begun());
    drop(inner);
    assert!(pages(&*reader).is_empty(), "the outer one is still there");
    drop(outer);
    assert_eq!(pages(&*reader), [1]);
}

fn readers_on_several_threads_see_whole_transactions(place: &TestPlace) {
    let catalog = place.catalog();
    let (done, ends) = sync_channel::<()>(8);
    let ends = std::sync::Mutex::new(ends);
    let is_done = || ends.lock().unwrap().try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected);
    std::thread::scope(|scope| {
        let writer = scope.spawn({
            let catalog = place.catalog();
            move || {
                for n in 0..40 {
                    write(&*catalog, |transaction| {
                        // Two pages come and go together.
                        transaction.delete(&KEY_PAGES, &Filter::all()).unwrap();
                        add_page(transaction, n, b"");
                        add_page(transaction, n + 1_000, b"");
                    });
                }
                drop(done);
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let reader = catalog.reader().unwrap();
                let mut newest = -1;
                while !is_done() {
                    let _snapshot = Snapshot::take(&*reader).unwrap();
                    let (once, again) = (pages(&*reader), pages(&*reader));
                    assert_eq!(once, again);
                    if let [first, second] = once[..] {
                        assert!(first + 1_000 == second && first >= newest);
                        newest = first;
                    } else {
                        assert!(once.is_empty() && newest == -1, "found {once:?}");
                    }
                }
            });
        }
        writer.join().unwrap();
    });
    assert_eq!(pages(&*catalog.reader().unwrap()), [39, 1_039]);
}

fn a_snapshot_keeps_the_last_number(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    reader.begin().unwrap();
    place.write(|transaction| add_run(transaction, "a", "p", 0, None));
    assert_eq!(reader.last_number(&RUNS).unwrap(), 0);
    reader.end();
    assert_eq!(reader.last_number(&RUNS).unwrap(), 1);
}

fn a_reader_goes_to_another_thread_with_its_snapshot(place: &TestPlace) {
    let reader = place.catalog().reader().unwrap();
    reader.begin().unwrap();
    add(place, 1);
    let reader = std::thread::spawn(move || {
        assert!(pages(&*reader).is_empty());
        reader
    });
    let reader = reader.join().unwrap();
    reader.end();
    assert_eq!(pages(&*reader), [1]);
}

fn a_new_store_has_nothing_wrong_with_it(place: &TestPlace) {
    let catalog = place.catalog();
    let reader = catalog.reader().unwrap();
    assert!(reader.check().is_empty());
    assert_eq!(reader.free().unwrap().bytes, 0);
    assert!(reader.free().unwrap().returnable);
    assert_eq!(catalog.disk_bytes() > 0, matches!(place, TestPlace::Folder(_)));
}
