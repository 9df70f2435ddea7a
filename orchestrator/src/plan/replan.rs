//! Planning once more, with code that calls of Python functions have loaded.
//!
//! Such code is part of a function's identity, but it is unknown until a call has loaded it. So the store records it
//! under the function's file and name. Planning against that store makes these functions, and all nodes below them,
//! anew.

use std::path::{Component, Path, PathBuf};

use anabranch_engine::operator::Contract;
use anabranch_engine::store::StoreError;
use anabranch_nodes::function::{Function, LateImports, OutputOrder};

use super::RunError;
use crate::graph::Pipeline;
use crate::node::{FunctionKind, Node, PerNode, PlanError, Planned};
use crate::store::block_on::block_on;
use crate::store::{LateImport, Store};

impl Pipeline {
    /// Returns the pipeline planned with the code that the store has for its functions; none if it is planned so already.
    pub(crate) fn recalled(&self, store: &Store) -> Result<Option<Self>, RunError> {
        let again = self.nodes().map(|node| store.recalled(node));
        let again = again.collect::<Result<PerNode<Option<Function>>, StoreError>>()?;
        if again.iter().all(Option::is_none) {
            return Ok(None);
        }
        Ok(Some(self.planned_again(again)?))
    }

    /// Returns [`Pipeline::recalled`], if there is a store.
    pub(crate) fn recalled_from(&self, store: Option<&Store>) -> Result<Option<Self>, RunError> {
        store.map_or(Ok(None), |store| self.recalled(store))
    }

    /// Returns a pipeline of the same nodes, with other functions at some of them.
    fn planned_again(&self, functions: PerNode<Option<Function>>) -> Result<Self, PlanError> {
        let mut next = self.without_nodes();
        for (node, function) in self.nodes().zip(functions) {
            let (inputs, planning) = (next.nodes_at(&node.inputs), next.planning());
            let planned = match function {
                Some(function) => FunctionKind::plan(&node.name, function, &inputs, &planning)?,
                None => node.work.plan_again(node, &inputs, &planning)?,
            };
            let Planned { work, contract, identity, .. } = planned;
            let ordered = contract.ordered && node.calls.order == OutputOrder::Input;
            let contract = Contract { ordered, ..contract };
            next.push(Node { work, contract, identity, ..node.clone() });
        }
        Ok(next)
    }

    /// Returns the key under which a store records the code of a node's function.
    pub(crate) fn remembered_as(&self, node: &str, store: &Store) -> Option<String> {
        let node = self.nodes().find(|other| other.name == node)?;
        store.name_of(&node.work.as_function()?.specification)
    }
}

impl Store {
    /// Records the code that calls of a function have loaded, for later plans.
    pub(crate) fn remember(
        &self,
        function: String,
        late: &LateImports,
    ) -> Result<(), anabranch_engine::store::RunError> {
        block_on(self.inner().remember(LateImport { function, entries: late.entries().to_vec() }))
    }

    /// Returns the function of a node with the code that the store has for it; none if it is planned so already.
    fn recalled(&self, node: &Node) -> Result<Option<Function>, StoreError> {
        let Some(function) = node.work.as_function() else { return Ok(None) };
        let function = &function.specification;
        let Some(name) = self.name_of(function) else { return Ok(None) };
        let entries = self.inner().late_imports(&name)?;
        Ok((entries != function.recalled()).then(|| function.clone().recall(entries)))
    }

    /// Returns a name for a Python function that stays the same when project and store move together.
    fn name_of(&self, function: &Function) -> Option<String> {
        let (file, call) = function.python_file()?;
        let full = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let place = match self.inner().dir() {
            Some(dir) => relative(&full(&file), &full(dir)),
            None => full(&file),
        };
        Some(format!("{}::{call}", place.display()))
    }
}

/// Returns a path relative to a folder; both are full paths.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let common = path.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    up.chain(path.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_starts_from_the_folder() {
        let shown = |path: &str, folder: &str| relative(Path::new(path), Path::new(folder));
        assert_eq!(shown("/p/code/f.py", "/p/.anabranch"), Path::new("../code/f.py"));
        assert_eq!(shown("/p/f.py", "/p"), Path::new("f.py"));
        assert_eq!(shown("/a/f.py", "/b/c"), Path::new("../../a/f.py"));
    }
}
