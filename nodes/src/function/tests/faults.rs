//! Workers that die, hang, babble, or do not begin: only the guilty packets fail.

use super::super::CommandWire;
use super::*;

/// Packets 0..count of which those named fail with a text; all others give their number.
fn only_these_fail(session: &Session, limits: Limits, guilty: &[(usize, &str)]) -> Vec<Outcome> {
    let outcomes = session.all_within(limits);
    for (at, outcome) in outcomes.iter().enumerate() {
        match guilty.iter().find(|(g, _)| *g == at) {
            Some((_, expected)) => assert!(outcome.failed().0.contains(expected), "{at}: {outcome:?}"),
            None => assert_eq!(outcome.int(), i64::try_from(at).unwrap(), "{at}"),
        }
    }
    outcomes
}

fn python(code: &Code) -> Function {
    Function::python("f", code.python()).gives::<i64>("m")
}

#[test]
fn an_exception_fails_its_packet_with_traceback_and_what_was_printed() {
    let code = Code::new(&[(
        "f.py",
        "def g(n):\n    raise KeyError('secret ' + str(n))\ndef f(n):\n    if n == 40:\n        print('look', flush=True)\n        g(n)\n    return n\n",
    )]);
    for interpreter in [interpreter().to_owned(), code.bare_interpreter()] {
        let function = Function::python("f", code.python().interpreter(interpreter)).gives::<i64>("m");
        let session = Session::new(function, &[("n", ints(0..100))]);
        let outcomes = only_these_fail(&session, Limits::default(), &[(40, "KeyError: 'secret 40'")]);
        let log = outcomes[40].failed().1;
        assert!(log.contains("line 2, in g") && log.contains("line 6, in f"), "{log}");
        assert!(log.contains("printed meanwhile:\nlook") && !log.contains("<worker>"), "{log}");
    }
}

#[test]
fn exit_and_interrupts_are_failures_of_their_packets() {
    let code = Code::new(&[(
        "f.py",
        "import sys\ndef f(n):\n    if n == 4:\n        sys.exit(3)\n    if n == 5:\n        raise KeyboardInterrupt\n    return n\n",
    )]);
    let session = Session::new(python(&code), &[("n", ints(0..8))]);
    only_these_fail(&session, Limits::default(), &[(4, "SystemExit: 3"), (5, "KeyboardInterrupt")]);
}

#[test]
fn a_worker_that_dies_fails_only_the_packet_that_it_died_of() {
    let code = Code::new(&[(
        "f.py",
        "import os, sys\ndef f(n):\n    if n == 300:\n        print('last words', file=sys.stderr, flush=True)\n        os._exit(7)\n    if n == 301:\n        os.kill(os.getpid(), 11)\n    return n\n",
    )]);
    let session = Session::new(python(&code), &[("n", ints(0..600))]);
    let guilty = [(300, "the worker died: it ended with exit code 7"), (301, "it was ended by signal 11")];
    let outcomes = only_these_fail(&session, Limits::default(), &guilty);
    assert!(outcomes[300].failed().1.contains("last words"), "{:?}", outcomes[300]);
}

#[test]
fn a_call_that_hangs_past_its_timeout_fails_alone() {
    let code = Code::new(&[(
        "f.py",
        "import time\ndef f(n):\n    if n == 200:\n        print('waiting', flush=True)\n        time.sleep(600)\n    return n\n",
    )]);
    let session = Session::new(python(&code), &[("n", ints(0..400))]);
    let limits = Limits { timeout: Some(Duration::from_millis(500)) };
    let outcomes = only_these_fail(&session, limits, &[(200, "it took longer than 500ms")]);
    assert!(outcomes[200].failed().1.contains("waiting"), "{:?}", outcomes[200]);
}

#[test]
fn what_is_printed_by_any_means_does_not_get_into_the_answers_and_does_not_fill_memory() {
    let code = Code::new(&[(
        "f.py",
        "import os, subprocess, sys\ndef f(n):\n    os.write(1, b'raw\\n')\n    sys.stdout.write('text\\n')\n    subprocess.run(['echo', 'child'])\n    if n == 1:\n        for _ in range(1024):\n            os.write(2, bytes(1 << 20))\n        raise ValueError('full')\n    return n\n",
    )]);
    let session = Session::new(python(&code), &[("n", ints(0..4))]);
    let before = resident_bytes();
    let outcomes = only_these_fail(&session, Limits::default(), &[(1, "ValueError: full")]);
    assert!(outcomes[1].failed().1.len() < 64 << 10);
    assert!(resident_bytes() < before + (64 << 20), "what was printed is kept");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_worker_that_cannot_begin_is_not_started_for_ever() {
    let code = Code::new(&[(
        "f.py",
        "def begin():\n    open('starts', 'a').write('x')\n    raise RuntimeError('no model')\ndef f(n):\n    return n\n",
    )]);
    let function = Function::python("f", code.python().setup("begin")).gives::<i64>("m");
    let outcomes = Session::new(function, &[("n", ints(0..50))]).all();
    for outcome in &outcomes {
        let (text, log) = outcome.failed();
        assert!(
            text.contains("the worker could not be started: setup \"begin\" failed: RuntimeError: no model"),
            "{text}"
        );
        assert!(log.contains("in begin"), "{log}");
    }
    assert_eq!(std::fs::read_to_string(code.path("starts")).unwrap(), "xxx");
}

#[test]
fn garbage_on_the_wire_fails_only_the_packet_that_it_came_with() {
    let answers = [
        ("print('garbage', flush=True)", "found something that is no JSON"),
        ("print('[1]', flush=True)", "found JSON that is no object"),
        ("print('{\"level\": \"info\"}', flush=True)", "found an object without output \"m\""),
        (
            "print('{\"m\": 1, \"extra\": 2}', flush=True)",
            "found an object with keys that gives does not name",
        ),
        ("sys.exit(0)", "the worker died: it ended with exit code 0"),
        ("sys.stdout.write('{\"m\"'); sys.stdout.flush(); sys.exit(1)", "it ended with exit code 1"),
    ];
    for (bad, expected) in answers {
        let code = Code::new(&[]);
        let program = format!(
            "import json, sys\nfor line in sys.stdin:\n    n = json.loads(line)['n']\n    if n == 70:\n        {bad}\n    else:\n        print(json.dumps({{'m': n}}), flush=True)\n"
        );
        let function = Function::command("f", code.run(&program)).gives::<i64>("m");
        let session = Session::new(function, &[("n", ints(0..150))]);
        only_these_fail(&session, seconds(60), &[(70, expected)]);
    }
}

#[test]
fn output_that_no_packet_was_asked_for_takes_the_belief_from_all_answers() {
    let lines = "import json, sys\nfor line in sys.stdin:\n    n = json.loads(line)['n']\n    sys.stdout.write(json.dumps({'m': n}) + '\\n' + ('{\"m\": 1}\\n' if n == 70 else ''))\n    sys.stdout.flush()\n";
    let batches = "import sys\nimport pyarrow as pa\nout = None\nfor batch in pa.ipc.open_stream(sys.stdin.buffer):\n    n = batch.column('n')\n    answer = pa.record_batch([n], ['m'])\n    out = out or pa.ipc.new_stream(sys.stdout.buffer, answer.schema)\n    out.write_batch(answer)\n    if 70 in n.to_pylist():\n        out.write_batch(answer)\n    sys.stdout.flush()\n";
    for (program, wire) in [(lines, CommandWire::JsonLines), (batches, CommandWire::Arrow)] {
        let code = Code::new(&[]);
        let function = Function::command("f", Command { wire, ..code.run(program) }).gives::<i64>("m");
        let session = Session::new(function, &[("n", ints(0..150))]);
        let mut told = None;
        let mut at = 0;
        while at < 150 && told.is_none() {
            let end = 150.min(at + session.open.packets_per_call());
            let computed = session.call(at..end, seconds(60));
            at += computed.emitted.len();
            let stray = computed.failures.iter().find(|(_, failure)| failure.is_stray());
            told = stray.map(|(_, failure)| format!("{}: {}", failure.kind, failure.cause));
            assert!(told.is_some() || computed.author.is_some() || !computed.failures.is_empty());
        }
        let told = told.or_else(|| session.close()).unwrap_or_else(|| panic!("{wire:?} is believed"));
        assert!(
            told.contains("the worker answered badly") && told.contains("found more output than packets"),
            "{told}"
        );
    }
}

#[test]
fn output_at_the_end_is_seen_and_the_end_of_a_stream_is_none() {
    let batches = |end: &str| {
        format!(
            "import sys\nimport pyarrow as pa\nwith pa.ipc.open_stream(sys.stdin.buffer) as stream:\n    with pa.ipc.new_stream(sys.stdout.buffer, pa.schema([('m', pa.int64())])) as out:\n        for batch in stream:\n            out.write_batch(pa.record_batch([batch.column('n')], ['m']))\n            sys.stdout.flush()\n        {end}\n"
        )
    };
    for (end, told) in [("pass", false), ("out.write_batch(pa.record_batch([pa.array([1])], ['m']))", true)] {
        let code = Code::new(&[]);
        let command = Command { wire: CommandWire::Arrow, ..code.run(&batches(end)) };
        let session = Session::new(Function::command("f", command).gives::<i64>("m"), &[("n", ints(0..9))]);
        only_these_fail(&session, seconds(60), &[]);
        let closed = session.close();
        assert_eq!(closed.is_some(), told, "{closed:?}");
        assert!(closed.is_none_or(|text| text.contains("found more output than packets when it had ended")));
    }
}

#[test]
fn arrow_batches_of_another_shape_are_told() {
    let cases = [
        ("pa.record_batch([pa.array(n[:-1], pa.int64())], ['m'])", "expected 1, one per packet"),
        ("pa.record_batch([pa.array(n, pa.int64())], ['x'])", "found a column \"x\", expected m"),
        (
            "pa.record_batch([pa.array([0.5 for v in n])], ['m'])",
            "output \"m\": found float64, expected int64",
        ),
    ];
    for (batch, expected) in cases {
        let code = Code::new(&[]);
        let program = format!(
            "import sys\nimport pyarrow as pa\nfor batch in pa.ipc.open_stream(sys.stdin.buffer):\n    n = batch.column('n').to_pylist()\n    answer = {batch}\n    with pa.ipc.new_stream(sys.stdout.buffer, answer.schema) as out:\n        out.write_batch(answer)\n    sys.stdout.flush()\n"
        );
        let command = Command { wire: CommandWire::Arrow, ..code.run(&program) };
        let session = Session::new(Function::command("f", command).gives::<i64>("m"), &[("n", ints([5]))]);
        let outcome = &session.all_within(seconds(60))[0];
        assert!(outcome.failed().0.contains(expected), "{outcome:?}");
    }
    let code = Code::new(&[]);
    let command = code.run("import sys\nsys.stdin.buffer.read(1)\nsys.stdout.write('what is this, it is no stream')\nsys.stdout.flush()\nsys.stdin.read()\n");
    let command = Command { wire: CommandWire::Arrow, ..command };
    let session = Session::new(Function::command("f", command).gives::<i64>("m"), &[("n", ints([5]))]);
    let outcome = &session.all_within(seconds(60))[0];
    assert!(outcome.failed().0.contains("found other bytes, expected an Arrow stream"), "{outcome:?}");
}

/// Processes whose environment has a mark.
fn marked(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let environment = processes.filter_map(|p| std::fs::read(p.path().join("environ")).ok());
    environment.filter(|e| e.windows(mark.len()).any(|w| w == mark.as_bytes())).count()
}

fn wait_until_gone(mark: &str) {
    let begun = std::time::Instant::now();
    while marked(mark) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} processes are left", marked(mark));
        std::thread::yield_now();
    }
}

#[test]
fn giving_a_call_up_kills_the_worker_and_what_it_has_started() {
    let code = Code::new(&[]);
    let mark = format!("ANABRANCH_MARK={}", code.0.path().display());
    code.write("f.py", &format!("import os, subprocess, time\nname, value = {mark:?}.split('=')\ndef f(n):\n    subprocess.Popen(['sleep', '600'], env={{name: value}})\n    open('begun', 'w').close()\n    time.sleep(600)\n"));
    let session = Session::new(python(&code), &[("n", ints([1]))]);
    session.runtime.block_on(async {
        let call = session.open.run(session.request(0..1, Limits::default()));
        let begun = async {
            while !code.path("begun").exists() || marked(&mark) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = call => panic!("the call ended"),
            () = begun => {}
        }
    });
    wait_until_gone(&mark);
    // The next call has a new worker.
    code.write("f.py", "def f(n):\n    return n\n");
}

#[test]
fn workers_end_by_themselves_at_the_end_and_are_killed_without_one() {
    let script =
        "import atexit\natexit.register(lambda: open('ended', 'w').close())\ndef f(n):\n    return n\n";
    let code = Code::new(&[("f.py", script)]);
    let session = Session::new(python(&code), &[("n", ints(0..10))]);
    std::fs::remove_file(code.path("ended")).unwrap();
    session.all();
    assert_eq!(session.close(), None);
    assert!(code.path("ended").exists());

    let code = Code::new(&[("f.py", script)]);
    let session = Session::new(python(&code), &[("n", ints(0..10))]);
    // It was imported once to be looked at, and ended by itself.
    std::fs::remove_file(code.path("ended")).unwrap();
    session.all();
    drop(session);
    assert!(!code.path("ended").exists());
}
