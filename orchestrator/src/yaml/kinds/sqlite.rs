//! Source: rows of a SQLite database.

use anabranch_nodes::source::Sqlite;

use super::common::{RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use super::{Kind, class};
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, ObjectSchema, Type};

/// The kind `sqlite`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: a table of a SQLite database, or the rows of a query.",
    schema: ObjectSchema::new(
        "sqlite",
        "Rows of a SQLite database, which is only read.",
        &[
            Field::required("path", Type::Path, "The database file."),
            Field::alternative("table", Type::Text, "Name of the table or view."),
            Field::alternative("query", Type::Text, "One SQL query that writes nothing."),
            TAGS,
            RECORD_ID,
            SOURCE_ID,
            TYPES,
        ],
    )
    .choice("table"),
    class: &class::SOURCE,
    build: |site| site.source(with_options!(sqlite(site.body), site)),
};

fn sqlite(body: Body<'_>) -> Sqlite {
    let sqlite = Sqlite::new(body.required_path("path"));
    match body.text("table") {
        Some(table) => sqlite.table(table),
        None => sqlite.query(body.required_text("query")),
    }
}
