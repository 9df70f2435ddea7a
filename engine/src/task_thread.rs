//! Task threads: named threads of the system that own what has to stay on one thread.
//!
//! A connection to a database, a foreign handle or a child process lives on its thread; tasks come
//! through a bounded queue, and what they give goes back through a *completion* that async code
//! awaits and other code polls or waits for. No thread of a runtime blocks.
//!
//! 1. Tasks run in the order in which they were queued, one at a time.
//! 2. Every task that was queued is completed exactly once: with its value, with its panic, or with
//!    [`TaskError::Ended`]; a panic ends its task, not the thread.
//! 3. A queue of completions never holds more than its limit, since room is taken before a task is
//!    queued; so a thread never waits for whoever reads them.
//! 4. Closing a thread, and dropping it, waits until what was queued is done.
//!
//! [`TaskThread`] runs a loop of its user's own over its queue; [`StateThread`] runs closures over
//! a state.
//!
//! ```
//! use anabranch_engine::task_thread::{StateThread, completions};
//! use std::num::NonZeroUsize;
//!
//! let limit = NonZeroUsize::new(4).unwrap();
//! // The state is made on the thread and need not be `Send`.
//! let thread = StateThread::start("counter", limit, || Ok::<_, std::convert::Infallible>(0)).unwrap();
//! let (completer, mut done) = completions(limit);
//! for n in 1..=3 {
//!     thread.try_submit(&completer, n, move |sum: &mut u64| { *sum += n; *sum }).unwrap();
//! }
//! let sums: Vec<u64> = std::iter::from_fn(|| done.wait()).map(|done| done.outcome.unwrap()).collect();
//! assert_eq!(sums, [1, 3, 6]);
//! thread.close();
//! ```

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_channel::{Receiver, Sender, TrySendError};
use futures::channel::oneshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::stage::panic_message;

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
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The task panicked.
    #[error("run a task on thread \"{name}\": it panicked: {message}")]
    Panicked {
        /// The thread's name.
        name: String,
        /// What the panic said.
        message: String,
    },
    /// The thread, or who runs its queue, has ended.
    #[error("run a task on thread \"{name}\": the thread has ended; start another")]
    Ended {
        /// The thread's name.
        name: String,
    },
    /// The queue of tasks or that of completions is full.
    #[error("run a task on thread \"{name}\": its queue is full; take completions and try again")]
    Full {
        /// The thread's name.
        name: String,
    },
}

/// Why a state thread did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError<E: std::error::Error + 'static> {
    /// There is no thread.
    #[error(transparent)]
    Task(TaskError),
    /// The state could not be made.
    #[error(transparent)]
    State(E),
}

/// The queue of a thread, as the thread sees it.
pub struct Tasks<J>(Receiver<J>);

impl<J> Tasks<J> {
    /// The next task, once there is one; none once nobody can add any.
    #[must_use]
    pub fn wait(&self) -> Option<J> {
        self.0.recv_blocking().ok()
    }

    /// Whether nobody can add a task any more; some may still wait.
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

/// A named thread that works off a bounded queue and ends once nobody can add to it.
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

    /// Adds a task if there is room.
    pub fn try_send(&self, task: J) -> Result<(), TaskError> {
        let tasks = self.tasks.as_ref().ok_or_else(|| self.ended())?;
        tasks.try_send(task).map_err(|refused| match refused {
            TrySendError::Full(_) => TaskError::Full { name: self.name.clone() },
            TrySendError::Closed(_) => self.ended(),
        })
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

impl<S> fmt::Debug for StateThread<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateThread").field(&self.0.name).finish()
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
            // A panic of the thread was told to everyone who waited: their answers never came.
            let _ = handle.join();
        }
    }
}

type StateTask<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread that owns a state and runs closures over it.
///
/// The state is made and dropped on the thread and need not be `Send`. After a panic the state stays as the
/// panic left it.
pub struct StateThread<S>(TaskThread<StateTask<S>>);

impl<S: 'static> StateThread<S> {
    /// Starts a thread whose state is what `make` gives; waits until it is made.
    pub fn start<E: std::error::Error + Send + 'static>(
        name: &str,
        limit: NonZeroUsize,
        make: impl FnOnce() -> Result<S, E> + Send + 'static,
    ) -> Result<Self, StartError<E>> {
        let (told, answered) = std::sync::mpsc::sync_channel(1);
        let thread = TaskThread::start(name, limit, move |tasks: Tasks<StateTask<S>>| {
            let outcome = catch_unwind(AssertUnwindSafe(make));
            let (mut state, answer) = match outcome {
                Ok(Ok(state)) => (Some(state), Ok(())),
                Ok(Err(error)) => (None, Err(Ok(error))),
                Err(panic) => (None, Err(Err(panic_message(panic.as_ref())))),
            };
            let _ = told.send(answer);
            let Some(state) = &mut state else { return };
            while let Some(task) = tasks.wait() {
                // Its panics are caught inside, where they are told.
                task(state);
            }
        })
        .map_err(StartError::Task)?;
        match answered.recv() {
            Ok(Ok(())) => Ok(Self(thread)),
            Ok(Err(Ok(error))) => Err(StartError::State(error)),
            Ok(Err(Err(message))) => {
                Err(StartError::Task(TaskError::Panicked { name: name.to_owned(), message }))
            }
            Err(_) => Err(StartError::Task(TaskError::Ended { name: name.to_owned() })),
        }
    }

    /// Runs a task and waits for its value.
    ///
    /// Cancellation: a task that was queued runs all the same.
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        let (answer, outcome) = oneshot::channel();
        let name = self.0.name.clone();
        let task = move |state: &mut S| drop(answer.send(guarded(name, || task(state))));
        self.0.send(Box::new(task)).await?;
        outcome.await.map_err(|_| self.0.ended())?
    }

    /// Queues a task whose value goes to a queue of completions, once both have room.
    ///
    /// Cancellation: the task is queued, or it is not.
    pub async fn submit<T: Send + 'static>(
        &self,
        completer: &Completer<T>,
        token: u64,
        task: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<(), TaskError> {
        let room = Arc::clone(&completer.room).acquire_owned().await;
        let room = room.map_err(|_| self.0.ended())?;
        self.0.send(self.told(completer, token, room, task)).await
    }

    /// Queues a task whose value goes to a queue of completions, if both have room.
    pub fn try_submit<T: Send + 'static>(
        &self,
        completer: &Completer<T>,
        token: u64,
        task: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<(), TaskError> {
        let room = Arc::clone(&completer.room).try_acquire_owned();
        let room = room.map_err(|_| TaskError::Full { name: self.0.name.clone() })?;
        self.0.try_send(self.told(completer, token, room, task))
    }

    /// The task as it is queued: it takes the room for its completion along, and gives it back if it is
    /// dropped. Once queued it is not, since the thread works its queue off before it ends.
    fn told<T: Send + 'static>(
        &self,
        completer: &Completer<T>,
        token: u64,
        room: OwnedSemaphorePermit,
        task: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> StateTask<S> {
        let (name, done) = (self.0.name.clone(), completer.done.clone());
        Box::new(move |state| {
            let outcome = guarded(name, || task(state));
            // The room is free again once the completion has been taken. Nobody may be left to take it.
            if done.try_send(Completion { token, outcome }).is_ok() {
                room.forget();
            }
        })
    }

    /// Ends the thread, once what was queued is done.
    pub fn close(self) {
        self.0.close();
    }
}

fn guarded<T>(name: String, work: impl FnOnce() -> T) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| TaskError::Panicked { name, message: panic_message(panic.as_ref()) })
}

/// What became of a task.
#[derive(Debug)]
pub struct Completion<T> {
    /// The number under which it was submitted.
    pub token: u64,
    /// Its value, or its panic.
    pub outcome: Result<T, TaskError>,
}

/// Where tasks of any number of threads put their completions; clones are one.
#[derive(Debug)]
pub struct Completer<T> {
    room: Arc<Semaphore>,
    done: Sender<Completion<T>>,
}

impl<T> Clone for Completer<T> {
    fn clone(&self) -> Self {
        Self { room: Arc::clone(&self.room), done: self.done.clone() }
    }
}

/// A queue of completions, in the order in which tasks were done.
#[derive(Debug)]
pub struct Completions<T> {
    limit: usize,
    done: Receiver<Completion<T>>,
    // Keeps the queue open while nobody submits.
    completer: Completer<T>,
}

/// A queue of completions for at most `limit` tasks that were submitted and whose completions were not taken.
#[must_use]
pub fn completions<T>(limit: NonZeroUsize) -> (Completer<T>, Completions<T>) {
    let limit = limit.get().min(Semaphore::MAX_PERMITS);
    let (sender, done) = async_channel::bounded(limit);
    let completer = Completer { room: Arc::new(Semaphore::new(limit)), done: sender };
    (completer.clone(), Completions { limit, done, completer })
}

impl<T> Completions<T> {
    /// Tasks that were submitted, or are about to be, and whose completions were not taken.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.limit - self.completer.room.available_permits().min(self.limit)
    }

    /// The next completion, if there is one.
    pub fn poll(&mut self) -> Option<Completion<T>> {
        let completion = self.done.try_recv().ok();
        self.taken(completion)
    }

    /// The next completion, once there is one; none if nothing is outstanding. For threads that may block.
    pub fn wait(&mut self) -> Option<Completion<T>> {
        if self.outstanding() == 0 {
            return None;
        }
        let completion = self.done.recv_blocking().ok();
        self.taken(completion)
    }

    /// The next completion, once there is one; none if nothing is outstanding.
    ///
    /// Cancellation: no completion is lost.
    pub async fn next(&mut self) -> Option<Completion<T>> {
        if self.outstanding() == 0 {
            return None;
        }
        let completion = self.done.recv().await.ok();
        self.taken(completion)
    }

    fn taken(&self, completion: Option<Completion<T>>) -> Option<Completion<T>> {
        if completion.is_some() {
            self.completer.room.add_permits(1);
        }
        completion
    }
}

#[cfg(test)]
mod tests;
