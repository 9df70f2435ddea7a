//! Forms that expressions accept and refuse.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;

use anabranch_expression::{Expression, ExpressionError, canonical_sql, mentioned};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int8Array, Int64Array, ListArray,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, TimeUnit};

/// Columns by name, three rows each, the last of them null.
fn table() -> Vec<(&'static str, ArrayRef)> {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![]), None]);
    let price = Decimal128Array::from(vec![Some(1250), Some(-1), None]).with_precision_and_scale(10, 2);
    let at = TimestampMicrosecondArray::from(vec![Some(1_709_211_661_500_000), Some(-1), None]);
    vec![
        ("i", Arc::new(Int64Array::from(vec![Some(7), Some(-7), None]))),
        ("j", Arc::new(Int64Array::from(vec![Some(2), Some(0), None]))),
        ("tiny", Arc::new(Int8Array::from(vec![Some(127), Some(-128), None]))),
        ("s", Arc::new(StringViewArray::from(vec![Some("Äb c"), Some(""), None]))),
        ("n", Arc::new(StringViewArray::from(vec![Some("12"), Some("no"), None]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), None]))),
        ("at", Arc::new(at.clone())),
        ("utc", Arc::new(at.with_timezone("UTC"))),
        ("price", Arc::new(price.unwrap())),
        ("list", Arc::new(list)),
        ("a b", Arc::new(Int64Array::from(vec![Some(1), Some(2), None]))),
    ]
}

fn columns() -> Vec<ArrayRef> {
    table().into_iter().map(|(_, array)| array).collect()
}

fn compile(sql: &str) -> Result<Expression, ExpressionError> {
    let field = |(name, array): (&str, ArrayRef)| Field::new(name, array.data_type().clone(), true);
    let fields: Vec<FieldRef> = table().into_iter().map(|column| Arc::new(field(column))).collect();
    Expression::compile(sql, &fields)
}

fn refusal(sql: &str) -> String {
    compile(sql).map_or_else(|error| error.to_string(), |_| panic!("{sql} was accepted"))
}

#[test]
fn decimals_of_a_negative_scale_count_as_what_they_stand_for() {
    let hundreds =
        Decimal128Array::from(vec![Some(12), Some(-3), None]).with_precision_and_scale(5, -2).unwrap();
    let field: FieldRef = Arc::new(Field::new("x", hundreds.data_type().clone(), true));
    let column: ArrayRef = Arc::new(hundreds);
    let evaluate = |sql: &str| {
        let expression = Expression::compile(sql, &[Arc::clone(&field)]).unwrap();
        expression.evaluate(&[Arc::clone(&column)], 3).unwrap()
    };
    let equal = evaluate("x = 1200");
    assert_eq!(equal.as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false), None]);
    for (sql, expected) in
        [("x", [Some(1_200), Some(-300), None]), ("x + 1", [Some(1_201), Some(-299), None])]
    {
        let computed = evaluate(sql);
        assert_eq!(computed.data_type(), &DataType::Decimal128(38, 0), "{sql}");
        assert_eq!(computed.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), expected, "{sql}");
    }
    let whole = evaluate("CAST(x AS BIGINT)");
    assert_eq!(whole.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1_200), Some(-300), None]);
}

#[test]
fn expression_functions_that_look_at_other_rows_are_refused_by_name() {
    for name in [
        "SUM(i)",
        "COUNT(*)",
        "COUNT(DISTINCT i)",
        "AVG(i)",
        "MIN(i)",
        "MAX(i)",
        "MEDIAN(i)",
        "QUANTILE_CONT(i, 0.5)",
        "STDDEV(i)",
        "VARIANCE(i)",
        "FIRST(i)",
        "LAST(i)",
        "ARRAY_AGG(i)",
        "STRING_AGG(s, ',')",
        "LAG(i)",
        "LEAD(i)",
        "RANK()",
        "ROW_NUMBER()",
        "CORR(i, j)",
        "UNNEST(list)",
        "SUM(i) FILTER (WHERE b)",
    ] {
        let error = refusal(name);
        let function = name.split('(').next().unwrap();
        assert!(error.starts_with(function) && error.contains("more than one row"), "{name}: {error}");
    }
    for form in
        ["SUM(i) OVER ()", "LAG(i) OVER (ORDER BY j)", "i IN (SELECT 1)", "EXISTS (SELECT 1)", "(SELECT 1)"]
    {
        assert!(refusal(form).contains("more than one row"), "{form}: {}", refusal(form));
    }
}

#[test]
fn expression_functions_that_change_their_answer_are_refused_by_name() {
    for name in [
        "NOW()",
        "RANDOM()",
        "RAND()",
        "UUID()",
        "CURRENT_DATE",
        "CURRENT_TIMESTAMP",
        "CURRENT_TIMESTAMP()",
        "LOCALTIME",
    ] {
        let error = refusal(name);
        assert!(error.contains("another answer each time"), "{name}: {error}");
    }
    assert!(refusal("COLUMNS('i')").contains("each column"));
    assert!(refusal("CURRENT_USER").contains("who asks"));
}

#[test]
fn expression_forms_that_are_not_on_the_list_are_refused() {
    let forms = r"i ^ j; s ~ 'a'; *; i = ANY(list); s SIMILAR TO 'a'; ARRAY[1]; ?; $1;
        b XOR b; X'00'; E'a'; $$a$$; s LIKE 'a' ESCAPE '##'; DATE(n); CAST(i AS HUGEINT);
        i -> 'a'; CONCAT(DISTINCT s); b IS DISTINCT FROM b AND b; (i, j); list[1:2]; i IN (SELECT 1)";
    for form in forms.split(';').map(str::trim) {
        let error = compile(form).expect_err(form);
        let refused = matches!(error, ExpressionError::NotAllowed { .. } | ExpressionError::Syntax { .. });
        assert!(refused, "{form}: {error:?}");
    }
    assert!(refusal("LENGHT(s)").ends_with("did you mean LENGTH?"), "{}", refusal("LENGHT(s)"));
}

#[test]
fn expression_types_that_do_not_fit_are_errors_of_the_plan() {
    let expressions = r"i AND b; NOT i; s + 1; s > 1; list = list; day = 'today'; day + 1.5; LENGTH(i); day + s;
        utc = TIMESTAMP '2024-02-29 13:01:01'; EXTRACT(HOUR FROM day); GREATEST(s, i); CASE WHEN i THEN 1 END;
        IF(i, 1, 2); STRFTIME(day, '%H'); STRFTIME(day, '%Q'); REGEXP_LIKE(s, '('); ABS(s); GREATEST(s, 1);
        DATE '2024-02-30'; SQRT(s); i IN ('a'); s IN (1); i IS TRUE; CAST('x' AS BIGINT); LOWER(i); POW(i, -1);
        REGEXP_LIKE(s, n); INTERVAL '1 day'; at AT TIME ZONE 'Mars'; s.f; s[1]; b + 1; i & 1.5; day - utc;
        at + INTERVAL '1 parsec'; CAST(list AS VARCHAR); CAST(day AS BIGINT); COALESCE(at, utc); DATE_TRUNC('hour', day);
        127::TINYINT + 200::TINYINT; 9e18::BIGINT * 100; s LIKE 'a#b' ESCAPE '#'";
    for sql in expressions.split(';').map(str::trim) {
        let error = compile(sql).expect_err(sql);
        assert!(matches!(error, ExpressionError::Type { .. }), "{sql}: {error:?}");
    }
    for flags in ["REGEXP_LIKE(s, 'a', 'g')", "REGEXP_REPLACE(s, 'a', 'b', 'q')", "REGEXP_LIKE(s, 'a', '-u')"]
    {
        assert!(refusal(flags).contains("flags"), "{}", refusal(flags));
    }
    let error = refusal("\"a b\" + s");
    assert!(error.contains("a b") && !error.contains(":0:"), "{error}");
}

#[test]
fn expression_syntax_errors_name_their_place() {
    let place = |sql: &str| match compile(sql).expect_err(sql) {
        ExpressionError::Syntax { line, column, .. } => (line, column),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(place("i +\n )"), (2, 2));
    assert_eq!(place("i > 1 i"), (1, 7));
    assert_eq!(place("i; j"), (1, 2));
    assert_eq!(place("i AS k"), (1, 3));
    assert_eq!(place("'open"), (1, 1));
    let long = "9".repeat(80);
    for sql in ["", "  ", long.as_str(), "1e400", "i +"] {
        place(sql);
    }
}

#[test]
fn expression_columns_are_case_sensitive_and_an_unknown_one_gets_a_suggestion() {
    let error = refusal("I > pirce");
    assert!(error.starts_with("found no column \"I\""), "{error}");
    assert!(refusal("pirce > 1").ends_with("did you mean \"price\"?"), "{}", refusal("pirce > 1"));
    assert_eq!(mentioned("b OR a > 1 AND b AND \"A c\" = a").unwrap(), ["b", "a", "A c"]);
    assert_eq!(compile("j > i AND j < tiny").unwrap().columns(), [1, 0, 2]);
}

#[test]
fn expression_text_is_canonical() {
    let golden = [
        ("i>=1000 and  j is not null", r#"("i" >= 1000) AND ("j" IS NOT NULL)"#),
        ("((i + j)) - (1 * 2)", r#""i" + "j" - (1 * 2)"#),
        ("a OR (b or c) OR d AND (e AND f)", r#""a" OR "b" OR "c" OR ("d" AND "e" AND "f")"#),
        ("i - (j - 1)", r#""i" - ("j" - 1)"#),
        ("a - -1", r#""a" - (-1)"#),
        ("x != 1.50", r#""x" <> 1.5"#),
        (r#""a""b" = 'it''''s \'"#, r#""a""b" = 'it''''s \'"#),
        ("cast(i as int8) /* big */", r#"CAST("i" AS BIGINT)"#),
        ("i::double precision", r#"CAST("i" AS DOUBLE PRECISION)"#),
        ("extract(years from d)", r#"DATE_PART('year', "d")"#),
        ("case when b then 1 else 2 end", r#"CASE WHEN "b" THEN 1 ELSE 2 END"#),
        ("ifnull(i, 0)", r#"COALESCE("i", 0)"#),
        ("i not in (1, -2, NULL)", r#""i" NOT IN (1, -2, NULL)"#),
        ("trim(s) || position('a' in s)", r#"TRIM("s") || STRPOS("s", 'a')"#),
        ("date '2024-01-01' <= d", r#"DATE '2024-01-01' <= "d""#),
        ("1000000000000000000000000.0", "1000000000000000000000000.0"),
    ];
    for (sql, text) in golden {
        let found = canonical_sql(sql).unwrap();
        assert_eq!(found, text, "{sql}");
        assert_eq!(canonical_sql(&found).unwrap(), text, "{sql} is read back otherwise");
    }
}

#[test]
fn expression_texts_that_differ_are_never_one() {
    assert_ne!(canonical_sql("'a''''b'").unwrap(), canonical_sql("'a''b'").unwrap());
    assert_ne!(canonical_sql("1").unwrap(), canonical_sql("1.0").unwrap());
    assert_ne!(canonical_sql("\"a\"").unwrap(), canonical_sql("'a'").unwrap());
}

#[test]
fn expressions_compile_and_run_on_a_thread_that_drives_a_runtime() {
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let several = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for runtime in [single, several] {
        let text = runtime.block_on(async {
            let expression = compile("UPPER(s)").unwrap();
            expression.evaluate(&columns(), 3).unwrap()
        });
        assert_eq!(text.as_string_view().iter().collect::<Vec<_>>(), [Some("ÄB C"), Some(""), None]);
    }
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn expression_of_the_largest_size_needs_a_small_stack_only() {
    on_a_small_stack(|| {
        let chain = |operator: &str| vec!["i > 1"; 300].join(operator);
        let calls = format!("{}i{}", "ABS(".repeat(20), ")".repeat(20));
        for sql in [chain(" OR "), chain(" AND "), vec!["i"; 60].join(" + "), calls] {
            let expression = compile(&sql).unwrap();
            assert_eq!(expression.evaluate(&columns(), 3).unwrap().len(), 3);
        }
        let list: Vec<String> = (0..20_000).map(|value| value.to_string()).collect();
        compile(&format!("i IN ({})", list.join(", "))).unwrap();
        let many: Vec<String> = (0..10_000).map(|value| format!("i = {value} AND j <> {value}")).collect();
        assert_eq!(compile(&many.join(" OR ")).unwrap().evaluate(&columns(), 3).unwrap().len(), 3);
        compile(&format!("day IN ({})", vec!["'2024-01-01'"; 500].join(", "))).unwrap();
    });
}

#[test]
fn expression_beyond_the_largest_size_is_refused() {
    on_a_small_stack(|| {
        for sql in [
            vec!["i > 1"; 100_000].join(" OR "),
            format!("{}i{}", "ABS(".repeat(5_000), ")".repeat(5_000)),
            "NOT ".repeat(5_000) + "b",
            "NOT ".repeat(300) + "b",
            "i".to_owned() + &" + 1".repeat(900),
            "i".to_owned() + &"::INT".repeat(400),
            "(".repeat(100_000),
            "- ".repeat(900) + "i",
            "x".repeat(1 << 20),
        ] {
            assert!(compile(&sql).is_err());
        }
    });
}

#[test]
fn expression_evaluates_from_threads_and_from_a_runtime_at_once() {
    let expression = compile("UPPER(s) || CAST(i AS VARCHAR)").unwrap();
    let work = move || (0..20).all(|_| expression.evaluate(&columns(), 3).unwrap().len() == 3);
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(work.clone())).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let spawn = |work: &(dyn Fn() -> bool + Sync)| runtime.block_on(async { work() });
    assert!(spawn(&work));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let work = work.clone();
            runtime.handle().spawn(async move { work() })
        })
        .collect();
    for task in tasks {
        assert!(runtime.block_on(task).unwrap());
    }
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn expression_errors_of_rows_name_the_row_and_no_value() {
    let values: ArrayRef = Arc::new(StringViewArray::from(vec!["1", "2", "secret", "4", "secret"]));
    let field = Arc::new(Field::new("n", DataType::Utf8View, true));
    let expression = Expression::compile("CAST(n AS BIGINT)", &[field]).unwrap();
    let error = expression.evaluate(std::slice::from_ref(&values), 5).unwrap_err();
    assert_eq!(error.to_string(), "a value that cannot be cast; use TRY_CAST to get null for it");
    assert_eq!(error.row(), Some(2));
    assert_eq!(expression.evaluate(&[values.slice(0, 2)], 2).unwrap().len(), 2);
}

#[test]
fn expression_refuses_other_columns_than_its_own() {
    let expression = compile("i > 1").unwrap();
    assert!(matches!(expression.evaluate(&[], 0), Err(ExpressionError::Columns { .. })));
    let mut columns = columns();
    assert!(matches!(expression.evaluate(&columns, 2), Err(ExpressionError::Columns { .. })));
    columns[0] = Arc::clone(&columns[4]);
    assert!(matches!(expression.evaluate(&columns, 3), Err(ExpressionError::Columns { .. })));
}

#[test]
fn expression_gives_as_many_values_as_there_are_rows() {
    let none: Vec<ArrayRef> = columns().iter().map(|array| array.slice(0, 0)).collect();
    for sql in ["i + 1", "UPPER(s)", "1 + 1", "list", "b OR TRUE"] {
        let expression = compile(sql).unwrap();
        let values = expression.evaluate(&none, 0).unwrap();
        assert_eq!((values.len(), values.data_type()), (0, expression.data_type()), "{sql}");
    }
    let constant = Expression::compile("'a' || 'b'", &[]).unwrap();
    let values = constant.evaluate(&[], 4).unwrap();
    assert_eq!(values.to_data(), StringViewArray::from(vec!["ab"; 4]).to_data());
    let always = compile("b OR TRUE").unwrap().evaluate(&columns(), 3).unwrap();
    assert_eq!(always.to_data(), BooleanArray::from(vec![true; 3]).to_data());
}

#[test]
fn expression_reference_lists_every_function() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../design/expressions.md");
    let document = std::fs::read_to_string(path).unwrap();
    let reference = anabranch_expression::reference();
    assert!(document.contains(&reference), "design/expressions.md lacks this table:\n{reference}");
}

#[test]
fn expression_rules_that_another_database_taught_hold() {
    for truth in [
        "SUBSTRING('12345' FOR 3) = '123'",
        "CAST(TIMESTAMP '1970-01-01 00:00:00.0015' AS TIMESTAMP(3)) = TIMESTAMP '1970-01-01 00:00:00.002'",
        "CAST(TIMESTAMP '1969-12-31 23:59:59.9985' AS TIMESTAMP(3)) = TIMESTAMP '1969-12-31 23:59:59.998'",
        "CAST(TIMESTAMP '1969-12-31 23:59:59.9985' AS DATE) = DATE '1969-12-31'",
        "CAST(CAST(123456789 AS REAL) AS DECIMAL(18, 0)) = 123456792",
        "CAST(CAST(0.1 AS REAL) AS DECIMAL(18, 10)) = 0.1",
        "CAST('.5e-260' AS BIGINT) = 0",
        "CAST('1970-01-01 00:00:00.0015' AS TIMESTAMP(3)) = TIMESTAMP '1970-01-01 00:00:00.002'",
        "CAST('1970-01-01 00:00:00.0000015' AS TIMESTAMP) = TIMESTAMP '1970-01-01 00:00:00.000002'",
        "SIGN(CAST(-0.5 AS DECIMAL(38, 38))) = -1",
        "SIGN(CAST(-0.5 AS DECIMAL(38, 37))) = -1",
        "EXTRACT(MILLENNIUM FROM DATE '0000-12-31') = -1",
        "EXTRACT(CENTURY FROM DATE '-0099-01-01') = -1",
        "EXTRACT(DECADE FROM DATE '-0005-01-01') = 0",
        "REGEXP_LIKE('ABC', 'b', 'ci') AND NOT REGEXP_LIKE('ABC', 'b', 'ic')",
    ] {
        let answer = compile(truth).unwrap().evaluate(&columns(), 3).unwrap();
        assert!(answer.as_boolean().value(0), "{truth}");
    }
}

#[test]
fn expression_cast_of_a_literal_gives_the_type_of_the_cast() {
    for text in ["2024-01-01 00:00:00.1234567", "2024-01-01 00:00:00.123456"] {
        let cast = compile(&format!("CAST('{text}' AS TIMESTAMP)")).unwrap();
        assert_eq!(cast.data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None), "{text}");
    }
}

#[test]
fn expression_operand_that_is_mentioned_often_is_one_value() {
    for (sql, expected) in [
        ("i + 1 BETWEEN j AND j + 6", [Some(true), Some(false), None]),
        ("i + 1 IS DISTINCT FROM j + 6", [Some(false), Some(true), Some(false)]),
        (
            "(i + 1 BETWEEN j + 1 AND 8) IS NOT DISTINCT FROM (j + 1 IN (j + 2, 3))",
            [Some(true), Some(true), Some(true)],
        ),
        (
            "CASE i + 1 WHEN j + 6 THEN i * 2 IN (j + 12, 1) ELSE i - 1 NOT IN (j, -8) END",
            [Some(true), Some(false), None],
        ),
        ("NULLIF(i + 1, j + 6) = -6", [None, Some(true), None]),
    ] {
        let answer = compile(sql).unwrap().evaluate(&columns(), 3).unwrap();
        assert_eq!(answer.as_boolean().iter().collect::<Vec<_>>(), expected, "{sql}");
    }
    let overflow = compile("tiny + CAST(1 AS TINYINT) BETWEEN 0 AND 1").unwrap().evaluate(&columns(), 3);
    assert_eq!(overflow.unwrap_err().row(), Some(0));
}
