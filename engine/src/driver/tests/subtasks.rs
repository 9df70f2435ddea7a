//! Machines that hand out subtasks of work.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;
use crate::subtask::{Subtask, SubtaskOutput};

/// Work of a subtask before it adds.
type Before = Box<dyn Fn(i64) -> Result<(), OperatorError> + Send + Sync>;

/// Adds a number to every row, each chunk as a subtask, so many under way at a time.
struct SpawningMachine {
    by: i64,
    most: usize,
    before: Arc<Before>,
    waiting: Option<Chunk>,
    under_way: VecDeque<SubtaskOutput<Vec<i64>>>,
    home: VecDeque<Vec<i64>>,
    ended: bool,
}

impl SpawningMachine {
    fn of(by: i64, most: usize, before: Before) -> Self {
        let (under_way, home) = (VecDeque::new(), VecDeque::new());
        Self { by, most, before: Arc::new(before), waiting: None, under_way, home, ended: false }
    }
}

impl Machine for SpawningMachine {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), OperatorError> {
        match item {
            Item::Chunk(_) if self.waiting.is_some() => {
                return Err(OperatorError::Protocol("it was given more than it asked for"));
            }
            Item::Chunk(chunk) => self.waiting = Some(chunk),
            Item::End => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        if let Some(rows) = self.home.pop_front() {
            return Ok(Step::Output(chunk(rows)));
        }
        if self.under_way.len() >= self.most {
            return Ok(Step::Join);
        }
        if let Some(chunk) = self.waiting.take() {
            let (by, before) = (self.by, Arc::clone(&self.before));
            let (subtask, outcome) = Subtask::new(move || {
                let rows = values(&chunk);
                before(rows[0])?;
                Ok(rows.into_iter().map(|n| n + by).collect())
            });
            self.under_way.push_back(outcome);
            return Ok(Step::Spawn(subtask));
        }
        Ok(match (self.ended, self.under_way.is_empty()) {
            (false, _) => Step::NeedInput(vec![0]),
            (true, false) => Step::Join,
            (true, true) => Step::Done,
        })
    }

    fn subtask_done(&mut self) -> Result<(), OperatorError> {
        let outcome = self.under_way.pop_front().ok_or(OperatorError::Protocol("nothing was begun"))?;
        self.home.push_back(outcome.take()?);
        Ok(())
    }
}

fn nothing() -> Before {
    Box::new(|_| Ok(()))
}

fn machine(machine: impl Machine + 'static) -> Running {
    Running::Machine(Box::new(machine))
}

/// A counter, three machines that share a task, and a collector.
fn chain(most: usize, before: Before, fault: Option<(i64, &'static str)>) -> (Job, Seen) {
    let seen = Seen::default();
    let nodes = vec![
        node("count", vec![], Running::Source(Box::new(Counter { next: 0, end: 100, fault }))),
        node("one", vec![0], machine(SpawningMachine::of(1, 2, nothing()))),
        node("two", vec![1], machine(SpawningMachine::of(10, most, before))),
        node("three", vec![2], machine(SpawningMachine::of(100, 3, nothing()))),
        node("collect", vec![3], Running::Stage(Box::new(Collect { rows: Arc::clone(&seen), ended: false }))),
    ];
    (Job { nodes, capacity: NonZeroUsize::MIN }, seen)
}

#[test]
fn what_comes_of_pieces_comes_in_the_order_in_which_they_were_begun() {
    for (streaming, most) in [(true, 1), (true, 2), (true, 7), (false, 1), (false, 7)] {
        let (job, seen) = chain(most, nothing(), None);
        let metrics: Vec<_> = job.nodes.iter().map(|n| Arc::clone(&n.metrics)).collect();
        run(job, streaming, &CancellationToken::new()).unwrap();
        let (rows, ended) = seen.lock().unwrap().clone();
        assert_eq!((rows, ended), ((111..211).collect::<Vec<_>>(), true));
        for (at, metrics) in metrics.iter().enumerate().skip(1).take(3) {
            assert_eq!((metrics.rows_in(), metrics.rows_out()), (vec![100], 100), "node {at}");
            assert!(metrics.busy() > std::time::Duration::ZERO, "node {at}");
        }
    }
}

/// A subtask that waits until a later one opens the gate: they are done at the same time.
fn gated(open: SyncSender<()>, gate: Receiver<()>) -> Before {
    let gate = Mutex::new(gate);
    Box::new(move |first| {
        match first {
            0 => gate.lock().unwrap().recv().unwrap(),
            3 => open.send(()).unwrap(),
            _ => {}
        }
        Ok(())
    })
}

#[test]
fn a_piece_that_takes_long_holds_up_no_other_and_its_rows_are_first_all_the_same() {
    let (open, gate) = sync_channel(1);
    let (mut job, seen) = chain(3, nothing(), None);
    // Alone, since subtasks of machines that share a task are told done in one order.
    job.nodes.drain(2..4);
    job.nodes[1].running = machine(SpawningMachine::of(10, 3, gated(open, gate)));
    job.nodes[2].inputs = vec![1];
    run(job, true, &CancellationToken::new()).unwrap();
    assert_eq!(*seen.lock().unwrap(), ((10..110).collect::<Vec<_>>(), true));
}

#[test]
fn a_fault_or_a_panic_of_a_piece_names_its_node_and_ends_nothing_downstream() {
    for (streaming, panics) in [(true, true), (true, false), (false, true), (false, false)] {
        let before: Before = Box::new(move |first| {
            assert!(first != 52 || !panics, "the subtask broke");
            if first == 52 { Err(OperatorError::Protocol("a fault")) } else { Ok(()) }
        });
        let (job, seen) = chain(3, before, None);
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        match error {
            RunError::Panicked { node, message } if panics => {
                assert_eq!((node.as_str(), message.as_str()), ("two", "the subtask broke"));
            }
            RunError::Node { node, cause } if !panics => {
                assert_eq!((node.as_str(), cause.to_string().ends_with("a fault")), ("two", true));
            }
            other => panic!("{other}"),
        }
        assert!(!seen.lock().unwrap().1);
    }
}

#[test]
fn an_input_that_is_abandoned_while_pieces_are_under_way_ends_nothing_downstream() {
    for streaming in [true, false] {
        let (job, seen) = chain(3, nothing(), Some((50, "line 7 is torn")));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert!(matches!(&error, RunError::Node { node, .. } if node == "count"), "{error}");
        assert!(!seen.lock().unwrap().1);
    }
}

#[test]
fn a_machine_that_waits_for_a_piece_it_did_not_begin_names_its_node() {
    for streaming in [true, false] {
        let (job, seen) = chain(0, nothing(), None);
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        let RunError::Node { node, cause } = error else { panic!("{error}") };
        assert_eq!(node, "two");
        assert!(cause.to_string().contains("none was under way"), "{cause}");
        assert!(!seen.lock().unwrap().1);
    }
}

#[test]
fn a_run_is_cancelled_while_a_piece_is_under_way() {
    let (reached, was_reached) = sync_channel(1);
    let (open, gate) = sync_channel::<()>(1);
    let gate = Mutex::new(gate);
    let before: Before = Box::new(move |_| {
        let _ = reached.try_send(());
        let _ = gate.lock().unwrap().recv();
        Ok(())
    });
    let (job, seen) = chain(1, before, None);
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let watcher = std::thread::spawn(move || {
        was_reached.recv().unwrap();
        canceller.cancel();
        // The subtask comes back only after the cancel.
        drop(open);
    });
    assert!(matches!(run(job, true, &cancel), Err(RunError::Cancelled)));
    watcher.join().unwrap();
    assert!(!seen.lock().unwrap().1);
}
