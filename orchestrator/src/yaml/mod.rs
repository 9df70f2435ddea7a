//! Pipeline files: YAML in, a planned pipeline or a list of findings out.
//!
//! ```text
//!   text --parse--> spanned tree --check (table, parameters)--> tree without faults --build--> Pipeline
//!                        |                    |                                          |
//!                        +--------------- report: findings with places -----------------+
//! ```
//!
//! One table (`table`, and a file for each kind of node in `kinds`) defines the keys of each mapping and their types.
//! The checks walk the tree along it, and the JSON Schema is made from it, so that the two cannot differ. No step stops
//! at its first error: all findings are reported together, and a node below a faulty one is not checked.
//!
//! Restrictions and choices within YAML:
//! - YAML 1.2 with its core schema: `no`, `on` and `yes` are strings, `true` is a boolean; an integer
//!   that does not fit 64 bits is an error, never a rounded number.
//! - One document per file, no tags but `!!str`, no merge keys (`<<`), keys are scalars and distinct.
//! - Aliases stand for whole values and are expanded. At most 4 MiB per file, 256 files, 64 levels of
//!   nesting, 500,000 values and 16 MiB of text after expansion.
//! - `${name}` is replaced in values, after parsing and once. `version`, `include`, `params`, `secrets`
//!   and `tests` are read before parameters have values, and nothing is replaced in them.
//! - A relative path starts from the folder of the file it stands in: a `path:` and the default of a
//!   `path` parameter from the YAML file's, `--set` and the environment from the working folder. A
//!   `path` parameter is absolute when it is put in.

mod build;
mod check;
mod files;
mod graph;
mod kinds;
mod load;
mod parameters;
mod parse;
mod schema;
mod settings;
mod table;
mod template;
mod values;

#[cfg(test)]
mod tests;

pub use load::{Header, LoadError, LoadOptions, Loaded, load, load_for_reading, load_header};
pub use schema::json_schema;
pub use values::diagnostic::{Diagnostic, Note, Severity};
