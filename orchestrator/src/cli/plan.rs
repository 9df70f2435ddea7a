//! `plan`: forecast of a run.

use anabranch::{Count, Forecast, ForecastCalls, ForecastNode, ForecastOptions};

use super::arguments::PlanArguments;
use super::grid::table_of;
use super::{Exit, Failure, Output, run};

pub(super) fn plan(arguments: &PlanArguments, output: &Output) -> Result<Exit, Failure> {
    let loaded = arguments.place.pipeline.load_noting()?;
    let pipeline = loaded.pipeline;
    let until = arguments.until.as_ref().map(|name| run::find(&pipeline, name, "--until")).transpose()?;
    let store = arguments.place.open_existing(&loaded.store_dir)?;
    let options = ForecastOptions { no_reuse: arguments.no_reuse, until };
    let forecast = pipeline.forecast(store.as_ref(), &options)?;
    output.text_or_json(&text(&forecast), || forecast.to_json())?;
    Ok(Exit::Ok)
}

fn text(forecast: &Forecast) -> String {
    let calls = |node: &ForecastNode, text: &dyn Fn(&ForecastCalls) -> Option<String>| {
        node.calls.as_ref().and_then(text).unwrap_or_default()
    };
    let nodes = table_of(
        &forecast.nodes,
        &[
            ("node", &|node| node.name.clone()),
            ("kind", &|node| node.kind.to_owned()),
            ("rows in", &|node| node.rows_in.iter().map(Count::to_string).collect::<Vec<_>>().join(" + ")),
            ("rows out", &|node| if node.gives_rows { node.rows_out.to_string() } else { String::new() }),
            ("compute", &|node| calls(node, &|calls| Some(calls.compute.to_string()))),
            ("reuse", &|node| calls(node, &|calls| Some(calls.reuse.to_string()))),
            ("why", &|node| calls(node, &|calls| Some(calls.reason.as_ref()?.to_string()))),
        ],
    );
    let bounded = forecast.nodes.iter().any(|node| !matches!(node.rows_out, Count::Exactly(_)));
    let compute = forecast.nodes.iter().filter_map(|node| node.calls.as_ref()).map(|calls| calls.compute);
    let total = compute.fold(Count::Exactly(0), add);
    let mut text = format!("{nodes}\n{}: {total} calls to compute", forecast.pipeline);
    if bounded {
        text.push_str("; \u{2264} is an upper bound, below a function that has to compute");
    }
    text.push('\n');
    text
}

fn add(one: Count, other: Count) -> Count {
    match (one, other) {
        (Count::Exactly(a), Count::Exactly(b)) => Count::Exactly(a + b),
        (Count::Unknown, _) | (_, Count::Unknown) => Count::Unknown,
        (Count::Exactly(a) | Count::AtMost(a), Count::Exactly(b) | Count::AtMost(b)) => Count::AtMost(a + b),
    }
}
