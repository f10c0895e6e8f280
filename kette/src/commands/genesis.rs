//! `kette genesis`: make, check and hash genesis files.

use crate::{commands::output, presets, run::home::read_genesis};
use clap::Subcommand;
use std::path::PathBuf;

/// What to do with genesis files.
#[derive(Debug, Subcommand)]
pub enum Genesis {
    /// Print a genesis file made from a preset, to be changed and given to `kette init --chain`
    New {
        /// The preset to start from.
        #[arg(long, default_value = "dev")]
        preset: String,
        /// Another chain id.
        #[arg(long)]
        chain_id: Option<u64>,
    },
    /// Check a genesis file and say what it means
    Validate {
        /// The file, or a preset's name.
        file: PathBuf,
    },
    /// Print the hash of block 0
    Hash {
        /// The file, or a preset's name.
        file: PathBuf,
    },
}

/// Carries out `kette genesis`.
///
/// # Errors
/// If a file cannot be read or used.
pub fn run(args: Genesis, json: bool) -> anyhow::Result<()> {
    match args {
        Genesis::New { preset, chain_id } => {
            let mut value: serde_json::Value =
                serde_json::to_value(presets::genesis(&preset)?.genesis)?;
            if let Some(id) = chain_id {
                value["config"]["chainId"] = id.into();
            }
            println(&serde_json::to_string_pretty(&value)?)
        }
        Genesis::Validate { file } => {
            let spec = load(&file)?;
            let (block, state) = kette_ledger::genesis(&spec)?;
            let engine = spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
            let value = serde_json::json!({
                "hash": block.hash(),
                "stateRoot": block.state_root,
                "chainId": spec.chain_id(),
                "engine": engine,
                "accounts": spec.genesis.alloc.len(),
                "supply": state.supply()?.to_string(),
                "rulesHash": spec.rules_hash(),
            });
            output::print(&value, json)
        }
        Genesis::Hash { file } => {
            let (block, _) = kette_ledger::genesis(&load(&file)?)?;
            println(&block.hash().to_string())
        }
    }
}

fn load(file: &std::path::Path) -> anyhow::Result<kette_types::ChainSpec> {
    match file.to_str() {
        Some(name) if presets::has_genesis(name) => presets::genesis(name),
        _ => read_genesis(file),
    }
}

fn println(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
