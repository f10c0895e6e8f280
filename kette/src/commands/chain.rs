//! `kette chain`: what a stored chain is worth.

use crate::{
    cli::HomeArgs,
    commands::{exit::Exit, output},
    replay::{Replay, Step},
    run::home::Home,
};
use clap::Subcommand;
use kette_store::{Store, StoreOptions};
use serde_json::json;
use std::{path::PathBuf, time::Instant};

/// What to do with a stored chain.
#[derive(Debug, Subcommand)]
pub enum Chain {
    /// Execute every block again from genesis and compare; stop the node first
    Verify {
        #[command(flatten)]
        home: HomeArgs,
        /// Database file (default: node.sqlite in the home directory).
        #[arg(long)]
        db: Option<PathBuf>,
        /// A preset's name or a genesis file (default: genesis.json in the home directory).
        #[arg(long)]
        genesis: Option<String>,
    },
}

/// Blocks between lines of progress.
const PROGRESS_EVERY: u64 = 2_000;

/// Carries out `kette chain`.
///
/// # Errors
/// If the database cannot be opened, or a block does not hold.
pub fn run(args: Chain, json: bool) -> anyhow::Result<()> {
    let Chain::Verify { home, db, genesis } = args;
    let mut home = Home::new(home.home);
    if let Some(db) = db {
        home = home.with_database(db);
    }
    if !home.database().exists() {
        anyhow::bail!("no database at {}", home.database().display());
    }
    let spec = home.spec(genesis.as_deref())?;
    let mut replay = Replay::new(spec.clone())?;
    let (store, reader, _) =
        Store::open(&home.database(), &StoreOptions::default(), replay.genesis_parts())?;
    let started = Instant::now();
    let stored = reader.verify_integrity()?;
    if !stored.problems.is_empty() {
        let text = stored.problems.join("\n  ");
        return Err(Exit::Failed(format!(
            "{} is damaged: {text}\ndelete the database and sync again",
            home.database().display()
        ))
        .into());
    }
    let (tip, _) = reader.head()?;
    for number in 1..=tip {
        let stored = reader.block_by_number(number)?.ok_or_else(|| {
            Exit::Failed(format!("block {number} is missing: delete the database and sync again"))
        })?;
        let hash = stored.block.hash();
        replay
            .apply(Step { block: stored.block, stored_senders: Some(stored.senders) })
            .map_err(|error| Exit::Failed(format!("block {number} ({hash}) does not hold: {error}; delete the database and sync again")))?;
        if number % PROGRESS_EVERY == 0 {
            // Bounds the memory of the replayed state.
            replay.commit()?;
            eprintln!("verified {number} of {tip}");
        }
    }
    store.close()?;
    let secs = started.elapsed().as_secs_f64();
    let head = replay.head();
    output::print(
        &json!({
            "valid": true,
            "blocks": tip,
            "head": head.hash(),
            "stateRoot": head.state_root,
            "supply": replay.supply()?.to_string(),
            "seconds": (secs * 1_000.0).round() / 1_000.0,
        }),
        json,
    )
}
