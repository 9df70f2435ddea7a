//! Maintenance that the writer does when no job waits: it sorts keys into runs and puts small blocks into packs.
//!
//! Each step is one transaction of bounded size and checks what there is to do inside it, so that
//! several processes may do the same, and a process may end at any moment.

use std::collections::BTreeMap;

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, TransactionBehavior};

use super::blocks::ResultCache;
use super::pending::Added;
use super::{key_runs, packs};
use crate::block::BLOCK_ROWS;
use crate::error::{guarded, sql};

const OPERATION: &str = "maintain the store";

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
    pub(crate) fn step(
        &mut self,
        connection: &mut Connection,
        cache: &ResultCache,
    ) -> Result<bool, StoreError> {
        if !self.begun {
            self.begun = true;
            return guarded(OPERATION, || self.begin(connection)).map(|()| true);
        }
        let limits = self.limits;
        let due = |todo: &Todo| todo.is_due(&limits);
        let Some((function, todo)) = self.added.iter_mut().find(|(_, todo)| due(todo)) else {
            return Ok(false);
        };
        let done = guarded(OPERATION, || todo.step(connection, cache, *function, &limits));
        if done.is_err() {
            *todo = Todo::default();
        }
        done.map(|()| true)
    }

    /// Does everything that is due, looking at the whole store again.
    pub(crate) fn all(&mut self, connection: &mut Connection, cache: &ResultCache) -> Result<(), StoreError> {
        self.begun = false;
        while self.step(connection, cache)? {}
        Ok(())
    }

    fn begin(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for (function, added) in there(connection).map_err(|e| sql(OPERATION, e))? {
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
        connection: &mut Connection,
        cache: &ResultCache,
        function: i64,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        let failed = |e| sql(OPERATION, e);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut next = *self;
        if self.added.keys >= self.least_keys(limits) {
            if key_runs::extend(&transaction, function, limits.run_keys)? {
                next.merge = true;
            } else {
                next.added.keys = 0;
                next.before = false;
            }
        } else if self.merge {
            next.merge = key_runs::merge(&transaction, function)?;
        } else if !packs::put_together(&transaction, cache, function, limits.small_blocks)? {
            next.added.small_blocks = 0;
        }
        transaction.commit().map_err(failed)?;
        *self = next;
        Ok(())
    }
}

/// Functions with blocks that are small or in no run, and upper bounds of their keys.
fn there(connection: &Connection) -> rusqlite::Result<Vec<(i64, Added)>> {
    // Every count is read from an index alone.
    let mut statement = connection.prepare(
        "SELECT f.id,
           (SELECT count(*) FROM result_blocks b WHERE b.function = f.id AND b.id > f.covered),
           (SELECT count(*) FROM result_packs p WHERE p.function = f.id AND p.last_block > f.covered),
           (SELECT count(*) FROM result_blocks b WHERE b.function = f.id AND b.rows <= 2048)
         FROM (SELECT id, (SELECT coalesce(max(last_block), 0) FROM key_runs WHERE function = functions.id)
                 AS covered FROM functions) f",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        let (blocks, packs): (u32, u32) = (row.get(1)?, row.get(2)?);
        let keys = (blocks as usize + packs as usize).saturating_mul(BLOCK_ROWS);
        Ok((row.get(0)?, Added { keys, small_blocks: row.get::<_, u32>(3)? as usize }))
    };
    statement.query_map([], read)?.collect()
}
