//! Out of memory: one line on standard error, and exit code 1.
//!
//! Code that allocates cannot go on without memory. So the allocator of the program prints the line and exits at once,
//! without any cleanup: the store is as after a kill. Fallible reservations ([`is_reserving`]) return their error
//! instead.

#![expect(unsafe_code, reason = "an allocator is one of C's kind")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anabranch_engine::bytes::is_reserving;

use super::Exit;

/// The system's allocator; exits the program when an allocation fails.
struct Ending;

#[global_allocator]
static ALLOCATOR: Ending = Ending;

/// Returns the allocation; null only within a fallible reservation.
fn checked(place: *mut u8, bytes: usize) -> *mut u8 {
    if place.is_null() && !is_reserving() {
        end(bytes);
    }
    place
}

// SAFETY: every call is forwarded to the system's allocator unchanged, and its result is returned unchanged.
unsafe impl GlobalAlloc for Ending {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of this method, which is also that of the call.
        checked(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of this method, which is also that of the call.
        checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of this method, which is also that of the call.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller upholds the contract of this method, which is also that of the call.
        checked(unsafe { System.realloc(place, layout, size) }, size)
    }
}

/// Prints the line and exits without allocating.
#[cold]
fn end(bytes: usize) -> ! {
    static PRINTED: AtomicBool = AtomicBool::new(false);
    if PRINTED.swap(true, Relaxed) {
        // Another thread is about to exit.
        std::thread::sleep(Duration::from_secs(1));
    } else {
        let mut line = [0; 256];
        let mut rest = line.as_mut_slice();
        // A line that does not fit is truncated.
        let _ = writeln!(
            rest,
            "error: out of memory: an allocation of {bytes} bytes failed; committed results are kept: lower memory_limit or concurrency, or give the process more memory"
        );
        let left = rest.len();
        let written = line.len() - left;
        let _ = rustix::io::write(rustix::stdio::stderr(), line.get(..written).unwrap_or_default());
    }
    signal_hook::low_level::exit(Exit::Failed as i32)
}
