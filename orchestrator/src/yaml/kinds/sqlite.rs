//! Source: rows of a SQLite database.

use anabranch_nodes::source::Sqlite;

use super::common::{RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, ObjectSchema, Type};

/// The kind `sqlite`.
pub(super) static KIND: Kind = Kind {
    doc: "Source: a table of a SQLite database, or the rows of a query.",
    schema: ObjectSchema {
        name: "sqlite",
        doc: "Rows of a SQLite database, which is only read.",
        choice: "table",
        named: false,
        fields: &[
            Field::required("path", Type::Path, "The database file."),
            Field::alternative("table", Type::Text, "Name of the table or view."),
            Field::alternative("query", Type::Text, "One SQL query that writes nothing."),
            TAGS,
            RECORD_ID,
            SOURCE_ID,
            TYPES,
        ],
    },
    class: &class::SOURCE,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    let source = with_options!(sqlite(site.body), site);
    site.source(source)
}

fn sqlite(body: Body<'_>) -> Sqlite {
    let sqlite = Sqlite::new(body.required_path("path"));
    match body.text("table") {
        Some(table) => sqlite.table(table),
        None => sqlite.query(body.required_text("query")),
    }
}
