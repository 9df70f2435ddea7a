//! `cargo +nightly fuzz run parquet`.
#![no_main]
#![allow(clippy::unwrap_used, reason = "what cannot go on panics, which is a finding")]

#[path = "../../tests/damage/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(init: targets::ignore_caught_panics(), |bytes: &[u8]| {
    for (name, target) in targets::ALL {
        if name == "parquet" {
            target(bytes);
        }
    }
});
