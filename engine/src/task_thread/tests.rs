use super::*;
use std::sync::mpsc::{SyncSender, sync_channel};

fn limit(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

type Answer = SyncSender<(u64, Option<String>)>;

/// Adds the numbers of its tasks.
fn counter() -> TaskThread<(u64, Answer)> {
    let work = |tasks: Tasks<(u64, Answer)>| {
        let mut sum = 0;
        while let Some((number, answer)) = tasks.wait() {
            sum += number;
            answer.send((sum, std::thread::current().name().map(str::to_owned))).unwrap();
        }
    };
    TaskThread::start("counter", limit(2), work).unwrap()
}

#[test]
fn tasks_run_in_order_on_a_state_that_stays_on_its_thread() {
    let thread = counter();
    let (answer, sums) = sync_channel(4);
    futures::executor::block_on(async {
        for number in 1..=4 {
            thread.send((number, answer.clone())).await.unwrap();
        }
    });
    let name = || Some("counter".to_owned());
    assert_eq!(
        sums.iter().take(4).collect::<Vec<_>>(),
        [(1, name()), (3, name()), (6, name()), (10, name())]
    );
}

#[test]
fn closing_waits_until_what_was_queued_is_done() {
    let thread = counter();
    let (answer, sums) = sync_channel(2);
    thread.send_blocking((1, answer.clone())).unwrap();
    thread.send_blocking((2, answer)).unwrap();
    thread.close();
    assert_eq!(sums.try_iter().map(|(sum, _)| sum).collect::<Vec<_>>(), [1, 3]);
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
