//! The command line.

use crate::error::BenchError;

/// Rounds of each measurement, unless told otherwise.
const ROUNDS: usize = 11;
/// Rounds with `--quick`.
const QUICK_ROUNDS: usize = 3;
/// Rows of each table, unless told otherwise.
const ROWS: u32 = 1_000_000;

/// Work to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which part of the work.
    pub(crate) task: Task,
    /// Rounds of each measurement.
    pub(crate) rounds: usize,
    /// Rows of each table.
    pub(crate) rows: u32,
    /// Only what has this in its name.
    pub(crate) only: String,
}

/// A part of the work; all but the first are for a process of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// Everything, by way of the others.
    All,
    /// The times of all engines, in turn: case and threads.
    Times(String, usize),
    /// The memory of one engine: case, threads and place of the engine.
    Memory(String, usize, usize),
    /// The small measurements on so many threads.
    Small(usize),
    /// The store: commits, look-ups, replay.
    Store,
    /// Whole runs with a store.
    Runs,
    /// A hundred runs.
    History,
    /// One case of ours on so many threads, for a profiler.
    Profile(String, usize),
}

impl Task {
    /// The arguments that stand for it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        match self {
            Self::All => vec![],
            Self::Times(case, threads) => vec!["--times".into(), case.clone(), threads.to_string()],
            Self::Memory(case, threads, engine) => {
                vec!["--memory".into(), case.clone(), threads.to_string(), engine.to_string()]
            }
            Self::Small(threads) => vec!["--small".into(), threads.to_string()],
            Self::Store => vec!["--store".into()],
            Self::Runs => vec!["--runs".into()],
            Self::History => vec!["--history".into()],
            Self::Profile(case, threads) => {
                vec!["--profile".into(), case.clone(), threads.to_string()]
            }
        }
    }
}

impl Options {
    /// Reads arguments, without the program's name.
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, BenchError> {
        let mut options = Self { task: Task::All, rounds: ROUNDS, rows: ROWS, only: String::new() };
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--quick" => options.rounds = QUICK_ROUNDS,
                "--rounds" => options.rounds = number(&mut rest, &argument)?,
                "--rows" => options.rows = number(&mut rest, &argument)?,
                "--only" => options.only = text(&mut rest, &argument)?,
                "--times" => {
                    options.task = Task::Times(text(&mut rest, &argument)?, number(&mut rest, &argument)?);
                }
                "--memory" => {
                    let case = text(&mut rest, &argument)?;
                    options.task =
                        Task::Memory(case, number(&mut rest, &argument)?, number(&mut rest, &argument)?);
                }
                "--small" => options.task = Task::Small(number(&mut rest, &argument)?),
                "--store" => options.task = Task::Store,
                "--runs" => options.task = Task::Runs,
                "--history" => options.task = Task::History,
                "--profile" => {
                    options.task = Task::Profile(text(&mut rest, &argument)?, number(&mut rest, &argument)?);
                }
                _ => return Err(BenchError::Argument { found: argument }),
            }
        }
        Ok(options)
    }
}

fn text(rest: &mut impl Iterator<Item = String>, argument: &str) -> Result<String, BenchError> {
    rest.next().ok_or_else(|| BenchError::Argument { found: argument.to_owned() })
}

fn number<N: std::str::FromStr>(
    rest: &mut impl Iterator<Item = String>,
    argument: &str,
) -> Result<N, BenchError> {
    let found = text(rest, argument)?;
    found.parse().map_err(|_| BenchError::Argument { found: format!("{argument} {found}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[String]) -> Result<Options, BenchError> {
        Options::read(arguments.iter().cloned())
    }

    #[test]
    fn a_task_is_read_back_from_its_arguments() {
        let tasks = [
            Task::Times("a".into(), 2),
            Task::Memory("b".into(), 1, 3),
            Task::Small(2),
            Task::Store,
            Task::Runs,
            Task::History,
            Task::Profile("c".into(), 2),
        ];
        for task in tasks {
            assert_eq!(read(&task.arguments()).unwrap().task, task);
        }
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        assert!(read(&["--fast".into()]).is_err());
        assert!(read(&["--rounds".into(), "many".into()]).is_err());
        assert!(read(&["--rows".into()]).is_err());
    }
}
