//! `kette miner`: searches nonces for a node from another process, through its work API.

use crate::{
    cli::{HomeArgs, RpcArgs},
    client::Client,
    commands::output,
    run::home::Home,
};
use alloy_primitives::{B256, U256};
use clap::Args;
use kette_consensus::{job::MineJob, pow};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Flags of `kette miner`.
#[derive(Args, Debug)]
pub struct MinerArgs {
    #[command(flatten)]
    rpc: RpcArgs,
    #[command(flatten)]
    home: HomeArgs,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Stop after this many blocks; 0 goes on for ever.
    #[arg(long, default_value_t = 0)]
    blocks: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Work {
    preimage: B256,
    target: U256,
}

/// Work is asked anew after this time, so that a stale tip is left quickly.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Nonces tried between looks at the clock.
const PORTION: u64 = 50_000;

/// Mines until the wanted number of blocks is found.
///
/// # Errors
/// If no node answers or it has no work.
pub fn run(args: MinerArgs, json: bool) -> anyhow::Result<()> {
    let client = Client::of_operator(&args.rpc.rpc, &Home::new(args.home.home))?;
    super::block_on(async {
        let mut found = 0;
        let mut start: u64 = rand::random();
        loop {
            let work = work(&client).await?;
            let job = MineJob {
                preimage: work.preimage,
                target: work.target,
                nonce_start: start,
                rate: None,
                threads: args.threads,
            };
            start = start.wrapping_add(1 << 40);
            let nonce =
                tokio::task::spawn_blocking(move || search(&job, Instant::now() + ASK_EVERY))
                    .await?;
            let Some(nonce) = nonce else { continue };
            let submitted: anyhow::Result<Value> = client
                .ask("kette_submitWork", [json!(work.preimage), json!(format!("0x{nonce:016x}"))])
                .await;
            match submitted {
                Ok(_) => {
                    found += 1;
                    output::print(
                        &json!({ "found": found, "preimage": work.preimage, "nonce": nonce }),
                        json,
                    )?;
                }
                // Somebody else was faster.
                Err(error) => eprintln!("not accepted: {error:#}"),
            }
            if args.blocks > 0 && found >= args.blocks {
                return Ok(());
            }
        }
    })
}

/// Asks for work. A node that does not mine is told to make templates for others, with no thread of its own.
async fn work(client: &Client) -> anyhow::Result<Work> {
    if let Ok(work) = client.ask("kette_getWork", []).await {
        return Ok(work);
    }
    let _: Value = client.ask("kette_startMining", [json!(0)]).await?;
    let deadline = Instant::now() + WORK_WITHIN;
    loop {
        match client.ask("kette_getWork", []).await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(ASK_EVERY / 5).await,
            answer => return answer,
        }
    }
}

/// A node that was told to make templates has one within this time, also while it catches up.
const WORK_WITHIN: Duration = Duration::from_secs(60);

fn search(job: &MineJob, until: Instant) -> Option<u64> {
    let threads = job.threads.max(1);
    let found = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let found = &found;
                scope.spawn(move || {
                    let stretch = u64::MAX / u64::from(threads);
                    let mut nonce = job.nonce_start.wrapping_add(stretch * u64::from(index));
                    while Instant::now() < until
                        && !found.load(std::sync::atomic::Ordering::Relaxed)
                    {
                        if let Some(nonce) = pow::search(job, nonce, PORTION) {
                            found.store(true, std::sync::atomic::Ordering::Relaxed);
                            return Some(nonce);
                        }
                        nonce = nonce.wrapping_add(PORTION);
                    }
                    None
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok().flatten()).next()
    })
}
