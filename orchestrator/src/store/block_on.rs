//! Waiting for a future on the calling thread, whatever executor the thread belongs to.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks the thread until the future is ready.
///
/// Executors refuse to be entered from within another. This is no executor, so it can be called in a task of any. The
/// future must not need the caller's executor to make progress.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_another_thread_also_within_an_executor() {
        let answer = futures::executor::block_on(async {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let other = thread::spawn(move || sender.send(7));
            let answer = block_on(receiver);
            other.join().unwrap().unwrap();
            answer
        });
        assert_eq!(answer, Ok(7));
    }
}
