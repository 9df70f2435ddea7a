//! `cache`: inventory, size, cleanup and verification of a store.

use std::num::NonZeroUsize;

use anabranch::{
    DropReport, DropTarget, GarbageOptions, GarbageReport, RecordingGroup, Store, StoreErrorKind, format_time,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::grid::{table, table_of};
use super::pipeline_file::StoredPipeline;
use super::{Exit, Failure, Output};

/// Number of hex digits of a fingerprint in text output.
const SHOWN_DIGITS: usize = 12;

#[derive(Debug, Subcommand)]
pub(super) enum Cache {
    /// List functions with their results, and recordings.
    Ls(StoredPipeline),
    /// Print the store's size by kind, and the space that `gc` would free.
    Size(StoredPipeline),
    /// Remove unreferenced data and free its space on disk.
    Gc(Gc),
    /// Remove the results of a function, or the recordings of a node or of a run.
    Drop(DropArguments),
    /// Read everything and report damage.
    Verify(StoredPipeline),
}

#[derive(Debug, Args)]
pub(super) struct Gc {
    #[command(flatten)]
    place: StoredPipeline,
    /// Keep the recordings of the newest N complete runs of each pipeline; without it, of all runs.
    #[arg(long, value_name = "N")]
    keep_runs: Option<NonZeroUsize>,
    /// Only report what would be removed.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct DropArguments {
    #[command(flatten)]
    place: StoredPipeline,
    /// Remove the recordings of this node.
    #[arg(required_unless_present_any = ["function", "run"])]
    node: Option<String>,
    /// Remove the results of this function, by its name in `cache ls`.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["node", "run"])]
    function: Option<String>,
    /// Only results whose fingerprint begins with these digits.
    #[arg(long, value_name = "HEX", requires = "function")]
    fingerprint: Option<String>,
    /// Remove the recordings of this run.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Also remove data that depends on it.
    #[arg(long)]
    force: bool,
}

pub(super) fn cache(command: &Cache, output: &Output) -> Result<Exit, Failure> {
    match command {
        Cache::Ls(place) => list(&open(place)?.0, output),
        Cache::Size(place) => size(&open(place)?.0, output),
        Cache::Gc(gc) => collect(gc, output),
        Cache::Drop(arguments) => drop_from(arguments, output),
        Cache::Verify(place) => verify(&open(place)?.0, output),
    }
}

/// Opens the existing store; returns it with the pipeline's name.
fn open(place: &StoredPipeline) -> Result<(Store, String), Failure> {
    let header = place.pipeline.header()?;
    Ok((place.open_recorded("cache", &header.store_dir)?, header.name))
}

fn list(store: &Store, output: &Output) -> Result<Exit, Failure> {
    let held = store.inventory()?;
    let functions = table_of(
        &held.functions,
        &[
            ("function", &|f| f.name.clone()),
            ("fingerprint", &|f| f.fingerprint.get(..SHOWN_DIGITS).unwrap_or(&f.fingerprint).to_owned()),
            ("results", &|f| f.versions.to_string()),
            ("bytes", &|f| bytes(f.bytes)),
            ("recordings", &|f| f.recordings.to_string()),
            ("since (UTC)", &|f| time(f.created_ms)),
        ],
    );
    let recordings = table_of(
        &held.recordings,
        &[
            ("pipeline", &|r| r.pipeline.clone()),
            ("node", &|r| r.node.clone()),
            ("run", &|r| r.run.clone()),
            ("rows", &|r| r.rows.to_string()),
            ("bytes", &|r| bytes(r.bytes)),
            ("shared", &|r| bytes(r.shared_bytes)),
            ("completed (UTC)", &|r| time(r.completed_ms)),
        ],
    );
    let text = format!("{functions}\n{recordings}");
    output.text_or_json(&text, || {
        let functions = held.functions.iter().map(|f| {
            json!({ "name": f.name, "fingerprint": f.fingerprint, "results": f.versions, "bytes": f.bytes,
                "recordings": f.recordings, "since": instant(f.created_ms) })
        });
        let recordings = held.recordings.iter().map(|r| {
            json!({ "pipeline": r.pipeline, "node": r.node, "run_id": r.run, "rows": r.rows, "bytes": r.bytes,
                "shared_bytes": r.shared_bytes, "completed": instant(r.completed_ms) })
        });
        json!({ "functions": functions.collect::<Vec<_>>(), "recordings": recordings.collect::<Vec<_>>() })
    })?;
    Ok(Exit::Ok)
}

fn size(store: &Store, output: &Output) -> Result<Exit, Failure> {
    let size = store.size()?;
    let garbage = store.find_garbage(&GarbageOptions::default())?;
    let freed = garbage.record_blocks.bytes + garbage.result_blocks.bytes;
    let blocks = size.result_bytes + size.record_bytes + size.key_bytes + size.free_bytes;
    let other = size.disk_bytes.saturating_sub(blocks);
    let row = |name: &str, held: String, count: u64| vec![name.to_owned(), held, bytes(count)];
    let rows = [
        row("results", format!("{} versions", size.versions), size.result_bytes),
        row("keys of results", String::new(), size.key_bytes),
        row("recordings", format!("{} recordings", size.recordings), size.record_bytes),
        row("the rest", String::new(), other),
        row("free", String::new(), size.free_bytes),
        row("on disk", String::new(), size.disk_bytes),
    ];
    let text = format!(
        "{}\nwithout sharing, recordings would take {}; `cache gc` would remove {}\n",
        table(&["what", "holds", "bytes"], &rows),
        bytes(size.unshared_bytes),
        bytes(freed)
    );
    output.text_or_json(&text, || {
        json!({
            "disk_bytes": size.disk_bytes, "result_bytes": size.result_bytes, "results": size.versions,
            "key_bytes": size.key_bytes, "record_bytes": size.record_bytes, "recordings": size.recordings,
            "unshared_record_bytes": size.unshared_bytes, "other_bytes": other,
            "free_bytes": size.free_bytes, "garbage_bytes": freed,
        })
    })?;
    Ok(Exit::Ok)
}

fn collect(arguments: &Gc, output: &Output) -> Result<Exit, Failure> {
    let (store, _) = open(&arguments.place)?;
    let options = GarbageOptions { keep_runs: arguments.keep_runs };
    let report =
        if arguments.dry_run { store.find_garbage(&options)? } else { store.collect_garbage(&options)? };
    let leftovers = store.leftovers()?;
    if !arguments.dry_run {
        for path in &leftovers {
            anabranch::nodes::leftovers::remove(path);
        }
    }
    let mut text = collected(&report, arguments.dry_run);
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    text += &lines(leftovers.iter().map(|path| format!("left by a killed run, {verb}: {}", path.display())));
    output.text_or_json(&text, || {
        json!({
            "dry_run": arguments.dry_run,
            "removed": groups_json(&report.removed), "kept": groups_json(&report.kept),
            "record_blocks": report.record_blocks.blocks, "record_bytes": report.record_blocks.bytes,
            "result_blocks": report.result_blocks.blocks, "result_bytes": report.result_blocks.bytes,
            "results": report.versions, "left": strings(&report.left),
            "leftovers": leftovers.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            "disk_bytes_before": report.disk_before, "disk_bytes_after": report.disk_after,
            "free_bytes": report.free_bytes,
        })
    })?;
    Ok(Exit::Ok)
}

fn collected(report: &GarbageReport, dry_run: bool) -> String {
    let (removed, verb) = if dry_run { ("would go", "would be removed") } else { ("removed", "removed") };
    let rows = |groups: &[RecordingGroup], what: &str| -> Vec<Vec<String>> {
        let row = |group: &RecordingGroup| {
            let counts = [group.recordings.to_string(), group.runs.to_string(), group.rows.to_string()];
            [vec![group.pipeline.clone(), what.to_owned()], counts.to_vec(), vec![group.reason.to_string()]]
                .concat()
        };
        groups.iter().map(row).collect()
    };
    let rows = [rows(&report.removed, removed), rows(&report.kept, "kept")].concat();
    let freed = report.record_blocks.bytes + report.result_blocks.bytes;
    let mut text = format!(
        "{}\n{} of recordings and {} of {} results {verb}, {} in all\n",
        table(&["pipeline", "recordings", "count", "runs", "rows", "why"], &rows),
        bytes(report.record_blocks.bytes),
        bytes(report.result_blocks.bytes),
        report.versions,
        bytes(freed)
    );
    if !dry_run {
        text.push_str(&on_disk(report.disk_before, report.disk_after));
    }
    if !report.returnable && report.free_bytes > 0 {
        text.push_str(
            "this store was made by a version that cannot give place back to the disk; later runs use it first\n",
        );
    }
    text + &lines(report.left.iter().map(|left| format!("note: {left}")))
}

fn drop_from(arguments: &DropArguments, output: &Output) -> Result<Exit, Failure> {
    let (store, pipeline) = open(&arguments.place)?;
    let target = match &arguments.function {
        Some(name) => DropTarget::Function {
            name: name.clone(),
            fingerprint: arguments.fingerprint.clone().unwrap_or_default(),
        },
        None => DropTarget::Recordings { pipeline, node: arguments.node.clone(), run: arguments.run.clone() },
    };
    let report = store.drop_from(&target, arguments.force).map_err(|error| match error.kind() {
        StoreErrorKind::Missing => Failure::Call(error.to_string()),
        _ => error.into(),
    })?;
    let refused = !report.dropped && report.left.is_empty();
    output.text_or_json(&dropped(&report, refused), || {
        json!({
            "status": if refused { "refused" } else if report.dropped { "ok" } else { "incomplete" },
            "dependants": report.dependants,
            "recordings": groups_json(&report.recordings), "record_bytes": report.record_blocks.bytes,
            "results": report.versions, "result_bytes": report.result_blocks.bytes,
            "left": strings(&report.left),
            "disk_bytes_before": report.disk_before, "disk_bytes_after": report.disk_after,
        })
    })?;
    Ok(match (report.dropped, refused) {
        (true, _) => Exit::Ok,
        (false, true) => Exit::Wrong,
        (false, false) => Exit::Failed,
    })
}

fn dropped(report: &DropReport, refused: bool) -> String {
    let recordings: u64 = report.recordings.iter().map(|group| group.recordings).sum();
    let freed = bytes(report.record_blocks.bytes + report.result_blocks.bytes);
    let text = if refused {
        let names = lines(report.dependants.iter().map(|name| format!("  {name}")));
        format!(
            "nothing was dropped, since others depend on it:\n{names}give --force to drop these as well: {recordings} recordings and {} results, {freed}\n",
            report.versions
        )
    } else {
        format!("{recordings} recordings and {} results dropped, {freed}\n", report.versions)
            + &on_disk(report.disk_before, report.disk_after)
    };
    text + &lines(report.left.iter().map(|left| format!("note: {left}")))
}

fn verify(store: &Store, output: &Output) -> Result<Exit, Failure> {
    let report = store.verify()?;
    let mut report_lines: Vec<String> = Vec::new();
    for fault in &report.faults {
        report_lines.push(format!("{}: {}; it held {}", fault.place, fault.found, fault.held));
        report_lines.extend(fault.users.iter().map(|user| format!("  used by {user}")));
    }
    if report.more_faults > 0 {
        report_lines.push(format!("and {} faults more", report.more_faults));
    }
    let verdict = if report.is_whole() { "the store is whole" } else { "the store is damaged" };
    report_lines.push(format!(
        "{verdict}: {} results in {} blocks, {} recordings in {} blocks, {} functions, {}",
        report.versions,
        report.result_blocks,
        report.recordings,
        report.record_blocks,
        report.functions,
        bytes(report.bytes)
    ));
    if !report.is_whole() {
        report_lines.push(
            "drop what is damaged by `cache drop --force` and run again, or restore the store from a copy"
                .to_owned(),
        );
    }
    let text = lines(report_lines.into_iter());
    output.text_or_json(&text, || {
        let fault = |fault: &anabranch::StoreFault| {
            json!({ "place": fault.place, "found": fault.found, "held": fault.held, "users": fault.users })
        };
        json!({
            "status": if report.is_whole() { "ok" } else { "damaged" },
            "faults": report.faults.iter().map(fault).collect::<Vec<_>>(), "more_faults": report.more_faults,
            "results": report.versions, "result_blocks": report.result_blocks,
            "recordings": report.recordings, "record_blocks": report.record_blocks,
            "functions": report.functions, "bytes": report.bytes,
        })
    })?;
    Ok(if report.is_whole() { Exit::Ok } else { Exit::Failed })
}

fn groups_json(groups: &[RecordingGroup]) -> Vec<Value> {
    let group = |group: &RecordingGroup| {
        json!({ "pipeline": group.pipeline, "why": group.reason.to_string(), "runs": group.runs,
            "recordings": group.recordings, "rows": group.rows })
    };
    groups.iter().map(group).collect()
}

fn strings(left: &[impl ToString]) -> Vec<String> {
    left.iter().map(ToString::to_string).collect()
}

fn on_disk(before: u64, after: u64) -> String {
    format!("on disk: {} before, {} now\n", bytes(before), bytes(after))
}

fn time(ms: i64) -> String {
    format_time(ms, "%Y-%m-%d %H:%M:%S")
}

fn instant(ms: i64) -> String {
    format_time(ms, "%Y-%m-%dT%H:%M:%SZ")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// Formats a number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut amount = count as f64 / 1024.0;
    let mut unit = "KiB";
    for next in ["MiB", "GiB", "TiB"] {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    format!("{amount:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        let shown = [0, 1023, 1024, 1536, 5 << 20, 3 << 30, 1 << 50].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 GiB", "1024.0 TiB"]);
    }
}
