//! The program in a process whose memory the system limits and tells.

use std::process::{Command, Output};

use super::Folder;

/// Runs a program with a limit of its data and writes the largest memory that it had, in KiB, into a file. Standard
/// library only.
const MEASURE: &str = "
import os, resource, subprocess, sys
limit, report = int(sys.argv[1]), sys.argv[2]
def limited():
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
child = subprocess.Popen(sys.argv[3:], preexec_fn=limited)
_, status, usage = os.wait4(child.pid, 0)
open(report, 'w').write(str(usage.ru_maxrss))
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
";

/// Output of a program, and the most memory that it or a process below it had.
pub(crate) struct Measured {
    pub(crate) output: Output,
    pub(crate) peak_bytes: u64,
}

impl Measured {
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

impl Folder {
    /// Runs the program with a limit of its data, in bytes.
    pub(crate) fn measured(&self, arguments: &[&str], limit_bytes: u64) -> Measured {
        let report = self.path("peak.kib");
        let output = Command::new("python3")
            .args(["-c", MEASURE, &limit_bytes.to_string()])
            .arg(&report)
            .arg(env!("CARGO_BIN_EXE_anabranch"))
            .args(arguments)
            .current_dir(self.path(""))
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        let kib: u64 = std::fs::read_to_string(&report).unwrap().parse().unwrap();
        Measured { output, peak_bytes: kib << 10 }
    }
}
