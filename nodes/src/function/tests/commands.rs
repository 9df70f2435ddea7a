//! Programs as functions.

use super::super::CommandWire;
use super::*;

const DOUBLE: &str = r#"
import json, sys
for line in sys.stdin:
    n = json.loads(line)["n"]
    if n == 3:
        answer = None
    elif n == 5:
        print("about to refuse", file=sys.stderr, flush=True)
        answer = {"$error": "five"}
    elif n == 6:
        answer = {"m": "a text"}
    else:
        answer = {"m": 2 * n}
    print(json.dumps(answer), flush=True)
"#;

#[test]
fn a_program_answers_lines_of_json_with_outputs_null_or_an_error() {
    let code = Code::new(&[]);
    let function = Function::command("double", code.run(DOUBLE)).gives::<i64>("m");
    let session = Session::new(function, &[("n", ints(0..100))]);
    let outcomes = session.all();
    assert_eq!(outcomes[99].int(), 198);
    assert_eq!(outcomes[3], Outcome::Dropped);
    assert_eq!(outcomes[5].failed().0, "the function failed: five");
    assert!(outcomes[5].failed().1.contains("about to refuse"), "{:?}", outcomes[5]);
    assert_eq!(
        outcomes[6].failed().0,
        "the function answered badly: output \"m\": found a string that does not read as that type, expected int64"
    );
    assert_eq!(session.close(), None);
}

#[test]
fn a_program_answers_arrow_batches() {
    let code = Code::new(&[]);
    let program = r#"
import sys
import pyarrow as pa
with pa.ipc.open_stream(sys.stdin.buffer) as stream:
    schema = pa.schema([("t", pa.string()), ("$keep", pa.bool_()), ("$error", pa.string()), ("m", pa.int32())])
    sink = sys.stdout.buffer
    with pa.ipc.new_stream(sink, schema) as out:
        sink.flush()
        for batch in stream:
            n = batch.column("n").to_pylist()
            rows = [{"t": str(v), "$keep": v != 3, "$error": "five" if v == 5 else None, "m": v + 1} for v in n]
            out.write_batch(pa.RecordBatch.from_pylist(rows, schema))
            sink.flush()
"#;
    let command = Command { wire: CommandWire::Arrow, ..code.run(program) };
    let function = Function::command("a", command).gives::<i64>("m").gives::<String>("t");
    let session = Session::new(function, &[("n", ints(0..200))]);
    let outcomes = session.all();
    assert_eq!((outcomes[199].int(), outcomes[199].text()), (200, "199".to_owned()));
    assert_eq!(outcomes[3], Outcome::Dropped);
    assert_eq!(outcomes[5].failed().0, "the function failed: five");
    assert_eq!(session.close(), None);
}

#[test]
fn a_program_that_answers_the_whole_input_only_at_its_end_does_not_block_the_engine_for_ever() {
    let code = Code::new(&[]);
    let function =
        Function::command("late", code.run("import sys\nprint(sys.stdin.read())\n")).gives::<i64>("m");
    let session = Session::new(function, &[("n", ints([1]))]);
    let outcomes = session.all_within(Limits { timeout: Some(Duration::from_millis(300)) });
    assert!(outcomes[0].failed().0.starts_with("the call took too long"), "{:?}", outcomes[0]);
}

#[test]
fn a_program_that_answers_before_it_has_read_everything_does_not_hang() {
    // 300 answers of 4 KiB are more than a pipe holds.
    let code = Code::new(&[]);
    let program = r#"
import json, sys
for line in sys.stdin:
    json.loads(line)
    sys.stdout.write(json.dumps({"t": "x" * 4096}) + "\n")
    sys.stdout.flush()
"#;
    let function = Function::command("long", code.run(program)).gives::<String>("t");
    let text = "y".repeat(4096);
    let texts = vec![text.as_str(); 600];
    let session = Session::new(function, &[("s", strings(&texts))]);
    session.call(0..1, seconds(20));
    let computed = session.call(1..600, seconds(20));
    assert!(computed.failures.is_empty(), "{:?}", computed.failures);
}

#[test]
fn each_packet_has_a_call_in_an_empty_folder_of_its_own_which_is_removed() {
    let code = Code::new(&[(
        "tool",
        "#!/bin/sh\ncount=$(ls -A | wc -l)\necho $count > \"$2\"\npwd > \"$3\"\ntouch left\necho \"$1\" >&2\n[ \"$1\" = bad ] && exit 3\nexit 0\n",
    )]);
    let command = Command::each(["./tool", "{name}", "{out.count}", "{out.place}"]).folder(code.0.path());
    let function = Function::command("tool", command).gives::<i64>("count").gives::<String>("place");
    let columns = [("name", strings(&["a", "bad", "b"])), ("other", ints([1, 2, 3]))];
    let outcomes = Session::new(function, &columns).all();
    assert_eq!((outcomes[0].int(), outcomes[2].int()), (0, 0), "the folder is empty");
    assert_ne!(outcomes[0].text(), outcomes[2].text());
    assert!(!std::path::Path::new(outcomes[0].text().trim()).exists());
    assert_eq!(outcomes[1].failed(), ("the function failed: it ended with exit code 3", "bad\n"));
}

#[test]
fn outputs_without_a_file_are_json_on_standard_output() {
    let code = Code::new(&[("tool", "#!/bin/sh\nprintf 'bytes\\000here' > \"$1\"\nprintf '{\"n\": 7}'\n")]);
    let command = Command::each(["./tool", "{out.b}"]).folder(code.0.path());
    let function = Function::command("tool", command).gives::<i64>("n").gives::<Vec<u8>>("b");
    let Outcome::Given(values) = &Session::new(function, &[("x", ints([1]))]).all()[0] else { panic!() };
    assert_eq!(values[0].as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(values[1].as_binary_view().value(0), b"bytes\0here");
    for (output, expected) in [("null", None), ("{\"$error\": \"no\"}", Some("the function failed: no"))] {
        let code = Code::new(&[("tool", &format!("#!/bin/sh\nprintf '{output}'\n"))]);
        let command = Command::each(["./tool"]).folder(code.0.path());
        let outcome =
            &Session::new(Function::command("t", command).gives::<i64>("n"), &[("x", ints([1]))]).all()[0];
        match expected {
            None => assert_eq!(outcome, &Outcome::Dropped),
            Some(text) => assert_eq!(outcome.failed().0, text),
        }
    }
}

#[test]
fn what_a_call_does_not_give_is_told() {
    let cases = [
        ("exit 0", "output \"n\": found no file"),
        ("echo seven > \"$1\"", "output \"n\": found bytes that do not read as int64"),
        ("mkfifo \"$1\"", "found something else than a plain file"),
        ("ln -s /etc/hostname \"$1\"", "found something else than a plain file"),
        ("kill -9 $$", "it was ended by signal 9"),
    ];
    for (script, expected) in cases {
        let code = Code::new(&[("tool", &format!("#!/bin/sh\n{script}\n"))]);
        let command = Command::each(["./tool", "{out.n}"]).folder(code.0.path());
        let outcome =
            &Session::new(Function::command("t", command).gives::<i64>("n"), &[("x", ints([1]))]).all()[0];
        assert!(outcome.failed().0.contains(expected), "{script}: {outcome:?}");
    }
}

#[test]
fn values_in_arguments_never_reach_a_shell_and_null_is_no_argument() {
    let command = Command::each(["printf", "%s", "{{\"t\": \"{text}\"}}"]);
    let function = Function::command("t", command).gives::<String>("t");
    let texts: ArrayRef =
        Arc::new(StringViewArray::from(vec![Some("$(rm -rf /) ; `x` é"), None, Some("a\0b")]));
    let outcomes = Session::new(function, &[("text", texts)]).all();
    assert_eq!(outcomes[0].text(), "$(rm -rf /) ; `x` é");
    assert!(outcomes[1].failed().0.contains("column \"text\" is null"), "{:?}", outcomes[1]);
    assert!(outcomes[2].failed().0.contains("column \"text\" has a zero byte"), "{:?}", outcomes[2]);
}

#[test]
fn a_call_that_leaves_a_process_behind_with_its_pipe_open_is_answered() {
    let code = Code::new(&[("tool", "#!/bin/sh\nsleep 600 &\nprintf '{\"n\": 7}'\n")]);
    let command = Command::each(["./tool"]).folder(code.0.path());
    let session = Session::new(Function::command("t", command).gives::<i64>("n"), &[("x", ints([1, 2]))]);
    assert_eq!(session.all()[1].int(), 7);
}

#[test]
fn placeholders_and_programs_that_do_not_exist_are_told_when_the_pipeline_is_planned() {
    let texts = strings(&["a"]);
    let plan = |command: Command| {
        let function = Function::command("t", command).gives::<i64>("score");
        reason(&bind(&function, &[("text", &texts)]).unwrap_err())
    };
    let text = plan(Command::each(["printf", "{txt}"]));
    assert!(text.contains("found \"{txt}\"") && text.contains("did you mean"), "{text}");
    let text = plan(Command::each(["printf", "{out.scor}"]));
    assert!(text.contains("out.score"), "{text}");
    assert!(plan(Command::each(["no-such-tool"])).starts_with("each: found no program"));
    assert!(plan(Command::run(["./no-such-tool"])).starts_with("run: found no program"));
    assert!(plan(Command::run(Vec::<String>::new())).starts_with("run: found no program"));
    assert!(plan(Command::run(["true"]).files(["missing"])).starts_with("files: found "));
}

#[test]
fn only_mentioned_columns_are_taken_by_a_call_per_packet() {
    let command = Command::each(["printf", "{b}-{a}"]);
    let one = ints([1]);
    let function = Function::command("t", command).gives::<i64>("n");
    let bound = bind(&function, &[("a", &one), ("b", &one), ("c", &one)]).unwrap();
    assert_eq!(bound.taken, [0, 1]);
}
