//! Chains, splits and crossed shapes at capacity one.

use super::*;
use crate::index::At as _;
use crate::operator::Partition;

/// Adds a number to every row; may fail, panic, or be done early.
struct Add {
    by: i64,
    at: i64,
    fault: Option<&'static str>,
    waiting: Option<Chunk>,
    ended: bool,
}

impl Add {
    fn of(by: i64) -> Self {
        Self { by, at: 50, fault: None, waiting: None, ended: false }
    }
}

impl Machine for Add {
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
        let Some(given) = self.waiting.take() else {
            return Ok(if self.ended { Step::Done } else { Step::NeedInput(vec![0]) });
        };
        match self.fault {
            Some("panic") if values(&given).contains(&self.at) => panic!("the operator broke"),
            Some("done") if values(&given).contains(&self.at) => return Ok(Step::Done),
            Some(text) if values(&given).contains(&self.at) => return Err(OperatorError::Protocol(text)),
            _ => {}
        }
        Ok(Step::Output(chunk(values(&given).iter().map(|n| n + self.by).collect())))
    }

    fn unmatched(&self) -> Vec<u64> {
        vec![self.by.unsigned_abs()]
    }
}

fn counter(end: i64) -> Running {
    Running::Source(Box::new(Counter { next: 0, end, fault: None }))
}

fn collector(seen: &Seen) -> Running {
    Running::Stage(Box::new(Collect { rows: Arc::clone(seen), ended: false }))
}

fn machine(machine: impl Machine + 'static) -> Running {
    Running::Machine(Box::new(machine))
}

fn job(nodes: Vec<NodeJob>) -> Job {
    Job { nodes, capacity: NonZeroUsize::MIN }
}

/// A counter, three adders (the second with a fault), a hoard with one port, and a collector.
fn chain(fault: Option<&'static str>) -> (Job, Seen) {
    let seen = Seen::default();
    let nodes = vec![
        node("count", vec![], counter(100)),
        node("one", vec![0], machine(Add::of(1))),
        node("two", vec![1], machine(Add { fault, ..Add::of(10) })),
        node("hoard", vec![2], machine(Hoard { ports: 1, ..Hoard::default() })),
        node("four", vec![3], machine(Add::of(100))),
        node("collect", vec![4], collector(&seen)),
    ];
    (job(nodes), seen)
}

#[test]
fn machines_that_share_a_task_give_the_same_rows_and_counts_as_machines_that_do_not() {
    for streaming in [true, false] {
        let (job, seen) = chain(None);
        let metrics: Vec<_> = job.nodes.iter().map(|n| Arc::clone(&n.metrics)).collect();
        run(job, streaming, &CancellationToken::new()).unwrap();
        let (mut rows, ended) = seen.lock().unwrap().clone();
        rows.sort_unstable();
        assert_eq!(rows, (111..211).collect::<Vec<_>>());
        assert!(ended);
        for (at, metrics) in metrics.iter().enumerate().skip(1).take(4) {
            assert_eq!((metrics.rows_in(), metrics.rows_out()), (vec![100], 100), "node {at}");
            assert!(metrics.busy() > std::time::Duration::ZERO, "node {at}");
        }
        assert_eq!((metrics[1].unmatched(), metrics[2].unmatched()), (vec![1], vec![10]));
        assert_eq!((metrics[3].unmatched(), metrics[4].unmatched()), (vec![34], vec![100]));
    }
}

#[test]
fn a_fault_or_a_panic_of_a_machine_that_shares_a_task_names_its_node() {
    for streaming in [true, false] {
        let (job, seen) = chain(Some("panic"));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert_eq!(error.to_string(), "node \"two\" panicked: the operator broke");
        assert!(!seen.lock().unwrap().1);
        let (job, seen) = chain(Some("a fault"));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert!(matches!(&error, RunError::Node { node, .. } if node == "two"), "{error}");
        assert!(!seen.lock().unwrap().1);
    }
}

#[test]
fn a_machine_of_a_chain_that_is_done_early_ends_what_is_behind_it_and_not_what_is_before() {
    for streaming in [true, false] {
        let (job, seen) = chain(Some("done"));
        let metrics: Vec<_> = job.nodes.iter().map(|n| Arc::clone(&n.metrics)).collect();
        run(job, streaming, &CancellationToken::new()).unwrap();
        let (mut rows, ended) = seen.lock().unwrap().clone();
        rows.sort_unstable();
        assert_eq!((rows, ended), ((111..159).collect::<Vec<_>>(), true));
        assert_eq!((metrics[1].rows_out(), metrics[2].rows_in()), (100, vec![51]));
    }
}

#[test]
fn a_machine_of_a_chain_that_asks_for_more_than_there_is_names_its_node() {
    for streaming in [true, false] {
        let seen = Seen::default();
        let nodes = vec![
            node("count", vec![], counter(100)),
            node("one", vec![0], machine(Add::of(1))),
            node("head", vec![1], machine(Head { left: 1_000, waiting: None })),
            node("last", vec![2], machine(Add::of(1))),
            node("collect", vec![3], collector(&seen)),
        ];
        let error = run(job(nodes), streaming, &CancellationToken::new()).unwrap_err();
        assert!(matches!(&error, RunError::Node { node, .. } if node == "head"), "{error}");
        assert!(!seen.lock().unwrap().1);
    }
}

/// Sums the rows of its partition, of all ports, and gives the sum when all have ended.
struct Sum {
    partition: Partition,
    panics: bool,
    open: Vec<usize>,
    total: Option<i64>,
}

impl Machine for Sum {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        match item {
            Item::Chunk(chunk) => {
                let own = |n: &&i64| self.partition.has(n.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let sum: i64 = values(&chunk).iter().filter(own).sum();
                self.total = self.total.map(|before| before + sum);
            }
            Item::End => self.open.retain(|open| *open != port),
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        if !self.open.is_empty() {
            return Ok(Step::NeedInput(self.open.clone()));
        }
        assert!(!self.panics, "the copy broke");
        Ok(self.total.take().map_or(Step::Done, |sum| Step::Output(chunk(vec![sum]))))
    }

    fn unmatched(&self) -> Vec<u64> {
        vec![1, 2]
    }
}

/// A diamond from one counter over two adders into a split sum, and a collector.
fn split(panics: bool) -> (Job, Seen) {
    let seen = Seen::default();
    let copy = |part: u32| -> (Box<dyn Machine>, Box<dyn SpillArea>) {
        let panics = panics && part == 1;
        let sum = Sum { partition: Partition::new(part, 3), panics, open: vec![0, 1], total: Some(0) };
        (Box::new(sum), Box::<MemoryArea>::default())
    };
    let nodes = vec![
        node("count", vec![], counter(100)),
        node("one", vec![0], machine(Add::of(0))),
        node("two", vec![0], machine(Add::of(0))),
        node("sum", vec![1, 2], Running::Split((0..3).map(copy).collect())),
        node("last", vec![3], machine(Add::of(0))),
        node("collect", vec![4], collector(&seen)),
    ];
    (job(nodes), seen)
}

#[test]
fn machines_that_share_the_work_of_a_node_are_given_all_rows_and_end_together() {
    for streaming in [true, false] {
        let (job, seen) = split(false);
        let metrics: Vec<_> = job.nodes.iter().map(|n| Arc::clone(&n.metrics)).collect();
        run(job, streaming, &CancellationToken::new()).unwrap();
        let (rows, ended) = seen.lock().unwrap().clone();
        assert!(ended);
        assert_eq!((rows.len(), rows.iter().sum::<i64>()), (3, 2 * 99 * 100 / 2));
        assert!(rows.iter().all(|sum| *sum > 0), "{rows:?}: a partition has no row");
        assert_eq!((metrics[3].rows_in(), metrics[3].rows_out()), (vec![100, 100], 3));
        assert_eq!(metrics[3].unmatched(), [3, 6]);
        assert_eq!(metrics[4].rows_in(), [3]);
    }
}

#[test]
fn a_panic_in_one_copy_of_a_node_names_the_node_and_ends_nothing_downstream() {
    for streaming in [true, false] {
        let (job, seen) = split(true);
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert_eq!(error.to_string(), "node \"sum\" panicked: the copy broke");
        assert!(!seen.lock().unwrap().1);
    }
}

#[test]
fn a_cancelled_run_with_a_split_node_ends_nothing_downstream() {
    for streaming in [true, false] {
        let (mut job, seen) = split(false);
        let (read, was_read) = std::sync::mpsc::sync_channel(1);
        job.nodes[0].running = Running::Source(Box::new(Endless { read, gate: None }));
        let cancel = CancellationToken::new();
        let canceller = cancel.clone();
        let watcher = std::thread::spawn(move || {
            was_read.recv().unwrap();
            canceller.cancel();
        });
        assert!(matches!(run(job, streaming, &cancel), Err(RunError::Cancelled)));
        watcher.join().unwrap();
        assert!(!seen.lock().unwrap().1);
    }
}

/// Keeps what comes at the second port until the first has ended, then gives it; what comes at the
/// first goes on at once. As a build side that has to wait.
struct Patient {
    open: Vec<usize>,
    ready: Vec<Chunk>,
    kept: Vec<Chunk>,
}

impl Patient {
    fn new() -> Self {
        Self { open: vec![0, 1], ready: Vec::new(), kept: Vec::new() }
    }
}

impl Machine for Patient {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        match item {
            Item::Chunk(_) if !self.open.contains(&port) => {
                return Err(OperatorError::Protocol("rows came behind the end"));
            }
            Item::Chunk(chunk) if port == 0 => self.ready.push(chunk),
            Item::Chunk(chunk) => self.kept.push(chunk),
            Item::End => self.open.retain(|open| *open != port),
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        if !self.open.contains(&0) {
            self.ready.append(&mut self.kept);
        }
        Ok(match self.ready.pop() {
            Some(chunk) => Step::Output(chunk),
            None if self.open.is_empty() => Step::Done,
            None => Step::NeedInput(self.open.clone()),
        })
    }
}

/// Asserts that every row of the counters came to the collector so many times.
fn assert_all_come(shape: &str, inner: &[(usize, Vec<usize>)], sources: usize, times: usize) {
    for streaming in [true, false] {
        let seen = Seen::default();
        let mut nodes: Vec<NodeJob> = (0..sources).map(|_| node("count", vec![], counter(200))).collect();
        for (ports, inputs) in inner {
            let running = if *ports == 2 { machine(Patient::new()) } else { machine(Add::of(0)) };
            nodes.push(node("inner", inputs.clone(), running));
        }
        nodes.push(node("collect", vec![sources + inner.len() - 1], collector(&seen)));
        run(job(nodes), streaming, &CancellationToken::new()).unwrap();
        let (mut rows, ended) = seen.lock().unwrap().clone();
        rows.sort_unstable();
        let expected: Vec<i64> = (0..200).flat_map(|n| std::iter::repeat_n(n, times)).collect();
        assert!(ended && rows == expected, "{shape}: {} rows", rows.len());
    }
}

#[test]
fn no_shape_of_graph_hangs_at_capacity_one() {
    assert_all_come("diamond", &[(1, vec![0]), (2, vec![1, 0])], 1, 2);
    let two_levels = [(2, vec![0, 0]), (1, vec![0]), (2, vec![1, 2]), (2, vec![0, 3]), (2, vec![3, 4])];
    assert_all_come("diamonds in diamonds", &two_levels, 1, 7);
    let crossed = [(2, vec![0, 1]), (2, vec![1, 0]), (2, vec![2, 3]), (2, vec![3, 2]), (2, vec![4, 5])];
    assert_all_come("crossed pairs", &crossed, 2, 8);
    let five: Vec<(usize, Vec<usize>)> = vec![
        (1, vec![0]),
        (1, vec![0]),
        (1, vec![1]),
        (2, vec![0, 2]),
        (2, vec![3, 4]),
        (2, vec![0, 5]),
        (2, vec![0, 6]),
        (2, vec![7, 0]),
    ];
    assert_all_come("a fan-out to six", &five, 1, 6);
}

/// Puts one part away, which waits at a gate, as a disk that is slow.
#[derive(Debug)]
struct SlowArea {
    reached: std::sync::mpsc::SyncSender<()>,
    gate: std::sync::mpsc::Receiver<()>,
}

impl SpillArea for SlowArea {
    fn put(&mut self, _: PartId, _: Vec<Chunk>) -> Result<(), SpillError> {
        let _ = self.reached.try_send(());
        let _ = self.gate.recv();
        Ok(())
    }

    fn read(&mut self, part: PartId) -> Result<Vec<Chunk>, SpillError> {
        Err(SpillError::Missing(part.0))
    }

    fn forget(&mut self, part: PartId) -> Result<(), SpillError> {
        Err(SpillError::Missing(part.0))
    }
}

#[test]
fn a_run_is_cancelled_while_state_is_on_its_way_to_a_slow_disk() {
    let (reached, was_reached) = std::sync::mpsc::sync_channel(1);
    let (open, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let (mut job, seen) = chain(None);
    job.nodes[3].spill = Box::new(SlowArea { reached, gate });
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let watcher = std::thread::spawn(move || {
        was_reached.recv().unwrap();
        canceller.cancel();
        // The disk comes back only after the cancel.
        drop(open);
    });
    assert!(matches!(run(job, true, &cancel), Err(RunError::Cancelled)));
    watcher.join().unwrap();
    assert!(!seen.lock().unwrap().1);
}

#[test]
fn an_area_that_refuses_names_the_node_whose_state_it_is() {
    for streaming in [true, false] {
        let (mut job, _) = chain(None);
        job.nodes[3].spill = Box::new(NoSpill);
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        let RunError::Node { node, cause } = error else { panic!("{error}") };
        assert_eq!(node, "hoard");
        assert!(cause.to_string().contains("raise memory_limit"), "{cause}");
    }
}

/// Breaks an invariant of its own at the first rows that it accepts.
struct Broken(Vec<i64>);

impl Machine for Broken {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), OperatorError> {
        if let Item::Chunk(chunk) = item {
            let row = *self.0.at(chunk.rows(), "row of the build side");
            self.0.push(row);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        Ok(Step::NeedInput(vec![0]))
    }
}

#[test]
fn a_broken_invariant_fails_the_run_with_the_name_of_the_node() {
    for streaming in [true, false] {
        let (mut job, seen) = chain(None);
        job.nodes[2].running = machine(Broken(vec![1]));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert_eq!(error.to_string(), "node \"two\" panicked: row of the build side: found index 3 of 1");
        assert!(!seen.lock().unwrap().1);
    }
}

/// Panics in its first step.
struct BrokenStage;

impl Stage for BrokenStage {
    fn accept(&mut self, _: usize, _: Item) -> Result<(), StageError> {
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(async { panic!("the stage broke") })
    }
}

#[test]
fn a_panic_of_a_stage_names_its_node() {
    for streaming in [true, false] {
        let (mut job, seen) = chain(None);
        job.nodes[2].running = Running::Stage(Box::new(BrokenStage));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert_eq!(error.to_string(), "node \"two\" panicked: the stage broke");
        assert!(!seen.lock().unwrap().1);
    }
}
