//! Who sends: accounts derived from the seed, and the one phase that gives them what they spend.

use super::{
    endpoint::Endpoint,
    mix::{Kind, Mix, token_code, token_mint},
};
use crate::{commands::exit::Exit, presets};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use kette_sim::scenario::units::format_duration;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An account that sends.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its key.
    pub key: PrivateKeySigner,
    /// Its address.
    pub address: Address,
    /// Nonce of its next transaction.
    pub next: u64,
}

/// What all transactions of a load have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Fee cap, wei per gas.
    pub fee_cap: u128,
    /// Tip, wei per gas.
    pub tip: u128,
}

/// A signed transaction, as it is handed in.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its hash.
    pub hash: B256,
    /// EIP-2718 bytes, hexadecimal.
    pub raw: String,
}

/// Accounts of the development mnemonic that may pay.
const FUNDERS: u32 = 10;
/// The fee cap is this many times the base fee at the start: full blocks raise it by an eighth each (EIP-1559).
const FEE_ROOM: u128 = 100;
/// Tip, wei per gas.
const TIP: u128 = 1_000_000_000;
/// Accounts that get units of the token by one transaction.
const MINT_BATCH: usize = 100;
/// Gas of minting: for the transaction, and for each account.
const MINT_GAS: (u64, u64) = (100_000, 60_000);
/// Units of the token that each sender gets.
const UNITS: u64 = 1 << 60;
/// How often the funding phase asks whether its transactions are in blocks.
const POLL: Duration = Duration::from_millis(100);

/// Derives account `index` of a seed. Whoever knows the seed owns it: only for test chains.
pub fn derive(seed: u64, index: u64) -> PrivateKeySigner {
    let mut text = b"kette net load".to_vec();
    text.extend(seed.to_be_bytes());
    text.extend(index.to_be_bytes());
    PrivateKeySigner::from_bytes(&keccak256(text)).expect("a hash is below the group's order")
}

impl Terms {
    /// Asks what transactions cost now.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn ask(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let chain_id: U256 = endpoint.client.ask("eth_chainId", []).await?;
        let price: U256 = endpoint.client.ask("eth_gasPrice", []).await?;
        let price: u128 = price.try_into().context("eth_gasPrice is absurd")?;
        Ok(Self {
            chain_id: chain_id.try_into().context("eth_chainId is absurd")?,
            fee_cap: price.max(TIP).saturating_mul(FEE_ROOM),
            tip: TIP,
        })
    }

    /// Signs a transaction.
    pub fn sign(
        &self,
        from: &PrivateKeySigner,
        nonce: u64,
        gas_limit: u64,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Signed {
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: self.fee_cap,
            max_priority_fee_per_gas: self.tip,
            to,
            value,
            input,
            ..TxEip1559::default()
        };
        let hash = transaction.signature_hash();
        let signature = from.sign_hash_sync(&hash).expect("a local key signs");
        let signed = TxEnvelope::from(transaction.into_signed(signature));
        Signed { hash: *signed.tx_hash(), raw: hex::encode_prefixed(signed.encoded_2718()) }
    }
}

/// Derives the senders and reads where their nonces are.
///
/// # Errors
/// If the node does not answer.
pub async fn senders(endpoint: &Endpoint, seed: u64, count: usize) -> anyhow::Result<Vec<Sender>> {
    let keys: Vec<PrivateKeySigner> = (0..count as u64).map(|index| derive(seed, index)).collect();
    let addresses: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
    let nonces = endpoint.nonces(&addresses, &json!("pending")).await?;
    let pairs = keys.into_iter().zip(addresses).zip(nonces);
    Ok(pairs.map(|((key, address), next)| Sender { key, address, next }).collect())
}

/// Gives each sender what `each` wei lacks, and units of a new token if the mix needs one. Returns the token.
///
/// # Errors
/// If no development account can pay, a transaction is refused, or the chain does not take them up in time.
pub async fn fund(
    endpoint: &Endpoint,
    terms: &Terms,
    senders: &[Sender],
    each: U256,
    mix: &Mix,
    limit: Duration,
) -> anyhow::Result<Address> {
    let addresses: Vec<Address> = senders.iter().map(|sender| sender.address).collect();
    let balances = endpoint.balances(&addresses).await?;
    let poor: Vec<(Address, U256)> = addresses
        .iter()
        .zip(balances)
        .filter(|(_, balance)| *balance < each)
        .map(|(address, balance)| (*address, each - balance))
        .collect();
    let with_token = mix.has(Kind::Erc20);
    if poor.is_empty() && !with_token {
        return Ok(Address::ZERO);
    }
    let mut funders = funders(endpoint).await?;
    let mut signed = Vec::new();
    let gas = |limit: u64| U256::from(limit) * U256::from(terms.fee_cap);
    for (place, (address, lack)) in poor.iter().enumerate() {
        let count = funders.len();
        let cost = *lack + gas(Kind::Transfer.gas());
        let payer = (0..count).map(|step| (place + step) % count).find(|i| funders[*i].1 >= cost);
        let Some(payer) = payer else { return Err(too_poor(senders.len(), each)) };
        let (funder, left) = &mut funders[payer];
        *left -= cost;
        let to = TxKind::Call(*address);
        signed.push(terms.sign(
            &funder.key,
            funder.next,
            Kind::Transfer.gas(),
            to,
            *lack,
            Bytes::new(),
        ));
        funder.next += 1;
    }
    let mut token = Address::ZERO;
    if with_token {
        let (owner, _) = &mut funders[0];
        token = owner.address.create(owner.next);
        let mut act = |to: TxKind, gas: u64, input: Bytes| {
            signed.push(terms.sign(&owner.key, owner.next, gas, to, U256::ZERO, input));
            owner.next += 1;
        };
        act(TxKind::Create, Kind::Deploy.gas(), token_code()?);
        for some in addresses.chunks(MINT_BATCH) {
            let gas = MINT_GAS.0 + MINT_GAS.1 * some.len() as u64;
            act(TxKind::Call(token), gas, token_mint(some, UNITS));
        }
    }
    for answers in endpoint.hand_in(signed.iter().map(|tx| tx.raw.as_str())).await? {
        answers.map_err(|error| anyhow::anyhow!("funding the senders: {error}"))?;
    }
    settled(endpoint, &signed, limit).await?;
    Ok(token)
}

/// Returns the development accounts that have something, with what they have.
async fn funders(endpoint: &Endpoint) -> anyhow::Result<Vec<(Sender, U256)>> {
    let keys: Vec<PrivateKeySigner> =
        (0..FUNDERS).map(presets::development_signer).collect::<anyhow::Result<_>>()?;
    let addresses: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
    let nonces = endpoint.nonces(&addresses, &json!("pending")).await?;
    let balances = endpoint.balances(&addresses).await?;
    let funders: Vec<(Sender, U256)> = keys
        .into_iter()
        .zip(addresses)
        .zip(nonces)
        .map(|((key, address), next)| Sender { key, address, next })
        .zip(balances)
        .filter(|(_, balance)| !balance.is_zero())
        .collect();
    anyhow::ensure!(
        !funders.is_empty(),
        "no development account has coins here: `kette net load` pays its senders from the accounts of the mnemonic\n\
         \"{}\"; put one of them into the genesis file's alloc",
        presets::MNEMONIC
    );
    Ok(funders)
}

fn too_poor(senders: usize, each: U256) -> anyhow::Error {
    anyhow::anyhow!(
        "the development accounts cannot give {} coins to each of {senders} senders: \
         take fewer --senders or fewer --transactions",
        alloy_primitives::utils::format_ether(each)
    )
}

/// Waits until all of these are in blocks, and holds that they did what they should.
async fn settled(endpoint: &Endpoint, signed: &[Signed], limit: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    for tx in signed {
        loop {
            let receipt: Value =
                endpoint.client.ask("eth_getTransactionReceipt", [json!(tx.hash)]).await?;
            match receipt["status"].as_str() {
                Some("0x1") => break,
                Some(_) => anyhow::bail!("funding the senders: {} failed", tx.hash),
                None if began.elapsed() > limit => {
                    let text = format!(
                        "funding the senders: {} is in no block after {}: does the chain make blocks?",
                        tx.hash,
                        format_duration(limit)
                    );
                    return Err(Exit::TimedOut(text).into());
                }
                None => tokio::time::sleep(POLL).await,
            }
        }
    }
    Ok(())
}
