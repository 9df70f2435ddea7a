//! Code is what it loads, wherever it lies: what of a Python project computes again when it is edited.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::{Folder, node};

/// A project in a folder, with a pipeline that calls `f` of one of its files for two packets.
struct Project {
    folder: Folder,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Project {
    /// `python` is what stands under that key, beside the name of the function.
    fn new(python: &str, files: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let pipeline = format!(
            "\
version: 1
name: layout
nodes:
  rows: {{ rows: {{ rows: [ {{ n: 1 }}, {{ n: 2 }} ] }} }}
  f: {{ function: {{ input: rows, python: {{ call: f, {python} }}, gives: {{ m: int64 }} }} }}
"
        );
        folder.write("pipeline.yaml", &pipeline);
        for (name, text) in files {
            folder.write(name, text);
        }
        Self { folder, environment: Vec::new() }
    }

    fn run(&self) -> Value {
        let mut program = Command::new(env!("CARGO_BIN_EXE_anabranch"));
        program.args(["run", "pipeline.yaml", "-q", "--format", "json"]).current_dir(self.folder.path(""));
        let output = program.envs(self.environment.iter().cloned()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Packets that a run computes.
    fn computed(&self) -> i64 {
        node(&self.run(), "f")["computed"].as_i64().unwrap()
    }

    fn values(&self) -> Vec<i64> {
        let text = self.folder.text(&["replay", "pipeline.yaml", "f"]);
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["m"].as_i64().unwrap()).collect()
    }

    /// Each edit of what the function loads computes again, and no other one does.
    fn expect(&self, loaded: &[(&str, &str, [i64; 2])], others: &[(&str, &str)]) {
        self.run();
        assert_eq!(self.computed(), 0, "nothing was edited");
        for (name, text) in others {
            self.folder.write(name, text);
            assert_eq!(self.computed(), 0, "{name} is not loaded");
        }
        for (name, text, values) in loaded {
            self.folder.write(name, text);
            assert_eq!(self.computed(), 2, "{name} is loaded");
            assert_eq!(self.values(), *values, "{name}");
            assert_eq!(self.computed(), 0, "{name} is known");
        }
    }

    fn python(&self, interpreter: &str, code: &str) -> String {
        let program =
            if interpreter.contains('/') { self.folder.path(interpreter) } else { interpreter.into() };
        let output =
            Command::new(program).args(["-c", code]).current_dir(self.folder.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes a virtual environment, and gives its folder of packages.
    fn environment(&self, name: &str) -> String {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--without-pip", name]).current_dir(self.folder.path(""));
        assert!(make.status().unwrap().success());
        let site = "import os, sysconfig; print(os.path.relpath(sysconfig.get_path('purelib')))";
        self.python(&format!("{name}/bin/python3"), site)
    }
}

const PLAIN: &str = "import helper\ndef f(n):\n    return n * helper.K\n";
const ADDS: &str = "import helper\ndef f(n):\n    return n * helper.K + 1\n";

#[test]
fn a_module_beside_the_file() {
    let project = Project::new("file: f.py", &[("f.py", PLAIN), ("helper.py", "K = 10\n")]);
    let others =
        [("other.py", "K = 1\n"), ("helper.txt", "K\n"), ("__pycache__/helper.cpython-311.pyc", "no code")];
    project.expect(&[("helper.py", "K = 20\n", [20, 40]), ("f.py", ADDS, [21, 41])], &others);
}

#[test]
fn a_project_inside_the_prefix_of_its_environment() {
    let project =
        Project::new("file: f.py, interpreter: ./bin/python3", &[("f.py", PLAIN), ("helper.py", "K = 10\n")]);
    project.environment(".");
    project.expect(&[("helper.py", "K = 20\n", [20, 40]), ("f.py", ADDS, [21, 41])], &[("other.py", "")]);
}

#[test]
fn a_project_below_a_folder_of_that_name() {
    let at = "env/lib/python3.11/site-packages/flow";
    let (file, helper) = (format!("{at}/f.py"), format!("{at}/helper.py"));
    let project =
        Project::new(&format!("file: {file}"), &[(file.as_str(), PLAIN), (helper.as_str(), "K = 10\n")]);
    project.expect(&[(&helper, "K = 20\n", [20, 40]), (&file, ADDS, [21, 41])], &[("other.py", "")]);
}

const SIBLING: &str = "from common.weights import K\ndef f(n):\n    return n * K\n";

#[test]
fn a_sibling_folder_that_the_file_puts_on_the_path() {
    let text = format!(
        "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))\n{SIBLING}"
    );
    let project =
        Project::new("file: steps/f.py", &[("steps/f.py", &text), ("common/weights.py", "K = 10\n")]);
    project.expect(&[("common/weights.py", "K = 20\n", [20, 40])], &[("common/other.py", "")]);
}

#[test]
fn a_sibling_folder_on_pythonpath() {
    let files = [("steps/f.py", SIBLING), ("common/weights.py", "K = 10\n")];
    let mut project = Project::new("file: steps/f.py", &files);
    project.environment.push(("PYTHONPATH", project.folder.path("")));
    project.expect(&[("common/weights.py", "K = 20\n", [20, 40])], &[("common/other.py", "")]);
}

/// Puts a distribution into a folder of packages; what is editable is listed nowhere.
fn install(project: &Project, site: &str, files: &[(&str, &str)], editable: bool) {
    let info = format!("{site}/demo-1.0.dist-info");
    let url = format!("{{\"url\": \"file:///src\", \"dir_info\": {{\"editable\": {editable}}}}}");
    let listed: String = files.iter().map(|(name, _)| [*name, ",,\n"].concat()).collect();
    project.folder.write(&format!("{info}/METADATA"), "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n");
    project.folder.write(&format!("{info}/RECORD"), &listed);
    project.folder.write(&format!("{info}/direct_url.json"), &url);
    for (name, text) in files {
        project.folder.write(&format!("{site}/{name}"), text);
    }
}

const DEMO: &str = "import demo\ndef f(n):\n    return n * demo.K\n";

#[test]
fn an_editable_install_by_a_path_file() {
    let files = [("f.py", DEMO), ("src/demo/__init__.py", "K = 10\n")];
    let project = Project::new("file: f.py, interpreter: env/bin/python3", &files);
    let site = project.environment("env");
    let source = project.folder.path("src").display().to_string();
    install(&project, &site, &[("__editable__.demo.pth", &source)], true);
    project.expect(&[("src/demo/__init__.py", "K = 20\n", [20, 40])], &[("src/demo/other.py", "")]);
}

#[test]
fn an_editable_install_by_a_finder() {
    let files = [("f.py", DEMO), ("src/demo/__init__.py", "K = 10\n")];
    let project = Project::new("file: f.py, interpreter: env/bin/python3", &files);
    let site = project.environment("env");
    let source = project.folder.path("src/demo/__init__.py").display().to_string();
    let finder = format!(
        "\
import importlib.util, sys
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == 'demo':
            return importlib.util.spec_from_file_location(name, {source:?})
def install():
    sys.meta_path.append(Finder)
"
    );
    let start = "import __editable___demo_finder; __editable___demo_finder.install()\n";
    let installed = [("__editable___demo_finder.py", finder.as_str()), ("__editable__.demo.pth", start)];
    install(&project, &site, &installed, true);
    project.expect(&[("src/demo/__init__.py", "K = 20\n", [20, 40])], &[("src/demo/other.py", "")]);
}

#[test]
fn an_installed_distribution_is_not_the_projects_code() {
    let project = Project::new("file: f.py, interpreter: env/bin/python3", &[("f.py", DEMO)]);
    let site = project.environment("env");
    install(&project, &site, &[("demo/__init__.py", "K = 10\n")], false);
    let module = format!("{site}/demo/__init__.py");
    project.expect(&[("f.py", &DEMO.replace("demo.K", "demo.K + 1"), [21, 41])], &[(&module, "K = 20\n")]);
}

#[test]
fn a_namespace_package() {
    let text = "from space.part import weights\ndef f(n):\n    return n * weights.K\n";
    let project = Project::new("file: f.py", &[("f.py", text), ("space/part/weights.py", "K = 10\n")]);
    project.expect(&[("space/part/weights.py", "K = 20\n", [20, 40])], &[("space/other/weights.py", "")]);
}

#[test]
fn modules_that_a_package_imports_relatively() {
    let files = [
        ("f.py", "from package import K\ndef f(n):\n    return n * K\n"),
        ("package/__init__.py", "from .inner import K\n"),
        ("package/inner.py", "from .deep.core import K\n"),
        ("package/deep/__init__.py", ""),
        ("package/deep/core.py", "K = 10\n"),
    ];
    let project = Project::new("file: f.py", &files);
    let loaded = [
        ("package/deep/core.py", "K = 20\n", [20, 40]),
        ("package/deep/__init__.py", "# edited\n", [20, 40]),
        ("package/inner.py", "K = 30\n", [30, 60]),
        ("package/__init__.py", "K = 40\n", [40, 80]),
    ];
    project.expect(&loaded, &[("package/other.py", "")]);
}

#[test]
fn an_extension_module_built_in_place() {
    let found = "import glob, os, sysconfig; print(sorted(glob.glob(os.path.join(sysconfig.get_path('platstdlib'), 'lib-dynload', '_*.so')))[0])";
    let project = Project::new("file: f.py", &[("fast/__init__.py", "")]);
    let built = PathBuf::from(project.python("python3", found));
    let file = built.file_name().unwrap().to_str().unwrap().to_owned();
    let module = file.split('.').next().unwrap();
    project.folder.write("f.py", &format!("import fast.{module}\ndef f(n):\n    return n\n"));
    let place = project.folder.path("fast").join(&file);
    let mut bytes = std::fs::read(&built).unwrap();
    std::fs::write(&place, &bytes).unwrap();
    assert_eq!((project.computed(), project.computed()), (2, 0));
    // What stands behind the end of the image is not loaded.
    bytes.push(0);
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, &bytes).unwrap();
    assert_eq!((project.computed(), project.computed()), (2, 0));
}

#[test]
fn an_archive_on_the_path() {
    let text = "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib.zip'))\nfrom zipped import K\ndef f(n):\n    return n * K\n";
    let project = Project::new("file: f.py", &[("f.py", text)]);
    let archive = |member: &str, text: &str, more: &str| {
        let code = format!(
            "import zipfile\nwith zipfile.ZipFile('lib.zip', 'w') as z:\n    z.writestr({member:?}, {text:?})\n    z.writestr('other.py', {more:?})\n"
        );
        project.python("python3", &code);
    };
    archive("zipped.py", "K = 10\n", "");
    assert_eq!((project.computed(), project.computed()), (2, 0));
    archive("zipped.py", "K = 20\n", "");
    assert_eq!((project.computed(), project.values()), (2, vec![20, 40]));
    archive("zipped.py", "K = 20\n", "# edited\n");
    assert_eq!(project.computed(), 0, "another module of the archive");
}

#[test]
fn data_that_is_listed_and_constants() {
    let text = "\
import json, pathlib
def f(n, factor, name):
    table = json.loads((pathlib.Path(__file__).parent / 'data/table.json').read_text())
    return n * table['K'] * factor + len(name)
";
    let python = "file: f.py, files: [data/table.json], with: { factor: 2, name: ab }";
    let project =
        Project::new(python, &[("f.py", text), ("data/table.json", "{\"K\": 10}"), ("data/more.json", "")]);
    project.expect(&[("data/table.json", "{\"K\": 20}", [42, 82])], &[("data/more.json", "{}")]);
    project.folder.edit("pipeline.yaml", "factor: 2", "factor: 3");
    assert_eq!((project.computed(), project.values()), (2, vec![62, 122]));
    project.folder.edit("pipeline.yaml", "factor: 3", "factor: 2");
    assert_eq!(project.computed(), 0);
}

const LATE: &str =
    "def f(n):\n    if n == 2:\n        import late\n        return n * late.K\n    return n\n";

/// Ends of the project's runs, the newest first.
fn statuses(project: &Project) -> Vec<String> {
    let told = project.folder.json(&["runs", "pipeline.yaml"]);
    let runs = told["runs"].as_array().unwrap().iter();
    runs.map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_module_that_a_call_imports_is_remembered_and_the_run_plans_once_more() {
    let files = [("f.py", LATE), ("late.py", "import deeper\nK = deeper.K\n"), ("deeper.py", "K = 10\n")];
    let project = Project::new("file: f.py", &files);
    assert_eq!((project.computed(), project.values()), (2, vec![1, 20]));
    assert_eq!(statuses(&project), ["ok", "failed"]);
    assert_eq!(project.computed(), 0);
    let plan = project.folder.json(&["plan", "pipeline.yaml"]);
    assert_eq!(node(&plan, "f")["calls"]["compute"].as_i64().unwrap_or_default(), 0, "{plan}");
    for (name, text, value) in [("deeper.py", "K = 20\n", 40), ("late.py", "K = 30\n", 60)] {
        project.folder.write(name, text);
        assert_eq!((project.computed(), project.values()), (2, vec![1, value]));
    }
    project.folder.write("other.py", "");
    assert_eq!(project.computed(), 0);
    assert_eq!(statuses(&project).iter().filter(|status| *status == "failed").count(), 1);
}

#[test]
fn a_module_that_only_setup_imports_is_remembered_as_well() {
    let text = "state = {}\ndef begin():\n    import late\n    state['K'] = late.K\ndef f(n):\n    return n * state['K']\n";
    let project = Project::new("file: f.py, setup: begin", &[("f.py", text), ("late.py", "K = 10\n")]);
    project.expect(&[("late.py", "K = 20\n", [20, 40])], &[("other.py", "")]);
}

#[test]
fn a_module_that_is_listed_is_no_surprise() {
    let project = Project::new("file: f.py, files: [late.py]", &[("f.py", LATE), ("late.py", "K = 10\n")]);
    project.expect(&[("late.py", "K = 20\n", [1, 40])], &[("other.py", "")]);
    assert!(statuses(&project).iter().all(|status| status == "ok"));
}

#[test]
fn a_second_surprise_is_an_error_that_names_the_remedy_and_leaves_no_result() {
    let text = "\
import importlib, pathlib, sys
def f(n):
    name = 'made_%d' % n
    place = pathlib.Path(__file__).parent / (name + '.py')
    if not place.exists():
        place.write_text('K = 1')
    importlib.invalidate_caches()
    return n * importlib.import_module(name).K
";
    let project = Project::new("file: f.py", &[("f.py", text)]);
    project.folder.edit(
        "pipeline.yaml",
        "gives: { m: int64 } }",
        "gives: { m: int64 } }, concurrency: 1, on_error: skip",
    );
    let (code, message) = project.folder.failure(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(code, 1);
    assert!(
        message.contains("made_2.py was loaded during a call") && message.contains("under files"),
        "{message}"
    );
    assert_eq!(statuses(&project), ["failed", "failed"]);
    // Both are known from now on.
    assert_eq!((project.computed(), project.values()), (2, vec![1, 2]));
}

#[test]
fn files_that_change_while_a_run_goes_on_fail_it_by_name_and_leave_no_result() {
    let text = "\
import pathlib, helper
def f(n):
    if n == 2:
        with (pathlib.Path(__file__).parent / 'helper.py').open('a') as file:
            file.write('# edited\\n')
    return n * helper.K
";
    let project = Project::new("file: f.py", &[("f.py", text), ("helper.py", "K = 10\n")]);
    let set_aside = "gives: { m: int64 } }, concurrency: 1, on_error: set_aside";
    project.folder.edit("pipeline.yaml", "gives: { m: int64 } }", set_aside);
    let (code, message) = project.folder.failure(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(code, 1);
    assert!(message.contains("helper.py has changed since the pipeline was planned"), "{message}");
    // Back to what it was planned as: the second packet has no result.
    project.folder.write("helper.py", "K = 10\n");
    let told = project.folder.json(&["plan", "pipeline.yaml"]);
    assert_ne!(node(&told, "f")["calls"]["compute"], 0, "{told}");
}

#[test]
fn code_in_the_text_of_an_argument_is_warned_of() {
    let folder = Folder::new();
    folder.write("tool.sh", "while read line; do echo '{\"m\": 1}'; done\n");
    folder.write(
        "pipeline.yaml",
        "\
version: 1
name: text
nodes:
  rows: { rows: { rows: [ { n: 1 } ] } }
  f: { function: { input: rows, command: { run: [sh, -c, 'sh tool.sh'] }, gives: { m: int64 } } }
",
    );
    for command in ["check", "run"] {
        let output = folder.run(&[command, "pipeline.yaml"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && message.contains("warning: node \"f\": run: sh -c"), "{message}");
    }
    assert!(!folder.run(&["check", "pipeline.yaml", "--deny-warnings"]).status.success());
    folder.edit("pipeline.yaml", "[sh, -c, 'sh tool.sh']", "[sh, tool.sh]");
    assert!(folder.run(&["check", "pipeline.yaml", "--deny-warnings"]).status.success());
}

#[test]
fn a_script_that_is_saved_while_it_is_called_leaves_no_result() {
    let folder = Folder::new();
    let script = "echo \"{\\\"m\\\": $1}\"\n[ $1 = 2 ] && printf 'echo \"{\\\\\"m\\\\\": 900}\"\\n' > \"$0\"\nexit 0\n";
    folder.write("tool.sh", script);
    folder.write(
        "pipeline.yaml",
        "\
version: 1
name: saved
nodes:
  rows: { rows: { rows: [ { n: 1 }, { n: 2 }, { n: 3 }, { n: 4 } ] } }
  f: { function: { input: rows, command: { each: [sh, tool.sh, '{n}'] }, gives: { m: int64 } }, concurrency: 1, on_error: set_aside }
",
    );
    let (code, message) = folder.failure(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(code, 1);
    assert!(message.contains("tool.sh has changed since the pipeline was planned"), "{message}");
    folder.write("tool.sh", &script.replace("= 2", "= never"));
    folder.text(&["run", "pipeline.yaml", "-q"]);
    assert!(!folder.text(&["replay", "pipeline.yaml", "f"]).contains("900"));
}

#[test]
fn none_is_an_error_unless_the_node_says_what_it_stands_for() {
    let text = "def f(n):\n    return None if n == 2 else n\n";
    let project = Project::new("file: f.py", &[("f.py", text)]);
    let (code, message) = project.folder.failure(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(code, 1);
    assert!(message.contains("none: drop") && message.contains("none: null"), "{message}");
    // A stored drop is kept under the key that the default has.
    project.folder.edit("pipeline.yaml", "gives: { m: int64 }", "gives: { m: int64 }, none: drop");
    let dropped = project.run();
    assert_eq!((&node(&dropped, "f")["dropped"], project.values()), (&Value::from(1), vec![1]));
    project.folder.edit("pipeline.yaml", ", none: drop", "");
    project.folder.write("f.py", text);
    let (_, message) = project.folder.failure(&["run", "pipeline.yaml", "-q"]);
    assert!(message.contains("none: drop"), "{message}");
    project.folder.edit(
        "pipeline.yaml",
        "gives: { m: int64 } }",
        "gives: { m: int64 } }, on_error: set_aside",
    );
    let output = project.folder.run(&["run", "pipeline.yaml", "-q", "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = node(&told, "f");
    assert_eq!((&told["computed"], &told["reused"], &told["set_aside"]), (&0.into(), &1.into(), &1.into()));
    // Nulls are other results.
    project.folder.edit("pipeline.yaml", "on_error: set_aside", "none: null");
    assert_eq!(project.computed(), 2);
    let rows = project.folder.text(&["replay", "pipeline.yaml", "f"]);
    assert_eq!(rows, "{\"m\":1}\n{\"m\":null}\n");
}

#[test]
fn who_reads_what_was_recorded_imports_nothing() {
    let text = "import pathlib, helper\n(pathlib.Path(__file__).parent / 'imported').touch()\ndef f(n):\n    return n * helper.K\n";
    let project = Project::new("file: f.py", &[("f.py", text), ("helper.py", "K = 10\n")]);
    project.run();
    let marker = project.folder.path("imported");
    std::fs::remove_file(&marker).unwrap();
    let commands: [&[&str]; 7] = [
        &["show", "pipeline.yaml", "f"],
        &["replay", "pipeline.yaml", "f"],
        &["trace", "pipeline.yaml", "f"],
        &["errors", "pipeline.yaml"],
        &["runs", "pipeline.yaml"],
        &["cache", "ls", "pipeline.yaml"],
        &["graph", "pipeline.yaml"],
    ];
    for command in commands {
        let output = project.folder.run(command);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !message.contains("warning"), "{command:?}: {message}");
        assert!(!marker.exists(), "{command:?} has imported the code");
    }
    project.folder.write("helper.py", "K = 20\n");
    let output = project.folder.run(&["replay", "pipeline.yaml", "f"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("the pipeline has changed"), "{message}");
    assert!(!marker.exists());
}
