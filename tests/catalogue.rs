//! Every operator can be named in a pipeline file and built in Rust, with equal hashes and rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use anabranch::{
    Antijoin, Batch, Distinct, DropColumns, Filter, Join, Literal, Map, MergeJoin, Pipeline, Rows, Select,
    Semijoin, Sort, Unbatch, Union,
};
use serde_json::json;
use support::{run_node, sorted, store};

const FILE: &str = "version: 1
name: catalogue
nodes:
  left:
    rows:
      tags: [id, team]
      rows: [ { id: 1, team: red, v: 1.5, n: 7 }, { id: 2, team: blue, v: 2.5, n: 8 }, { id: 3, team: red, v: 3.5, n: 9 } ]
  right: { rows: { tags: [id], rows: [ { id: 1, x: 4, y: a }, { id: 3, x: 5, y: b }, { id: 4, x: 6, y: c } ] } }
  selected: { select: { input: left, tags: [id, team], packets: [v, none], strict: false } }
  dropped: { drop: { input: right, packets: [y, none], strict: false } }
  mapped: { map: { input: left, tags: { team: group, id: id }, packets: { n: count, none: no }, drop_unmapped: true, strict: false } }
  filtered: { filter: { input: left, where: 'v > 1', equals: { team: red } } }
  joined: { join: { inputs: [selected, dropped] } }
  crossed: { join: { inputs: [teams, dropped], cross: true } }
  teams: { select: { input: left, tags: [team], packets: [v] } }
  merged: { merge_join: { inputs: [left, filtered] } }
  merged_across: { merge_join: { inputs: [teams, dropped], cross: true } }
  both: { semijoin: { left: left, right: dropped } }
  neither: { antijoin: { left: left, right: dropped } }
  all: { union: { inputs: [both, neither] } }
  ordered: { sort: { input: all, by: [team, id] } }
  pairs: { batch: { input: ordered, size: 2, drop_partial: true } }
  as_they_come: { batch: { input: all, size: 2, allow_unordered: true } }
  one: { batch: { input: all, size: 0 } }
  grouped: { batch: { input: all, by: [team], size: 10 } }
  apart: { unbatch: { input: grouped } }
  single: { distinct: { input: ordered, by: [team] } }
  whole: { distinct: { input: all } }
  copied: { map: { input: left, copy: { who: team, m: n } } }
";

/// The same nodes by the builder, in another order.
fn built() -> Pipeline {
    let mut p = Pipeline::new("catalogue");
    let person = |id: i64, team: &str, v: f64, n: i64| {
        [("id", json!(id)), ("team", json!(team)), ("v", json!(v)), ("n", json!(n))]
    };
    let rows = [person(1, "red", 1.5, 7), person(2, "blue", 2.5, 8), person(3, "red", 3.5, 9)];
    let left = p.source("left", Rows::new(rows).tags(["id", "team"])).unwrap();
    let thing = |id: i64, x: i64, y: &str| [("id", json!(id)), ("x", json!(x)), ("y", json!(y))];
    let rows = [thing(1, 4, "a"), thing(3, 5, "b"), thing(4, 6, "c")];
    let right = p.source("right", Rows::new(rows).tags(["id"])).unwrap();

    let select = Select { strict: false, ..Select::new().tags(["id", "team"]).packets(["v", "none"]) };
    let selected = p.operator("selected", select, [left]).unwrap();
    let drop = DropColumns { strict: false, ..DropColumns::new().packets(["y", "none"]) };
    let dropped = p.operator("dropped", drop, [right]).unwrap();
    let map = Map::packets([("n", "count"), ("none", "no")]).and_tags([("team", "group"), ("id", "id")]);
    p.operator("mapped", Map { drop_unmapped: true, strict: false, ..map }, [left]).unwrap();
    let filter = Filter::predicate("v > 1").and_equals([("team", Literal::String("red".to_owned()))]);
    let filtered = p.operator("filtered", filter, [left]).unwrap();
    let teams = p.operator("teams", Select::new().tags(["team"]).packets(["v"]), [left]).unwrap();
    p.operator("joined", Join::new(), [dropped, selected]).unwrap();
    p.operator("crossed", Join { cross: true }, [dropped, teams]).unwrap();
    p.operator("merged", MergeJoin::new(), [filtered, left]).unwrap();
    p.operator("merged_across", MergeJoin { cross: true }, [dropped, teams]).unwrap();
    let neither = p.operator("neither", Antijoin, [left, dropped]).unwrap();
    let both = p.operator("both", Semijoin, [left, dropped]).unwrap();
    let all = p.operator("all", Union, [neither, both]).unwrap();
    let ordered = p.operator("ordered", Sort::by(["team", "id"]), [all]).unwrap();
    p.operator("pairs", Batch { drop_partial: true, ..Batch::new().size(2) }, [ordered]).unwrap();
    p.operator("as_they_come", Batch { allow_unordered: true, ..Batch::new().size(2) }, [all]).unwrap();
    p.operator("one", Batch::new().size(0), [all]).unwrap();
    let grouped = p.operator("grouped", Batch::new().by(["team"]).size(10), [all]).unwrap();
    p.operator("apart", Unbatch, [grouped]).unwrap();
    p.operator("single", Distinct::by(["team"]), [ordered]).unwrap();
    p.operator("whole", Distinct::new(), [all]).unwrap();
    p.operator("copied", Map::new().and_copies([("who", "team"), ("m", "n")]), [left]).unwrap();
    p
}

#[test]
fn a_file_and_the_builder_give_every_operator_the_same_hashes_schema_and_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipeline.yaml");
    std::fs::write(&path, FILE).unwrap();
    let (file, built) = (Pipeline::from_yaml(&path).unwrap(), built());
    assert_eq!(file.node_names().count(), built.node_names().count());
    assert_eq!(file.hash(), built.hash());
    for name in built.node_names() {
        let (one, other) = (file.node(name).unwrap(), built.node(name).unwrap());
        assert_eq!(file.pipeline_hash(one), built.pipeline_hash(other), "{name}");
        assert_eq!(file.content_hash(one), built.content_hash(other), "{name}");
        let (one, other) = (file.contract(one).unwrap(), built.contract(other).unwrap());
        assert_eq!((&one.schema, one.ordered), (&other.schema, other.ordered), "{name}");
    }
    for name in built.node_names().filter(|name| *name != "as_they_come") {
        let (_folder, store) = store();
        let rows = sorted(run_node(&file, &store, name).1);
        assert!(!rows.is_empty(), "{name} gives no rows");
        assert_eq!(rows, sorted(run_node(&built, &store, name).1), "{name}");
    }
}
