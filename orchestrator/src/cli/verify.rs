//! `verify`: results are computed again and compared with the store.

use std::fmt::Write as _;

use anabranch::{Certificate, VerifiedNode, VerifyOptions, format_time};

use super::arguments::VerifyArguments;
use super::grid::table_of;
use super::{Exit, Failure, Output, run};

/// Maximum number of differences of a node that are printed for people.
const MOST_DIFFERENCES: usize = 20;

pub(super) fn verify(arguments: &VerifyArguments, output: &Output) -> Result<Exit, Failure> {
    let loaded = arguments.place.pipeline.load_noting()?;
    let pipeline = loaded.pipeline;
    let node = arguments.node.as_ref().map(|name| run::find(&pipeline, name, "verify")).transpose()?;
    let store = arguments.place.open_recorded("verify", &loaded.store_dir)?;
    let certificate = pipeline.verify(&store, &VerifyOptions { node, sample: arguments.sample })?;
    if let (Some(name), true) = (&arguments.node, certificate.nodes.is_empty()) {
        return Err(Failure::Call(format!(
            "verify: node \"{name}\" computes nothing, expected a function; name a function node"
        )));
    }
    output.text_or_json(&text(&certificate), || certificate.to_json())?;
    Ok(if certificate.holds() { Exit::Ok } else { Exit::Failed })
}

fn text(certificate: &Certificate) -> String {
    let fingerprint = |node: &VerifiedNode| {
        if node.cached { node.fingerprint.short() } else { "not cached".to_owned() }
    };
    let mut text = table_of(
        &certificate.nodes,
        &[
            ("node", &|node| node.node.clone()),
            ("fingerprint", &fingerprint),
            ("rows", &|node| node.rows.to_string()),
            ("checked", &|node| node.checked().to_string()),
            ("equal", &|node| node.equal.to_string()),
            ("different", &|node| node.different.to_string()),
            ("failed", &|node| node.failed.to_string()),
            ("without result", &|node| node.without_result.to_string()),
        ],
    );
    for node in &certificate.nodes {
        for difference in node.differences.iter().take(MOST_DIFFERENCES) {
            let output = difference.output.as_deref().unwrap_or("given or dropped");
            let (packet, row) = (difference.packet.0.hex(20), &difference.row);
            let _ = writeln!(text, "node \"{}\": packet {packet} ({row}) differs in {output}", node.node);
        }
        if node.differences.len() > MOST_DIFFERENCES {
            let _ =
                writeln!(text, "node \"{}\": {} more", node.node, node.differences.len() - MOST_DIFFERENCES);
        }
    }
    let at = format_time(certificate.at_ms, "%Y-%m-%d %H:%M:%S");
    let verdict = if certificate.nodes.iter().all(|node| node.checked() == 0) {
        "nothing was checked"
    } else if certificate.holds() {
        "everything that was checked is what the store has"
    } else {
        "not everything is what the store has"
    };
    let sample =
        certificate.sample.map_or_else(String::new, |n| format!(", at most {n} packets of each function"));
    let _ = writeln!(text, "\n{}: {verdict}; {at} UTC{sample}", certificate.pipeline);
    text
}
