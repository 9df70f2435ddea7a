//! Panics.
//!
//! The code that catches a panic reports it with the name of the node or file; its own text is for developers. A panic
//! that cannot be caught aborts, which ends the program with exit code 1 here.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anabranch_engine::stage::panic_message;
use signal_hook::consts::SIGABRT;
use signal_hook::flag::register_conditional_shutdown;

use super::Exit;
use super::failure::Failure;

/// Environment variable that turns on the places of panics, for developers.
const VERBOSE: &str = "RUST_BACKTRACE";

/// Installs the handlers. It is called once, before all other work.
pub(super) fn prepare() {
    // If this cannot be set, the signal keeps its default action.
    let _ = register_conditional_shutdown(SIGABRT, Exit::Failed as i32, Arc::new(AtomicBool::new(true)));
    if std::env::var_os(VERBOSE).is_none_or(|value| value == "0") {
        panic::set_hook(Box::new(|_| {}));
    }
}

/// Runs a command; a panic that was not caught becomes an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(broken(&*panic)))
}

fn broken(panic: &(dyn Any + Send)) -> Failure {
    let what = panic_message(panic);
    let text = format!("found a fault of the program: {what}; set {VERBOSE}=1 to see where, and report it");
    Failure::Failed(text.into())
}
