//! The interpreter alone, without an executor.

use std::sync::Mutex;

use super::*;
use crate::driver::NodeMetrics;
use crate::schema::StreamSchema;

type Log = Arc<Mutex<Vec<String>>>;

/// Takes the given steps and logs its calls.
struct Script {
    steps: VecDeque<Step>,
    log: Log,
}

impl Script {
    fn log(&self, call: String) {
        self.log.lock().unwrap().push(call);
    }
}

impl Machine for Script {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        let item = if matches!(item, Item::End) { "end" } else { "rows" };
        self.log(format!("{item} at {port}"));
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        Ok(self.steps.pop_front().expect("a step more than in the script"))
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        self.log(format!("part {} of {} chunks", part.0, chunks.len()));
        Ok(())
    }

    fn subtask_done(&mut self) -> Result<(), OperatorError> {
        self.log("subtask".to_owned());
        Ok(())
    }
}

fn rows() -> Chunk {
    Chunk::empty(Arc::new(StreamSchema::new(vec![], vec![], vec![]).unwrap()))
}

fn input() -> Step {
    Step::NeedInput(vec![0])
}

fn subtask() -> Step {
    Step::Spawn(Subtask::new(|| Ok(())).0)
}

fn tally(ports: usize) -> Tally {
    Tally::new(&Arc::new(NodeMetrics::new(ports)))
}

/// A chain of scripts named "0", "1" and so on, and the logs of their calls.
fn chain<const N: usize>(ports: usize, scripts: [Vec<Step>; N]) -> (Interpreter, [Log; N]) {
    let mut interpreter = Interpreter::new(ports);
    let logs = std::array::from_fn(|_| Log::default());
    for (at, (steps, log)) in scripts.into_iter().zip(&logs).enumerate() {
        let machine = Script { steps: steps.into(), log: Arc::clone(log) };
        interpreter.fuse(at.to_string().into(), Box::new(machine), tally(ports));
    }
    (interpreter, logs)
}

/// Resumes until there is something to do, and returns it in short.
fn next(interpreter: &mut Interpreter) -> String {
    loop {
        match interpreter.resume().unwrap() {
            Effect::Continue => {}
            Effect::NeedInput(ports) => return format!("input {ports:?}"),
            Effect::Output(_) => return "output".to_owned(),
            Effect::Spill(op, SpillRequest::Put(part, _)) => {
                return format!("put {} of {}", part.0, op.position());
            }
            Effect::Spill(op, SpillRequest::Read(part)) => {
                return format!("read {} of {}", part.0, op.position());
            }
            Effect::Spill(op, SpillRequest::Forget(part)) => {
                return format!("forget {} of {}", part.0, op.position());
            }
            Effect::Spawn(op, _) => return format!("spawn of {}", op.position()),
            other => return format!("{other:?}"),
        }
    }
}

fn calls(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

fn fault(interpreter: &mut Interpreter) -> (String, String) {
    match interpreter.resume() {
        Err(RunError::Node { node, cause }) => (node, cause.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_step_of_a_machine_alone_is_an_effect() {
    let (mut machine, [log]) = chain(
        1,
        [vec![
            input(),
            Step::Output(rows()),
            Step::Spill(PartId(7), vec![rows()]),
            Step::Load(PartId(7)),
            Step::Forget(PartId(7)),
            Step::More,
            Step::Done,
        ]],
    );
    assert_eq!(next(&mut machine), "input [0]");
    machine.push(0, Item::Chunk(rows()), 3).unwrap();
    assert_eq!(next(&mut machine), "output");
    assert_eq!(next(&mut machine), "put 7 of 0");
    let op = OpId::from_position(0);
    machine.spilled(op, Ok(None), Duration::ZERO).unwrap();
    assert_eq!(next(&mut machine), "read 7 of 0");
    machine.spilled(op, Ok(Some((PartId(7), vec![rows(), rows()]))), Duration::ZERO).unwrap();
    assert_eq!(next(&mut machine), "forget 7 of 0");
    assert_eq!(next(&mut machine), "Yield");
    assert_eq!(next(&mut machine), "End");
    assert_eq!(next(&mut machine), "Done");
    assert_eq!(next(&mut machine), "Done");
    assert_eq!(calls(&log), ["rows at 0", "part 7 of 2 chunks"]);
}

#[test]
fn rows_and_the_end_go_down_a_chain_before_more_input_is_needed() {
    let (mut machines, [first, last]) = chain(
        1,
        [
            vec![input(), Step::Output(rows()), Step::Output(rows()), input(), Step::Done],
            vec![input(), Step::Output(rows()), input(), input(), Step::Done],
        ],
    );
    assert_eq!(next(&mut machines), "input [0]");
    machines.push(0, Item::Chunk(rows()), 0).unwrap();
    assert_eq!(next(&mut machines), "output");
    assert_eq!(calls(&last), ["rows at 0"]);
    assert_eq!(next(&mut machines), "input [0]");
    assert_eq!(calls(&last), ["rows at 0"]);
    machines.push(0, Item::End, 0).unwrap();
    assert_eq!(next(&mut machines), "End");
    assert_eq!(next(&mut machines), "Done");
    assert_eq!((calls(&first).len(), calls(&last)), (2, vec!["end at 0".to_owned()]));
}

#[test]
fn a_machine_that_is_done_needs_no_rows_and_those_upstream_go_on_to_their_end() {
    let (mut machines, [_, middle, last]) = chain(
        1,
        [
            vec![input(), Step::Output(rows()), input(), Step::Done],
            vec![input(), Step::Done],
            vec![input(), Step::Done],
        ],
    );
    assert_eq!(next(&mut machines), "input [0]");
    machines.push(0, Item::Chunk(rows()), 0).unwrap();
    // The middle one is done with the first rows that it accepts.
    assert_eq!(next(&mut machines), "End");
    assert_eq!(next(&mut machines), "input [0]");
    machines.push(0, Item::End, 0).unwrap();
    assert_eq!(next(&mut machines), "Done");
    assert_eq!((calls(&middle), calls(&last)), (vec!["rows at 0".to_owned()], vec!["end at 0".to_owned()]));
}

#[test]
fn a_machine_that_waits_for_its_subtask_is_given_no_rows_by_one_whose_subtask_ends_before() {
    let (mut machines, [first, last]) = chain(
        1,
        [
            vec![input(), subtask(), Step::Output(rows()), subtask(), input(), Step::Output(rows()), input()],
            vec![input(), subtask(), Step::Join, Step::Join, Step::Output(rows()), input(), input()],
        ],
    );
    assert_eq!(next(&mut machines), "input [0]");
    machines.push(0, Item::Chunk(rows()), 0).unwrap();
    assert_eq!(next(&mut machines), "spawn of 0");
    assert_eq!(next(&mut machines), "spawn of 1");
    assert_eq!(next(&mut machines), "Join");
    calls(&last);
    machines.subtask_done(Duration::ZERO).unwrap();
    assert_eq!((calls(&first), calls(&last)), (vec!["rows at 0".to_owned(), "subtask".to_owned()], vec![]));
    assert_eq!(next(&mut machines), "Join");
    machines.subtask_done(Duration::ZERO).unwrap();
    assert_eq!((calls(&first), calls(&last)), (vec![], vec!["subtask".to_owned()]));
    assert_eq!(next(&mut machines), "output");
    assert_eq!(next(&mut machines), "spawn of 0");
}

#[test]
fn a_subtask_that_ends_while_input_is_needed_lets_its_machine_step() {
    let (mut machines, [_, last]) = chain(
        1,
        [
            vec![Step::Output(rows()), input(), input()],
            vec![input(), subtask(), input(), Step::Output(rows())],
        ],
    );
    assert_eq!(next(&mut machines), "spawn of 1");
    assert_eq!(next(&mut machines), "input [0]");
    machines.subtask_done(Duration::ZERO).unwrap();
    assert_eq!(next(&mut machines), "output");
    assert_eq!(calls(&last), ["rows at 0", "subtask"]);
}

#[test]
fn the_subtask_of_a_machine_that_is_done_is_not_reported() {
    let (mut machine, [log]) = chain(1, [vec![subtask(), Step::Done]]);
    assert_eq!(next(&mut machine), "spawn of 0");
    assert_eq!(next(&mut machine), "End");
    machine.subtask_done(Duration::ZERO).unwrap();
    assert_eq!(next(&mut machine), "Done");
    assert!(calls(&log).is_empty());
}

#[test]
fn what_cannot_come_fails_with_the_name_of_the_node_that_waits_for_it() {
    let (mut machine, _) = chain(2, [vec![Step::NeedInput(vec![0, 1])]]);
    machine.push(0, Item::End, 0).unwrap();
    assert_eq!(next(&mut machine), "input [0, 1]");
    let (mut machine, _) = chain(2, [vec![Step::NeedInput(vec![0, 1])]]);
    machine.push(0, Item::End, 0).unwrap();
    machine.push(1, Item::End, 0).unwrap();
    let ended = "operator was driven wrongly: it asked for rows of inputs that had ended".to_owned();
    assert_eq!(fault(&mut machine), ("0".to_owned(), ended.clone()));

    let (mut machines, _) = chain(1, [vec![Step::Done], vec![input(), input()]]);
    assert!(matches!(machines.resume(), Ok(Effect::Continue)));
    assert!(matches!(machines.resume(), Ok(Effect::Continue)));
    assert_eq!(fault(&mut machines), ("1".to_owned(), ended));

    let (mut machine, _) = chain(1, [vec![Step::Join]]);
    let idle = "operator was driven wrongly: it waited for a subtask although none was under way".to_owned();
    assert_eq!(fault(&mut machine), ("0".to_owned(), idle));
}

#[test]
fn a_port_that_does_not_exist_fails_with_the_name_of_the_node() {
    let (mut machine, _) = chain(1, [vec![Step::NeedInput(vec![0, 4])]]);
    let error = machine.resume().unwrap_err();
    assert_eq!(error.to_string(), "node \"0\" panicked: port: found index 4 of 1");
}

#[test]
fn an_area_that_refuses_fails_with_the_name_of_the_node_whose_state_it_is() {
    let (mut machines, _) = chain(1, [vec![input()], vec![Step::Spill(PartId(1), vec![])]]);
    let Effect::Spill(op, _) = machines.resume().unwrap() else { panic!("no spill") };
    let error = machines.spilled(op, Err(SpillError::Missing(1)), Duration::ZERO).unwrap_err();
    assert!(matches!(&error, RunError::Node { node, .. } if node == "1"), "{error}");
}
