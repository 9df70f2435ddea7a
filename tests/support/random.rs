//! Pipelines that look random: all operators, in shapes that nobody thought of.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch::operators::Distinct;
use anabranch::{
    Antijoin, Batch, ChunkOutput, DropColumns, Filter, Function, Join, Map, MergeJoin, NodeHandle, Pipeline,
    PlanError, Rows, Select, Semijoin, Sort, Unbatch, Union,
};
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::Numbers;

/// Rows that a node may have by the worst guess, so that joins of joins stay small.
const MOST_ROWS: u64 = 6_000;
/// Nodes between the sources and the function.
const OPERATORS: usize = 7;

/// Kinds by how often they are tried; what seldom fits stands there more often.
const KINDS: [&str; 20] = [
    "union",
    "union",
    "filter",
    "unbatch",
    "unbatch",
    "unbatch",
    "join",
    "select",
    "drop",
    "map",
    "filter",
    "batch",
    "unbatch",
    "sort",
    "distinct",
    "join",
    "merge_join",
    "semijoin",
    "antijoin",
    "union",
];

/// A pipeline under construction.
struct Growing {
    pipeline: Pipeline,
    numbers: Numbers,
    nodes: Vec<Grown>,
}

#[derive(Clone)]
struct Grown {
    node: NodeHandle,
    /// A guess of its rows.
    rows: u64,
    /// The operators above it and its own.
    kinds: BTreeSet<&'static str>,
}

/// A pipeline that depends on the seed, whose last node is a function named `last`, and the kinds of
/// operators above that one.
pub(crate) fn random_pipeline(seed: u64) -> (Pipeline, BTreeSet<&'static str>) {
    let mut growing = Growing {
        pipeline: Pipeline::new(format!("random-{seed}")),
        numbers: Numbers(seed.wrapping_mul(0x5851_f42d_4c95_7f2d)),
        nodes: Vec::new(),
    };
    growing.add_sources();
    let mut tries = 0;
    while growing.pipeline.node_names().count() < 3 + OPERATORS && tries < 200 {
        growing.try_operator();
        tries += 1;
    }
    let kinds = growing.add_last();
    (growing.pipeline, kinds)
}

impl Growing {
    fn below(&mut self, bound: u64) -> u64 {
        self.numbers.below(bound)
    }

    /// Two sources with equal columns, and one that shares a tag with them.
    fn add_sources(&mut self) {
        for (name, tags) in [("one", &["key", "group"][..]), ("two", &["key", "group"]), ("few", &["key"])] {
            let rows = if name == "few" { 30 } else { 40 + self.below(160) };
            let batch = self.table(rows as usize, name == "few");
            let source = Rows::from_batches(vec![batch]).tags(tags.iter().copied());
            let node = self.pipeline.source(name, source).unwrap();
            self.nodes.push(Grown { node, rows, kinds: BTreeSet::new() });
        }
    }

    fn table(&mut self, rows: usize, few: bool) -> RecordBatch {
        let numbers = &mut self.numbers;
        let key: Int64Array =
            (0..rows).map(|_| (numbers.below(30) > 0).then(|| numbers.below(25).cast_signed())).collect();
        let group: StringViewArray = (0..rows)
            .map(|_| {
                let names = ["x", "yy", "", "a name longer than twelve"];
                (numbers.below(20) > 0).then(|| names[numbers.below(4) as usize])
            })
            .collect();
        let value: Float64Array = (0..rows)
            .map(|_| match numbers.below(20) {
                0 => None,
                1 => Some(f64::NAN),
                2 => Some(-0.0),
                n => Some(n as f64 * 0.25),
            })
            .collect();
        let flag: BooleanArray = (0..rows).map(|_| Some(numbers.below(2) == 0)).collect();
        let columns: Vec<(&str, ArrayRef)> = if few {
            vec![("key", Arc::new(key)), ("flag", Arc::new(flag))]
        } else {
            vec![("key", Arc::new(key)), ("group", Arc::new(group)), ("value", Arc::new(value))]
        };
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    /// One of the nodes; the later ones more often, so that chains grow long.
    fn any_node(&mut self) -> Grown {
        let count = self.nodes.len() as u64;
        let at = self.below(count).max(self.below(count));
        self.nodes[at as usize].clone()
    }

    fn columns(&self, node: NodeHandle) -> (Vec<String>, Vec<String>) {
        let schema = &self.pipeline.contract(node).unwrap().schema;
        let names = |fields: &[arrow::datatypes::FieldRef]| fields.iter().map(|f| f.name().clone()).collect();
        (names(schema.tags()), names(schema.packets()))
    }

    fn pick(&mut self, names: &[String]) -> Vec<String> {
        let chosen = if names.is_empty() { 0 } else { self.below(names.len() as u64) as usize };
        names.get(chosen).cloned().into_iter().collect()
    }

    /// Adds an operator where it fits, and does nothing where it is refused.
    fn try_operator(&mut self) {
        let kind = KINDS[self.below(KINDS.len() as u64) as usize];
        let name = format!("n{}", self.nodes.len());
        let (one, other) = (self.any_node(), self.any_node());
        let mut kinds = one.kinds.clone();
        let added = match kind {
            "join" | "merge_join" | "semijoin" | "antijoin" | "union" => {
                kinds.extend(&other.kinds);
                self.add_pair(&name, kind, [one.node, other.node], [one.rows, other.rows])
            }
            _ => self.add_single(&name, kind, one.node).map(|node| {
                let grown = if kind == "unbatch" { one.rows * 2 } else { one.rows };
                (node, grown)
            }),
        };
        if let Ok((node, rows)) = added {
            kinds.insert(kind);
            self.nodes.push(Grown { node, rows, kinds });
        }
    }

    fn add_single(&mut self, name: &str, kind: &str, input: NodeHandle) -> Result<NodeHandle, PlanError> {
        let (tags, packets) = self.columns(input);
        let (tag, packet) = (self.pick(&tags), self.pick(&packets));
        let number = self.below(1_000);
        let p = &mut self.pipeline;
        match kind {
            "select" => p.operator(name, Select::new().packets(packet), [input]),
            "drop" if packets.len() > 1 => p.operator(name, DropColumns::new().packets(packet), [input]),
            "drop" => p.operator(name, DropColumns::new().tags(tag), [input]),
            "map" => {
                let renamed = packet.into_iter().map(|old| (old.clone(), format!("{old}{}", number % 3)));
                let copied = tag
                    .into_iter()
                    .filter(|_| number.is_multiple_of(4))
                    .map(|tag| (format!("{tag}_{number}"), tag));
                p.operator(name, Map::packets(renamed).and_copies(copied), [input])
            }
            "filter" => {
                let columns = if number.is_multiple_of(2) { packet } else { tag };
                let column = columns.first().cloned().unwrap_or_default();
                let predicate = ["IS NOT NULL", "> 3", "<> 'x'"][number as usize % 3];
                p.operator(name, Filter::predicate(format!("{column} {predicate}")), [input])
            }
            "batch" => {
                let batch = match number % 4 {
                    0 => {
                        let drop_partial = number.is_multiple_of(8);
                        Batch { drop_partial, ..Batch::new().size(1 + number as usize % 9) }
                    }
                    1 => Batch::new().size(0),
                    2 => Batch::new().by(tag).size(3),
                    _ => Batch::new().by(tag),
                };
                p.operator(name, batch, [input])
            }
            "unbatch" => p.operator(name, Unbatch, [input]),
            "distinct" => {
                let by = if number.is_multiple_of(2) { tag } else { packet };
                let distinct = if by.is_empty() || number.is_multiple_of(5) {
                    Distinct::new()
                } else {
                    Distinct::by(by)
                };
                p.operator(name, distinct, [input])
            }
            _ => {
                let by = if number.is_multiple_of(2) { tags } else { tag };
                p.operator(name, Sort::by(by), [input])
            }
        }
    }

    fn add_pair(
        &mut self,
        name: &str,
        kind: &str,
        inputs: [NodeHandle; 2],
        rows: [u64; 2],
    ) -> Result<(NodeHandle, u64), PlanError> {
        let product = 1 + rows[0] * rows[1] / 12;
        if kind.ends_with("join") && !kind.starts_with(['s', 'a']) && product > MOST_ROWS {
            return self.pipeline.operator(name, Join::new(), []).map(|node| (node, 0));
        }
        let p = &mut self.pipeline;
        match kind {
            "join" => p.operator(name, Join::new(), inputs).map(|node| (node, product)),
            "merge_join" => p.operator(name, MergeJoin::new(), inputs).map(|node| (node, product)),
            "semijoin" => p.operator(name, Semijoin, inputs).map(|node| (node, rows[0])),
            "antijoin" => p.operator(name, Antijoin, inputs).map(|node| (node, rows[0])),
            _ => p.operator(name, Union, inputs).map(|node| (node, rows[0] + rows[1])),
        }
    }

    /// A function of all packet columns below the node with the most kinds of operators above it,
    /// so that what comes from there is recorded. Gives these kinds.
    fn add_last(&mut self) -> BTreeSet<&'static str> {
        let Grown { node: input, kinds, .. } =
            self.nodes.iter().max_by_key(|n| n.kinds.len()).unwrap().clone();
        let (_, packets) = self.columns(input);
        let f = Function::new("last").version("1").takes(packets).gives::<String>("text").keep(true);
        let f = f.call_chunk(|columns, rows| {
            let options = FormatOptions::new().with_null("-");
            let formats: Vec<_> =
                columns.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
            let text = |row| {
                let texts: Vec<String> = formats.iter().map(|f| f.value(row).to_string()).collect();
                Some(blake3::hash(texts.join("|").as_bytes()).to_hex()[..8].to_owned())
            };
            let texts: StringViewArray = (0..rows).map(text).collect();
            assert_eq!(texts.len(), rows);
            Ok(ChunkOutput { columns: vec![Arc::new(texts)], keep: None })
        });
        self.pipeline.function("last", input, f).unwrap();
        kinds
    }
}
