//! `store`: copies of a whole store.

use std::path::{Path, PathBuf};

use anabranch::Store;
use anabranch::yaml::{self, LoadOptions};
use clap::{Args, Subcommand};
use serde_json::json;

use super::cache::bytes;
use super::pipeline_file::store_options;
use super::{Exit, Failure, Output};

/// The pipeline file that is read where none is named.
const DEFAULT_FILE: &str = "pipeline.yaml";

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Copy the store as it is at one moment, also while runs go on.
    Backup(CopyArguments),
    /// Copy a backup to where a pipeline expects its store, which must not exist yet.
    Restore(CopyArguments),
}

#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// The backup's folder.
    dir: PathBuf,
    /// The pipeline file, whose store it is; `pipeline.yaml` without.
    file: Option<PathBuf>,
    /// The store's folder, instead of the one that the pipeline names.
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    store: Option<PathBuf>,
    /// Use a store on a network file system, whose locks and syncs may not hold.
    #[arg(long)]
    allow_network_store: bool,
}

impl CopyArguments {
    fn store_dir(&self) -> Result<PathBuf, Failure> {
        match (&self.store, &self.file) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Some(file)) => Ok(yaml::load_header(file, &LoadOptions::default())?.store_dir),
            (None, None) if Path::new(DEFAULT_FILE).exists() => {
                Ok(yaml::load_header(Path::new(DEFAULT_FILE), &LoadOptions::default())?.store_dir)
            }
            (None, None) => Err(Failure::Call(format!(
                "store: found no {DEFAULT_FILE} here, expected a pipeline file; name one, or the store by --store"
            ))),
        }
    }
}

pub(super) fn store(command: &StoreCommand, output: &Output) -> Result<Exit, Failure> {
    let (StoreCommand::Backup(arguments) | StoreCommand::Restore(arguments)) = command;
    let (dir, store_dir) = (&arguments.dir, arguments.store_dir()?);
    let mut options = store_options(arguments.allow_network_store);
    let (count, text) = match command {
        StoreCommand::Backup(_) => {
            options.allow_read_only = true;
            if !Store::exists(&store_dir) {
                return Err(Failure::Call(format!(
                    "store: found no store in {}; run the pipeline first, or name its store by --store",
                    store_dir.display()
                )));
            }
            let count = Store::open_with(&store_dir, &options)?.backup(dir)?;
            (count, format!("copied the store to {}, {}\n", dir.display(), bytes(count)))
        }
        StoreCommand::Restore(_) => {
            let count = Store::restore(dir, &store_dir, &options)?;
            let text = format!(
                "restored the store in {}, {}; `cache verify` reads all of it\n",
                store_dir.display(),
                bytes(count)
            );
            (count, text)
        }
    };
    output.text_or_json(&text, || {
        json!({ "status": "ok", "backup": dir.display().to_string(),
            "store": store_dir.display().to_string(), "bytes": count })
    })?;
    Ok(Exit::Ok)
}
