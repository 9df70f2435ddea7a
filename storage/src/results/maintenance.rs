//! Maintenance that the writer does when no job waits: it sorts keys into runs and puts small blocks into packs.
//!
//! Each step is one transaction of bounded size and checks what there is to do inside it, so that
//! several processes may do the same, and a process may end at any moment.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};

use anabranch_engine::index::fitting;
use anabranch_engine::store::StoreFault;

use super::blocks::ResultCache;
use super::pending::Added;
use super::{key_runs, packs};
use crate::block::BLOCK_ROWS;
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{self, FUNCTIONS, RESULT_BLOCKS, RESULT_PACKS};
use crate::catalog::{Rows, Writer};
use crate::error::guarded;

/// From what on something is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Keys without a run when the store is opened.
    pub(crate) run_keys: usize,
    /// Keys without a run that a process has added, beyond which commits wait for a run.
    pub(crate) most_keys: usize,
    /// Small blocks of one function.
    pub(crate) small_blocks: usize,
}

/// Maintenance that may be due.
#[derive(Debug)]
pub(crate) struct Maintenance {
    limits: Limits,
    /// By function; what was there before is looked up at the first step.
    added: BTreeMap<i64, Todo>,
    begun: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Todo {
    added: Added,
    /// True if keys were there before, of which fewer make a run.
    before: bool,
    /// True if there is a new run, with which others may be merged.
    merge: bool,
}

impl Maintenance {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, added: BTreeMap::new(), begun: false }
    }

    /// Takes note of what a transaction has committed.
    pub(crate) fn note(&mut self, function: i64, added: Added) {
        let todo = &mut self.added.entry(function).or_default().added;
        todo.keys += added.keys;
        todo.small_blocks += added.small_blocks;
    }

    /// Returns true if so many keys have no run that commits should wait.
    pub(crate) fn is_urgent(&self) -> bool {
        self.added.values().any(|todo| todo.added.keys >= self.limits.most_keys)
    }

    /// Does one step, if one is due; returns true if there may be more.
    ///
    /// After a failure the function is left alone until it has got more.
    pub(crate) fn step(&mut self, writer: &mut dyn Writer, cache: &ResultCache) -> Result<bool, StoreFault> {
        if !self.begun {
            self.begun = true;
            return guarded(|| self.begin(writer.rows())).map(|()| true);
        }
        let limits = self.limits;
        let due = |todo: &Todo| todo.is_due(&limits);
        let Some((function, todo)) = self.added.iter_mut().find(|(_, todo)| due(todo)) else {
            return Ok(false);
        };
        let done = guarded(|| todo.step(writer, cache, *function, &limits));
        if done.is_err() {
            *todo = Todo::default();
        }
        done.map(|()| true)
    }

    /// Does everything that is due, looking at the whole store again.
    pub(crate) fn all(&mut self, writer: &mut dyn Writer, cache: &ResultCache) -> Result<(), StoreFault> {
        self.begun = false;
        while self.step(writer, cache)? {}
        Ok(())
    }

    fn begin(&mut self, rows: &dyn Rows) -> Result<(), StoreFault> {
        for (function, added) in there(rows)? {
            let todo = self.added.entry(function).or_default();
            todo.before = true;
            todo.added.keys = todo.added.keys.max(added.keys);
            todo.added.small_blocks = todo.added.small_blocks.max(added.small_blocks);
        }
        Ok(())
    }
}

impl Todo {
    fn least_keys(&self, limits: &Limits) -> usize {
        if self.before { limits.run_keys } else { limits.most_keys }
    }

    fn is_due(&self, limits: &Limits) -> bool {
        self.merge
            || self.added.keys >= self.least_keys(limits)
            || self.added.small_blocks >= limits.small_blocks
    }

    fn step(
        &mut self,
        writer: &mut dyn Writer,
        cache: &ResultCache,
        function: i64,
        limits: &Limits,
    ) -> Result<(), StoreFault> {
        let transaction = writer.begin()?;
        let mut next = *self;
        if self.added.keys >= self.least_keys(limits) {
            if key_runs::extend(&*transaction, function, limits.run_keys)? {
                next.merge = true;
            } else {
                next.added.keys = 0;
                next.before = false;
            }
        } else if self.merge {
            next.merge = key_runs::merge(&*transaction, function)?;
        } else if !packs::put_together(&*transaction, cache, function, limits.small_blocks)? {
            next.added.small_blocks = 0;
        }
        transaction.commit()?;
        *self = next;
        Ok(())
    }
}

/// Functions with blocks that are small or in no run, and upper bounds of their keys.
fn there(rows: &dyn Rows) -> Result<Vec<(i64, Added)>, StoreFault> {
    let functions = rows.all(&Query::of(&FUNCTIONS, &["id"]), |row| row.number(0))?;
    let mut there = Vec::with_capacity(functions.len());
    for function in functions {
        let covered = key_runs::list(rows, function)?.last().map_or(0, |run| run.last_block);
        let covered = fitting(covered, "number of a block");
        let blocks = Query::of(&RESULT_BLOCKS, &[]).equal("function", function);
        let small = blocks.clone().small("rows", tables::SMALL_ROWS);
        let packs = Query::of(&RESULT_PACKS, &["last_block"]).equal("function", function);
        let mut uncovered = rows.count(&blocks.after("id", covered))?;
        rows.each(&packs.descending("first_block"), |row| {
            let is_later = row.number(0)? > covered;
            uncovered += u64::from(is_later);
            Ok::<_, StoreFault>(if is_later { Continue(()) } else { Break(()) })
        })?;
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let keys = number(uncovered).saturating_mul(BLOCK_ROWS);
        there.push((function, Added { keys, small_blocks: number(rows.count(&small)?) }));
    }
    Ok(there)
}
