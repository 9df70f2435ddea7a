//! Panics, which nobody planned.
//!
//! A panic is told by whoever catches it, with the name of the node or file; its own text is for developers. One that
//! nobody can catch aborts, which ends the program with exit code 1 here.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anabranch_engine::stage::panic_message;
use signal_hook::consts::SIGABRT;
use signal_hook::flag::register_conditional_shutdown;

use super::Exit;
use super::failure::Failure;

/// Developers who ask for the places of panics are told them.
const VERBOSE: &str = "RUST_BACKTRACE";

/// Prepares for them. To be called once, before anything else is begun.
pub(super) fn prepare() {
    // Where this cannot be set the signal does what it always did.
    let _ = register_conditional_shutdown(SIGABRT, Exit::Failed as i32, Arc::new(AtomicBool::new(true)));
    if std::env::var_os(VERBOSE).is_none_or(|value| value == "0") {
        panic::set_hook(Box::new(|_| {}));
    }
}

/// Does a command's work; a panic that nobody has caught becomes an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(broken(&*panic)))
}

fn broken(panic: &(dyn Any + Send)) -> Failure {
    let what = panic_message(panic);
    let text = format!("found a fault of the program: {what}; set {VERBOSE}=1 to see where, and report it");
    Failure::Failed(text.into())
}
