//! Our crates depend on each other in one direction only.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

use std::process::Command;

use serde_json::Value;

/// Allowed dependencies of each crate, tests aside.
const DRAWN: [(&str, &[&str]); 6] = [
    ("anabranch-engine", &[]),
    ("anabranch-expression", &["anabranch-engine"]),
    ("anabranch-operators", &["anabranch-engine", "anabranch-expression"]),
    ("anabranch-storage", &["anabranch-engine"]),
    ("anabranch-nodes", &["anabranch-engine", "anabranch-expression"]),
    (
        "anabranch",
        &[
            "anabranch-engine",
            "anabranch-expression",
            "anabranch-operators",
            "anabranch-storage",
            "anabranch-nodes",
        ],
    ),
];

#[test]
fn no_crate_depends_on_one_above_it() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    for (name, allowed) in DRAWN {
        let package =
            packages.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("no package {name}"));
        let ours = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        for dependency in ours.filter_map(|d| d["name"].as_str()).filter(|d| d.starts_with("anabranch")) {
            assert!(allowed.contains(&dependency), "{name} depends on {dependency}, which is not drawn");
        }
    }
    // The tests, and the Python environment that they make.
    let known = DRAWN.len() + 2;
    assert_eq!(packages.len(), known, "a crate is missing in the drawing");
}
