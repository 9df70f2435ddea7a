//! `cargo +nightly fuzz run blocks`.
#![no_main]
#![allow(clippy::unwrap_used, reason = "what cannot go on panics, which is a finding")]

#[path = "../../tests/damage/targets.rs"]
mod targets;

/// Panics of the library that are caught are no findings; others end the fuzzer all the same.
fn quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}

libfuzzer_sys::fuzz_target!(init: quiet(), |bytes: &[u8]| {
    for (name, target) in targets::ALL {
        if name == "blocks" {
            target(bytes);
        }
    }
});
