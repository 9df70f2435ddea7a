//! Expressions answer as DuckDB does, but for the differences that are listed.
//!
//! Random expressions over random data of every type go through our engine and through DuckDB; answers are compared row by
//! row, by value, errors included. `ANABRANCH_ORACLE=100000` runs that many, `ANABRANCH_ORACLE_SEED` others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_cmp,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and prints what it counted"
)]

mod data;
mod decimal;
mod differences;
mod expected;
mod forms;
mod found;
mod generate;
mod moments;
mod numbers;
mod oracle;
mod recomputed;
mod report;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_expression::Expression;
use arrow::array::{ArrayRef, RecordBatch};

use data::table;
use found::Found;
use generate::{Argument, Case, Generator};
use numbers::Numbers;
use oracle::Oracle;
use report::Report;
use value::{Answer, Value, value};

/// Expressions of the usual run, a tenth of a second for each hundred.
const EXPRESSIONS: usize = 5_600;
/// Expressions over one table.
const BATCH: usize = 280;
const ROWS: usize = 24;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: found \"{text}\", expected a number")))
}

#[test]
fn random_expressions_answer_as_duckdb_does_but_for_listed_differences() {
    let expressions =
        setting("ANABRANCH_ORACLE").map_or(EXPRESSIONS, |count| usize::try_from(count).unwrap());
    let mut numbers = Numbers::new(setting("ANABRANCH_ORACLE_SEED").unwrap_or(1));
    let mut oracle = Oracle::start();
    let mut report = Report::default();
    let mut turn = 0;
    while report.expressions < expressions {
        let table = table(&mut numbers, ROWS);
        let fields = table.schema().fields().iter().cloned().collect();
        let mut generator = Generator::new(&mut numbers, data::columns(&table), fields, turn);
        turn = generator.grow(BATCH);
        report.refused(&generator.refused);
        let cases = generator.cases;
        oracle.ask(&table, &cases.iter().map(|case| case.duckdb.as_str()).collect::<Vec<_>>());
        let ours: Vec<Vec<Answer>> = cases.iter().map(|case| answers(&case.expression, &table)).collect();
        compare(&table, &cases, &ours, &oracle.answers(), &mut report);
    }
    report.judge();
}

/// Our answer for each row: of all together, and the same for each alone.
fn answers(expression: &Expression, table: &RecordBatch) -> Vec<Answer> {
    let alone = |row: usize| {
        let computed = catch_unwind(AssertUnwindSafe(|| evaluate(expression, &table.slice(row, 1))));
        match computed {
            Ok(Ok(array)) => Answer::Value(value(&array, 0)),
            Ok(Err(error)) => Answer::Error(error.to_string()),
            Err(_) => Answer::Panic,
        }
    };
    let rows: Vec<Answer> = (0..table.num_rows()).map(alone).collect();
    if rows.contains(&Answer::Panic) {
        return rows;
    }
    match evaluate(expression, table) {
        Ok(all) => {
            for (row, alone) in rows.iter().enumerate() {
                let together = Answer::Value(value(&all, row));
                assert!(
                    together.agrees(alone),
                    "{}: {together} of many rows, {alone} of one",
                    expression.sql()
                );
            }
        }
        Err(error) => {
            let failed = rows.iter().any(Answer::is_error);
            assert!(failed, "{}: {error}, but of no row alone", expression.sql());
        }
    }
    rows
}

fn evaluate(
    expression: &Expression,
    table: &RecordBatch,
) -> Result<ArrayRef, impl std::error::Error + use<>> {
    expression.evaluate(table.columns(), table.num_rows())
}

fn compare(
    table: &RecordBatch,
    cases: &[Case],
    ours: &[Vec<Answer>],
    theirs: &[Vec<Answer>],
    report: &mut Report,
) {
    // Rows whose answers differ, by case: what is computed from such a one differs for that reason.
    let mut differs = vec![vec![false; table.num_rows()]; cases.len()];
    for (at, case) in cases.iter().enumerate() {
        report.expression(case.form.name, &theirs[at]);
        for row in 0..table.num_rows() {
            let agrees = ours[at][row].agrees(&theirs[at][row]);
            differs[at][row] = !ours[at][row].identical(&theirs[at][row]) || inherits(case, row, &differs);
            if agrees {
                report.equal += 1;
            } else if inherits(case, row, &differs) {
                report.inherited += 1;
            } else {
                let arguments = case.arguments.iter().map(|a| argument(a, table, ours, row)).collect();
                let found = Found { case, arguments, ours: &ours[at][row], theirs: &theirs[at][row] };
                report.difference(&found);
            }
        }
    }
}

/// True if a part of the case has another answer for the row.
fn inherits(case: &Case, row: usize, differs: &[Vec<bool>]) -> bool {
    case.arguments.iter().filter_map(|argument| argument.case).any(|part| differs[part][row])
}

/// The value of an argument; of a literal that stands as it is, its text.
fn argument(argument: &Argument, table: &RecordBatch, ours: &[Vec<Answer>], row: usize) -> Answer {
    if let Some(part) = argument.case {
        return ours[part][row].clone();
    }
    match table.column_by_name(&argument.ours) {
        Some(column) => Answer::Value(value(column, row)),
        None => Answer::Value(Value::Text(argument.ours.clone())),
    }
}
