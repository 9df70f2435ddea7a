//! select, drop and map against the same changes on plain rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{BindError, Item, Operator, Step};
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::{DropColumns, Map, Select};
use arrow::datatypes::DataType;
use common::*;

fn flights() -> Arc<StreamSchema> {
    schema(
        &[("carrier", DataType::Utf8View), ("flight", DataType::Int32), ("day", DataType::Date32)],
        &[("distance", DataType::Float64), ("stops", list_type()), ("late", DataType::Boolean)],
        &["aa", "bb"],
    )
}

fn refusal(operator: &dyn Operator) -> String {
    match operator.bind(&[input(flights(), hash(1))]) {
        Ok(_) => panic!("{operator:?} was bound"),
        Err(error) => error.to_string(),
    }
}

/// Runs over random rows and compares with the columns `(old name, new name)` of the input.
fn check(operator: &dyn Operator, tags: &[(&str, &str)], packets: &[(&str, &str)]) {
    seeds(500, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let rows = random.below(30);
        let stream = stream(random, &origins, flights(), hash(1), rows);
        let bound = operator.bind(std::slice::from_ref(&stream.input)).unwrap();
        assert!(bound.contract().ordered && bound.contract().bounded);
        let driven =
            drive_randomly(&*bound, &context(&origins, 7), std::slice::from_ref(&stream.chunks), random);
        let given = read(&flights(), &stream.chunks, &origins);
        let found = read(&bound.contract().schema, &driven.chunks, &origins);
        assert_eq!(found, picked(&given, tags, packets), "seed {seed}");
        assert_eq!(driven.unmatched, [0_u64; 0]);
    });
}

fn picked(given: &Rows, tags: &[(&str, &str)], packets: &[(&str, &str)]) -> Rows {
    let mut picks: Vec<(String, String)> = Vec::new();
    let pair = |(old, new): &(&str, &str)| ((*old).to_owned(), (*new).to_owned());
    picks.extend(tags.iter().chain(packets).map(pair));
    let system = given.columns.iter().filter(|c| c.starts_with("_tag")).map(|c| (c.clone(), c.clone()));
    picks.extend(system);
    picks.extend(packets.iter().map(|(old, new)| (format!("_source_{old}"), format!("_source_{new}"))));
    let at = |name: &String| given.columns.iter().position(|c| c == name).unwrap();
    let rows = given.rows.iter().map(|row| picks.iter().map(|(old, _)| row[at(old)].clone()).collect());
    Rows { columns: picks.iter().map(|(_, new)| new.clone()).collect(), rows: rows.collect() }
}

const TAGS: &[(&str, &str)] = &[("carrier", "carrier"), ("flight", "flight"), ("day", "day")];
const PACKETS: &[(&str, &str)] = &[("distance", "distance"), ("stops", "stops"), ("late", "late")];

#[test]
fn select_keeps_the_listed_columns_in_the_listed_order() {
    check(&Select::new(), TAGS, PACKETS);
    check(&Select::new().tags(["day", "carrier"]), &[("day", "day"), ("carrier", "carrier")], PACKETS);
    check(&Select::new().packets(["late"]), TAGS, &[("late", "late")]);
    check(&Select::new().packets([""; 0]), TAGS, &[]);
    check(&Select::new().tags([""; 0]).packets([""; 0]), &[], &[]);
    check(
        &Select { strict: false, ..Select::new().tags(["day", "distance", "x"]) },
        &[("day", "day")],
        PACKETS,
    );
}

#[test]
fn drop_removes_the_listed_columns_and_no_other() {
    check(&DropColumns::new(), TAGS, PACKETS);
    check(
        &DropColumns::new().tags(["flight"]).packets(["late", "distance"]),
        &[TAGS[0], TAGS[2]],
        &[PACKETS[1]],
    );
    check(
        &DropColumns { strict: false, ..DropColumns::new().packets(["flight", "late"]) },
        TAGS,
        &PACKETS[..2],
    );
}

#[test]
fn map_renames_all_at_once() {
    check(&Map::new(), TAGS, PACKETS);
    let swapped = Map::tags([("carrier", "flight"), ("flight", "carrier")]).and_packets([("late", "early")]);
    check(
        &swapped,
        &[("carrier", "flight"), ("flight", "carrier"), ("day", "day")],
        &[PACKETS[0], PACKETS[1], ("late", "early")],
    );
    check(&Map { strict: false, ..Map::packets([("nothing", "something")]) }, TAGS, PACKETS);
}

/// The rows with packet columns added, `(new name, column)`, behind the packets and with their source info.
fn copied(given: &Rows, copies: &[(&str, &str)]) -> Rows {
    let at = |name: &str| given.columns.iter().position(|c| c == name).unwrap();
    let system: Vec<usize> =
        (0..given.columns.len()).filter(|c| given.columns[*c].starts_with("_tag")).collect();
    let source = |row: &[String], column: &str| {
        if let Some(at) = given.columns.iter().position(|c| *c == format!("_source_{column}")) {
            return row[at].clone();
        }
        let tag = system.chunks(2).find(|pair| row[pair[0]] != NULL);
        tag.map_or_else(|| NULL.to_owned(), |pair| format!("{}::{}", row[pair[0]], row[pair[1]]))
    };
    let insert = system.first().copied().unwrap();
    let wider = |cells: &[String], values: Vec<String>, sources: Vec<String>| {
        let (visible, hidden) = cells.split_at(insert);
        [visible, &values, hidden, &sources].concat()
    };
    let names = |prefix: &str| copies.iter().map(|(new, _)| format!("{prefix}{new}")).collect();
    let row = |row: &Vec<String>| {
        let values = copies.iter().map(|(_, column)| row[at(column)].clone()).collect();
        wider(row, values, copies.iter().map(|(_, column)| source(row, column)).collect())
    };
    Rows {
        columns: wider(&given.columns, names(""), names("_source_")),
        rows: given.rows.iter().map(row).collect(),
    }
}

#[test]
fn map_copies_columns_into_packets_with_the_source_of_their_values() {
    let copies = [("code", "carrier"), ("again", "distance"), ("when", "day")];
    let map = Map::tags([("carrier", "airline")]).and_copies(copies);
    let renamed = [("carrier", "airline"), ("flight", "flight"), ("day", "day")];
    seeds(300, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let rows = random.below(30);
        let stream = stream(random, &origins, flights(), hash(1), rows);
        let bound = map.bind(std::slice::from_ref(&stream.input)).unwrap();
        let driven =
            drive_randomly(&*bound, &context(&origins, 7), std::slice::from_ref(&stream.chunks), random);
        let found = read(&bound.contract().schema, &driven.chunks, &origins);
        let given = read(&flights(), &stream.chunks, &origins);
        let mut expected = copied(&picked(&given, TAGS, PACKETS), &copies);
        for (column, (_, new)) in expected.columns.iter_mut().zip(&renamed) {
            (*new).clone_into(column);
        }
        assert_eq!(found, expected, "seed {seed}");
    });
    assert_eq!(
        refusal(&Map::new().and_copies([("late", "day")])),
        "column \"late\": the name of both packet column \"late\" and the copy of tag column \"day\" after the renaming, expected distinct names; give one of them another name, or drop it first"
    );
    assert!(refusal(&Map::new().and_copies([("x", "carier")])).contains("did you mean \"carrier\""));
    check(&Map { strict: false, ..Map::new().and_copies([("x", "carier")]) }, TAGS, PACKETS);
    let identity = |map: &Map| {
        let mut structure = Structure::new(map.kind());
        map.identify(&mut structure);
        structure.finish()
    };
    let one = Map::new().and_copies([("x", "day"), ("y", "day")]);
    assert_ne!(identity(&one), identity(&Map::new().and_copies([("y", "day"), ("x", "day")])));
    assert_ne!(identity(&Map::new()), identity(&one));
}

#[test]
fn map_drops_unmapped_columns_of_a_kind_with_a_mapping() {
    let built = Map { drop_unmapped: true, ..Map::packets([("late", "was_late"), ("distance", "distance")]) };
    check(&built, TAGS, &[("distance", "distance"), ("late", "was_late")]);
    check(&Map { drop_unmapped: true, ..Map::tags([("day", "date")]) }, &[("day", "date")], PACKETS);
    check(&Map { drop_unmapped: true, ..Map::new() }, TAGS, PACKETS);
}

#[test]
fn a_missing_name_is_refused_with_the_nearest_one() {
    let expected = "found no tag \"carier\" in input 0, expected one of \"carrier\", \"flight\", \"day\"; did you mean \"carrier\"?";
    assert_eq!(refusal(&Select::new().tags(["carier"])), expected);
    assert_eq!(refusal(&DropColumns::new().tags(["carier"])), expected);
    assert_eq!(refusal(&Map::tags([("carier", "x")])), expected);
    assert_eq!(
        refusal(&Select::new().packets(["flight"])),
        "found no packet column \"flight\" in input 0, expected one of \"distance\", \"stops\", \"late\""
    );
    let error = Select::new().tags(["x"]).bind(&[input(flights(), hash(1))]).err();
    let Some(BindError::UnknownColumn { input, what: "tag", .. }) = error else { panic!("{error:?}") };
    assert_eq!(input.to_string(), "input 0");
}

#[test]
fn a_name_listed_twice_is_refused() {
    let expected = "tags: found \"day\" listed twice, expected each name once; remove one";
    assert_eq!(refusal(&Select { strict: false, ..Select::new().tags(["day", "flight", "day"]) }), expected);
    assert_eq!(refusal(&DropColumns::new().tags(["day", "day"])), expected);
}

#[test]
fn a_new_name_that_is_taken_or_reserved_is_refused() {
    assert_eq!(
        refusal(&Map::packets([("late", "day")])),
        "column \"day\": the name of both tag column \"day\" and packet column \"late\" after the renaming, expected distinct names; give one of them another name, or drop it first"
    );
    assert_eq!(
        refusal(&Map::tags([("day", "x"), ("flight", "x")])),
        "column \"x\": the name of both tag column \"flight\" and tag column \"day\" after the renaming, expected distinct names; give one of them another name, or drop it first"
    );
    assert_eq!(
        refusal(&Map::tags([("day", "_day")])),
        "column \"_day\" begins with \"_\", expected a name that does not, since these are reserved for provenance; rename the column"
    );
}

#[test]
fn one_input_is_wanted() {
    let two = [input(flights(), hash(1)), input(flights(), hash(2))];
    let expected = |count| {
        format!(
            "input: found {count} inputs, expected exactly one; name one node; put several together with join or union first"
        )
    };
    assert_eq!(Select::new().bind(&two).err().unwrap().to_string(), expected(2));
    assert_eq!(Map::new().bind(&[]).err().unwrap().to_string(), expected(0));
}

#[test]
fn parameters_enter_the_identity_but_not_their_order_where_it_means_nothing() {
    let identity = |operator: &dyn Operator| {
        let mut structure = Structure::new(operator.kind());
        operator.identify(&mut structure);
        structure.finish()
    };
    assert_ne!(identity(&Select::new().tags(["a", "b"])), identity(&Select::new().tags(["b", "a"])));
    assert_ne!(identity(&Select::new()), identity(&Select::new().tags([""; 0])));
    assert_ne!(identity(&Select::new()), identity(&Select { strict: false, ..Select::new() }));
    assert_eq!(
        identity(&DropColumns::new().tags(["a", "b"])),
        identity(&DropColumns::new().tags(["b", "a"]))
    );
    assert_ne!(identity(&DropColumns::new().tags(["a"])), identity(&DropColumns::new().packets(["a"])));
    let renaming = Map::tags([("a", "b"), ("c", "d")]);
    assert_eq!(identity(&renaming), identity(&Map::tags([("c", "d"), ("a", "b")])));
    assert_ne!(identity(&renaming), identity(&Map { drop_unmapped: true, ..renaming.clone() }));
}

#[test]
fn a_driver_that_breaks_the_protocol_is_told() {
    let origins = Arc::new(Origins::default());
    let bound = Select::new().bind(&[input(flights(), hash(1))]).unwrap();
    let mut machine = bound.start(&context(&origins, 7));
    assert!(machine.accept(1, Item::End).is_err());
    machine.accept(0, Item::End).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::Done));
    assert!(machine.accept(0, Item::End).is_err());
}
