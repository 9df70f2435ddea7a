//! filter against the same choice over plain rows.

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

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{Item, Operator, Step};
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_expression::Literal;
use anabranch_operators::Filter;
use arrow::array::Array;
use arrow::datatypes::{DataType, TimeUnit};
use common::*;

fn readings() -> Arc<StreamSchema> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = DataType::Timestamp(TimeUnit::Second, Some("UTC".into()));
    schema(
        &[
            ("truth", DataType::Boolean),
            ("small", DataType::Int8),
            ("big", DataType::UInt64),
            ("day", DataType::Date32),
        ],
        &[
            ("text", DataType::Utf8View),
            ("single", DataType::Float32),
            ("double", DataType::Float64),
            ("price", DataType::Decimal128(10, 2)),
            ("at", micros),
            ("utc", utc),
            ("items", list_type()),
            ("bytes", DataType::BinaryView),
        ],
        &["aa"],
    )
}

fn refusal(filter: &Filter) -> String {
    match filter.bind(&[input(readings(), hash(1))]) {
        Ok(_) => panic!("{filter:?} was bound"),
        Err(error) => error.to_string(),
    }
}

/// Runs over random rows and compares with the rows whose cell satisfies `keeps`. Returns how
/// many rows stayed.
fn check(filter: &Filter, column: &str, keeps: impl Fn(&str) -> bool) -> usize {
    let mut kept = 0;
    seeds(500, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let rows = random.below(60);
        let stream = stream(random, &origins, readings(), hash(1), rows);
        let bound = filter.bind(std::slice::from_ref(&stream.input)).unwrap();
        assert_eq!(bound.contract().schema, stream.input.schema);
        assert!(bound.contract().ordered && bound.contract().bounded);
        let chunk_rows = random.pick(&[1, 7, 1024]);
        let driven = drive_randomly(
            &*bound,
            &context(&origins, chunk_rows),
            std::slice::from_ref(&stream.chunks),
            random,
        );
        let mut expected = read(&readings(), &stream.chunks, &origins);
        let at = expected.columns.iter().position(|name| name == column).unwrap();
        expected.rows.retain(|row| keeps(&row[at]));
        kept += expected.rows.len();
        assert_eq!(read(&readings(), &driven.chunks, &origins), expected, "seed {seed}, {filter:?}");
    });
    kept
}

fn equals(column: &str, value: Literal) -> Filter {
    Filter::equals([(column, value)])
}

fn text(text: &str) -> Literal {
    Literal::String(text.to_owned())
}

#[test]
fn rows_stay_where_the_expression_is_true_and_not_where_it_is_null() {
    assert!(check(&Filter::predicate("truth"), "truth", |cell| cell == "true") > 0);
    assert!(check(&Filter::predicate("NOT truth"), "truth", |cell| cell == "false") > 0);
    assert!(check(&Filter::predicate("small IS NOT NULL"), "small", |cell| cell != NULL) > 0);
}

#[test]
fn a_value_matches_whatever_is_equal_to_it() {
    let cases = [
        ("truth", Literal::Bool(true), "true"),
        ("truth", text("false"), "false"),
        ("small", Literal::Integer(-1), "-1"),
        ("big", Literal::Integer(2), "2"),
        ("day", text("2019-04-14"), "2019-04-14"),
        ("text", text("a text beyond the view: y"), "a text beyond the view: y"),
        ("text", text(""), ""),
        ("price", text("123.45"), "123.45"),
        ("price", Literal::Float(123.45), "123.45"),
        ("price", Literal::Integer(0), "0.00"),
        ("at", text("1970-01-01T00:00:01"), "instant:1000000000"),
        ("at", text("1970-01-01 00:00:01.000001"), "instant:1000001000"),
        ("utc", text("1970-01-01T01:00:01+01:00"), "instant_utc:1000000000"),
        ("items", Literal::Null, NULL),
        ("text", Literal::Null, NULL),
        ("bytes", Literal::Null, NULL),
    ];
    for (column, value, wanted) in cases {
        let kept = check(&equals(column, value.clone()), column, |cell| cell == wanted);
        assert!(kept > 0, "{column} = {value:?} matched nothing");
    }
}

#[test]
fn floats_have_one_zero_and_one_nan() {
    for column in ["single", "double"] {
        let zero = |cell: &str| {
            key_cell(cell).ends_with(":00000000") || key_cell(cell).ends_with(":0000000000000000")
        };
        for value in [Literal::Float(0.0), Literal::Float(-0.0), Literal::Integer(0)] {
            assert!(check(&equals(column, value), column, zero) > 0);
        }
        let nan = |cell: &str| key_cell(cell).contains(":7f");
        assert!(check(&equals(column, Literal::Float(f64::NAN)), column, nan) > 0);
    }
}

#[test]
fn a_value_that_the_type_cannot_hold_matches_nothing() {
    let never = [
        ("small", Literal::Integer(300)),
        ("big", Literal::Integer(-1)),
        ("single", Literal::Integer(16_777_217)),
        ("price", text("0.001")),
        ("price", Literal::Integer(i64::MAX)),
        ("at", text("1970-01-01T00:00:01.0000001")),
        ("utc", text("1970-01-01T00:00:01.5Z")),
    ];
    for (column, value) in never {
        check(&equals(column, value), column, |_| false);
    }
}

#[test]
fn all_conditions_have_to_hold() {
    let filter = Filter::predicate("truth").and_equals([("truth", Literal::Bool(false))]);
    check(&filter, "truth", |_| false);
    let filter = Filter::predicate("small > 0").and_equals([("small", Literal::Integer(2))]);
    assert!(check(&filter, "small", |cell| cell == "2") > 0);
}

#[test]
fn a_value_of_another_kind_is_refused() {
    let cases = [
        ("small", text("1"), "text \"1\" for column \"small\" of type int8, expected an integer"),
        ("small", Literal::Float(1.5), "float 1.5 for column \"small\" of type int8, expected an integer"),
        (
            "text",
            Literal::Integer(5),
            "integer 5 for column \"text\" of type string, expected a text (in quotes)",
        ),
        ("truth", text("yes"), "text \"yes\" for column \"truth\" of type bool, expected true or false"),
        ("double", text("1"), "text \"1\" for column \"double\" of type float64, expected a number"),
        (
            "day",
            text("May"),
            "text \"May\" for column \"day\" of type date, expected a date such as \"2024-05-31\"",
        ),
        (
            "at",
            text("2024-05-31T12:00:00Z"),
            "text \"2024-05-31T12:00:00Z\" for column \"at\" of type timestamp, expected a timestamp without a zone such as \"2024-05-31T12:00:00\"",
        ),
        (
            "utc",
            Literal::Bool(true),
            "true for column \"utc\" of type timestamp_utc, expected a timestamp such as \"2024-05-31T12:00:00Z\"",
        ),
        (
            "price",
            text("x"),
            "text \"x\" for column \"price\" of type decimal(2), expected a number, or a text such as \"12.50\"",
        ),
        (
            "items",
            Literal::Integer(1),
            "integer 1 for column \"items\" of type list<int64>, expected null, since a list, struct or map has no literal",
        ),
        (
            "bytes",
            text("a"),
            "text \"a\" for column \"bytes\" of type binary, expected null, since this type has no literal",
        ),
    ];
    for (column, value, message) in cases {
        let expected = format!("equals: found {message}; change the value, or write the comparison in where");
        assert_eq!(refusal(&equals(column, value)), expected);
    }
}

#[test]
fn a_condition_that_makes_no_sense_is_refused() {
    assert_eq!(
        refusal(&Filter::new()),
        "where: found neither where nor equals, expected at least one of them; give a condition, or leave the filter out"
    );
    assert_eq!(
        refusal(&Filter::predicate("double + 1.0")),
        "where: found an expression of type float64, expected one of type bool; compare it with something"
    );
    assert_eq!(refusal(&Filter::predicate("nothing > ")), "where: expression cannot be used");
    assert!(refusal(&equals("txt", Literal::Null)).ends_with("did you mean \"text\"?"));
}

#[test]
fn a_chunk_passes_by_reference_and_small_ones_are_put_together() {
    let random = &mut Random::new(3);
    let origins = Arc::new(Origins::default());
    let made = stream(random, &origins, readings(), hash(1), 40);
    let whole = Chunk::concat(&readings(), &made.chunks).unwrap();
    let bound = Filter::predicate("truth IS NULL OR NOT truth OR truth").bind(&[made.input]).unwrap();
    let mut machine = bound.start(&context(&origins, 30));
    machine.accept(0, Item::Chunk(whole.clone())).unwrap();
    let Step::Output(same) = machine.step().unwrap() else { panic!("no output") };
    assert_eq!(
        same.tags()[1].to_data().buffers()[0].as_ptr(),
        whole.tags()[1].to_data().buffers()[0].as_ptr()
    );
    for row in 0..19 {
        machine.accept(0, Item::Chunk(whole.slice(row, 1))).unwrap();
    }
    // As soon as they are an eighth of what a chunk aims at, then what is left when nothing comes.
    for rows in [4, 4, 4, 4, 3] {
        assert!(matches!(machine.step().unwrap(), Step::Output(chunk) if chunk.rows() == rows));
    }
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(_)));
    machine.accept(0, Item::End).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::Done));
}

#[test]
fn the_identity_depends_on_what_is_asked_and_not_on_how_it_is_written() {
    let identity = |filter: &Filter| {
        let mut structure = Structure::new(filter.kind());
        filter.identify(&mut structure);
        structure.finish()
    };
    assert_eq!(identity(&Filter::predicate("small>1")), identity(&Filter::predicate("small  >  1")));
    assert_ne!(identity(&Filter::predicate("small > 1")), identity(&Filter::predicate("small > 2")));
    let ab = Filter::equals([("a", Literal::Null), ("b", Literal::Integer(1))]);
    assert_eq!(identity(&ab), identity(&Filter::equals([("b", Literal::Integer(1)), ("a", Literal::Null)])));
    assert_ne!(identity(&equals("a", Literal::Integer(1))), identity(&equals("a", text("1"))));
    assert_ne!(identity(&equals("a", Literal::Bool(true))), identity(&equals("a", Literal::Bool(false))));
}
