//! The flights of `examples/flights` in the Rust builder, with a closure as the function.
//!
//! Run it from the top of the repository: `cargo run --example builder`. The second run computes
//! nothing.

use std::error::Error;
use std::path::Path;

use anabranch::{Csv, Filter, Format, Function, Join, Map, Parquet, Pipeline, Store, WriteSpec};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("examples/flights");
    let p = pipeline(folder)?;
    let speed = p.node("speed").ok_or("the pipeline has no node \"speed\"")?;

    let store = Store::open(folder.join(".anabranch"))?;
    let summary = p.run(&store)?;
    for node in &summary.nodes {
        let function = node.function.unwrap_or_default();
        eprintln!(
            "{:8} {:>6} rows, {} computed, {} reused",
            node.name, node.rows_out, function.computed, function.reused
        );
    }

    // Read back from the store, without a runtime and without computing anything.
    let mut rows = 0;
    for chunk in store.replay(&p, speed)? {
        rows += chunk?.rows();
    }
    eprintln!("replayed {rows} rows");
    Ok(())
}

/// Flights with their planes, the long ones, and their speed; `folder` has the data.
pub(crate) fn pipeline(folder: &Path) -> Result<Pipeline, Box<dyn Error>> {
    let mut p = Pipeline::new("builder");

    let tags = ["year", "month", "day", "carrier", "flight", "tailnum"];
    let flights = p.source("flights", Parquet::new(folder.join("data/flights.parquet")).tags(tags))?;
    let planes = Csv::new(folder.join("data/planes.csv")).tags(["tailnum"]).record_id(["tailnum"]);
    let planes = p.source("planes", planes.null_values(["NA"]))?;

    let fleet = p.operator("fleet", Map::packets([("year", "built")]), [planes])?;
    let flown = p.operator("flown", Join::new(), [flights, fleet])?;
    let long = p.operator("long", Filter::predicate("distance >= 1000"), [flown])?;

    let speed =
        Function::new("speed").version("1").takes(["distance", "air_time"]).gives::<f64>("mph").keep(true);
    #[expect(clippy::cast_precision_loss, reason = "no flight is 2^53 miles long")]
    let speed = speed.call(|(miles, minutes): (i64, Option<i64>)| {
        Ok(minutes.map(|minutes| miles as f64 / (minutes as f64 / 60.0)))
    });
    let speed = p.function("speed", long, speed)?;
    p.write("out", speed, WriteSpec::new(Format::Parquet, folder.join("out/builder.parquet")))?;
    Ok(p)
}
