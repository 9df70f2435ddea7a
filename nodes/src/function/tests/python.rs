//! Arguments and outputs of a function in a Python file.

use anabranch_expression::Literal;

use super::super::NoneOutput;
use super::*;

const SCORE: &str = r#"
def f(mph, seats):
    print("this does not get into the answers")
    if seats == 4:
        return None
    return {"label": f"s{seats}", "score": mph * seats}
"#;

fn score(python: Python) -> Function {
    Function::python("score", python).gives::<f64>("score").gives::<String>("label")
}

#[test]
fn a_function_gets_columns_by_name_and_gives_outputs_by_name() {
    let code = Code::new(&[("f.py", SCORE)]);
    for interpreter in [interpreter().to_owned(), code.bare_interpreter()] {
        let columns = [("mph", floats(&[1.5, 2.5, 0.5])), ("seats", ints([2, 4, 7]))];
        let python = Python { none: NoneOutput::Drop, ..code.python().interpreter(&interpreter) };
        let session = Session::new(score(python), &columns);
        let outcomes = session.all();
        assert_eq!(outcomes[0].float().to_bits(), 3.0_f64.to_bits());
        assert_eq!(outcomes[0].text(), "s2");
        assert_eq!(outcomes[1], Outcome::Dropped);
        assert_eq!(outcomes[2].text(), "s7");
        assert_eq!(session.close(), None);
    }
}

#[test]
fn the_only_output_may_be_a_bare_value_and_none_is_what_the_node_says() {
    let code =
        Code::new(&[("f.py", "def f(n):\n    return {0: None, 1: 7, 2: {'m': 8}, 3: {'m': None}}[n]\n")]);
    for interpreter in [interpreter().to_owned(), code.bare_interpreter()] {
        let null = |outcome: &Outcome| matches!(outcome, Outcome::Given(values) if values[0].is_null(0));
        for none in [NoneOutput::Error, NoneOutput::Drop, NoneOutput::Null] {
            let python = Python { none, ..code.python().interpreter(&interpreter) };
            let function = Function::python("f", python).gives::<i64>("m");
            let outcomes = Session::new(function, &[("n", ints(0..4))]).all();
            match none {
                NoneOutput::Error => assert!(outcomes[0].failed().0.contains("`none: drop`"), "{outcomes:?}"),
                NoneOutput::Drop => assert_eq!(outcomes[0], Outcome::Dropped),
                NoneOutput::Null => assert!(null(&outcomes[0])),
            }
            assert_eq!((outcomes[1].int(), outcomes[2].int()), (7, 8));
            assert!(null(&outcomes[3]));
        }
    }
}

#[test]
fn none_in_place_of_a_chunk_is_what_the_node_says_of_all_its_rows() {
    let code = Code::new(&[("f.py", "def f(batch, offset):\n    assert offset == 1\n")]);
    for none in [NoneOutput::Error, NoneOutput::Drop, NoneOutput::Null] {
        let python = Python { chunk: true, none, ..code.python().with("offset", 1_i64) };
        let outcomes =
            Session::new(Function::python("f", python).gives::<i64>("m"), &[("n", ints(0..3))]).all();
        assert!(outcomes.iter().all(|outcome| match none {
            NoneOutput::Error => outcome.failed().0.contains("`none: null`"),
            NoneOutput::Drop => *outcome == Outcome::Dropped,
            NoneOutput::Null => matches!(outcome, Outcome::Given(values) if values[0].is_null(0)),
        }));
    }
}

#[test]
fn constants_come_as_keywords_beside_the_columns() {
    let text = "def f(n, **given):\n    return repr(sorted(given.items()))\n";
    let code = Code::new(&[("f.py", text)]);
    let big = Literal::Number("36893488147419103232".to_owned());
    let python = code
        .python()
        .with("a", 0.5)
        .with("b", true)
        .with("c", "x\"y")
        .with("d", Literal::Null)
        .with("e", big);
    let function = Function::python("f", python).gives::<String>("m");
    let given = Session::new(function, &[("n", ints([1]))]).all()[0].text();
    assert_eq!(given, "[('a', 0.5), ('b', True), ('c', 'x\"y'), ('d', None), ('e', 36893488147419103232)]");
    let python = code.python().with("n", 1_i64);
    let error = bind(&Function::python("f", python).gives::<String>("m"), &[("n", &ints([1]))]).unwrap_err();
    assert!(reason(&error).starts_with("with: found \"n\", which is a taken column too"), "{error}");
}

#[test]
fn columns_whose_names_are_no_python_names_come_as_keywords_too() {
    let code = Code::new(&[("f.py", "def f(**given):\n    return ' '.join(sorted(given))\n")]);
    let function = Function::python("f", code.python()).gives::<String>("names");
    let columns = [("dep-time", ints([1])), ("class", ints([1])), ("a\"b", ints([1]))];
    assert_eq!(Session::new(function, &columns).all()[0].text(), "a\"b class dep-time");
}

#[test]
fn a_function_without_columns_is_called() {
    let code = Code::new(&[("f.py", "def f():\n    return 5\n")]);
    let function = Function::python("f", code.python()).takes(Vec::<String>::new()).gives::<i64>("m");
    assert_eq!(Session::new(function, &[("n", ints([1, 2]))]).all()[1].int(), 5);
}

#[test]
fn setup_runs_once_in_each_worker_before_the_first_packet() {
    let code = Code::new(&[(
        "f.py",
        "state = []\ndef begin():\n    state.append(100)\ndef f(n):\n    return sum(state) + n\n",
    )]);
    let function = Function::python("f", code.python().setup("begin")).gives::<i64>("m");
    let outcomes = Session::new(function, &[("n", ints(0..40))]).all();
    assert_eq!(outcomes.iter().map(Outcome::int).collect::<Vec<_>>(), (100..140).collect::<Vec<_>>());
}

#[test]
fn a_chunk_function_gets_and_gives_record_batches() {
    let code = Code::new(&[(
        "f.py",
        r#"
import pyarrow as pa
import pyarrow.compute as pc
def f(batch):
    n = batch.column("n")
    text = pc.cast(n, pa.string())
    error = pa.array(["odd one" if v == 7 else None for v in n.to_pylist()], pa.string())
    keep = pc.not_equal(n, 3)
    return pa.RecordBatch.from_arrays([text, pc.add(n, 1), keep, error], ["t", "m", "$keep", "$error"])
"#,
    )]);
    let function =
        Function::python("f", Python { chunk: true, ..code.python() }).gives::<i64>("m").gives::<String>("t");
    let outcomes = Session::new(function, &[("n", ints(0..10))]).all();
    assert_eq!((outcomes[0].int(), outcomes[9].int()), (1, 10));
    assert_eq!(outcomes[9].text(), "9");
    assert_eq!(outcomes[3], Outcome::Dropped);
    assert_eq!(outcomes[7].failed().0, "the function failed: odd one");
}

#[test]
fn a_chunk_that_fails_is_tried_packet_by_packet() {
    let code = Code::new(&[(
        "f.py",
        r#"
import pyarrow as pa
def f(batch):
    values = batch.column("n").to_pylist()
    if 50 in values:
        raise ValueError("fifty")
    if 60 in values:
        return pa.RecordBatch.from_arrays([pa.array(values[1:], pa.int64())], ["m"])
    return pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], ["m"])
"#,
    )]);
    let function = Function::python("f", Python { chunk: true, ..code.python() }).gives::<i64>("m");
    let outcomes = Session::new(function, &[("n", ints(0..100))]).all();
    for (at, outcome) in outcomes.iter().enumerate().filter(|(at, _)| !matches!(at, 50 | 60)) {
        assert_eq!(outcome.int(), i64::try_from(at).unwrap());
    }
    assert_eq!(outcomes[50].failed().0, "the function failed: ValueError: fifty");
    assert!(outcomes[50].failed().1.contains("line 6, in f"), "{:?}", outcomes[50]);
    assert!(outcomes[60].failed().0.contains("expected 1, one per packet"), "{:?}", outcomes[60]);
}

#[test]
fn chunks_need_pyarrow_when_the_pipeline_is_planned() {
    let code = Code::new(&[("f.py", "def f(batch):\n    return batch\n")]);
    let python = Python { chunk: true, ..code.python().interpreter(code.bare_interpreter()) };
    let error = bind(&Function::python("f", python).gives::<i64>("n"), &[("n", &ints([1]))]).unwrap_err();
    assert!(reason(&error).starts_with("chunk: found no pyarrow in"), "{error}");
}

#[test]
fn a_file_that_cannot_be_imported_is_told_with_its_traceback_when_the_pipeline_is_planned() {
    let code = Code::new(&[("f.py", "import math\n\nraise RuntimeError('no licence')\n")]);
    let error =
        bind(&Function::python("f", code.python()).gives::<i64>("m"), &[("n", &ints([1]))]).unwrap_err();
    let text = reason(&error);
    assert!(text.contains("RuntimeError: no licence") && text.contains("line 3, in <module>"), "{text}");
    assert!(!text.contains("<worker>") && !text.contains("importlib"), "{text}");
}

#[test]
fn a_function_that_the_file_does_not_have_is_told_with_those_that_it_has() {
    let code = Code::new(&[("f.py", "def score(n):\n    return n\n")]);
    let python = Python::new("f.py", "scor").folder(code.0.path());
    let error = bind(&Function::python("f", python).gives::<i64>("m"), &[("n", &ints([1]))]).unwrap_err();
    let text = reason(&error);
    assert!(text.contains("no function \"scor\"") && text.contains("did you mean"), "{text}");
    let python = Python::new("f.py", "score").setup("stup").folder(code.0.path());
    let error = bind(&Function::python("f", python).gives::<i64>("m"), &[("n", &ints([1]))]).unwrap_err();
    assert!(reason(&error).starts_with("setup: found no function \"stup\""), "{error}");
}

#[test]
fn an_interpreter_that_is_not_there_or_is_none_is_told() {
    let code = Code::new(&[("f.py", "def f(n):\n    return n\n")]);
    for (interpreter, expected) in [("no-such-python", "no program"), ("/bin/true", "does not work")] {
        let function = Function::python("f", code.python().interpreter(interpreter)).gives::<i64>("m");
        let error = bind(&function, &[("n", &ints([1]))]).unwrap_err();
        assert!(reason(&error).starts_with("interpreter: ") && reason(&error).contains(expected), "{error}");
    }
}

#[test]
fn secrets_stay_out_of_the_environment() {
    let code = Code::new(&[(
        "f.py",
        "import os\ndef f(n):\n    return str('HOME' in os.environ) + str('PATH' in os.environ)\n",
    )]);
    let function = Function::python("f", code.python()).gives::<String>("m").hide_variables(["HOME"]);
    assert_eq!(Session::new(function, &[("n", ints([1]))]).all()[0].text(), "FalseTrue");
}

#[test]
fn fast_functions_are_given_many_packets_and_slow_ones_few() {
    let code = Code::new(&[(
        "f.py",
        "import time\ndef f(n):\n    if n >= 100000:\n        time.sleep(0.02)\n    return n\n",
    )]);
    let function = Function::python("f", code.python()).gives::<i64>("m");
    let values: Vec<i64> = (0..20_000).chain(100_000..100_005).collect();
    let session = Session::new(function, &[("n", ints(values.clone()))]);
    let mut start = 0;
    let mut most = 0;
    while start < 20_000 {
        most = most.max(session.open.packets_per_call());
        let end = 20_000.min(start + session.open.packets_per_call());
        start += session.call(start..end, Limits::default()).emitted.len();
    }
    assert!(most >= 64, "never more than {most} packets at a time");
    session.call(20_000..20_002, Limits::default());
    assert_eq!(session.open.packets_per_call(), 1);
}
