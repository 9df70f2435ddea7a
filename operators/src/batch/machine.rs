//! A batch at work.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::memory::MemoryAccount;
use anabranch_engine::operator::{Context, Item, Machine, OperatorError, PartId, Step};

use super::BatchPlan;
use super::gather::Gatherer;
use crate::input_queue::InputQueue;
use crate::sort::{EncodedKeys, Sorter};

/// Cuts rows, which come as they are or sorted, into lists.
pub(super) struct BatchMachine {
    plan: Arc<BatchPlan>,
    rows: Rows,
    /// The keys of the chunk before, the last of which the next chunk may go on with.
    last: Option<EncodedKeys>,
    gatherer: Gatherer,
    /// For the rows of the list at work, which have to stay in memory.
    memory: MemoryAccount,
}

enum Rows {
    AsTheyCome(InputQueue),
    Sorted(Box<Sorter>),
}

impl BatchMachine {
    pub(super) fn new(plan: Arc<BatchPlan>, context: &Context) -> Self {
        let rows = if plan.is_streaming {
            Rows::AsTheyCome(InputQueue::default())
        } else {
            Rows::Sorted(Box::new(Sorter::new(Arc::clone(&plan.order), context)))
        };
        Self {
            rows,
            last: None,
            gatherer: Gatherer::new(Arc::clone(&plan.layout), context.chunk_rows),
            memory: context.memory.account(),
            plan,
        }
    }

    /// Takes the next rows.
    fn take(&mut self, chunk: &Chunk) -> Result<(), OperatorError> {
        let rows = chunk.rows();
        let keys = self.plan.order.keys.encode(chunk.tags(), rows).map_err(ChunkError::Arrow)?;
        self.gatherer.push(chunk)?;
        let mut start = 0;
        while start < rows {
            let is_new = start > 0
                || self.last.as_ref().is_some_and(|last| {
                    last.len().checked_sub(1).is_some_and(|row| last.compare(row, &keys, 0).is_ne())
                });
            if is_new {
                self.end_group();
            }
            let same = (start..rows).take_while(|row| keys.compare(start, &keys, *row).is_eq()).count();
            self.extend(same)?;
            start += same.max(1);
        }
        self.last = Some(keys);
        Ok(())
    }

    /// Adds rows to the list at work, and cuts it where it has its size.
    fn extend(&mut self, mut rows: usize) -> Result<(), OperatorError> {
        let Some(size) = self.plan.cut else { return self.gatherer.extend(rows) };
        while rows > 0 {
            let more = rows.min(size - self.gatherer.open);
            self.gatherer.extend(more)?;
            rows -= more;
            if self.gatherer.open == size {
                self.gatherer.finish(true);
            }
        }
        Ok(())
    }

    fn end_group(&mut self) {
        self.gatherer.finish(!self.plan.drop_partial);
    }

    /// The next rows, or the step to take instead.
    fn next(&mut self) -> Result<Result<Chunk, Step>, OperatorError> {
        Ok(match &mut self.rows {
            Rows::AsTheyCome(queue) => queue.next().ok_or_else(|| queue.idle()),
            Rows::Sorted(sorter) => match sorter.step()? {
                Step::Output(chunk) => Ok(chunk),
                step => Err(step),
            },
        })
    }

    fn charge(&mut self) {
        // A list has to be put together whole, so there is nothing to do about too much of it.
        let _ = self.memory.set(self.gatherer.bytes());
    }
}

impl Machine for BatchMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        match &mut self.rows {
            Rows::AsTheyCome(queue) => queue.push(port, item),
            Rows::Sorted(sorter) => sorter.accept(port, item),
        }
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if self.gatherer.is_full()
                && let Some(chunk) = self.gatherer.leave()?
            {
                self.charge();
                return Ok(Step::Output(chunk));
            }
            let idle = match self.next()? {
                Ok(chunk) => {
                    self.take(&chunk)?;
                    self.charge();
                    if matches!(self.rows, Rows::Sorted(_)) {
                        return Ok(Step::More);
                    }
                    continue;
                }
                Err(step) => step,
            };
            if matches!(idle, Step::Done) {
                self.end_group();
            }
            // Lists that are whole do not wait for an input that is idle.
            if matches!(idle, Step::Done | Step::NeedInput(_))
                && let Some(chunk) = self.gatherer.leave()?
            {
                self.charge();
                return Ok(Step::Output(chunk));
            }
            return Ok(idle);
        }
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        match &mut self.rows {
            Rows::Sorted(sorter) => sorter.loaded(part, &chunks),
            Rows::AsTheyCome(_) => {
                Err(OperatorError::Protocol("rows came back that this operator never sent out"))
            }
        }
    }
}
