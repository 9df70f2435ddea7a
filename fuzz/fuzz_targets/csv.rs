//! `cargo +nightly fuzz run csv`.
#![no_main]
#![allow(clippy::unwrap_used, reason = "what cannot go on panics, which is a finding")]

#[path = "../../tests/damage/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for (name, target) in targets::ALL {
        if name == "csv" {
            target(bytes);
        }
    }
});
