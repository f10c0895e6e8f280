//! `kette genesis`: make, check and hash genesis files.

use super::genesis_bft::{self, BftArgs};
use crate::{commands::output, presets, run::home::read_genesis};
use clap::Subcommand;
use std::path::PathBuf;

/// What to do with genesis files.
#[derive(Debug, Subcommand)]
pub enum Genesis {
    /// Print a genesis file made from a preset, to be changed and given to `kette init --chain`
    New {
        /// The preset to start from [default: dev; with --engine bft or --validators: bft4].
        #[arg(long)]
        preset: Option<String>,
        /// The engine, where no preset is named.
        #[arg(long, value_parser = ["pow", "bft"], conflicts_with = "preset")]
        engine: Option<String>,
        /// Another chain id.
        #[arg(long)]
        chain_id: Option<u64>,
        #[command(flatten)]
        bft: BftArgs,
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
        Genesis::New { preset, engine, chain_id, bft } => {
            let wants_bft = engine.as_deref().map_or(bft.is_given(), |engine| engine == "bft");
            let default = if wants_bft { presets::DEFAULT_NETWORK } else { "dev" };
            let preset = preset.as_deref().unwrap_or(default);
            let mut value: serde_json::Value =
                serde_json::to_value(presets::genesis(preset)?.genesis)?;
            if let Some(id) = chain_id {
                value["config"]["chainId"] = id.into();
            }
            bft.write_into(&mut value)?;
            let spec = kette_types::ChainSpec::from_json(&value.to_string())?;
            if let Some(bft) = spec.bft() {
                eprint!("{}", genesis_bft::fault_table(bft)?);
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
            output::print(&value, json)?;
            if let Some(bft) = spec.bft() {
                eprint!("\n{}", genesis_bft::fault_table(bft)?);
            }
            Ok(())
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
    writeln!(output::stdout(), "{text}")?;
    Ok(())
}
