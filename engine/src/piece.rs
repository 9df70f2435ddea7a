//! Work that a machine hands out, to be done beside its own steps.

use tokio::sync::oneshot;

use crate::operator::OperatorError;

/// A piece of work: computation only, about as much as a step of a machine does.
///
/// Example:
/// ```
/// use anabranch_engine::piece::Piece;
///
/// let (piece, outcome) = Piece::new(|| Ok(6 * 7));
/// piece.run()?;
/// assert_eq!(outcome.take()?, 42);
/// # Ok::<(), anabranch_engine::operator::OperatorError>(())
/// ```
pub struct Piece(Box<dyn FnOnce() -> Result<(), OperatorError> + Send>);

/// What comes of a piece; kept by the machine that handed the piece out.
#[derive(Debug)]
pub struct Outcome<T>(oneshot::Receiver<T>);

impl Piece {
    /// A piece, and what will come of it.
    pub fn new<T: Send + 'static>(
        work: impl FnOnce() -> Result<T, OperatorError> + Send + 'static,
    ) -> (Self, Outcome<T>) {
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            // Nobody takes it where the machine is gone.
            let _ = sender.send(work()?);
            Ok(())
        };
        (Self(Box::new(run)), Outcome(receiver))
    }

    /// Does the work.
    pub fn run(self) -> Result<(), OperatorError> {
        (self.0)()
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Piece")
    }
}

impl<T> Outcome<T> {
    /// What came of the piece.
    ///
    /// Errors: the piece has not been done.
    pub fn take(mut self) -> Result<T, OperatorError> {
        let undone = |_| OperatorError::Protocol("a piece of work was said to be done that was not");
        self.0.try_recv().map_err(undone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_of_a_piece_that_was_not_done_or_failed() {
        let (piece, outcome) = Piece::new(|| Ok(1));
        assert!(matches!(outcome.take(), Err(OperatorError::Protocol(_))));
        piece.run().unwrap();
        let (piece, outcome) = Piece::new(|| Err::<(), _>(OperatorError::Protocol("it failed")));
        assert_eq!(piece.run().unwrap_err().to_string(), "operator was driven wrongly: it failed");
        assert!(matches!(outcome.take(), Err(OperatorError::Protocol(_))));
    }
}
