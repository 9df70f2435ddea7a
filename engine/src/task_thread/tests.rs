use super::*;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;

fn limit(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn counter() -> StateThread<Rc<u64>> {
    StateThread::start("counter", limit(2), || Ok::<_, Infallible>(Rc::new(0))).unwrap()
}

#[test]
fn tasks_run_in_order_on_a_state_that_stays_on_its_thread() {
    let thread = counter();
    let values = futures::executor::block_on(async {
        let mut values = Vec::new();
        for n in 1..=4 {
            let value = thread.run(move |sum| {
                *sum = Rc::new(**sum + n);
                (**sum, std::thread::current().name().map(str::to_owned))
            });
            values.push(value.await.unwrap());
        }
        values
    });
    let name = || Some("counter".to_owned());
    assert_eq!(values, [(1, name()), (3, name()), (6, name()), (10, name())]);
}

#[test]
fn a_panic_is_the_error_of_its_task_alone() {
    let thread = counter();
    let (completer, mut done) = completions(limit(2));
    thread.try_submit(&completer, 7, |_| -> u64 { panic!("out of luck") }).unwrap();
    let failed = done.wait().unwrap();
    assert_eq!(failed.token, 7);
    assert!(failed.outcome.unwrap_err().to_string().ends_with("it panicked: out of luck"));
    let next = futures::executor::block_on(thread.run(|sum| **sum));
    assert_eq!(next.unwrap(), 0);
}

#[test]
fn a_state_that_cannot_be_made_is_an_error_of_the_start() {
    let failing = || Err::<u64, _>(std::io::Error::other("no such device"));
    let error = StateThread::start("maker", limit(1), failing).unwrap_err();
    assert!(matches!(error, StartError::State(cause) if cause.to_string() == "no such device"));
    let panicking = || -> Result<u64, Infallible> { panic!("no luck") };
    let error = StateThread::start("maker", limit(1), panicking).unwrap_err();
    assert!(error.to_string().ends_with("it panicked: no luck"), "{error}");
}

#[test]
fn no_more_tasks_are_accepted_than_completions_have_room_for() {
    let thread = counter();
    let (completer, mut done) = completions(limit(2));
    let submit = |token| thread.try_submit(&completer, token, |_| ());
    assert!(done.wait().is_none(), "nothing is outstanding");
    submit(1).unwrap();
    submit(2).unwrap();
    assert!(matches!(submit(3), Err(TaskError::Full { .. })));
    assert_eq!(done.outstanding(), 2);
    assert_eq!(done.wait().unwrap().token, 1);
    submit(3).unwrap();
    let rest: Vec<u64> = std::iter::from_fn(|| done.wait()).map(|done| done.token).collect();
    assert_eq!(rest, [2, 3]);
    assert!(done.poll().is_none());
}

#[test]
fn a_full_queue_of_tasks_refuses_and_gives_the_room_back() {
    let thread = counter();
    let (completer, mut done) = completions(limit(8));
    let (go, gate) = sync_channel::<()>(0);
    let (begun, beginning) = sync_channel::<()>(0);
    let first = move |_: &mut Rc<u64>| {
        begun.send(()).unwrap();
        gate.recv().unwrap();
    };
    thread.try_submit(&completer, 0, first).unwrap();
    beginning.recv().unwrap();
    for token in 1..=2 {
        thread.try_submit(&completer, token, |_| ()).unwrap();
    }
    assert!(matches!(thread.try_submit(&completer, 3, |_| ()), Err(TaskError::Full { .. })));
    let waiting = Box::pin(thread.submit(&completer, 4, |_| ()));
    let waker = std::task::Waker::noop();
    let mut waiting = waiting;
    assert!(waiting.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    assert_eq!(done.outstanding(), 4);
    drop(waiting);
    assert_eq!(done.outstanding(), 3, "a submission that was given up leaves its room");
    go.send(()).unwrap();
    let tokens: Vec<u64> = std::iter::from_fn(|| done.wait()).map(|done| done.token).collect();
    assert_eq!(tokens, [0, 1, 2]);
}

#[test]
fn closing_waits_until_what_was_queued_is_done() {
    let thread = counter();
    let (completer, mut done) = completions(limit(2));
    thread.try_submit(&completer, 1, |_| ()).unwrap();
    thread.try_submit(&completer, 2, |_| ()).unwrap();
    thread.close();
    assert_eq!(done.poll().unwrap().token, 1);
    assert_eq!(done.poll().unwrap().token, 2);
    assert!(done.poll().is_none());
}

#[test]
fn completions_that_nobody_takes_do_not_hold_a_thread_up() {
    let thread = counter();
    let (completer, done) = completions(limit(1));
    drop(done);
    thread.try_submit(&completer, 1, |_| ()).unwrap();
    assert_eq!(futures::executor::block_on(thread.run(|sum| **sum)).unwrap(), 0);
}

#[test]
fn a_thread_whose_work_has_ended_says_so() {
    let thread = TaskThread::start("idle", limit(1), |tasks: Tasks<u8>| drop(tasks)).unwrap();
    // The queue is closed as soon as the work has dropped its end of it.
    let refused = loop {
        if let Err(error @ TaskError::Ended { .. }) = thread.send_blocking(1) {
            break error;
        }
    };
    assert!(refused.to_string().contains("thread \"idle\": the thread has ended"), "{refused}");
}
