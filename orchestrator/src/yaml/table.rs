//! The pipeline file: every mapping with its keys, their types, defaults and meanings.
//!
//! This is the only definition of the file's structure. Nodes are in [`super::kinds`].

use super::kinds;
use super::values::fields::{Fallback, Field, MapType, ON_ERROR, ObjectSchema, Type};

const COUNT: Type = Type::Integer { least: 1, most: 4096 };

/// A complete pipeline file.
pub(crate) static PIPELINE: ObjectSchema = ObjectSchema::new(
    "pipeline",
    "A pipeline: sources, operators, functions and sinks, and how they are connected.",
    &[
        VERSION_REQUIRED,
        Field::required("name", Type::Text, "Name of the pipeline; recordings belong to it."),
        INCLUDE,
        PARAMS,
        SECRETS,
        Field::optional("store", Type::Record(&STORE), "Where results and recordings are kept."),
        Field::optional(
            "settings",
            Type::Record(&SETTINGS),
            "How the pipeline runs; no setting changes a result.",
        ),
        Field::required("nodes", NODES, "The nodes by name."),
        Field::optional(
            "tests",
            Type::List(&Type::Record(&TEST)),
            "Tests of the pipeline; not run by this version.",
        )
        .fixed(),
    ],
);

/// A file that another includes.
pub(crate) static INCLUDED: ObjectSchema = ObjectSchema::new(
    "included",
    "Nodes, parameters and secrets for other pipeline files.",
    &[
        Field::optional("version", Type::Integer { least: 1, most: 1 }, "Version of the language.").fixed(),
        INCLUDE,
        PARAMS,
        SECRETS,
        Field::optional("nodes", NODES, "The nodes by name."),
    ],
);

const VERSION_REQUIRED: Field =
    Field::required("version", Type::Integer { least: 1, most: 1 }, "Version of the language; 1.").fixed();

const INCLUDE: Field = Field::optional(
    "include",
    Type::List(&Type::Path),
    "Files whose nodes, parameters and secrets belong to this one too.",
)
.fixed();

const PARAMS: Field = Field::optional(
    "params",
    PARAM_MAP,
    "Typed parameters, used as `${name}` in values; `--set name=value` and `--params FILE` set them.",
)
.fixed();

const SECRETS: Field = Field::optional(
    "secrets",
    SECRET_MAP,
    "Secrets, used as `{ secret: name }`; they come from the environment and enter no message, key, report or store.",
)
.fixed();

const PARAM_MAP: Type = Type::Map(&MapType { what: "parameter", value: Type::Record(&PARAM), named: true });
const SECRET_MAP: Type = Type::Map(&MapType { what: "secret", value: Type::Record(&SECRET), named: true });
const NODES: Type = Type::Map(&MapType { what: "node", value: Type::Record(&kinds::NODE), named: true });

/// The declaration of a parameter.
pub(crate) static PARAM: ObjectSchema = ObjectSchema::new(
    "param",
    "A typed parameter.",
    &[
        Field::required(
            "type",
            Type::Choice(&["string", "int", "float", "bool", "path"]),
            "Type of its value; a relative path starts from the folder of the file it stands in.",
        ),
        Field::optional("default", Type::Scalar, "Value where nothing else gives one."),
        Field::optional(
            "env",
            Type::Text,
            "Environment variable that gives the value where the call gives none.",
        ),
    ],
);

static SECRET: ObjectSchema = ObjectSchema::new(
    "secret",
    "A secret.",
    &[Field::required("env", Type::Text, "Environment variable that holds it.")],
);

pub(crate) static STORE: ObjectSchema = ObjectSchema::new(
    "store",
    "Where results and recordings are kept.",
    &[Field::optional("dir", Type::Path, "Folder of the store.").or(Fallback::Text(".anabranch"))],
)
.named();

pub(crate) static SETTINGS: ObjectSchema = ObjectSchema::new(
    "settings",
    "How the pipeline runs.",
    &[
        Field::choice("executor", &["async", "sync"], "Streaming tasks, or one loop."),
        Field::optional("channel_capacity", COUNT, "Chunks in flight on each edge.").or(Fallback::Integer(8)),
        Field::optional(
            "chunk_rows",
            Type::Either(&[Type::Choice(&["adaptive"]), Type::Integer { least: 1, most: 1_048_576 }]),
            "Rows that a chunk aims at.",
        )
        .or(Fallback::Text("adaptive")),
        Field::optional(
            "memory_limit",
            Type::Bytes { least: 1 },
            "Bytes that the state of all operators may take before it goes to disk.",
        )
        .or(Fallback::Text("2GiB")),
        Field::optional("spill_limit", Type::Bytes { least: 0 }, "Bytes that may go to disk.")
            .or(Fallback::Text("100GiB")),
        Field::optional("concurrency", COUNT, "Packets in flight in each function node.")
            .or(Fallback::Integer(8)),
        Field::optional("on_error", ON_ERROR, "What becomes of a packet that fails for good.")
            .or(Fallback::Text("stop")),
    ],
)
.named();

static TEST: ObjectSchema = ObjectSchema::new(
    "test",
    "A test of the pipeline.",
    &[
        Field::required("name", Type::Text, "What holds if the test passes."),
        Field::optional(
            "set",
            Type::Map(&MapType { what: "parameter", value: Type::Scalar, named: false }),
            "Values of parameters.",
        ),
        Field::optional("given", ROWS_BY_NODE, "Rows that stand in for nodes."),
        Field::optional("fake", ROWS_BY_NODE, "Outputs that stand in for functions."),
        Field::optional("runs", COUNT, "How often the pipeline runs.").or(Fallback::Integer(1)),
        Field::optional(
            "expect",
            Type::Map(&MapType { what: "node", value: Type::Anything, named: false }),
            "What has to come out of nodes.",
        ),
    ],
);

const ROWS_BY_NODE: Type = Type::Map(&MapType {
    what: "node",
    value: Type::List(&Type::Map(&MapType { what: "column", value: Type::Anything, named: false })),
    named: false,
});
