//! Transactions: what of them is seen, when, and what is left of them.

use std::sync::Barrier;
use std::sync::mpsc::sync_channel;

use super::{TestPlace, add_block, add_function, add_page, add_run, both, count, numbers, write};
use crate::catalog::query::{Filter, Query};
use crate::catalog::tables::{ALL, FUNCTIONS, KEY_PAGES, META, RESULT_BLOCKS, RUNS};
use crate::catalog::{Transaction, WriterOptions};

both! {
    a_dropped_transaction_leaves_nothing,
    a_transaction_sees_its_own_changes,
    a_transaction_is_invisible_before_its_commit,
    a_commit_is_there_in_a_catalog_that_is_opened_anew,
    a_number_of_a_committed_row_is_not_given_by_a_transaction_after_it,
    transactions_exclude_each_other,
    transactions_of_two_catalogs_exclude_each_other,
    many_threads_that_count_lose_no_step,
    a_writer_reads_what_is_committed_beside_its_transactions,
    a_part_that_ends_stays_with_its_transaction,
    a_part_that_is_undone_leaves_nothing_in_any_table_or_index,
    parts_lie_within_each_other,
    a_part_within_an_undone_part_is_undone_with_it,
    a_part_after_an_undone_part_stays,
    an_ended_part_goes_with_a_dropped_transaction,
    a_writer_begins_one_transaction_after_the_other,
    a_transaction_that_changes_nothing_commits,
    shrinking_and_checkpoints_change_no_row,
}

fn page_ids(place: &TestPlace) -> Vec<i64> {
    numbers(&*place.catalog().reader().unwrap(), &Query::of(&KEY_PAGES, &["id"]).ascending("id"))
}

fn a_dropped_transaction_leaves_nothing(place: &TestPlace) {
    let before = ALL.map(|table| count(place, table));
    let catalog = place.catalog();
    let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
    let transaction = writer.begin().unwrap();
    let function = add_function(&*transaction, "f");
    add_block(&*transaction, function, 1, b"data");
    add_page(&*transaction, 1, b"");
    transaction.delete(&META, &Filter::all()).unwrap();
    drop(transaction);
    assert_eq!(ALL.map(|table| count(place, table)), before);
    assert_eq!(catalog.reader().unwrap().last_number(&RESULT_BLOCKS).unwrap(), 0);
}

fn a_transaction_sees_its_own_changes(place: &TestPlace) {
    place.write(|transaction| {
        add_page(transaction, 2, b"");
        add_page(transaction, 1, b"");
        let all = Query::of(&KEY_PAGES, &["id"]).ascending("id");
        assert_eq!(numbers(transaction, &all), [1, 2]);
        transaction.delete(&KEY_PAGES, &Filter::of("id", 1_i64)).unwrap();
        assert_eq!(numbers(transaction, &all), [2]);
    });
}

fn a_transaction_is_invisible_before_its_commit(place: &TestPlace) {
    let (catalog, other) = (place.catalog(), place.catalog());
    let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
    let readers = [catalog.reader().unwrap(), other.reader().unwrap()];
    let seen = || readers.each_ref().map(|reader| numbers(&**reader, &Query::of(&KEY_PAGES, &["id"])).len());
    let transaction = writer.begin().unwrap();
    add_page(&*transaction, 1, b"");
    assert_eq!(seen(), [0, 0]);
    transaction.commit().unwrap();
    assert_eq!(seen(), [1, 1]);
}

fn a_commit_is_there_in_a_catalog_that_is_opened_anew(place: &TestPlace) {
    for id in 0..3 {
        place.write(|transaction| add_page(transaction, id, b""));
    }
    assert_eq!(page_ids(place), [0, 1, 2]);
}

fn a_number_of_a_committed_row_is_not_given_by_a_transaction_after_it(place: &TestPlace) {
    let (one, two) = (place.catalog(), place.catalog());
    assert_eq!(write(&*one, |transaction| add_run(transaction, "a", "p", 0, None)), 1);
    write(&*two, |transaction| transaction.delete(&RUNS, &Filter::all()).unwrap());
    assert_eq!(write(&*one, |transaction| add_run(transaction, "b", "p", 0, None)), 2);
    assert_eq!(write(&*two, |transaction| add_run(transaction, "c", "p", 0, None)), 3);
}

/// Begins a transaction while another is at work: it begins once that one has ended, and sees it.
fn exclude(place: &TestPlace, same: bool) {
    let catalog = place.catalog();
    let other = if same { std::sync::Arc::clone(&catalog) } else { place.catalog() };
    let (begun, waits) = sync_channel(8);
    let (order, ends) = sync_channel(8);
    std::thread::scope(|scope| {
        let first = order.clone();
        scope.spawn(move || {
            let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
            let transaction = writer.begin().unwrap();
            begun.send(()).unwrap();
            (0..500).for_each(|id| add_page(&*transaction, id, b""));
            first.send("first").unwrap();
            transaction.commit().unwrap();
        });
        waits.recv().unwrap();
        scope.spawn(move || {
            let mut writer = other.writer(&WriterOptions::default()).unwrap();
            let transaction = writer.begin().unwrap();
            order.send("second").unwrap();
            assert_eq!(numbers(&*transaction, &Query::of(&KEY_PAGES, &["id"])).len(), 500);
            add_page(&*transaction, 500, b"");
            transaction.commit().unwrap();
        });
    });
    assert_eq!(ends.iter().collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(count(place, &KEY_PAGES), 501);
}

fn transactions_exclude_each_other(place: &TestPlace) {
    exclude(place, true);
}

fn transactions_of_two_catalogs_exclude_each_other(place: &TestPlace) {
    exclude(place, false);
}

fn many_threads_that_count_lose_no_step(place: &TestPlace) {
    let step = |transaction: &dyn Transaction| {
        let counted = numbers(transaction, &Query::of(&META, &["value"]).equal("key", "steps"));
        let next = counted.first().map_or(1, |counted| counted + 1);
        transaction.put(&META, &[("key", "steps".into()), ("value", next.into())]).unwrap();
    };
    let together = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let catalog = place.catalog();
                together.wait();
                (0..20).for_each(|_| write(&*catalog, step));
            });
        }
    });
    let reader = place.catalog().reader().unwrap();
    assert_eq!(numbers(&*reader, &Query::of(&META, &["value"]).equal("key", "steps")), [80]);
}

fn a_writer_reads_what_is_committed_beside_its_transactions(place: &TestPlace) {
    let catalog = place.catalog();
    let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
    let all = Query::of(&KEY_PAGES, &["id"]);
    let transaction = writer.begin().unwrap();
    add_page(&*transaction, 1, b"");
    transaction.commit().unwrap();
    assert_eq!(numbers(writer.rows(), &all), [1]);
    assert!(writer.rows().begin().unwrap());
    place.write(|transaction| transaction.delete(&KEY_PAGES, &Filter::all()).unwrap());
    assert_eq!(numbers(writer.rows(), &all), [1], "its snapshot");
    writer.rows().end();
    assert!(numbers(writer.rows(), &all).is_empty());
}

fn a_part_that_ends_stays_with_its_transaction(place: &TestPlace) {
    place.write(|transaction| {
        transaction.begin_part().unwrap();
        add_page(transaction, 1, b"");
        transaction.end_part().unwrap();
        add_page(transaction, 2, b"");
    });
    assert_eq!(page_ids(place), [1, 2]);
}

fn a_part_that_is_undone_leaves_nothing_in_any_table_or_index(place: &TestPlace) {
    place.write(|transaction| {
        let function = add_function(transaction, "f");
        add_block(transaction, function, 1, b"before");
        add_run(transaction, "a", "p", 0, None);
        transaction.begin_part().unwrap();
        add_function(transaction, "g");
        add_block(transaction, function, 1, b"after");
        add_run(transaction, "b", "p", 0, None);
        transaction.update(&RUNS, &Filter::of("run", "a"), &[("run", "c".into())]).unwrap();
        transaction.put(&META, &[("key", "x".into()), ("value", 1_i64.into())]).unwrap();
        transaction.delete(&RESULT_BLOCKS, &Filter::of("id", 1_i64)).unwrap();
        transaction.undo_part().unwrap();
        let ids = |query: Query<'_>| numbers(transaction, &query);
        assert_eq!(ids(Query::of(&FUNCTIONS, &["id"])), [1]);
        assert_eq!(ids(Query::of(&RESULT_BLOCKS, &["id"]).equal("function", function)), [1]);
        assert_eq!(ids(Query::of(&RUNS, &["id"]).equal("pipeline", "p")), [1]);
        assert_eq!(ids(Query::of(&RUNS, &["id"]).equal("run", "a")), [1]);
        assert!(ids(Query::of(&RUNS, &["id"]).equal("run", "c")).is_empty());
        assert!(ids(Query::of(&META, &["value"]).equal("key", "x")).is_empty());
        // What was taken by the part is free again.
        add_function(transaction, "g");
        add_run(transaction, "b", "p", 0, None);
    });
    assert_eq!((count(place, &FUNCTIONS), count(place, &RUNS), count(place, &RESULT_BLOCKS)), (2, 2, 1));
}

fn parts_lie_within_each_other(place: &TestPlace) {
    place.write(|transaction| {
        transaction.begin_part().unwrap();
        add_page(transaction, 1, b"");
        transaction.begin_part().unwrap();
        add_page(transaction, 2, b"");
        transaction.begin_part().unwrap();
        add_page(transaction, 3, b"");
        transaction.end_part().unwrap();
        transaction.undo_part().unwrap();
        add_page(transaction, 4, b"");
        transaction.end_part().unwrap();
    });
    assert_eq!(page_ids(place), [1, 4]);
}

fn a_part_within_an_undone_part_is_undone_with_it(place: &TestPlace) {
    place.write(|transaction| {
        transaction.begin_part().unwrap();
        transaction.begin_part().unwrap();
        add_page(transaction, 1, b"");
        transaction.end_part().unwrap();
        transaction.undo_part().unwrap();
        assert!(!transaction.is_undone());
    });
    assert!(page_ids(place).is_empty());
}

fn a_part_after_an_undone_part_stays(place: &TestPlace) {
    place.write(|transaction| {
        for id in 0..6 {
            transaction.begin_part().unwrap();
            add_page(transaction, id, b"");
            if id % 2 == 0 { transaction.undo_part() } else { transaction.end_part() }.unwrap();
        }
    });
    assert_eq!(page_ids(place), [1, 3, 5]);
}

fn an_ended_part_goes_with_a_dropped_transaction(place: &TestPlace) {
    let catalog = place.catalog();
    let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
    let transaction = writer.begin().unwrap();
    transaction.begin_part().unwrap();
    add_page(&*transaction, 1, b"");
    transaction.end_part().unwrap();
    transaction.begin_part().unwrap();
    drop(transaction);
    assert!(page_ids(place).is_empty());
    let transaction = writer.begin().unwrap();
    add_page(&*transaction, 2, b"");
    transaction.commit().unwrap();
    assert_eq!(page_ids(place), [2]);
}

fn a_writer_begins_one_transaction_after_the_other(place: &TestPlace) {
    let catalog = place.catalog();
    let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
    for id in 0..10 {
        let transaction = writer.begin().unwrap();
        add_page(&*transaction, id, b"");
        if id % 3 == 0 {
            drop(transaction);
        } else {
            transaction.commit().unwrap();
        }
    }
    assert_eq!(page_ids(place), [1, 2, 4, 5, 7, 8]);
}

fn a_transaction_that_changes_nothing_commits(place: &TestPlace) {
    place.write(|_| ());
    place.write(|transaction| assert!(numbers(transaction, &Query::of(&KEY_PAGES, &["id"])).is_empty()));
}

fn shrinking_and_checkpoints_change_no_row(place: &TestPlace) {
    place.write(|transaction| (0..40).for_each(|id| add_page(transaction, id, &vec![7; 40_000])));
    place.write(|transaction| transaction.delete(&KEY_PAGES, &Filter::all().between("id", 0, 29)).unwrap());
    let catalog = place.catalog();
    let mut writer = catalog.writer(&WriterOptions { yields: true, ..WriterOptions::default() }).unwrap();
    let mut steps = 0;
    while write(&*catalog, |transaction| transaction.shrink().unwrap()) {
        steps += 1;
        assert!(steps < 1_000, "shrinking does not end");
    }
    writer.checkpoint(true).unwrap();
    assert_eq!(catalog.reader().unwrap().free().unwrap().bytes, 0);
    assert!(catalog.reader().unwrap().check().is_empty());
    assert_eq!(page_ids(place), (30..40).collect::<Vec<_>>());
}
