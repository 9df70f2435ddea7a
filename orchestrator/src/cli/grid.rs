//! Readable tables: of counts, and of rows of values no wider than the terminal.

use std::fmt::Write as _;

use anabranch::RowValues;
use anabranch_engine::index::At as _;
use console::{Term, measure_text_width, truncate_str};
use serde_json::Value;

/// Maximum width of a cell; longer values are cut.
const CELL: usize = 40;
/// Minimum width of a column, below which columns are left out instead.
const LEAST: usize = 6;
const BETWEEN: &str = "  ";
const ELLIPSIS: &str = "\u{2026}";

/// Maximum width of a line; unlimited if standard output is no terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let term = Term::stdout();
    let seen =
        if term.is_term() { term.size_checked().map(|(_, columns)| usize::from(columns)) } else { None };
    columns.filter(|_| term.is_term()).or(seen).map(|width: usize| width.max(2 * LEAST))
}

/// Formats a value in one line; strings without quotes, control characters escaped.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text }
}

/// Formats a value in one line of limited width.
pub(super) fn short(value: &Value) -> String {
    truncate_str(&cell(value), CELL, ELLIPSIS).into_owned()
}

/// Formats the values of a row by name in one line.
pub(super) fn named_values(row: &RowValues) -> String {
    let each: Vec<String> = row.iter().map(|(name, value)| format!("{name}={}", short(value))).collect();
    each.join(" ")
}

/// A table of values.
pub(super) struct Grid {
    columns: Vec<Column>,
    rows: usize,
}

struct Column {
    cells: Vec<String>,
    width: usize,
    right: bool,
}

impl Column {
    fn new(cells: Vec<String>, right: bool) -> Self {
        let width = cells.iter().map(|cell| measure_text_width(cell)).max().unwrap_or(0);
        Self { cells, width, right }
    }
}

impl Grid {
    pub(super) fn new(names: &[String], rows: &[RowValues]) -> Self {
        let column = |name: &String| {
            let values: Vec<&Value> = rows.iter().map(|row| row.get(name).unwrap_or(&Value::Null)).collect();
            // Numbers are aligned to the right, and so are nulls among them.
            let right = values.iter().any(|value| value.is_number())
                && values.iter().all(|value| value.is_number() || value.is_null());
            let name = Value::String(name.clone());
            Column::new(std::iter::once(&name).chain(values).map(short).collect(), right)
        };
        Self { columns: names.iter().map(column).collect(), rows: rows.len() }
    }

    /// Formats the table. If it is wider than allowed, wide columns are cut first, then the last ones are left out and
    /// listed in a note.
    pub(super) fn to_text(&self, width: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.width).collect();
        let shown = width.map_or(widths.len(), |width| fit(&mut widths, width));
        widths.truncate(shown);
        let mut text = String::new();
        for row in 0..=self.rows {
            text.push_str(&line(&self.columns, row, &widths));
            if row == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "\u{2500}".repeat(*width)).collect();
                text.push_str(&rules.join(BETWEEN));
                text.push('\n');
            }
        }
        let hidden: Vec<&str> =
            self.columns.iter().skip(shown).filter_map(|c| c.cells.first()).map(String::as_str).collect();
        if !hidden.is_empty() {
            let _ = writeln!(text, "{} more columns: {}", hidden.len(), hidden.join(", "));
        }
        text
    }
}

/// A column of a table: its name, and its cell for each item.
pub(super) type TableColumn<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

/// Formats a table with a row for each item, as [`table`].
pub(super) fn table_of<T>(items: &[T], columns: &[TableColumn<'_, T>]) -> String {
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let row = |item: &T| columns.iter().map(|(_, cell)| cell(item)).collect();
    table(&header, &items.iter().map(row).collect::<Vec<_>>())
}

/// Formats rows of cells with aligned columns; numbers behind the second column are aligned to the right.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let column = |(at, name): (usize, &&str)| {
        let cells = rows.iter().map(|row| row.at(at, "cell of a row").clone());
        let numeric = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
        let right = at > 1 && cells.clone().any(|cell| numeric(&cell));
        Column::new(std::iter::once((*name).to_owned()).chain(cells).collect(), right)
    };
    let columns: Vec<Column> = header.iter().enumerate().map(column).collect();
    let widths: Vec<usize> = columns.iter().map(|column| column.width).collect();
    (0..=rows.len()).map(|row| line(&columns, row, &widths)).collect()
}

/// Formats a row of columns of these widths.
fn line(columns: &[Column], row: usize, widths: &[usize]) -> String {
    let cells = columns.iter().zip(widths).map(|(column, width)| {
        let cell = truncate_str(column.cells.at(row, "cell of a column"), *width, ELLIPSIS);
        let pad = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
        if column.right { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
    });
    format!("{}\n", cells.collect::<Vec<_>>().join(BETWEEN).trim_end())
}

/// Makes columns fit: the widest become narrower, down to a third of the allowed width or to half of their own; then
/// the last are left out. Returns the number of columns that are shown.
fn fit(widths: &mut [usize], allowed: usize) -> usize {
    let total = |widths: &[usize], shown: usize| {
        widths.iter().take(shown).sum::<usize>() + BETWEEN.len() * shown.saturating_sub(1)
    };
    let least: Vec<usize> =
        widths.iter().map(|width| (*width).min((width / 2).max(2 * LEAST)).min(allowed)).collect();
    while total(widths, widths.len()) > allowed {
        let widest = widths.iter_mut().zip(&least).filter(|(width, least)| **width > **least);
        let Some((width, _)) = widest.max_by_key(|(width, _)| **width) else { break };
        *width -= 1;
    }
    let mut shown = widths.len();
    while shown > 1 && total(widths, shown) > allowed {
        shown -= 1;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(values: &[Value]) -> Vec<RowValues> {
        values.iter().filter_map(|value| value.as_object().cloned()).collect()
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_at_the_right() {
        let rows = vec![
            vec!["flights".into(), "source".into(), String::new(), "1000".into()],
            vec!["é".into(), "join".into(), "7".into(), "12".into()],
        ];
        let expected = "node     kind    in   out\nflights  source      1000\né        join     7    12\n";
        assert_eq!(table(&["node", "kind", "in", "out"], &rows), expected);
    }

    #[test]
    fn numbers_stand_at_the_right_and_wide_letters_count_twice() {
        let rows = rows(&[json!({"id": 1, "name": "\u{65e5}\u{672c}"}), json!({"id": null, "name": "b\nc"})]);
        let text = Grid::new(&["id".to_owned(), "name".to_owned()], &rows).to_text(None);
        let rules = "\u{2500}\u{2500}\u{2500}\u{2500}";
        assert_eq!(text, format!("  id  name\n{rules}  {rules}\n   1  \u{65e5}\u{672c}\nnull  b\\nc\n"));
    }

    #[test]
    fn no_line_is_wider_than_allowed_but_the_note() {
        let names: Vec<String> = (0..30).map(|n| format!("column_{n}")).collect();
        let row: RowValues = names.iter().map(|name| (name.clone(), json!("x".repeat(60)))).collect();
        for width in [12, 20, 80, 200] {
            let text = Grid::new(&names, std::slice::from_ref(&row)).to_text(Some(width));
            let (table, note) = text.trim_end().rsplit_once('\n').unwrap();
            assert!(note.contains("more columns: column_"), "{note}");
            assert!(table.lines().all(|line| measure_text_width(line) <= width), "{width}\n{table}");
            assert_eq!(table.lines().count(), 3);
        }
    }
}
