//! The end of memory, told in one line.
//!
//! Whatever asks for memory and gets none cannot go on, wherever it is. So the allocator of the program says so and ends
//! it at once, without anything being put in order: the store is as after a kill. Reservations of which whoever makes
//! them can be refused ([`is_reserving`]) are left to them.

#![expect(unsafe_code, reason = "an allocator is one of C's kind")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anabranch_engine::bytes::is_reserving;

use super::Exit;

/// The system's allocator, which ends the program where there is no memory.
struct Ending;

#[global_allocator]
static ALLOCATOR: Ending = Ending;

/// Gives what was allocated; there is none where somebody can be refused.
fn held(place: *mut u8, bytes: usize) -> *mut u8 {
    if place.is_null() && !is_reserving() {
        end(bytes);
    }
    place
}

// SAFETY: every call is handed to the system's allocator as it is, and what that gives is given on.
unsafe impl GlobalAlloc for Ending {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        held(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        held(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        held(unsafe { System.realloc(place, layout, size) }, size)
    }
}

/// Says so in a line, and ends the program. Allocates nothing.
#[cold]
fn end(bytes: usize) -> ! {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if TOLD.swap(true, Relaxed) {
        // Another thread is about to end the program.
        std::thread::sleep(Duration::from_secs(1));
    } else {
        let mut line = [0; 256];
        let mut rest = line.as_mut_slice();
        // A line that did not fit would be cut.
        let _ = writeln!(
            rest,
            "error: memory has ended, {bytes} bytes more were asked for; what was stored is kept: lower memory_limit or concurrency, or give the process more"
        );
        let left = rest.len();
        let told = line.len() - left;
        let _ = rustix::io::write(rustix::stdio::stderr(), line.get(..told).unwrap_or_default());
    }
    signal_hook::low_level::exit(Exit::Failed as i32)
}
