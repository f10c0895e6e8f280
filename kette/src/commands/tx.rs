//! `kette tx`: sign and send transactions.

use crate::{
    cli::RpcArgs,
    client::Client,
    commands::{exit::Exit, keys, output},
    presets,
};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, utils::parse_ether};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kette_sim::scenario::units::parse_duration;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What to do with transactions.
#[derive(Debug, Subcommand)]
pub enum Tx {
    /// Sign a transfer or a call and send it
    Send(SendArgs),
    /// Send a transaction that is signed already
    Submit {
        /// EIP-2718 bytes, hexadecimal.
        raw: Bytes,
        #[command(flatten)]
        rpc: RpcArgs,
    },
}

/// Flags of `kette tx send`.
#[derive(Args, Debug)]
pub struct SendArgs {
    /// Sender: an address of the keystore, or dev:N for account N of the development mnemonic.
    #[arg(long, default_value = "dev:0")]
    from: String,
    /// Receiver.
    #[arg(long)]
    to: Address,
    /// Amount in coins (18 decimals), e.g. 1.5; append "wei" for wei.
    #[arg(long, default_value = "0")]
    value: String,
    /// Call data, hexadecimal.
    #[arg(long, default_value = "0x")]
    data: Bytes,
    /// Sequence number; asked from the node without it.
    #[arg(long)]
    nonce: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// What every command that sends a transaction needs to know.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Wait for this state: pending, included or final.
    #[arg(long, default_value = "pending", value_parser = ["pending", "included", "final"])]
    pub wait: String,
    /// How long to wait.
    #[arg(long, default_value = "2m", value_parser = parse_duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub store: keys::StoreArgs,
    #[command(flatten)]
    pub rpc: RpcArgs,
}

/// Carries out `kette tx`.
///
/// # Errors
/// If the node refuses the transaction or it is not included in time.
pub fn run(args: Tx, json: bool) -> anyhow::Result<()> {
    match args {
        Tx::Send(args) => super::block_on(send(args, json)),
        Tx::Submit { raw, rpc } => super::block_on(async {
            let hash: B256 =
                Client::new(&rpc.rpc)?.ask("eth_sendRawTransaction", [json!(raw)]).await?;
            output::print(&json!({ "hash": hash }), json)
        }),
    }
}

async fn send(args: SendArgs, json: bool) -> anyhow::Result<()> {
    let SendArgs { from, to, value, data, nonce, common } = args;
    let signer = signer(&from, &common.store)?;
    let client = Client::new(&common.rpc.rpc)?;
    let value = amount("--value", &value)?;
    send_call(&client, &signer, to, value, data, nonce, &common, json).await
}

/// Signs a call, sends it, waits as told, and prints what became of it.
///
/// # Errors
/// If the node refuses it, or it does not get that far in time.
#[expect(clippy::too_many_arguments, reason = "the parts of a transaction")]
pub async fn send_call(
    client: &Client,
    signer: &PrivateKeySigner,
    to: Address,
    value: U256,
    data: Bytes,
    nonce: Option<u64>,
    common: &Common,
    json: bool,
) -> anyhow::Result<()> {
    let from = signer.address();
    let chain_id: U256 = client.ask("eth_chainId", []).await?;
    let nonce = match nonce {
        Some(nonce) => nonce,
        None => {
            let next: U256 =
                client.ask("eth_getTransactionCount", [json!(from), json!("pending")]).await?;
            next.to()
        }
    };
    let tip: U256 = client.ask("eth_maxPriorityFeePerGas", []).await?;
    let price: U256 = client.ask("eth_gasPrice", []).await?;
    let call = json!({ "from": from, "to": to, "value": value, "data": data });
    let gas: U256 = client.ask("eth_estimateGas", [call]).await?;
    let transaction = TxEip1559 {
        chain_id: chain_id.to(),
        nonce,
        gas_limit: gas.to(),
        // Twice the current price outlasts six full blocks of rising base fee (EIP-1559).
        max_fee_per_gas: (price * U256::from(2) + tip).to(),
        max_priority_fee_per_gas: tip.to(),
        to: TxKind::Call(to),
        value,
        input: data,
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
    let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    let hash: B256 = client.ask("eth_sendRawTransaction", [json!(Bytes::from(raw))]).await?;
    let state = wait(client, hash, &common.wait, common.timeout).await?;
    output::print(&json!({ "hash": hash, "from": from, "nonce": nonce, "finality": state }), json)
}

async fn wait(client: &Client, hash: B256, until: &str, limit: Duration) -> anyhow::Result<Value> {
    let started = Instant::now();
    loop {
        let state: Value = client.ask("kette_finality", [json!(hash)]).await?;
        let reached = match (until, state["status"].as_str()) {
            ("pending", _) | (_, Some("final")) => true,
            ("included", Some(now)) => now == "included" || now == "confirmed",
            _ => false,
        };
        if reached {
            return Ok(state);
        }
        if started.elapsed() > limit {
            let text = format!("{hash} is not {until} after {} s", limit.as_secs());
            return Err(Exit::TimedOut(text).into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How often a waiting command asks.
const POLL: Duration = Duration::from_millis(200);

/// Opens the key of an account: `dev:N`, or an address of the keystore.
///
/// # Errors
/// If there is no such key.
pub fn signer(from: &str, store: &keys::StoreArgs) -> anyhow::Result<PrivateKeySigner> {
    if let Some(index) = from.strip_prefix("dev:") {
        return presets::development_signer(index.parse().context("--from dev:N")?);
    }
    let address: Address = from.parse().map_err(|_| {
        anyhow::anyhow!("--from `{from}`: expected an address of the keystore or dev:N")
    })?;
    keys::open(store, address)
}

/// Reads an amount in coins, or in wei with the unit.
///
/// # Errors
/// If it is none; names `what`.
pub fn amount(what: &str, text: &str) -> anyhow::Result<U256> {
    let parsed = match text.strip_suffix("wei") {
        Some(wei) => wei.trim().parse().ok(),
        None => parse_ether(text).ok(),
    };
    let Some(amount) = parsed else { bail!("{what} `{text}` is no amount, e.g. 1.5 or 100wei") };
    Ok(amount)
}
