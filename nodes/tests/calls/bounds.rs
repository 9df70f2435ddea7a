//! Bounds of what a node keeps.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anabranch_engine::provenance::Origins;
use anabranch_nodes::function::{CallOptions, Function, OutputOrder};
use arrow::array::{Array as _, AsArray as _};
use tokio::sync::Semaphore;

use crate::node::{Node, Numbers, drive_until, f, finish, gated, options, settled};

/// Bytes that rows and outcomes of a node may take together.
const WINDOW_BYTES: usize = 32 << 20;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn no_more_chunks_are_taken_than_the_window_holds() {
    for (rows, most) in [(60_000, 1), (10_000, 4)] {
        let node = Node::new(gated(&Arc::new(Semaphore::new(0)), |_| true), options());
        let origins = Arc::new(Origins::default());
        let source = Numbers::new(&origins);
        let mut stage = node.stage(&origins, &source.schema);
        let chunk = source.chunks(&[(0..rows).collect()]).remove(0);
        let mut accepted = 0;
        let chunks = std::iter::repeat_with(|| {
            accepted += 1;
            chunk.clone()
        });
        runtime().block_on(drive_until(&mut stage, chunks, || true));
        assert_eq!(accepted, most);
    }
}

#[test]
fn no_more_chunks_are_taken_than_the_window_holds_in_bytes() {
    let node = Node::new(f().call_async(|_: String| std::future::pending::<Result<i64, _>>()), options());
    let origins = Arc::new(Origins::default());
    let source = Numbers::texts(&origins);
    let mut stage = node.stage(&origins, &source.schema);
    let mut accepted = 0;
    let chunks = std::iter::repeat_with(|| {
        accepted += 1;
        source.chunk_of_texts(50, WINDOW_BYTES / 120)
    });
    runtime().block_on(drive_until(&mut stage, chunks, || true));
    assert_eq!(accepted, 3, "two have less than the window holds");
}

#[test]
fn no_more_calls_are_made_than_outcomes_have_room_while_the_first_row_waits() {
    const EACH: usize = 1 << 20;
    const ROWS: i64 = 80;
    for order in [OutputOrder::Input, OutputOrder::Arrival] {
        let (gate, calls) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opens, counted) = (Arc::clone(&gate), Arc::clone(&calls));
        let function = Function::new("f").version("1").takes(["n"]).gives::<String>("out");
        let function = function.call_async(move |n: i64| {
            let gate = (n == 0).then(|| Arc::clone(&opens));
            counted.fetch_add(1, SeqCst);
            async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                let digits = n.to_string();
                Ok("0".repeat(EACH - digits.len()) + &digits)
            }
        });
        let concurrency = NonZeroUsize::new(3).unwrap();
        let node = Node::new(function, CallOptions { order, concurrency, ..options() });
        let origins = Arc::new(Origins::default());
        let source = Numbers::new(&origins);
        let mut stage = node.stage(&origins, &source.schema);
        let chunks = source.chunks(&[(0..ROWS).collect()]);
        let runtime = runtime();
        let settled = settled(|| calls.load(SeqCst));
        let mut given = runtime.block_on(drive_until(&mut stage, chunks, settled));
        let made = calls.load(SeqCst);
        match order {
            // Those under way when the room was full come on top of it.
            OutputOrder::Input => {
                assert!(given.is_empty());
                assert!((30..=32 + 2 * concurrency.get()).contains(&made), "{made} calls");
            }
            OutputOrder::Arrival => assert_eq!(made, ROWS as usize, "what has left takes no room"),
        }
        gate.add_permits(1);
        given.extend(runtime.block_on(finish(&mut stage, [])).unwrap());
        let numbers = given.iter().flat_map(|chunk| {
            let outs = chunk.column("out").unwrap().as_string_view();
            (0..outs.len()).map(|row| outs.value(row).parse::<i64>().unwrap()).collect::<Vec<_>>()
        });
        let mut numbers: Vec<i64> = numbers.collect();
        if order == OutputOrder::Arrival {
            numbers.sort_unstable();
        }
        assert_eq!(numbers, (0..ROWS).collect::<Vec<_>>());
    }
}
