//! Identity of functions in other processes.

use std::collections::BTreeMap;

use super::super::NoneOutput;
use super::*;

#[expect(clippy::needless_pass_by_value, reason = "functions are built in place")]
fn components(function: Function) -> BTreeMap<String, String> {
    let bound =
        bind(&function, &[("n", &ints([1])), ("x", &ints([1]))]).unwrap_or_else(|error| panic!("{error}"));
    assert!(bound.cacheable);
    let components = bound.stored.fingerprint.components().iter();
    components.map(|c| (c.name.clone(), c.value.clone())).collect()
}

/// The names of components that differ.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| before.get(name) != after.get(name));
    names
}

#[test]
fn the_file_and_the_modules_of_its_folder_are_in_the_key_by_name() {
    let code = Code::new(&[
        ("f.py", "import json\nimport helper\nfrom lib import util\ndef f(n):\n    return n\n"),
        ("helper.py", "A = 1\n"),
        ("lib/__init__.py", ""),
        ("lib/util.py", "B = 1\n"),
        ("unrelated.py", "C = 1\n"),
    ]);
    let python = || Function::python("f", code.python()).takes(["n"]).gives::<i64>("m");
    let before = components(python());
    for name in [
        "file f.py",
        "module helper.py",
        "module lib/__init__.py",
        "module lib/util.py",
        "interpreter",
        "entry",
    ] {
        assert!(before.contains_key(name), "{name} is not in {before:?}");
    }
    assert!(!before.contains_key("module unrelated.py"));
    assert_eq!(before["kind"], "python");
    // One byte, the same size, the same second: only the bytes tell.
    code.write("lib/util.py", "B = 2\n");
    code.write("unrelated.py", "C = 2\n");
    assert_eq!(changed(&before, &components(python())), ["module lib/util.py"]);
    code.write("lib/util.py", "B = 1\n");
    assert_eq!(components(python()), before);
    assert!(!code.path("__pycache__").exists(), "the project's folder is written to");
    assert!(!code.path("lib/__pycache__").exists(), "the project's folder is written to");
}

#[test]
fn the_same_code_in_another_folder_is_the_same_function() {
    let files = [("f.py", "import helper\ndef f(n):\n    return n\n"), ("helper.py", "")];
    let (one, other) = (Code::new(&files), Code::new(&files));
    let python = |code: &Code| Function::python("f", code.python()).gives::<i64>("m");
    assert_eq!(components(python(&one)), components(python(&other)));
}

#[test]
fn pyarrow_makes_no_difference_but_in_a_strict_environment() {
    let code = Code::new(&[("f.py", "def f(n):\n    return n\n")]);
    let bare = code.bare_interpreter();
    let python = || Function::python("f", code.python()).gives::<i64>("m");
    let without = Function::python("f", code.python().interpreter(&bare)).gives::<i64>("m");
    assert_eq!(components(python()), components(without));
    let strict = Function::python("f", Python { strict: true, ..code.python() }).gives::<i64>("m");
    assert!(components(strict).contains_key("package pyarrow"));
}

#[test]
fn each_option_is_a_component() {
    let code =
        Code::new(&[("f.py", "def g():\n    pass\ndef f(n):\n    return n\n"), ("lock.txt", "numpy==2\n")]);
    let function = |python: Python| Function::python("f", python).takes(["n"]).gives::<i64>("m");
    let before = components(function(code.python()));
    let cases = [
        (function(code.python().setup("g")), "setup"),
        (function(code.python().lock("lock.txt")), "lock"),
        (function(code.python().files(["lock.txt"])), "data lock.txt"),
        (function(code.python().with("k", 0.5)), "with k"),
        (function(Python { none: NoneOutput::Null, ..code.python() }), "none"),
        (function(code.python()).version("2"), "version"),
        (function(code.python()).takes(["n", "x"]), "takes"),
        (function(code.python()).gives::<String>("o"), "gives"),
        (function(Python::new("f.py", "g").folder(code.0.path())), "entry"),
    ];
    for (function, name) in cases {
        assert_eq!(changed(&before, &components(function)), [name]);
    }
    assert_eq!(components(function(Python { none: NoneOutput::Drop, ..code.python() })), before);
    let read = components(function(code.python().files([code.path("lock.txt")])));
    assert!(read.contains_key("data lock.txt"), "a path below the folder starts there");
    code.write("lock.txt", "numpy==1\n");
    assert_eq!(changed(&read, &components(function(code.python().files(["lock.txt"])))), ["data lock.txt"]);
    let locked = components(function(code.python().lock("lock.txt")));
    code.write("lock.txt", "numpy==3\n");
    assert_eq!(changed(&locked, &components(function(code.python().lock("lock.txt")))), ["lock"]);
}

#[test]
fn a_module_of_the_project_that_is_loaded_during_a_call_fails_the_call_with_the_remedy() {
    let code = Code::new(&[
        ("f.py", "def f(n):\n    if n == 30:\n        import late\n        return late.A\n    return n\n"),
        ("late.py", "A = 1\n"),
    ]);
    let function = Function::python("f", code.python()).gives::<i64>("m");
    let outcomes = Session::new(function, &[("n", ints(0..60))]).all();
    for (at, outcome) in outcomes.iter().enumerate().filter(|(at, _)| *at != 30) {
        assert_eq!(outcome.int(), i64::try_from(at).unwrap());
    }
    let (text, _) = outcomes[30].failed();
    assert!(
        text.contains("late.py was loaded during a call") && text.contains("import it at the top"),
        "{text}"
    );
}

#[test]
fn code_that_changes_after_it_was_planned_is_not_called() {
    let code =
        Code::new(&[("f.py", "def f(n):\n    return n\n"), ("tool", "#!/bin/sh\nprintf '{\"m\": 1}'\n")]);
    let session = Session::new(Function::python("f", code.python()).gives::<i64>("m"), &[("n", ints([1]))]);
    code.write("f.py", "def f(n):\n    return 2\n");
    let outcomes = session.all();
    assert!(
        outcomes[0].failed().0.contains("f.py has changed since the pipeline was planned"),
        "{outcomes:?}"
    );

    let command = Command::each(["./tool"]).folder(code.0.path());
    let session = Session::new(Function::command("t", command).gives::<i64>("m"), &[("n", ints([1]))]);
    code.write("tool", "#!/bin/sh\nprintf '{\"m\": 10}'\n");
    let outcomes = session.all();
    assert!(outcomes[0].failed().0.contains("has changed since the pipeline was planned"), "{outcomes:?}");
}

#[test]
fn a_command_is_its_arguments_its_program_and_the_listed_files() {
    let code = Code::new(&[("tool", "#!/bin/sh\nexit 0\n"), ("model.txt", "1\n")]);
    let command = || Command::run(["./tool", "a"]).files(["model.txt"]).folder(code.0.path());
    let function = |command: Command| Function::command("t", command).takes(["n"]).gives::<i64>("m");
    let before = components(function(command()));
    assert_eq!((before["kind"].as_str(), before["wire"].as_str()), ("command", "jsonl"));
    assert_eq!(before["argv"], "./tool\na");
    code.write("model.txt", "2\n");
    assert_eq!(changed(&before, &components(function(command()))), ["file model.txt"]);
    code.write("model.txt", "1\n");
    code.write("tool", "#!/bin/sh\nexit 1\n");
    assert_eq!(changed(&before, &components(function(command()))), ["program"]);
    code.write("tool", "#!/bin/sh\nexit 0\n");
    let arrow = Command { wire: super::super::CommandWire::Arrow, ..command() };
    assert_eq!(changed(&before, &components(function(arrow))), ["wire"]);
}

#[test]
fn a_file_that_an_argument_names_is_code_whether_it_is_listed_or_not() {
    let code = Code::new(&[("tool.sh", "exit 0\n"), ("model.txt", "1\n"), ("other.txt", "1\n")]);
    let function = |command: Command| {
        Function::command("t", command.folder(code.0.path())).takes(["n"]).gives::<i64>("m")
    };
    let arguments = ["sh", "./tool.sh", "--model=model.txt", "--other", "no-such-file"];
    for command in [Command::run(arguments), Command::each(arguments)] {
        let before = components(function(command.clone()));
        let files: Vec<&str> =
            before.keys().filter(|name| name.starts_with("file ")).map(String::as_str).collect();
        assert_eq!(files, ["file ./tool.sh", "file model.txt"]);
        code.write("tool.sh", "exit 1\n");
        assert_eq!(changed(&before, &components(function(command.clone()))), ["file ./tool.sh"]);
        code.write("tool.sh", "exit 0\n");
        code.write("model.txt", "2\n");
        assert_eq!(changed(&before, &components(function(command.clone()))), ["file model.txt"]);
        code.write("model.txt", "1\n");
        code.write("other.txt", "2\n");
        assert_eq!(components(function(command)), before);
    }
    // Listed or not, it is the same function.
    let listed = components(function(Command::run(["sh", "tool.sh"]).files(["tool.sh"])));
    assert_eq!(components(function(Command::run(["sh", "tool.sh"]))), listed);
}

#[test]
fn a_script_that_each_names_is_found_from_the_folder_of_a_call() {
    let code = Code::new(&[("tool.sh", "printf '{\"m\": 7}'\n")]);
    let command = Command::each(["sh", "tool.sh"]).folder(code.0.path());
    let session = Session::new(Function::command("t", command).gives::<i64>("m"), &[("n", ints([1]))]);
    assert_eq!(session.all()[0].int(), 7);
}

#[test]
fn a_text_of_code_for_a_shell_is_warned_of_unless_its_files_are_listed() {
    let code = Code::new(&[("tool.sh", "exit 0\n")]);
    let one = ints([1]);
    let warnings = |command: Command| {
        let function = Function::command("t", command.folder(code.0.path())).gives::<i64>("m");
        bind(&function, &[("n", &one)]).unwrap().warnings().to_vec()
    };
    for arguments in [["env", "sh", "-c", "sh tool.sh"], ["/bin/sh", "-e", "-c", "sh tool.sh"]] {
        for command in [Command::run(arguments), Command::each(arguments)] {
            let found = warnings(command);
            assert_eq!(found.len(), 1);
            assert!(found[0].contains("sh -c") && found[0].contains("list them under files"), "{found:?}");
        }
        assert!(warnings(Command::run(arguments).files(["tool.sh"])).is_empty());
    }
    assert!(warnings(Command::run(["sh", "tool.sh"])).is_empty());
}
