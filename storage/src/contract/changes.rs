//! Changes: what is inserted, put, updated and deleted, and what refuses it.

use std::ops::ControlFlow;

use super::{Cell, TestPlace, add_block, add_function, add_page, add_run, both, count, numbers, rows};
use crate::catalog::Transaction;
use crate::catalog::query::{Filter, Query};
use crate::catalog::tables::{FUNCTIONS, KEY_PAGES, LINKS, META, RESULT_BLOCKS, RUNS, SMALL_ROWS};
use crate::catalog::value::Value;

both! {
    a_given_number_comes_back,
    a_number_is_larger_than_those_of_all_rows_that_are_there,
    a_number_is_never_given_again_once_its_row_is_gone,
    numbers_go_on_after_one_that_was_given,
    the_last_number_outlives_its_row,
    a_row_with_the_key_of_another_is_refused_and_the_transaction_goes_on,
    a_row_with_the_values_of_another_in_a_unique_index_is_refused,
    a_refused_row_takes_no_number,
    a_put_adds_a_row_or_takes_the_place_of_one,
    a_put_leaves_no_value_of_the_row_before,
    a_put_moves_its_row_in_the_indexes,
    a_put_does_not_remove_another_row_of_a_unique_index,
    an_update_changes_all_rows_of_its_filter_and_counts_them,
    an_update_of_nothing_counts_nothing,
    an_update_moves_rows_in_and_out_of_indexes,
    an_update_that_is_refused_changes_no_row,
    a_delete_removes_all_rows_of_its_filter_and_counts_them,
    a_delete_goes_by_spans_and_indexes,
    a_value_may_be_used_again_once_its_row_is_gone,
    rows_of_twenty_mebibytes_come_back,
    a_large_row_in_the_place_of_a_small_one_comes_back,
    empty_bytes_are_not_null,
    strings_have_all_of_unicode_and_zeros,
    the_largest_and_the_smallest_number_come_back,
    rows_may_be_deleted_while_they_are_scanned,
    other_tables_may_be_changed_while_one_is_scanned,
    rows_may_be_updated_while_they_are_scanned,
}

fn names(of: &dyn Transaction) -> Vec<Vec<Cell>> {
    rows(of, &Query::of(&RUNS, &["run"]).ascending("id"))
}

fn strings(strings: &[&str]) -> Vec<Vec<Cell>> {
    strings.iter().map(|string| vec![Cell::String((*string).to_owned())]).collect()
}

fn runs() -> Query<'static> {
    Query::of(&RUNS, &["id"])
}

fn a_given_number_comes_back(place: &TestPlace) {
    place.write(|transaction| {
        for id in [7, -3, i64::MAX, 0] {
            let row = [("id", id.into()), ("data", b"".into())];
            assert_eq!(transaction.insert(&KEY_PAGES, &row).unwrap(), id);
        }
    });
    assert_eq!(count(place, &KEY_PAGES), 4);
}

fn a_number_is_larger_than_those_of_all_rows_that_are_there(place: &TestPlace) {
    place.write(|transaction| {
        assert_eq!(["a", "b", "c"].map(|name| add_function(transaction, name)), [1, 2, 3]);
        transaction.delete(&FUNCTIONS, &Filter::of("id", 2_i64)).unwrap();
        assert_eq!(add_function(transaction, "d"), 4);
    });
}

fn a_number_is_never_given_again_once_its_row_is_gone(place: &TestPlace) {
    place.write(|transaction| {
        assert_eq!(["a", "b", "c"].map(|name| add_run(transaction, name, "p", 0, None)), [1, 2, 3]);
    });
    place.write(|transaction| transaction.delete(&RUNS, &Filter::all()).unwrap());
    assert_eq!(place.write(|transaction| add_run(transaction, "d", "p", 0, None)), 4);
    place.write(|transaction| {
        transaction.delete(&RUNS, &Filter::all()).unwrap();
        assert_eq!(add_run(transaction, "e", "p", 0, None), 5);
    });
}

fn numbers_go_on_after_one_that_was_given(place: &TestPlace) {
    place.write(|transaction| {
        let row = [
            ("id", 70_i64.into()),
            ("run", "given".into()),
            ("pipeline", "p".into()),
            ("pipeline_hash", "".into()),
            ("started_ms", 0_i64.into()),
        ];
        assert_eq!(transaction.insert(&RUNS, &row).unwrap(), 70);
        assert_eq!(add_run(transaction, "next", "p", 0, None), 71);
    });
}

fn the_last_number_outlives_its_row(place: &TestPlace) {
    let last = || place.catalog().reader().unwrap().last_number(&RUNS).unwrap();
    assert_eq!(last(), 0);
    place.write(|transaction| {
        add_run(transaction, "a", "p", 0, None);
        add_run(transaction, "b", "p", 0, None);
        assert_eq!(transaction.last_number(&RUNS).unwrap(), 2);
    });
    place.write(|transaction| transaction.delete(&RUNS, &Filter::of("id", 2_i64)).unwrap());
    assert_eq!(last(), 2);
    assert_eq!(place.catalog().reader().unwrap().last_number(&RESULT_BLOCKS).unwrap(), 0);
}

fn a_row_with_the_key_of_another_is_refused_and_the_transaction_goes_on(place: &TestPlace) {
    place.write(|transaction| {
        add_page(transaction, 1, b"first");
        let again = [("id", 1_i64.into()), ("data", b"second".into())];
        assert!(transaction.insert(&KEY_PAGES, &again).is_err());
        assert!(!transaction.is_undone());
        add_page(transaction, 2, b"third");
    });
    let found = place.rows(&Query::of(&KEY_PAGES, &["data"]).ascending("id"));
    assert_eq!(found, [[Cell::Bytes(b"first".into())], [Cell::Bytes(b"third".into())]]);
}

fn a_row_with_the_values_of_another_in_a_unique_index_is_refused(place: &TestPlace) {
    place.write(|transaction| {
        add_function(transaction, "a");
        let again =
            [("fingerprint", Value::from(b"a")), ("name", "other".into()), ("created_ms", 0_i64.into())];
        assert!(transaction.insert(&FUNCTIONS, &again).is_err());
        assert_eq!(add_function(transaction, "b"), 2);
        assert!(numbers(transaction, &Query::of(&FUNCTIONS, &["id"]).equal("name", "other")).is_empty());
    });
    assert_eq!(count(place, &FUNCTIONS), 2);
}

fn a_refused_row_takes_no_number(place: &TestPlace) {
    place.write(|transaction| {
        add_run(transaction, "a", "p", 0, None);
        let again = [
            ("run", "a".into()),
            ("pipeline", "p".into()),
            ("pipeline_hash", "".into()),
            ("started_ms", 0_i64.into()),
        ];
        assert!(transaction.insert(&RUNS, &again).is_err());
        assert_eq!(transaction.last_number(&RUNS).unwrap(), 1);
        assert_eq!(add_run(transaction, "b", "p", 0, None), 2);
    });
}

fn a_put_adds_a_row_or_takes_the_place_of_one(place: &TestPlace) {
    place.write(|transaction| {
        for (key, value) in [("x", 1_i64), ("y", 2), ("x", 3)] {
            transaction.put(&META, &[("key", key.into()), ("value", value.into())]).unwrap();
        }
        let value = |key| numbers(transaction, &Query::of(&META, &["value"]).equal("key", key));
        assert_eq!((value("x"), value("y")), (vec![3], vec![2]));
    });
}

fn put_run(transaction: &dyn Transaction, id: i64, run: &str, pipeline: &str) -> bool {
    let row = [
        ("id", id.into()),
        ("run", run.into()),
        ("pipeline", pipeline.into()),
        ("pipeline_hash", "".into()),
        ("started_ms", 0_i64.into()),
    ];
    transaction.put(&RUNS, &row).is_ok()
}

fn a_put_leaves_no_value_of_the_row_before(place: &TestPlace) {
    place.write(|transaction| {
        let id = add_run(transaction, "a", "p", 0, Some(5));
        assert!(put_run(transaction, id, "a", "p"));
    });
    assert_eq!(place.rows(&Query::of(&RUNS, &["id", "ended_ms"])), [[Cell::Number(1), Cell::Null]]);
}

fn a_put_moves_its_row_in_the_indexes(place: &TestPlace) {
    place.write(|transaction| {
        let id = add_run(transaction, "a", "p", 0, None);
        assert!(put_run(transaction, id, "b", "q"));
        let of = |column, value| numbers(transaction, &runs().equal(column, value));
        assert_eq!((of("run", "a"), of("run", "b")), (vec![], vec![1]));
        assert_eq!((of("pipeline", "p"), of("pipeline", "q")), (vec![], vec![1]));
        add_run(transaction, "a", "p", 0, None);
    });
}

fn a_put_does_not_remove_another_row_of_a_unique_index(place: &TestPlace) {
    place.write(|transaction| {
        add_run(transaction, "a", "p", 0, None);
        add_run(transaction, "b", "p", 0, Some(9));
        assert!(!put_run(transaction, 2, "a", "p"), "the name is that of another run");
        assert!(!put_run(transaction, 3, "a", "p"));
        assert_eq!(names(transaction), strings(&["a", "b"]));
        assert_eq!(numbers(transaction, &runs().equal("ended_ms", 9_i64)), [2]);
    });
}

fn an_update_changes_all_rows_of_its_filter_and_counts_them(place: &TestPlace) {
    place.write(|transaction| {
        for (name, pipeline) in [("a", "p"), ("b", "q"), ("c", "p")] {
            add_run(transaction, name, pipeline, 0, None);
        }
        let values = [("status", "ok".into()), ("ended_ms", 4_i64.into())];
        assert_eq!(transaction.update(&RUNS, &Filter::of("pipeline", "p"), &values).unwrap(), 2);
        assert_eq!(transaction.update(&RUNS, &Filter::of("status", "ok"), &values[..1]).unwrap(), 2);
    });
    let status = |status: Option<&str>| status.map_or(Cell::Null, |status| Cell::String(status.into()));
    let found = place.rows(&Query::of(&RUNS, &["status"]).ascending("id"));
    assert_eq!(found, [Some("ok"), None, Some("ok")].map(|s| vec![status(s)]));
    place.write(|transaction| {
        let none = [("status", None::<&str>.into())];
        assert_eq!(transaction.update(&RUNS, &Filter::all(), &none).unwrap(), 3);
    });
    assert!(place.rows(&Query::of(&RUNS, &["status"])).iter().all(|row| row[0] == Cell::Null));
}

fn an_update_of_nothing_counts_nothing(place: &TestPlace) {
    place.write(|transaction| {
        add_run(transaction, "a", "p", 0, None);
        let changed = transaction.update(&RUNS, &Filter::of("run", "b"), &[("ended_ms", 4_i64.into())]);
        assert_eq!(changed.unwrap(), 0);
        assert_eq!(transaction.delete(&RUNS, &Filter::of("run", "b")).unwrap(), 0);
    });
}

fn an_update_moves_rows_in_and_out_of_indexes(place: &TestPlace) {
    place.write(|transaction| {
        let function = add_function(transaction, "f");
        let block = add_block(transaction, function, 1, &[]);
        let small =
            || Query::of(&RESULT_BLOCKS, &["id"]).equal("function", function).small("rows", SMALL_ROWS);
        let mut sizes = Vec::new();
        for rows in [SMALL_ROWS + 1, 7] {
            let of = Filter::of("id", block);
            assert_eq!(transaction.update(&RESULT_BLOCKS, &of, &[("rows", rows.into())]).unwrap(), 1);
            sizes.push(numbers(transaction, &small()).len());
        }
        assert_eq!(sizes, [0, 1]);
        add_run(transaction, "a", "p", 0, None);
        transaction.update(&RUNS, &Filter::of("run", "a"), &[("run", "b".into())]).unwrap();
        assert_eq!(numbers(transaction, &runs().equal("run", "b")), [1]);
        add_run(transaction, "a", "p", 0, None);
    });
}

fn an_update_that_is_refused_changes_no_row(place: &TestPlace) {
    place.write(|transaction| {
        for name in ["a", "b", "c"] {
            add_run(transaction, name, "p", 0, None);
        }
        let same = [("run", "one".into())];
        assert!(transaction.update(&RUNS, &Filter::of("pipeline", "p"), &same).is_err());
        assert!(transaction.update(&RUNS, &Filter::of("id", 1_i64), &[("run", "c".into())]).is_err());
        assert!(transaction.update(&RUNS, &Filter::of("id", 1_i64), &[("id", 2_i64.into())]).is_err());
        assert_eq!(names(transaction), strings(&["a", "b", "c"]));
        let itself = transaction.update(&RUNS, &Filter::of("id", 1_i64), &[("run", "a".into())]);
        assert_eq!(itself.unwrap(), 1, "its own name is no conflict");
    });
}

fn a_delete_removes_all_rows_of_its_filter_and_counts_them(place: &TestPlace) {
    place.write(|transaction| {
        for (name, pipeline) in [("a", "p"), ("b", "q"), ("c", "p")] {
            add_run(transaction, name, pipeline, 0, None);
        }
        assert_eq!(transaction.delete(&RUNS, &Filter::of("pipeline", "p")).unwrap(), 2);
        assert_eq!(names(transaction), strings(&["b"]));
        assert_eq!(transaction.delete(&RUNS, &Filter::all()).unwrap(), 1);
    });
    assert_eq!(count(place, &RUNS), 0);
}

fn a_delete_goes_by_spans_and_indexes(place: &TestPlace) {
    place.write(|transaction| {
        (0..10).for_each(|id| add_page(transaction, id, &[]));
        assert_eq!(transaction.delete(&KEY_PAGES, &Filter::all().between("id", 3, 6)).unwrap(), 4);
        assert_eq!(transaction.delete(&KEY_PAGES, &Filter::all().between("id", 6, 3)).unwrap(), 0);
        let left = numbers(transaction, &Query::of(&KEY_PAGES, &["id"]).ascending("id"));
        assert_eq!(left, [0, 1, 2, 7, 8, 9]);
        let of = Filter::of("id", 8_i64).between("id", 0, 7);
        assert_eq!(transaction.delete(&KEY_PAGES, &of).unwrap(), 0);
    });
}

fn a_value_may_be_used_again_once_its_row_is_gone(place: &TestPlace) {
    place.write(|transaction| {
        add_function(transaction, "a");
        add_page(transaction, 1, b"one");
        transaction.delete(&FUNCTIONS, &Filter::of("name", "a")).unwrap();
        transaction.delete(&KEY_PAGES, &Filter::of("id", 1_i64)).unwrap();
        add_function(transaction, "a");
        add_page(transaction, 1, b"two");
    });
    assert_eq!(place.rows(&Query::of(&KEY_PAGES, &["data"])), [[Cell::Bytes(b"two".into())]]);
}

fn large(salt: u8) -> Vec<u8> {
    (0..20_usize << 20).map(|at| u8::try_from(at / 997 % 256).unwrap() ^ salt).collect()
}

fn rows_of_twenty_mebibytes_come_back(place: &TestPlace) {
    place.write(|transaction| {
        let function = add_function(transaction, "f");
        add_block(transaction, function, 1, &large(1));
        add_block(transaction, function, 1, &large(2));
    });
    let all = Query::of(&RESULT_BLOCKS, &["data"]).ascending("id");
    assert!(place.rows(&all) == [[Cell::Bytes(large(1))], [Cell::Bytes(large(2))]]);
}

fn a_large_row_in_the_place_of_a_small_one_comes_back(place: &TestPlace) {
    place.write(|transaction| {
        add_page(transaction, 1, b"small");
        transaction.put(&KEY_PAGES, &[("id", 1_i64.into()), ("data", (&large(3)).into())]).unwrap();
        let of = Filter::of("id", 1_i64);
        assert_eq!(transaction.update(&KEY_PAGES, &of, &[("data", (&large(4)).into())]).unwrap(), 1);
    });
    assert!(place.rows(&Query::of(&KEY_PAGES, &["data"])) == [[Cell::Bytes(large(4))]]);
}

fn empty_bytes_are_not_null(place: &TestPlace) {
    place.write(|transaction| {
        add_page(transaction, 1, &[]);
        add_run(transaction, "", "", 0, None);
    });
    assert_eq!(place.rows(&Query::of(&KEY_PAGES, &["data"])), [[Cell::Bytes(vec![])]]);
    let empty = Query::of(&RUNS, &["run", "status"]).equal("run", "");
    assert_eq!(place.rows(&empty), [[Cell::String(String::new()), Cell::Null]]);
}

fn strings_have_all_of_unicode_and_zeros(place: &TestPlace) {
    let all: String = (0..=u32::from(char::MAX)).step_by(7).filter_map(char::from_u32).collect();
    let strings = [all.as_str(), "\0", "a\0b", "a", "'; --", "\u{feff}"];
    place.write(|transaction| {
        for string in strings {
            add_run(transaction, string, "p", 0, None);
        }
    });
    for (string, id) in strings.iter().zip(1..) {
        let found = place.rows(&Query::of(&RUNS, &["id", "run"]).equal("run", *string));
        assert!(found == [[Cell::Number(id), Cell::String((*string).to_owned())]], "string {id}");
    }
}

fn the_largest_and_the_smallest_number_come_back(place: &TestPlace) {
    place.write(|transaction| {
        add_run(transaction, "a", "p", i64::MIN, Some(i64::MAX));
    });
    let found = place.rows(&Query::of(&RUNS, &["started_ms", "ended_ms"]));
    assert_eq!(found, [[Cell::Number(i64::MIN), Cell::Number(i64::MAX)]]);
}

fn rows_may_be_deleted_while_they_are_scanned(place: &TestPlace) {
    place.write(|transaction| {
        (0..50).for_each(|id| add_page(transaction, id, &[]));
        let mut seen = Vec::new();
        let each = &mut |row: &crate::catalog::value::Row<'_>| {
            let id = row.number(0).unwrap();
            seen.push(id);
            assert_eq!(transaction.delete(&KEY_PAGES, &Filter::of("id", id)).unwrap(), 1);
            ControlFlow::Continue(())
        };
        transaction.scan(&Query::of(&KEY_PAGES, &["id"]).ascending("id"), each).unwrap();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    });
    assert_eq!(count(place, &KEY_PAGES), 0);
}

fn other_tables_may_be_changed_while_one_is_scanned(place: &TestPlace) {
    place.write(|transaction| {
        (0..20).for_each(|id| add_page(transaction, id, &[]));
        let each = &mut |row: &crate::catalog::value::Row<'_>| {
            let id = row.number(0).unwrap();
            add_run(transaction, &id.to_string(), "p", id, None);
            let link = [
                ("run", "r".into()),
                ("node", "n".into()),
                ("source_id", "".into()),
                ("store", ".".into()),
                ("recording", id.into()),
            ];
            transaction.put(&LINKS, &link).unwrap();
            ControlFlow::Continue(())
        };
        transaction.scan(&Query::of(&KEY_PAGES, &["id"]).ascending("id"), each).unwrap();
    });
    assert_eq!(count(place, &RUNS), 20);
    assert_eq!(place.rows(&Query::of(&LINKS, &["recording"])), [[Cell::Number(19)]]);
}

fn rows_may_be_updated_while_they_are_scanned(place: &TestPlace) {
    place.write(|transaction| {
        (0..50).for_each(|id| add_page(transaction, id, b"before"));
        let mut seen = 0;
        let each = &mut |row: &crate::catalog::value::Row<'_>| {
            seen += 1;
            let of = Filter::of("id", row.number(0).unwrap());
            assert_eq!(transaction.update(&KEY_PAGES, &of, &[("data", b"after".into())]).unwrap(), 1);
            ControlFlow::Continue(())
        };
        transaction.scan(&Query::of(&KEY_PAGES, &["id"]).ascending("id"), each).unwrap();
        assert_eq!(seen, 50);
    });
    let found = place.rows(&Query::of(&KEY_PAGES, &["data"]));
    assert_eq!(found, vec![vec![Cell::Bytes(b"after".into())]; 50]);
}
