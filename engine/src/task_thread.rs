//! Task threads: named threads of the system that own what has to stay on one thread.
//!
//! A connection to a database, a foreign handle or a child process lives on its thread; tasks come
//! through a bounded queue, and carry the sender of their answer. No thread of a runtime blocks.
//!
//! 1. Tasks are taken in the order in which they were queued.
//! 2. Closing a thread, and dropping it, waits until what was queued is done.
//!
//! ```
//! use anabranch_engine::task_thread::{TaskThread, Tasks};
//! use std::num::NonZeroUsize;
//! use std::sync::mpsc::{SyncSender, sync_channel};
//!
//! let limit = NonZeroUsize::new(4).unwrap();
//! let thread = TaskThread::start("counter", limit, |tasks: Tasks<(u64, SyncSender<u64>)>| {
//!     let mut sum = 0;
//!     while let Some((number, answer)) = tasks.wait() {
//!         sum += number;
//!         let _ = answer.send(sum);
//!     }
//! })?;
//! let (answer, sums) = sync_channel(4);
//! for number in 1..=3 {
//!     thread.send_blocking((number, answer.clone()))?;
//! }
//! thread.close();
//! assert_eq!(sums.try_iter().collect::<Vec<_>>(), [1, 3, 6]);
//! # Ok::<(), anabranch_engine::task_thread::TaskError>(())
//! ```

use std::fmt;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender};

/// Why a task did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The system has no thread left.
    #[error(
        "start thread \"{name}\": no thread could be started; raise the limit of threads or end other programs"
    )]
    Start {
        /// The thread's name.
        name: String,
        /// The system's error.
        #[source]
        cause: std::io::Error,
    },
    /// The thread, or who runs its queue, has ended.
    #[error("run a task on thread \"{name}\": the thread has ended; start another")]
    Ended {
        /// The thread's name.
        name: String,
    },
}

/// The queue of a thread, as the thread sees it.
pub struct Tasks<J>(Receiver<J>);

impl<J> Tasks<J> {
    /// The next task, once there is one; none once no sender is left.
    #[must_use]
    pub fn wait(&self) -> Option<J> {
        self.0.recv_blocking().ok()
    }

    /// Returns whether no sender is left; some tasks may still wait.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The next task, if there is one.
    #[must_use]
    pub fn poll(&self) -> Option<J> {
        self.0.try_recv().ok()
    }
}

/// A named thread that works off a bounded queue and ends once no sender is left.
///
/// Dropping it waits until what was queued is done.
pub struct TaskThread<J> {
    name: String,
    tasks: Option<Sender<J>>,
    handle: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> TaskThread<J> {
    /// Starts a thread that runs `work` on its queue, in which at most `limit` tasks wait.
    pub fn start(
        name: &str,
        limit: NonZeroUsize,
        work: impl FnOnce(Tasks<J>) + Send + 'static,
    ) -> Result<Self, TaskError> {
        let (tasks, queue) = async_channel::bounded(limit.get());
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(Tasks(queue)));
        let handle = started.map_err(|cause| TaskError::Start { name: name.to_owned(), cause })?;
        Ok(Self { name: name.to_owned(), tasks: Some(tasks), handle: Some(handle) })
    }

    /// The thread's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a task, once there is room.
    ///
    /// Cancellation: the task is queued, or it is not.
    pub async fn send(&self, task: J) -> Result<(), TaskError> {
        let tasks = self.tasks.as_ref().ok_or_else(|| self.ended())?;
        tasks.send(task).await.map_err(|_| self.ended())
    }

    /// Adds a task, once there is room; for threads that may block.
    pub fn send_blocking(&self, task: J) -> Result<(), TaskError> {
        let tasks = self.tasks.as_ref().ok_or_else(|| self.ended())?;
        tasks.send_blocking(task).map_err(|_| self.ended())
    }

    /// Ends the thread, once what was queued is done.
    pub fn close(self) {
        drop(self);
    }
}

impl<J> fmt::Debug for TaskThread<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskThread").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<J> fmt::Debug for Tasks<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tasks").field(&self.0.len()).finish()
    }
}

impl<J> TaskThread<J> {
    fn ended(&self) -> TaskError {
        TaskError::Ended { name: self.name.clone() }
    }
}

impl<J> Drop for TaskThread<J> {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(handle) = self.handle.take()
            // The last owner may be a task of the thread itself, which cannot wait for its own end.
            && handle.thread().id() != std::thread::current().id()
        {
            // A panic of the thread reached all that waited: their answers never came.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests;
