//! Tests of parameters: types, sources of values, and substitution.

use super::super::kinds;
use super::super::values::body::Body;
use super::super::values::number::Number;
use super::super::values::tree::{Scalar, Value, YamlNode};
use super::Folder;

/// Returns the value of `field` in the inline row of a pipeline with these parameters, after all checks.
fn substituted(folder: &Folder, field: &str) -> Result<Scalar, String> {
    let checked = checked(folder)?;
    let body = Body::new(checked.get("rows"), &kinds::Kind::of("rows").unwrap().schema);
    let row = &body.given("rows").unwrap().items()[0];
    Ok(row.get(field).unwrap().scalar().unwrap().clone())
}

/// Returns the first node's mapping, after all checks.
fn checked(folder: &Folder) -> Result<YamlNode, String> {
    use super::super::{files::read_all, graph::collect, load::declare, values::report::Report};
    let mut report = Report::default();
    let mut documents = read_all(&mut report, &folder.path("pipeline.yaml"));
    let mut parameters = declare(&mut report, &documents, &folder.options);
    parameters.require_values(&mut report);
    let nodes = collect(&mut report, &mut documents, &parameters);
    if report.errors() > 0 {
        let findings: Vec<String> = report.finish().iter().map(ToString::to_string).collect();
        return Err(findings.join("\n"));
    }
    Ok(nodes[0].entry.value.clone())
}

fn with_row(params: &str, value: &str) -> Folder {
    Folder::new(&format!(
        "version: 1\nname: p\nparams: {params}\nnodes:\n  s: {{ rows: {{ rows: [{{ x: {value} }}] }} }}\n"
    ))
}

fn number(value: &str) -> Scalar {
    Scalar::Number(Number::read(value).unwrap())
}

fn text(value: &str) -> Scalar {
    Scalar::Text(value.to_owned())
}

#[test]
fn a_scalar_that_is_exactly_a_parameter_keeps_its_type() {
    let params = "{ i: { type: int, default: 7 }, f: { type: float, default: 2 }, b: { type: bool, default: true }, s: { type: string, default: '7' } }";
    for (value, expected) in [
        ("\"${i}\"", Scalar::Integer(7)),
        ("'${f}'", number("2.0")),
        ("'${b}'", Scalar::Bool(true)),
        ("\"${s}\"", text("7")),
        ("\"${i}0\"", text("70")),
        ("\"${i}${b}${f}\"", text("7true2.0")),
    ] {
        assert_eq!(substituted(&with_row(params, value), "x"), Ok(expected), "{value}");
    }
}

#[test]
fn an_escape_is_not_replaced_and_a_value_is_not_looked_at_again() {
    let params = "{ s: { type: string, default: x } }";
    for (value, expected) in [
        ("'$${s}'", "${s}"),
        ("'a$${s}b${s}'", "a${s}bx"),
        ("'$s and $ and {s}'", "$s and $ and {s}"),
        ("'cost: 5$'", "cost: 5$"),
    ] {
        assert_eq!(substituted(&with_row(params, value), "x"), Ok(text(expected)), "{value}");
    }
    let nested = with_row(params, "'${s}'").set("s", "${s}");
    assert_eq!(substituted(&nested, "x"), Ok(text("${s}")));
}

#[test]
fn the_call_beats_files_which_beat_the_environment_which_beats_the_default() {
    let folder = with_row("{ n: { type: int, default: 1, env: N } }", "'${n}'");
    assert_eq!(substituted(&folder, "x"), Ok(Scalar::Integer(1)));
    let folder = folder.variable("N", "2");
    assert_eq!(substituted(&folder, "x"), Ok(Scalar::Integer(2)));
    let folder = folder.file("first.yaml", "n: 3\n").params_file("first.yaml");
    assert_eq!(substituted(&folder, "x"), Ok(Scalar::Integer(3)));
    let folder = folder.file("second.yaml", "n: 4\n").params_file("second.yaml");
    assert_eq!(substituted(&folder, "x"), Ok(Scalar::Integer(4)));
    let folder = folder.set("n", "5").set("n", "6");
    assert_eq!(substituted(&folder, "x"), Ok(Scalar::Integer(6)));
}

#[test]
fn texts_of_the_call_are_read_by_the_declared_type() {
    let folder = |kind: &str, value: &str| {
        substituted(&with_row(&format!("{{ v: {{ type: {kind} }} }}"), "'${v}'").set("v", value), "x")
    };
    assert_eq!(folder("string", "007"), Ok(text("007")));
    assert_eq!(folder("string", ""), Ok(text("")));
    assert_eq!(folder("int", "-3"), Ok(Scalar::Integer(-3)));
    assert_eq!(folder("float", "3"), Ok(number("3.0")));
    assert_eq!(folder("bool", "false"), Ok(Scalar::Bool(false)));
    assert_eq!(folder("path", "/data"), Ok(text("/data")));
    for (kind, value) in [
        ("int", "3.5"),
        ("int", "x"),
        ("int", "99999999999999999999"),
        ("float", "x"),
        ("bool", "no"),
        ("path", ""),
    ] {
        assert!(folder(kind, value).is_err(), "{kind} took {value}");
    }
}

#[test]
fn a_wrong_value_of_the_call_is_shown_as_it_was_given() {
    let folder = with_row("{ n: { type: int, default: 1 } }", "'${n}'").set("n", "abc").set("m", "1");
    assert_eq!(
        folder.findings(),
        "--set:1:3: error: parameter \"n\": found text \"abc\", expected an integer
    1 | n=abc
      |   ^^^
      = pipeline.yaml:3:11: it is declared here
--set:1:1: error: there is no parameter \"m\"
    1 | m=1
      | ^ did you mean \"n\"?"
    );
}

#[test]
fn wrong_declarations_and_files_are_reported_at_their_places() {
    let folder = with_row(
        "{ a: { type: int, default: x }, b: { type: txt }, c: { type: string, default: 5 }, d: { type: int }, e: { type: string, default: '${a}' }, f: { type: int, env: F } }",
        "'${a}${b}${c}${d}${e}${f}'",
    )
    .variable("F", "many")
    .file("values.yaml", "a: no\nzz: 1\n")
    .params_file("values.yaml");
    assert_eq!(
        folder.headlines(),
        [
            "pipeline.yaml:3:36: error: default of parameter \"a\": found text \"x\", expected an integer",
            "pipeline.yaml:3:52: error: type in parameter \"b\": found text \"txt\", expected string or int or float or bool or path",
            "pipeline.yaml:3:87: error: default of parameter \"c\": found integer 5, expected a text",
            "pipeline.yaml:3:92: error: parameter \"d\" has no value",
            "pipeline.yaml:3:138: error: default of parameter \"e\" refers to a parameter",
            "pipeline.yaml:3:169: error: parameter \"f\": found \"many\" in the environment, expected an integer",
            "values.yaml:2:1: error: there is no parameter \"zz\"",
        ]
    );
}

#[test]
fn a_parameter_that_does_not_exist_is_reported_where_it_is_used() {
    let folder = with_row("{ root: { type: path, default: data } }", "'${roof}/x'");
    assert_eq!(
        folder.findings(),
        "pipeline.yaml:5:28: error: rows (x) in node \"s\": there is no parameter \"roof\"
    5 |   s: { rows: { rows: [{ x: '${roof}/x' }] } }
      |                            ^^^^^^^^^^^^ did you mean \"root\"?"
    );
}

#[test]
fn a_parameter_without_quotes_in_braces_is_reported_with_the_remedy() {
    let folder = with_row("{ n: { type: int, default: 1 } }", "${n}");
    assert!(folder.findings().contains("within [ ] and { }, ${name} needs quotes"), "{}", folder.findings());
}

#[test]
fn a_template_that_does_not_end_is_reported() {
    let folder = with_row("{}", "'${roof'");
    assert!(
        folder.headlines()[0].ends_with("the name of a parameter does not end"),
        "{:?}",
        folder.headlines()
    );
}

#[test]
fn paths_start_from_the_file_that_contains_them() {
    let folder = Folder::new("version: 1\nname: p\ninclude: [shared/s.yaml]\nnodes: {}\n")
        .file("shared/s.yaml", "params: { root: { type: path, default: data } }\nnodes:\n  a: { csv: { path: \"${root}/a.csv\" } }\n  b: { csv: { path: b.csv } }\n");
    let a = checked(&folder).unwrap();
    let Value::Path(path) = &a.get("csv").unwrap().get("path").unwrap().value else { panic!("no path") };
    assert_eq!(path, &folder.path("shared/data/a.csv"));
    let findings = folder.findings();
    if !findings.is_empty() {
        assert!(findings.contains("shared/b.csv"), "{findings}");
    }
}

#[test]
fn a_text_cannot_break_out_of_an_expression() {
    let folder = Folder::new(
        "version: 1\nname: p\nparams: { who: { type: string } }\nnodes:\n  f: { filter: { input: s, where: \"name = ${who} AND $${x} = 1\" } }\n  s: { rows: { rows: [{ name: a }] } }\n",
    )
    .set("who", "x' OR '1'='1");
    let f = checked(&folder).unwrap();
    let bound = f.get("filter").unwrap().get("where").unwrap().text().unwrap();
    assert_eq!(bound, "name = 'x'' OR ''1''=''1' AND ${x} = 1");
}
