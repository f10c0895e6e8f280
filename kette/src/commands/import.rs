//! `kette import`: takes an RLP chain file, as geth's `export` writes it.
//!
//! Under a genesis without `config.kette` the blocks of a foreign chain are executed by its own fork rules
//! without a seal check; under one of ours, seals are checked as well.

use crate::{
    cli::HomeArgs,
    commands::{exit::Exit, output},
    replay::{Replay, Step},
    run::home::Home,
};
use alloy_rlp::Decodable as _;
use anyhow::{Context as _, bail};
use clap::Args;
use kette_chain::Record;
use kette_store::{Store, StoreOptions};
use kette_types::{B256, Block, Bytes, SealedHeader, Transaction};
use serde_json::json;
use std::{path::PathBuf, sync::Arc, time::Instant};

/// Flags of `kette import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// RLP blocks, one after the other; several files are taken in order.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    home: HomeArgs,
    /// A preset's name or a genesis file (default: genesis.json in the home directory).
    #[arg(long)]
    genesis: Option<String>,
}

/// Blocks written in one transaction.
const BATCH: usize = 256;

/// Imports the files.
///
/// # Errors
/// If a file cannot be read, a block does not hold, or the database cannot be written. Blocks before the
/// bad one stay imported.
pub fn run(args: ImportArgs, json: bool) -> anyhow::Result<()> {
    let home = Home::new(args.home.home);
    let spec = home.spec(args.genesis.as_deref())?;
    home.create()?;
    home.keep_genesis(&spec)?;
    let mut replay = Replay::new(spec)?;
    let (mut store, reader, restored) =
        Store::open(&home.database(), &StoreOptions::default(), replay.genesis_parts())?;
    if restored.checkpoint.0 > 0 || !restored.canonical.is_empty() {
        bail!(
            "the database at {} has blocks already: import needs an empty one",
            home.database().display()
        );
    }
    let started = Instant::now();
    let mut transactions = 0;
    let mut batch = Vec::new();
    let mut first = 1;
    let mut failed = None;
    'files: for path in &args.files {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let offset = bytes.len() - rest.len();
            let block = match alloy_consensus::Block::<Transaction>::decode(&mut rest) {
                Ok(block) => block,
                Err(error) => {
                    failed =
                        Some(format!("{}: no block at byte {offset}: {error}", path.display()));
                    break 'files;
                }
            };
            let block =
                Block { header: SealedHeader::new(block.header, Bytes::new()), body: block.body };
            let (number, hash) = (block.header.number, block.hash());
            if number == 0 {
                continue;
            }
            transactions += block.body.transactions.len();
            match replay.apply(Step { block, stored_senders: None }) {
                Ok(executed) => batch.push(executed),
                Err(error) => {
                    failed = Some(format!("block {number} ({hash}) does not hold: {error}"));
                    break 'files;
                }
            }
            if batch.len() >= BATCH {
                first = flush(&mut store, &mut replay, &mut batch, first)?;
                eprintln!("imported {} blocks", first - 1);
            }
        }
    }
    flush(&mut store, &mut replay, &mut batch, first)?;
    let (tip, _) = reader.head()?;
    store.close()?;
    let head = replay.head();
    output::print(
        &json!({
            "blocks": tip,
            "transactions": transactions,
            "head": head.hash(),
            "stateRoot": head.state_root,
            "seconds": (started.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        }),
        json,
    )?;
    match failed {
        Some(text) => Err(Exit::Failed(text).into()),
        None => Ok(()),
    }
}

fn flush(
    store: &mut Store,
    replay: &mut Replay,
    batch: &mut Vec<Arc<kette_chain::ExecutedBlock>>,
    first: u64,
) -> anyhow::Result<u64> {
    let Some(last) = batch.last() else { return Ok(first) };
    let (number, hash) = (last.number(), last.hash());
    let added: Vec<B256> = batch.iter().map(|block| block.hash()).collect();
    let mut records: Vec<Record> = batch.drain(..).map(Record::Block).collect();
    records.push(Record::Canonical { keep: first - 1, added });
    records.push(Record::Final { number, hash, justification: Bytes::new() });
    records.push(Record::Checkpoint { number, hash, commit: Arc::new(replay.commit()?) });
    store.write(&records)?;
    Ok(number + 1)
}
