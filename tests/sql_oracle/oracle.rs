//! The other side: DuckDB, in a process of its own.

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::StreamWriter;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::value::{Answer, value};

/// A running DuckDB.
pub(crate) struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: TempDir,
    rows: usize,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("answers.py");
        std::fs::write(&script, include_str!("duckdb_answers.py")).unwrap();
        let mut child = Command::new(anabranch_test_python::interpreter())
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output, folder, rows: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends expressions over a table; [`Oracle::answers`] waits for what they give.
    pub(crate) fn ask(&mut self, table: &RecordBatch, expressions: &[&str]) {
        self.rows = table.num_rows();
        let data = std::fs::File::create(self.path("data")).unwrap();
        let mut writer = StreamWriter::try_new(data, &table.schema()).unwrap();
        writer.write(table).unwrap();
        writer.finish().unwrap();
        let job =
            json!({ "data": self.path("data"), "answers": self.path("answers"), "expressions": expressions });
        writeln!(self.input, "{job}").unwrap();
        self.input.flush().unwrap();
    }

    /// For each expression, the answer of each row.
    pub(crate) fn answers(&mut self) -> Vec<Vec<Answer>> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let told: Json = serde_json::from_str(&line).expect("DuckDB's process ended; its error is above");
        let file = std::fs::File::open(self.path("answers")).unwrap();
        let batch = FileReader::try_new(file, None).unwrap().next().unwrap().unwrap();
        let errors = told["errors"].as_array().unwrap();
        let answer = |(column, error): (usize, &Json)| {
            let row = |row: usize| match error {
                Json::String(text) => Answer::Refused(text.clone()),
                Json::Object(rows) if rows.contains_key(&row.to_string()) => {
                    Answer::Error(rows[&row.to_string()].as_str().unwrap().to_owned())
                }
                _ => Answer::Value(value(batch.column(column).as_ref(), row)),
            };
            (0..self.rows).map(row).collect()
        };
        errors.iter().enumerate().map(answer).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // Its loop ends with its input, too; what it still computes is of no use.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
