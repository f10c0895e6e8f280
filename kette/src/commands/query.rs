//! `kette query`: blocks, transactions, accounts, supply, as a node knows them.

use crate::{
    cli::RpcArgs,
    client::Client,
    commands::{exit::Exit, output},
};
use alloy_primitives::{Address, B256, U256, utils::format_ether};
use clap::Subcommand;
use serde_json::{Value, json};

/// What to ask.
#[derive(Debug, Subcommand)]
pub enum Query {
    /// A block with seal, weight and senders
    Block {
        /// Number, hash, or latest, finalized, earliest.
        #[arg(default_value = "latest")]
        block: String,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// A transaction, its receipt and its finality
    Tx {
        /// The hash.
        hash: B256,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// An account's balance, nonce and code size
    Account {
        /// The address.
        address: Address,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// An account's balance in coins
    Balance {
        /// The address.
        address: Address,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// All coins that exist, checked against genesis and rewards
    Supply {
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// What waits in the pool
    Pool {
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// The engine's own state
    Engine {
        #[command(flatten)]
        rpc: RpcArgs,
    },
}

/// Asks and prints.
///
/// # Errors
/// If no node answers or there is no such thing.
pub fn run(args: Query, json: bool) -> anyhow::Result<()> {
    super::block_on(async {
        let value: Value = match args {
            Query::Block { block, rpc } => {
                let id = block
                    .parse::<u64>()
                    .map_or_else(|_| json!(block), |n| json!(format!("0x{n:x}")));
                found(Client::new(&rpc.rpc)?.ask("kette_block", [id]).await?, "block", &block)?
            }
            Query::Tx { hash, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let tx: Value = client.ask("eth_getTransactionByHash", [json!(hash)]).await?;
                let tx = found(tx, "transaction", &hash.to_string())?;
                let receipt: Value = client.ask("eth_getTransactionReceipt", [json!(hash)]).await?;
                let finality: Value = client.ask("kette_finality", [json!(hash)]).await?;
                json!({ "transaction": tx, "receipt": receipt, "finality": finality })
            }
            Query::Account { address, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let latest = json!("latest");
                let balance: U256 =
                    client.ask("eth_getBalance", [json!(address), latest.clone()]).await?;
                let nonce: U256 =
                    client.ask("eth_getTransactionCount", [json!(address), latest.clone()]).await?;
                let code: alloy_primitives::Bytes =
                    client.ask("eth_getCode", [json!(address), latest]).await?;
                json!({ "address": address, "balance": format_ether(balance), "wei": balance.to_string(), "nonce": nonce.to_string(), "codeBytes": code.len() })
            }
            Query::Balance { address, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let balance: U256 =
                    client.ask("eth_getBalance", [json!(address), json!("latest")]).await?;
                json!({ "address": address, "balance": format_ether(balance), "wei": balance.to_string() })
            }
            Query::Supply { rpc } => Client::new(&rpc.rpc)?.ask("kette_supply", []).await?,
            Query::Pool { rpc } => Client::new(&rpc.rpc)?.ask("txpool_inspect", []).await?,
            Query::Engine { rpc } => Client::new(&rpc.rpc)?.ask("kette_engine", []).await?,
        };
        output::print(&value, json)
    })
}

fn found(value: Value, what: &str, name: &str) -> anyhow::Result<Value> {
    if value.is_null() {
        return Err(Exit::Failed(format!("no {what} {name}")).into());
    }
    Ok(value)
}
