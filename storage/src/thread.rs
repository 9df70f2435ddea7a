//! Task threads: each owns a connection and answers jobs from a bounded queue.

use std::thread::JoinHandle;

use anabranch_engine::store::{StoreError, StoreErrorKind};
use tokio::sync::mpsc;

use crate::error::{because, failure, stopped};

/// Jobs that wait at most; who adds another waits.
const QUEUE: usize = 32;

/// A named thread that works off a queue of jobs and ends once nobody can add one.
///
/// Dropping it waits until what was queued is done.
#[derive(Debug)]
pub(crate) struct TaskThread<J> {
    jobs: Option<mpsc::Sender<J>>,
    handle: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> TaskThread<J> {
    /// Starts a thread that runs `work` on its queue.
    pub(crate) fn start(
        name: &str,
        work: impl FnOnce(mpsc::Receiver<J>) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(queue)).map_err(
            |cause| {
                let message = "no thread could be started; raise the limit of threads or end other programs";
                because(failure(StoreErrorKind::System, "open store", message), cause)
            },
        )?;
        Ok(Self { jobs: Some(jobs), handle: Some(handle) })
    }

    /// Adds a job, once there is room.
    pub(crate) async fn send(&self, operation: &'static str, job: J) -> Result<(), StoreError> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await.map_err(|_| stopped(operation)),
            None => Err(stopped(operation)),
        }
    }
}

impl<J> Drop for TaskThread<J> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(handle) = self.handle.take()
            && handle.thread().id() != std::thread::current().id()
        {
            // A panic of the thread was told to everyone who waited: their answers never came.
            let _ = handle.join();
        }
    }
}
