//! The part of the table that is about nodes: kinds and knobs.

use std::time::Duration;

use anabranch_nodes::function::{LEAST_RATE, LONGEST_DELAY, MOST_RATE};

use super::fields::{Fallback, Field, Free, Shape, Type, word};
use super::sizes::LONGEST;
use super::table::ON_ERROR_WORDS;

pub(crate) const ON_ERROR: Type = Type::Choice(ON_ERROR_WORDS);

/// A node: one kind, and knobs beside it.
pub(crate) static NODE: Shape = Shape {
    name: "node",
    doc: "A node: one kind key, and knobs beside it.",
    choice: "kind",
    named: false,
    fields: &[
        Field::alternative("csv", Type::Record(&CSV), "Source: a file of separated values."),
        Field::alternative("parquet", Type::Record(&PARQUET), "Source: a Parquet file."),
        Field::alternative("jsonl", Type::Record(&JSONL), "Source: a file with one JSON object per line."),
        Field::alternative("arrow", Type::Record(&ARROW), "Source: an Arrow IPC file."),
        Field::alternative("rows", Type::Record(&ROWS), "Source: rows written here."),
        Field::later_alternative("sqlite"),
        Field::later_alternative("files"),
        Field::later_alternative("from_topic"),
        Field::alternative(
            "derived",
            Type::Record(&DERIVED),
            "Source: what a node of another pipeline recorded.",
        ),
        Field::alternative("select", Type::Record(&SELECT), "Keeps the named columns."),
        Field::alternative("drop", Type::Record(&DROP), "Removes the named columns."),
        Field::alternative("map", Type::Record(&MAP), "Renames columns."),
        Field::alternative("filter", Type::Record(&FILTER), "Keeps rows that fulfil a condition."),
        Field::alternative("join", Type::Record(&JOIN), "Joins inputs on all tags that they share."),
        Field::alternative("batch", Type::Record(&BATCH), "Puts rows together into rows of lists."),
        Field::alternative("unbatch", Type::Record(&UNBATCH), "Makes a row of each item of lists."),
        Field::alternative("sort", Type::Record(&SORT), "Orders rows by tags."),
        Field::alternative(
            "merge_join",
            Type::Record(&MERGE_JOIN),
            "Joins two inputs; packet columns of both become lists.",
        ),
        Field::alternative("semijoin", Type::Record(&SEMIJOIN), "Keeps left rows that have a match."),
        Field::alternative("antijoin", Type::Record(&ANTIJOIN), "Keeps left rows that have no match."),
        Field::alternative(
            "union",
            Type::Record(&UNION),
            "Puts the rows of inputs with equal columns together.",
        ),
        Field::alternative("function", Type::Record(&FUNCTION), "Computes new columns from each packet."),
        Field::alternative("write", Type::Record(&WRITE), "Sink: writes rows to a file."),
        Field::later_alternative("to_topic"),
        Field::optional("label", Type::Text, "Text that people see beside the name; part of no identity."),
        Field::optional(
            "cache",
            CACHE,
            "What becomes of what the store has already: results for a function (reuse, refresh, off), rows for an operator (off, log, replay), records for a source (off, cumulative).",
        ),
        Field::optional(
            "concurrency",
            Type::Integer { least: 1, most: 4096 },
            "Packets in flight; function nodes only.",
        ),
        Field::optional(
            "on_error",
            ON_ERROR,
            "What becomes of a packet that fails for good; function nodes only. The settings' where it is not given.",
        ),
        Field::optional(
            "timeout",
            Type::Duration { least: Duration::from_millis(1), most: LONGEST },
            "How long an attempt at a packet may take, 1ms at least; function nodes only.",
        ),
        Field::optional(
            "retry",
            Type::Record(&RETRY),
            "How often a packet that failed is tried again; function nodes only.",
        ),
        Field::optional(
            "rate",
            Type::Number { least: LEAST_RATE, most: MOST_RATE },
            "Calls per second at most; function nodes only.",
        ),
        Field::optional(
            "order",
            Type::Choice(&[word("input"), word("arrival")]),
            "Whether rows leave as they came in, or as they are computed; function nodes only.",
        )
        .or(Fallback::Text("input")),
        NONE,
    ],
};

/// Under `function` as well as beside the kind and under `python`: wherever a person looks for it.
const NONE: Field = Field::optional(
    "none",
    Type::Choice(&[word("error"), word("drop"), word("null")]),
    "What None in place of a Python function's outputs stands for: a mistake (error, the default), no packet (drop), or null for each output (null).",
);

const CACHE: Type = Type::Choice(&[
    word("reuse"),
    word("refresh"),
    word("off"),
    word("replay"),
    word("verify"),
    word("log"),
    word("cumulative"),
]);

const INPUT: Field = Field::required("input", Type::Text, "Name of the node whose rows come in.");
const INPUTS: Field =
    Field::required("inputs", Type::List(&Type::Text), "Names of the nodes whose rows come in.");
const PATH: Field =
    Field::required("path", Type::Path, "The file, or files by a pattern (in the order of their names).");
const INPUT_PATH: Field = Field::required(
    "path",
    Type::Input,
    "The file, or files by a pattern (in the order of their names); plain, or compressed by gzip or zstd; - is standard input.",
);
const FORMATS: Field = Field::optional(
    "formats",
    RENAMES,
    "Formats of dates and times by column, in the directives of strptime: \"%d.%m.%Y\". A column's type follows from its format.",
);
const TAGS: Field =
    Field::optional("tags", COLUMNS, "Columns that say who and where; the others are packet columns.");
const RECORD_ID: Field = Field::optional(
    "record_id",
    COLUMNS,
    "Columns that identify a row; its position where they are not given.",
);
const SOURCE_ID: Field = Field::optional(
    "source_id",
    Type::Text,
    "Name in the rows' provenance; the node's name where it is not given.",
);
const TYPES: Field = Field::optional(
    "types",
    TYPE_MAP,
    "Types of columns, in place of those that the source has or that are inferred.",
);

const COLUMNS: Type = Type::List(&Type::Text);
const TYPE_MAP: Type = Type::Map(&Free { what: "column", value: Type::OfColumn, named: false });
const RENAMES: Type = Type::Map(&Free { what: "column", value: Type::Text, named: false });

const fn keys(name: &'static str, doc: &'static str, fields: &'static [Field]) -> Shape {
    Shape { name, doc, choice: "", fields, named: false }
}

static RETRY: Shape = keys(
    "retry",
    "How often a packet that failed is tried again, and when.",
    &[
        Field::required(
            "attempts",
            Type::Integer { least: 1, most: 1_000 },
            "Attempts in all, the first one included.",
        ),
        Field::optional(
            "backoff",
            Type::Duration { least: Duration::ZERO, most: LONGEST_DELAY },
            "Wait after the first attempt; it doubles with each, up to five minutes.",
        )
        .or(Fallback::Text("200ms")),
        Field::optional(
            "jitter",
            Type::Number { least: 0.0, most: 1.0 },
            "Which part of a wait is left to chance; 0.5 where it is not given.",
        ),
    ],
);

static CSV: Shape = keys(
    "csv",
    "A file of separated values.",
    &[
        INPUT_PATH,
        TAGS,
        RECORD_ID,
        SOURCE_ID,
        TYPES,
        Field::optional("delimiter", Type::Character, "Character between fields.").or(Fallback::Text(",")),
        Field::optional("header", Type::Bool, "Whether the first line names the columns.")
            .or(Fallback::Bool(true)),
        Field::optional("quote", Type::Character, "Character around fields.").or(Fallback::Text("\"")),
        Field::optional(
            "null_values",
            Type::Either(&[Type::Text, COLUMNS]),
            "Texts that stand for null; the unquoted empty field where they are not given.",
        ),
        Field::optional("comment", Type::Text, "Text that lines which are left out begin with."),
        Field::optional(
            "skip_rows",
            Type::Integer { least: 0, most: i64::MAX },
            "Lines at the beginning of each file that are left out, before the header.",
        )
        .or(Fallback::Integer(0)),
        Field::optional(
            "encoding",
            Type::Text,
            "Encoding of the files: utf-8, utf-16, latin1, windows-1252, or another of the web's names.",
        )
        .or(Fallback::Text("utf-8")),
        Field::optional(
            "ragged",
            Type::Choice(&[word("error"), word("null")]),
            "Treatment of lines with fewer fields than there are columns: an error, or nulls for those missing.",
        )
        .or(Fallback::Text("error")),
        Field::optional("columns", COLUMNS, "Names of the columns by position, in place of the header's."),
        FORMATS,
    ],
);

static PARQUET: Shape = keys("parquet", "A Parquet file.", &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES]);

static JSONL: Shape = keys(
    "jsonl",
    "A file with one JSON object per line.",
    &[
        INPUT_PATH,
        TAGS,
        RECORD_ID,
        SOURCE_ID,
        TYPES,
        FORMATS,
        Field::optional(
            "rename",
            Type::Map(&Free { what: "key", value: Type::Text, named: false }),
            "Columns for keys of another name: {\"_id\": id}.",
        ),
    ],
);

static ARROW: Shape = keys("arrow", "An Arrow IPC file.", &[PATH, TAGS, RECORD_ID, SOURCE_ID, TYPES]);

static ROWS: Shape = keys(
    "rows",
    "Rows written in the pipeline file.",
    &[
        Field::required(
            "rows",
            Type::List(&Type::Map(&Free { what: "column", value: Type::Data, named: false })),
            "The rows, each a mapping from column to value.",
        ),
        TAGS,
        RECORD_ID,
        SOURCE_ID,
        TYPES,
    ],
);

static DERIVED: Shape = keys(
    "derived",
    "The recorded rows of a node, with its tags and packet columns.",
    &[
        Field::required("store", Type::Path, "Folder of the store that has the recording."),
        Field::required("pipeline", Type::Text, "Name of the pipeline that recorded it."),
        Field::required("node", Type::Text, "Name of the node."),
        Field::optional("run", Type::Text, "The run; the last one that completed it where it is not given."),
        SOURCE_ID,
    ],
);

const KEPT_TAGS: Field = Field::optional("tags", COLUMNS, "Tag columns.");
const KEPT_PACKETS: Field = Field::optional("packets", COLUMNS, "Packet columns.");
const STRICT: Field =
    Field::optional("strict", Type::Bool, "Whether a name that the input lacks is an error.")
        .or(Fallback::Bool(true));

static SELECT: Shape = keys(
    "select",
    "Keeps the named columns; a list that is not given keeps that kind.",
    &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT],
);

static DROP: Shape = keys("drop", "Removes the named columns.", &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT]);

static MAP: Shape = keys(
    "map",
    "Renames columns, each from its old name to a new one.",
    &[
        INPUT,
        Field::optional("tags", RENAMES, "New names of tag columns by their old ones."),
        Field::optional("packets", RENAMES, "New names of packet columns by their old ones."),
        Field::optional("drop_unmapped", Type::Bool, "Whether columns that are not named go.")
            .or(Fallback::Bool(false)),
        STRICT,
    ],
);

static FILTER: Shape = keys(
    "filter",
    "Keeps rows for which the condition is true.",
    &[
        INPUT,
        Field::optional(
            "where",
            Type::Expression,
            "SQL condition over the columns; parameters bind as literals.",
        ),
        Field::optional(
            "equals",
            Type::Map(&Free { what: "column", value: Type::Scalar, named: false }),
            "Values that columns must have.",
        ),
    ],
);

static BATCH: Shape = keys(
    "batch",
    "Puts rows together into rows of lists, by number or by the values of tags.",
    &[
        INPUT,
        Field::optional("size", Type::Integer { least: 0, most: i64::MAX }, "Rows in a list; 0 for all."),
        Field::optional("drop_partial", Type::Bool, "Whether a last list of fewer rows goes.")
            .or(Fallback::Bool(false)),
        Field::optional("by", COLUMNS, "Tags whose values make a row each."),
        Field::optional(
            "allow_unordered",
            Type::Bool,
            "Whether rows without an order may be batched by number; runs may differ then.",
        )
        .or(Fallback::Bool(false)),
    ],
);

static UNBATCH: Shape = keys("unbatch", "Makes a row of each item of the lists of a row.", &[INPUT]);

static SORT: Shape = keys(
    "sort",
    "Orders rows by tags, nulls last.",
    &[INPUT, Field::required("by", COLUMNS, "Tags to order by, the first one first.")],
);

const CROSS: Field =
    Field::optional("cross", Type::Bool, "Whether inputs may share no tag.").or(Fallback::Bool(false));

static JOIN: Shape = keys("join", "Joins inputs on all tags that they share.", &[INPUTS, CROSS]);

static MERGE_JOIN: Shape = keys(
    "merge_join",
    "Joins two inputs on all tags that they share; packet columns of both become lists of two.",
    &[INPUTS, CROSS],
);

const LEFT: Field = Field::required("left", Type::Text, "Name of the node whose rows are kept or left out.");
const RIGHT: Field = Field::required("right", Type::Text, "Name of the node whose rows decide.");

static SEMIJOIN: Shape = keys(
    "semijoin",
    "Keeps left rows that match a right one on all columns of a common name.",
    &[LEFT, RIGHT],
);

static ANTIJOIN: Shape = keys(
    "antijoin",
    "Keeps left rows that match no right one on all columns of a common name.",
    &[LEFT, RIGHT],
);

static UNION: Shape = keys("union", "Puts the rows of inputs with equal columns together.", &[INPUTS]);

static FUNCTION: Shape = Shape {
    name: "function",
    doc: "Computes outputs from each packet; outcomes are kept in the store.",
    choice: "form",
    named: false,
    fields: &[
        INPUT,
        Field::alternative(
            "sql",
            Type::Map(&Free { what: "output", value: Type::Expression, named: false }),
            "SQL expression of each output; parameters bind as literals.",
        ),
        Field::alternative(
            "python",
            Type::Record(&PYTHON),
            "A function in a Python file, called in processes of the interpreter.",
        ),
        Field::alternative("command", Type::Record(&COMMAND), "A program that computes packets."),
        Field::optional(
            "takes",
            COLUMNS,
            "Packet columns that are taken; where they are not given, those that sql or each name, or all.",
        ),
        Field::optional("gives", TYPE_MAP, "Types of the outputs."),
        NONE,
        Field::optional("version", Type::Text, "One more component of the function's identity."),
        Field::optional("keep", Type::Bool, "Whether the outputs are added to the packet.")
            .or(Fallback::Bool(false)),
    ],
};

static PYTHON: Shape = keys(
    "python",
    "A function in a Python file: one keyword argument per taken column and per constant of `with`; gives a dict of the outputs, or the only output's value.",
    &[
        Field::required("file", Type::Path, "The file."),
        Field::required("call", Type::Text, "Name of the function."),
        Field::optional("interpreter", Type::Text, "The interpreter: a name along PATH, or a path.")
            .or(Fallback::Text("python3")),
        Field::optional(
            "lock",
            Type::Path,
            "File whose bytes are part of the identity: versions of packages.",
        ),
        Field::optional(
            "environment",
            Type::Choice(&[word("recorded"), word("strict")]),
            "Whether versions of the interpreter and its packages are part of the identity (strict).",
        )
        .or(Fallback::Text("recorded")),
        Field::optional("setup", Type::Text, "Function that is called once per worker."),
        Field::optional("chunk", Type::Bool, "Whether the function gets and gives a pyarrow.RecordBatch.")
            .or(Fallback::Bool(false)),
        Field::optional(
            "files",
            Type::List(&Type::Text),
            "Files that the code reads, whose bytes are part of the identity: data, modules that calls import.",
        ),
        Field::optional(
            "with",
            Type::Map(&Free { what: "keyword", value: Type::Scalar, named: false }),
            "Constants that each call gets as keywords; part of the identity.",
        ),
        NONE,
    ],
);

static COMMAND: Shape = Shape {
    name: "command",
    doc: "A program that computes packets: a long-lived one, or one call per packet.",
    choice: "form",
    named: false,
    fields: &[
        Field::alternative("run", Type::List(&Type::Text), "Program and arguments of a long-lived process."),
        Field::alternative(
            "each",
            Type::List(&Type::Text),
            "Program and arguments of a call per packet: {column} is a value, {out.NAME} the file of an output.",
        ),
        Field::optional(
            "wire",
            Type::Choice(&[word("jsonl"), word("arrow")]),
            "What a long-lived program reads and writes.",
        )
        .or(Fallback::Text("jsonl")),
        Field::optional(
            "files",
            Type::List(&Type::Text),
            "Files whose bytes are part of the identity, beside the program and those that arguments name.",
        ),
    ],
};

static WRITE: Shape = Shape {
    name: "write",
    doc: "Writes rows to a file, beside its place, and renames it when it is complete.",
    choice: "format",
    named: false,
    fields: &[
        INPUT,
        Field::alternative("parquet", Type::Record(&TARGET), "A Parquet file."),
        Field::alternative("csv", Type::Record(&TARGET), "A file of separated values."),
        Field::alternative("jsonl", Type::Record(&JSONL_TARGET), "A file with one JSON object per line."),
        Field::alternative("arrow", Type::Record(&TARGET), "An Arrow IPC file."),
        Field::optional(
            "columns",
            Type::Choice(&[word("data"), word("all")]),
            "Tags and packets only, or provenance too.",
        )
        .or(Fallback::Text("data")),
        Field::optional("partition_by", COLUMNS, "Columns whose values become folders."),
        Field::optional(
            "if_exists",
            Type::Choice(&[word("replace"), word("error")]),
            "What happens where the file exists.",
        )
        .or(Fallback::Text("replace")),
    ],
};

static TARGET: Shape =
    keys("target", "Where a sink writes.", &[Field::required("path", Type::Path, "The file to write.")]);

static JSONL_TARGET: Shape = keys(
    "jsonl_target",
    "Where a sink writes lines of JSON.",
    &[
        Field::required("path", Type::Path, "The file to write."),
        Field::optional(
            "nan",
            Type::Choice(&[word("null"), word("string"), word("error")]),
            "What becomes of NaN and infinities, for which JSON has no number.",
        )
        .or(Fallback::Text("null")),
        Field::optional(
            "exact",
            Type::Choice(&[word("number"), word("string")]),
            "The form of decimals and 64-bit integers, which keep all digits in both.",
        )
        .or(Fallback::Text("number")),
    ],
);

/// How often a packet is tried.
pub(crate) fn retry() -> &'static Shape {
    &RETRY
}

/// Whether a key is one that stands beside a node's kind.
pub(crate) fn is_knob(key: &str) -> bool {
    NODE.field(key).is_some_and(|field| field.presence == super::fields::Presence::Optional)
}

/// The mapping under a kind of this version.
pub(crate) fn shape(kind: &str) -> Option<&'static Shape> {
    match NODE.field(kind)?.value {
        Type::Record(shape) => Some(shape),
        _ => None,
    }
}
