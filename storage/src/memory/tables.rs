//! Tables in memory, copies of which share what they have in common.

use std::ops::ControlFlow;
use std::sync::Arc;

use anabranch_engine::index::{At as _, holds};
use rpds::RedBlackTreeMapSync;

use crate::catalog::query::{Direction, Field, Filter, Query};
use crate::catalog::table::{Index, Key, Table};
use crate::catalog::value::{Row, Value};

/// A value that a table has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owned {
    Null,
    Number(i64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    /// Comes after all values; bounds of searches have it.
    Last,
}

impl Owned {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Number(number) => Self::Number(number),
            Value::String(string) => Self::String(string.into()),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Number(number) => Value::Number(*number),
            Self::String(string) => Value::String(string),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Last => unreachable!("no row has the bound of a search"),
        }
    }
}

type Values = Vec<Owned>;

/// A row that has the key of another, or the values that another has in a unique index.
#[derive(Debug)]
pub(super) struct Conflict;

/// A table. Cloning takes no time; a clone does not see later changes.
#[derive(Debug, Clone)]
pub(super) struct MemoryTable {
    table: &'static Table,
    rows: RedBlackTreeMapSync<Values, Arc<Values>>,
    /// For each index, the keys of its rows by the index's columns and the key.
    indexes: Vec<RedBlackTreeMapSync<Values, Values>>,
    last: i64,
}

/// Invariant of columns.
const COLUMNS: &str = "a table has the columns that queries name";

impl MemoryTable {
    pub(super) fn new(table: &'static Table) -> Self {
        let indexes = table.indexes.iter().map(|_| RedBlackTreeMapSync::new_sync()).collect();
        Self { table, rows: RedBlackTreeMapSync::new_sync(), indexes, last: 0 }
    }

    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    /// The largest number that was ever given.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    fn column(&self, name: &str) -> usize {
        holds(self.table.columns.iter().position(|column| *column == name), COLUMNS)
    }

    fn parts(&self, row: &Values, columns: &[&str]) -> Values {
        columns.iter().map(|column| row.at(self.column(column), COLUMNS).clone()).collect()
    }

    fn key(&self, row: &Values) -> Values {
        self.parts(row, self.table.key_columns())
    }

    fn entry(&self, index: &Index, row: &Values) -> Option<Values> {
        if let Some((column, most)) = index.at_most
            && !matches!(row.at(self.column(column), COLUMNS), Owned::Number(number) if *number <= most)
        {
            return None;
        }
        let mut entry = self.parts(row, index.columns);
        if !index.unique {
            entry.extend(self.key(row));
        }
        Some(entry)
    }

    /// Adds a row and returns its number, if it has one.
    pub(super) fn insert(&mut self, values: &[(&'static str, Value<'_>)]) -> Result<i64, Conflict> {
        let mut row = vec![Owned::Null; self.table.columns.len()];
        for (column, value) in values {
            assert!(self.table.takes(column, value), "a value is of the kind of its column");
            *row.at_mut(self.column(column), COLUMNS) = Owned::of(*value);
        }
        let number = self.number(&mut row);
        self.add(row)?;
        self.last = self.last.max(number);
        Ok(number)
    }

    /// Gives a row its number where it has none; 0 for a row of a table without numbers.
    fn number(&self, row: &mut Values) -> i64 {
        let given = match (self.table.key, row.first()) {
            (Key::Columns(_), _) => return 0,
            (_, Some(Owned::Number(number))) => return *number,
            (Key::NeverAgain, _) => self.last + 1,
            _ => match self.rows.last().and_then(|(key, _)| key.first()) {
                Some(Owned::Number(last)) => last + 1,
                _ => 1,
            },
        };
        *row.at_mut(0, COLUMNS) = Owned::Number(given);
        given
    }

    /// Adds a row with its number, unless it has the key of another or the values that another has in a unique index.
    fn add(&mut self, row: Values) -> Result<(), Conflict> {
        let key = self.key(&row);
        let is_taken = |(index, entries): (&Index, &RedBlackTreeMapSync<Values, Values>)| {
            index.unique && self.entry(index, &row).is_some_and(|entry| entries.contains_key(&entry))
        };
        if self.rows.contains_key(&key) || self.table.indexes.iter().zip(&self.indexes).any(is_taken) {
            return Err(Conflict);
        }
        for (at, index) in self.table.indexes.iter().enumerate() {
            if let Some(entry) = self.entry(index, &row) {
                self.indexes.at_mut(at, "there is a map for each index").insert_mut(entry, key.clone());
            }
        }
        self.rows.insert_mut(key, Arc::new(row));
        Ok(())
    }

    /// Adds a row in place of the one with its key; nothing has changed where it is refused.
    pub(super) fn put(&mut self, values: &[(&'static str, Value<'_>)]) -> Result<(), Conflict> {
        let of = |column: &&'static str| {
            let value = values.iter().find(|(name, _)| name == column);
            Owned::of(value.map_or(Value::Null, |(_, value)| *value))
        };
        let before = self.clone();
        self.remove(&self.table.key_columns().iter().map(of).collect());
        let put = self.insert(values).map(drop);
        if put.is_err() {
            *self = before;
        }
        put
    }

    fn remove(&mut self, key: &Values) {
        let Some(row) = self.rows.get(key).cloned() else { return };
        for (at, index) in self.table.indexes.iter().enumerate() {
            if let Some(entry) = self.entry(index, &row) {
                self.indexes.at_mut(at, "there is a map for each index").remove_mut(&entry);
            }
        }
        self.rows.remove_mut(key);
    }

    /// Changes rows and returns how many there were; nothing has changed where one is refused.
    pub(super) fn update(
        &mut self,
        of: &Filter<'_>,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<u64, Conflict> {
        let (rows, before) = (self.found(of), self.clone());
        for row in &rows {
            self.remove(&self.key(row));
            let mut changed = Values::clone(row);
            for (column, value) in values {
                *changed.at_mut(self.column(column), COLUMNS) = Owned::of(*value);
            }
            if let Err(conflict) = self.add(changed) {
                *self = before;
                return Err(conflict);
            }
        }
        Ok(rows.len() as u64)
    }

    /// Removes rows and returns how many there were.
    pub(super) fn delete(&mut self, of: &Filter<'_>) -> u64 {
        let rows = self.found(of);
        for row in &rows {
            self.remove(&self.key(row));
        }
        rows.len() as u64
    }

    fn found(&self, of: &Filter<'_>) -> Vec<Arc<Values>> {
        let mut found = Vec::new();
        self.visit(of, None, &mut |row| {
            found.push(Arc::clone(row));
            ControlFlow::Continue(())
        });
        found
    }

    /// Hands out the rows of a query until one ends it.
    pub(super) fn scan(&self, query: &Query<'_>, each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>) {
        let mut left = query.limit.unwrap_or(u64::MAX);
        self.visit(&query.filter, query.order, &mut |row| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            let field = |field: &Field| match field {
                Field::Column(column) => row.at(self.column(column), COLUMNS).value(),
                Field::Length(column) => match row.at(self.column(column), COLUMNS).value() {
                    Value::Null => Value::Null,
                    Value::Bytes(bytes) => bytes.len().into(),
                    Value::String(string) => string.len().into(),
                    Value::Number(number) => number.to_string().len().into(),
                },
            };
            let values: Vec<Value<'_>> = query.fields.iter().map(field).collect();
            each(&Row::new(self.table, &values))
        });
    }

    /// Hands out the rows of a filter, in an order where one is given.
    fn visit(
        &self,
        filter: &Filter<'_>,
        order: Option<(&'static str, Direction)>,
        each: &mut dyn FnMut(&Arc<Values>) -> ControlFlow<()>,
    ) {
        let path = self.path(filter, order.map(|(column, _)| column));
        let mut each = |row: &Arc<Values>| {
            if self.has(filter, row) { each(row) } else { ControlFlow::Continue(()) }
        };
        match order {
            Some((column, direction)) if !path.ordered => {
                let at = self.column(column);
                let mut rows = Vec::new();
                self.walk(&path, Direction::Ascending, &mut |row| {
                    rows.push(Arc::clone(row));
                    ControlFlow::Continue(())
                });
                rows.sort_by(|a, b| a.at(at, COLUMNS).cmp(b.at(at, COLUMNS)));
                if direction == Direction::Descending {
                    rows.reverse();
                }
                let _ = rows.iter().try_for_each(each);
            }
            order => {
                let direction = order.map_or(Direction::Ascending, |(_, direction)| direction);
                self.walk(&path, direction, &mut each);
            }
        }
    }

    fn has(&self, filter: &Filter<'_>, row: &Values) -> bool {
        let value = |column| row.at(self.column(column), COLUMNS);
        let number =
            |column, first, last| matches!(value(column), Owned::Number(n) if (first..=last).contains(n));
        filter.equal.iter().all(|(column, wanted)| *wanted != Value::Null && value(column).value() == *wanted)
            && filter.span.is_none_or(|(column, first, last)| number(column, first, last))
            && filter.at_most.is_none_or(|(column, most)| number(column, i64::MIN, most))
    }

    /// The way to the rows of a filter: through the key or an index, whichever bounds them best.
    fn path(&self, filter: &Filter<'_>, order: Option<&'static str>) -> Path {
        let usable = |index: &&(Option<usize>, &[&'static str])| match index.0 {
            Some(at) => self.index(at).at_most.is_none_or(|bound| filter.at_most == Some(bound)),
            None => true,
        };
        let key = (None, self.table.key_columns());
        let indexes = self.table.indexes.iter().enumerate().map(|(at, index)| (Some(at), index.columns));
        let all: Vec<(Option<usize>, &[&'static str])> = std::iter::once(key).chain(indexes).collect();
        let paths =
            all.iter().filter(usable).map(|(index, columns)| self.through(*index, columns, filter, order));
        holds(paths.max_by_key(|path| (path.first.len(), path.ordered)), "a table has a key")
    }

    fn index(&self, at: usize) -> &'static Index {
        self.table.indexes.at(at, "there is an index for each number")
    }

    fn through(
        &self,
        index: Option<usize>,
        columns: &[&'static str],
        filter: &Filter<'_>,
        order: Option<&'static str>,
    ) -> Path {
        let mut path = Path { index, first: Vec::new(), last: Vec::new(), ordered: false };
        // Entries of the key, and of a unique index, have no more.
        let unique = index.is_none_or(|at| self.index(at).unique);
        let rest = if unique { &[][..] } else { self.table.key_columns() };
        for column in columns.iter().chain(rest) {
            let Some((_, value)) = filter.equal.iter().find(|(name, _)| name == column) else {
                path.ordered = order.is_none_or(|order| order == *column);
                if let Some((name, first, last)) = filter.span
                    && name == *column
                {
                    path.first.push(Owned::Number(first));
                    path.last.push(Owned::Number(last));
                }
                break;
            };
            path.first.push(Owned::of(*value));
            path.last.push(Owned::of(*value));
        }
        path.last.push(Owned::Last);
        path
    }

    fn walk(&self, path: &Path, direction: Direction, each: &mut dyn FnMut(&Arc<Values>) -> ControlFlow<()>) {
        if path.first > path.last {
            return;
        }
        let span = path.first.clone()..=path.last.clone();
        let _ = match path.index {
            None => {
                let rows = self.rows.range(span).map(|(_, row)| row);
                in_direction(rows, direction, each)
            }
            Some(at) => {
                let row = |(_, key)| holds(self.rows.get(key), "an index has keys of rows");
                let entries = self.indexes.at(at, "there is a map for each index");
                in_direction(entries.range(span).map(row), direction, each)
            }
        };
    }
}

/// A span of the rows in the order of the key or of an index.
struct Path {
    index: Option<usize>,
    first: Values,
    last: Values,
    /// True if the rows come in the order that is wanted.
    ordered: bool,
}

fn in_direction<'a>(
    mut rows: impl DoubleEndedIterator<Item = &'a Arc<Values>>,
    direction: Direction,
    each: &mut dyn FnMut(&Arc<Values>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match direction {
        Direction::Ascending => rows.try_for_each(each),
        Direction::Descending => rows.rev().try_for_each(each),
    }
}
