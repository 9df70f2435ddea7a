//! Subtasks: computation that a machine spawns beside its own steps.

use tokio::sync::oneshot;

use crate::operator::OperatorError;

/// A unit of computation without I/O, about as long as one step of a machine.
///
/// Example:
/// ```
/// use anabranch_engine::subtask::Subtask;
///
/// let (subtask, outcome) = Subtask::new(|| Ok(6 * 7));
/// subtask.run()?;
/// assert_eq!(outcome.take()?, 42);
/// # Ok::<(), anabranch_engine::operator::OperatorError>(())
/// ```
pub struct Subtask(Box<dyn FnOnce() -> Result<(), OperatorError> + Send>);

/// Output of a subtask; kept by the machine that spawned it.
#[derive(Debug)]
pub struct SubtaskOutput<T>(oneshot::Receiver<T>);

impl Subtask {
    /// Returns a subtask and the handle of its output.
    pub fn new<T: Send + 'static>(
        work: impl FnOnce() -> Result<T, OperatorError> + Send + 'static,
    ) -> (Self, SubtaskOutput<T>) {
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            // The receiver is gone if the machine was dropped.
            let _ = sender.send(work()?);
            Ok(())
        };
        (Self(Box::new(run)), SubtaskOutput(receiver))
    }

    /// Runs the computation.
    pub fn run(self) -> Result<(), OperatorError> {
        (self.0)()
    }
}

impl std::fmt::Debug for Subtask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subtask")
    }
}

impl<T> SubtaskOutput<T> {
    /// Returns the output.
    ///
    /// Errors: the subtask has not run yet, or has failed.
    pub fn take(mut self) -> Result<T, OperatorError> {
        let undone = |_| OperatorError::Protocol("the output of a subtask was taken before it ran");
        self.0.try_recv().map_err(undone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtask_that_has_not_run_or_has_failed_has_no_output() {
        let (subtask, outcome) = Subtask::new(|| Ok(1));
        assert!(matches!(outcome.take(), Err(OperatorError::Protocol(_))));
        subtask.run().unwrap();
        let (subtask, outcome) = Subtask::new(|| Err::<(), _>(OperatorError::Protocol("it failed")));
        assert_eq!(subtask.run().unwrap_err().to_string(), "operator was driven wrongly: it failed");
        assert!(matches!(outcome.take(), Err(OperatorError::Protocol(_))));
    }
}
