//! Queries: the rows that each shape of them gives.

use std::ops::ControlFlow;

use super::{Cell, TestPlace, add_block, add_function, add_page, add_run, both, numbers, rows};
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::table::Table;
use crate::catalog::tables::{KEY_PAGES, LINKS, RESULT_BLOCKS, RUNS, SMALL_ROWS};

both! {
    a_table_that_is_new_has_no_rows,
    a_row_is_found_by_its_given_key,
    a_row_is_found_by_a_key_of_two_columns,
    rows_are_found_by_the_first_column_of_a_key_of_two,
    a_row_is_found_by_a_unique_index,
    rows_are_found_by_an_index,
    rows_are_found_by_a_column_without_an_index,
    rows_are_found_by_two_columns_at_once,
    nothing_equals_null,
    nothing_equals_a_value_of_another_kind,
    a_span_has_both_of_its_ends,
    a_span_whose_end_is_before_its_beginning_is_empty,
    spans_may_be_open_at_either_end,
    a_span_goes_from_the_smallest_to_the_largest_number,
    nothing_comes_after_the_largest_number,
    a_span_has_no_nulls_however_wide_it_is,
    a_span_within_an_index_has_rows_of_one_value_alone,
    rows_come_in_either_order_of_the_key,
    rows_come_in_either_order_of_an_index,
    rows_come_in_either_order_without_an_index,
    nulls_come_before_all_else,
    strings_come_in_the_order_of_their_bytes,
    a_limit_gives_the_first_rows_in_order,
    an_index_of_small_rows_has_those_alone,
    a_length_is_the_number_of_bytes,
    fields_come_in_the_order_in_which_they_are_named,
    a_scan_ends_where_it_is_told_to,
    scans_lie_within_scans,
    an_error_of_a_row_ends_the_scan_and_comes_back,
}

/// Runs 1 to 6 of two pipelines; every second one has ended.
fn fill(place: &TestPlace) {
    place.write(|transaction| {
        for n in 1..=6_i64 {
            let pipeline = if n % 3 == 0 { "b" } else { "a" };
            add_run(transaction, &format!("r{n}"), pipeline, 100 - n, (n % 2 == 0).then_some(n * 10));
        }
    });
}

fn ids(place: &TestPlace, query: &Query<'_>) -> Vec<i64> {
    numbers(&*place.catalog().reader().unwrap(), query)
}

fn sorted(place: &TestPlace, query: &Query<'_>) -> Vec<i64> {
    let mut ids = ids(place, query);
    ids.sort_unstable();
    ids
}

fn runs() -> Query<'static> {
    Query::of(&RUNS, &["id"])
}

/// Pages of the numbers.
fn pages(place: &TestPlace, ids: &[i64]) {
    place.write(|transaction| ids.iter().for_each(|id| add_page(transaction, *id, &[])));
}

fn all_pages() -> Query<'static> {
    Query::of(&KEY_PAGES, &["id"])
}

fn link(place: &TestPlace, run: &str, node: &str, recording: i64) {
    let row = [
        ("run", run.into()),
        ("node", node.into()),
        ("source_id", "".into()),
        ("store", ".".into()),
        ("recording", recording.into()),
    ];
    place.write(|transaction| transaction.insert(&LINKS, &row).unwrap());
}

fn links() -> Query<'static> {
    Query::of(&LINKS, &["recording"])
}

fn a_table_that_is_new_has_no_rows(place: &TestPlace) {
    for table in crate::catalog::tables::ALL.into_iter().filter(|table| table.name != "meta") {
        let all: &'static Table = table;
        assert!(place.rows(&Query::of(all, all.columns)).is_empty(), "{}", table.name);
    }
}

fn a_row_is_found_by_its_given_key(place: &TestPlace) {
    pages(place, &[3, -7, 9]);
    assert_eq!(ids(place, &all_pages().equal("id", -7_i64)), [-7]);
    assert!(ids(place, &all_pages().equal("id", 4_i64)).is_empty());
}

fn a_row_is_found_by_a_key_of_two_columns(place: &TestPlace) {
    link(place, "r1", "a", 1);
    link(place, "r1", "b", 2);
    link(place, "r2", "a", 3);
    assert_eq!(ids(place, &links().equal("node", "a").equal("run", "r2")), [3]);
    assert!(ids(place, &links().equal("run", "r2").equal("node", "b")).is_empty());
}

fn rows_are_found_by_the_first_column_of_a_key_of_two(place: &TestPlace) {
    link(place, "r", "b", 1);
    link(place, "r", "a", 2);
    link(place, "r\0", "a", 3);
    link(place, "q", "a", 4);
    assert_eq!(ids(place, &links().equal("run", "r").ascending("node")), [2, 1]);
    assert_eq!(ids(place, &links().equal("run", "r").descending("node")), [1, 2]);
}

fn a_row_is_found_by_a_unique_index(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().equal("run", "r4")), [4]);
    assert!(ids(place, &runs().equal("run", "r")).is_empty());
}

fn rows_are_found_by_an_index(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().equal("pipeline", "b").ascending("id")), [3, 6]);
    assert!(ids(place, &runs().equal("pipeline", "").ascending("id")).is_empty());
}

fn rows_are_found_by_a_column_without_an_index(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().equal("started_ms", 98_i64)), [2]);
    assert_eq!(sorted(place, &runs().equal("pipeline_hash", "")), [1, 2, 3, 4, 5, 6]);
}

fn rows_are_found_by_two_columns_at_once(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().equal("pipeline", "a").equal("ended_ms", 40_i64)), [4]);
    assert!(ids(place, &runs().equal("run", "r4").equal("pipeline", "b")).is_empty());
}

fn nothing_equals_null(place: &TestPlace) {
    fill(place);
    assert!(ids(place, &runs().equal("ended_ms", None::<i64>)).is_empty());
    assert!(ids(place, &runs().equal("pipeline", None::<&str>)).is_empty());
}

fn nothing_equals_a_value_of_another_kind(place: &TestPlace) {
    fill(place);
    assert!(ids(place, &runs().equal("run", b"r4")).is_empty());
    assert!(ids(place, &runs().equal("pipeline", b"a")).is_empty());
}

fn a_span_has_both_of_its_ends(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().between("id", 2, 4).ascending("id")), [2, 3, 4]);
    assert_eq!(ids(place, &runs().between("id", 4, 4)), [4]);
    assert_eq!(ids(place, &runs().between("started_ms", 95, 96).ascending("id")), [4, 5]);
}

fn a_span_whose_end_is_before_its_beginning_is_empty(place: &TestPlace) {
    fill(place);
    for column in ["id", "started_ms"] {
        assert!(ids(place, &runs().between(column, 4, 3)).is_empty());
        assert!(ids(place, &runs().between(column, i64::MAX, i64::MIN)).is_empty());
    }
}

fn spans_may_be_open_at_either_end(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().after("id", 4).ascending("id")), [5, 6]);
    assert_eq!(ids(place, &runs().up_to("id", 2).ascending("id")), [1, 2]);
    assert_eq!(ids(place, &runs().after("ended_ms", 20).ascending("id")), [4, 6]);
    assert_eq!(ids(place, &runs().up_to("ended_ms", 40).ascending("id")), [2, 4]);
}

fn a_span_goes_from_the_smallest_to_the_largest_number(place: &TestPlace) {
    pages(place, &[i64::MIN, -1, 0, i64::MAX]);
    let query = || all_pages().ascending("id");
    assert_eq!(ids(place, &query().between("id", i64::MIN, i64::MAX)), [i64::MIN, -1, 0, i64::MAX]);
    assert_eq!(ids(place, &query().between("id", i64::MIN, i64::MIN)), [i64::MIN]);
    assert_eq!(ids(place, &query().between("id", i64::MAX, i64::MAX)), [i64::MAX]);
    assert_eq!(ids(place, &query().up_to("id", i64::MAX)), [i64::MIN, -1, 0, i64::MAX]);
    assert_eq!(ids(place, &query().after("id", i64::MIN)), [-1, 0, i64::MAX]);
}

fn nothing_comes_after_the_largest_number(place: &TestPlace) {
    pages(place, &[1, i64::MAX]);
    assert!(ids(place, &all_pages().after("id", i64::MAX)).is_empty());
    assert_eq!(ids(place, &all_pages().after("id", i64::MAX - 1)), [i64::MAX]);
}

fn a_span_has_no_nulls_however_wide_it_is(place: &TestPlace) {
    fill(place);
    assert_eq!(sorted(place, &runs().between("ended_ms", i64::MIN, i64::MAX)), [2, 4, 6]);
    assert_eq!(sorted(place, &runs().up_to("ended_ms", i64::MAX)), [2, 4, 6]);
    assert_eq!(sorted(place, &runs().small("ended_ms", i64::MAX)), [2, 4, 6]);
}

fn a_span_within_an_index_has_rows_of_one_value_alone(place: &TestPlace) {
    fill(place);
    let of = |pipeline| runs().equal("pipeline", pipeline).between("id", 2, 5);
    assert_eq!(ids(place, &of("a").ascending("id")), [2, 4, 5]);
    assert_eq!(ids(place, &of("a").descending("id")), [5, 4, 2]);
    assert_eq!(ids(place, &of("b").ascending("id")), [3]);
}

fn rows_come_in_either_order_of_the_key(place: &TestPlace) {
    pages(place, &[5, -2, 8, 0]);
    assert_eq!(ids(place, &all_pages().ascending("id")), [-2, 0, 5, 8]);
    assert_eq!(ids(place, &all_pages().descending("id")), [8, 5, 0, -2]);
}

fn rows_come_in_either_order_of_an_index(place: &TestPlace) {
    place.write(|transaction| {
        for name in ["m", "z", "a"] {
            add_run(transaction, name, "p", 0, None);
        }
    });
    assert_eq!(ids(place, &runs().ascending("run")), [3, 1, 2]);
    assert_eq!(ids(place, &runs().descending("run")), [2, 1, 3]);
}

fn rows_come_in_either_order_without_an_index(place: &TestPlace) {
    fill(place);
    assert_eq!(ids(place, &runs().ascending("started_ms")), [6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(place, &runs().descending("started_ms").equal("pipeline", "a")), [1, 2, 4, 5]);
}

fn nulls_come_before_all_else(place: &TestPlace) {
    place.write(|transaction| {
        add_run(transaction, "a", "p", 0, Some(i64::MIN));
        add_run(transaction, "b", "p", 0, None);
        add_run(transaction, "c", "p", 0, Some(3));
    });
    assert_eq!(ids(place, &runs().ascending("ended_ms")), [2, 1, 3]);
    assert_eq!(ids(place, &runs().descending("ended_ms")), [3, 1, 2]);
}

fn strings_come_in_the_order_of_their_bytes(place: &TestPlace) {
    let names = ["", "A", "Z", "a", "a\0", "a\0b", "aa", "é", "\u{ffff}", "\u{10000}"];
    place.write(|transaction| {
        names.iter().rev().for_each(|name| _ = add_run(transaction, name, "p", 0, None));
    });
    let found = place.rows(&Query::of(&RUNS, &["run"]).ascending("run"));
    assert_eq!(found, names.map(|name| vec![Cell::String(name.to_owned())]));
}

fn a_limit_gives_the_first_rows_in_order(place: &TestPlace) {
    fill(place);
    let all = [1, 2, 3, 4, 5, 6];
    for limit in [0, 1, 5, 6, 7, i64::MAX.unsigned_abs()] {
        let most = usize::try_from(limit).unwrap().min(6);
        assert_eq!(ids(place, &runs().ascending("id").first(limit)), all[..most]);
        assert_eq!(ids(place, &runs().descending("started_ms").first(limit)), all[..most]);
        assert_eq!(ids(place, &runs().first(limit)).len(), most);
    }
}

fn an_index_of_small_rows_has_those_alone(place: &TestPlace) {
    place.write(|transaction| {
        let (one, two) = (add_function(transaction, "one"), add_function(transaction, "two"));
        for (function, rows) in [(one, 1), (one, SMALL_ROWS), (one, SMALL_ROWS + 1), (two, 2), (one, 5)] {
            add_block(transaction, function, rows, &[]);
        }
    });
    let query = |function: i64| {
        Query::of(&RESULT_BLOCKS, &["id"]).equal("function", function).small("rows", SMALL_ROWS)
    };
    assert_eq!(ids(place, &query(1).ascending("id")), [1, 2, 5]);
    assert_eq!(ids(place, &query(1).after("id", 1).ascending("id").first(1)), [2]);
    assert_eq!(ids(place, &query(2)), [4]);
    let other = Query::of(&RESULT_BLOCKS, &["id"]).equal("function", 1_i64).small("rows", 4);
    assert_eq!(ids(place, &other), [1], "a bound that is not the index's");
}

fn a_length_is_the_number_of_bytes(place: &TestPlace) {
    place.write(|transaction| {
        add_page(transaction, 1, &[]);
        add_page(transaction, 2, &vec![0; 70_000]);
        for name in ["", "äé", "a\0b", "\u{10000}"] {
            add_run(transaction, name, name, 0, None);
        }
    });
    let pages = Query::of(&KEY_PAGES, &["id"]).lengths(&["data"]).ascending("id");
    let pair = |a, b| vec![Cell::Number(a), Cell::Number(b)];
    assert_eq!(place.rows(&pages), [pair(1, 0), pair(2, 70_000)]);
    let runs = Query::of(&RUNS, &[]).lengths(&["run", "pipeline", "ended_ms"]).ascending("id");
    let both = |bytes| vec![Cell::Number(bytes), Cell::Number(bytes), Cell::Null];
    assert_eq!(place.rows(&runs), [0, 4, 3, 4].map(both));
}

fn fields_come_in_the_order_in_which_they_are_named(place: &TestPlace) {
    fill(place);
    let query = Query::of(&RUNS, &["ended_ms", "run", "id", "run"]).lengths(&["pipeline"]).equal("id", 2_i64);
    let name = || Cell::String("r2".into());
    let expected = vec![Cell::Number(20), name(), Cell::Number(2), name(), Cell::Number(1)];
    assert_eq!(place.rows(&query), [expected]);
    assert_eq!(place.rows(&Query::of(&RUNS, &[])), vec![Vec::<Cell>::new(); 6]);
}

fn a_scan_ends_where_it_is_told_to(place: &TestPlace) {
    fill(place);
    let reader = place.catalog().reader().unwrap();
    let mut seen = Vec::new();
    let scan = reader.scan(&runs().ascending("id"), &mut |row| {
        seen.push(row.number(0).unwrap());
        if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(scan.is_ok());
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!(numbers(&*reader, &runs().ascending("id")).len(), 6, "the next scan begins anew");
}

fn scans_lie_within_scans(place: &TestPlace) {
    fill(place);
    let reader = place.catalog().reader().unwrap();
    let mut pairs = 0;
    let all = runs().ascending("id");
    reader
        .scan(&all, &mut |outer| {
            let outer = outer.number(0).unwrap();
            assert_eq!(numbers(&*reader, &all), [1, 2, 3, 4, 5, 6]);
            assert_eq!(rows(&*reader, &runs().equal("id", outer)), [[Cell::Number(outer)]]);
            pairs += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(pairs, 6);
}

fn an_error_of_a_row_ends_the_scan_and_comes_back(place: &TestPlace) {
    fill(place);
    let reader = place.catalog().reader().unwrap();
    let mut seen = 0;
    let read = reader.all(&Query::of(&RUNS, &["ended_ms"]).ascending("id"), |row| {
        seen += 1;
        row.number(0)
    });
    let fault = read.unwrap_err().to_string();
    assert!(fault.contains("runs"), "{fault}");
    assert_eq!(seen, 1, "the first run has not ended");
}
