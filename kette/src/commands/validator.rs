//! `kette validator`: transactions to the validator registry.

use super::{tx, validator_keys};
use crate::{client::Client, run::home::Home};
use alloy_primitives::{Address, Bytes, U256};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use kette_ledger::staking::{
    STAKING_ADDRESS, SolCall,
    abi::{self, Staking},
};
use kette_types::ChainSpec;
use serde_json::Value;

/// What to ask of the registry.
#[derive(Debug, Subcommand)]
pub enum Validator {
    /// Become a validator with the key in validator.json and this stake
    Register {
        /// Coins, e.g. 100.
        #[arg(long)]
        stake: String,
        #[command(flatten)]
        send: Sending,
    },
    /// Add to the stake
    Bond {
        /// Coins.
        amount: String,
        #[command(flatten)]
        send: Sending,
    },
    /// Take stake off; it can be withdrawn after the unbonding time
    Unbond {
        /// Coins.
        amount: String,
        #[command(flatten)]
        send: Sending,
    },
    /// Pay out what has been unbonded for long enough
    Withdraw(Sending),
    /// Come back after having been jailed for absence
    Unjail(Sending),
    /// Change to the key in validator.json
    Rotate(Sending),
}

/// Who sends, and how long to wait.
#[derive(Args, Debug)]
pub struct Sending {
    /// Owner of the stake: an address of the keystore, or dev:N for account N of the development mnemonic.
    #[arg(long)]
    pub from: String,
    #[command(flatten)]
    pub common: tx::Common,
}

/// Sends one transaction to the registry.
///
/// # Errors
/// If the registry refuses it; says why.
pub fn run(args: Validator, json: bool) -> anyhow::Result<()> {
    let (send, value, call) = match args {
        Validator::Register { stake, send } => (send, Some(stake), Call::Register),
        Validator::Bond { amount, send } => {
            (send, Some(amount), Call::Ready(Staking::bondCall {}.abi_encode().into()))
        }
        Validator::Unbond { amount, send } => {
            let amount = tx::amount("AMOUNT", &amount)?;
            (send, None, Call::Ready(Staking::unbondCall { amount }.abi_encode().into()))
        }
        Validator::Withdraw(send) => {
            (send, None, Call::Ready(Staking::withdrawCall {}.abi_encode().into()))
        }
        Validator::Unjail(send) => {
            (send, None, Call::Ready(Staking::unjailCall {}.abi_encode().into()))
        }
        Validator::Rotate(send) => (send, None, Call::Rotate),
    };
    let value = value.map_or(Ok(U256::ZERO), |text| tx::amount("stake", &text))?;
    super::block_on(async move {
        let client = Client::new(&send.common.rpc.rpc)?;
        let signer = tx::signer(&send.from, &send.common.store)?;
        let data = match call {
            Call::Ready(data) => data,
            Call::Register | Call::Rotate => {
                let home = Home::new(send.common.store.home.home.clone());
                let register = matches!(call, Call::Register);
                with_key(&client, &home, signer.address(), register).await?
            }
        };
        tx::send_call(&client, &signer, STAKING_ADDRESS, value, data, None, &send.common, json)
            .await
            .map_err(explain)
    })
}

/// Adds the registry's own words to a revert.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let text = error.to_string();
    let data = text.split('"').find_map(|part| alloy_primitives::hex::decode(part).ok());
    match data.and_then(|data| abi::explain(&data)) {
        Some(words) => error.context(format!("the registry refuses: {words}")),
        None => error,
    }
}

enum Call {
    Ready(Bytes),
    Register,
    Rotate,
}

/// Builds the calls that name keys: the key proves that it belongs to this owner on this chain.
async fn with_key(
    client: &Client,
    home: &Home,
    owner: Address,
    register: bool,
) -> anyhow::Result<Bytes> {
    let key = validator_keys::load(home)?;
    let genesis: Value = client.ask("kette_genesis", []).await?;
    let spec = ChainSpec::from_json(&genesis.to_string()).context("the node's genesis")?;
    let identity = key.identity(None);
    let proof = Bytes::copy_from_slice(key.proof(spec.domain(), owner).as_slice());
    let (key, vrf) = (identity.key().0, identity.vrf_key());
    Ok(if register {
        Staking::registerCall { key, vrfKey: vrf, proof }.abi_encode().into()
    } else {
        Staking::rotateCall { key, vrfKey: vrf, proof }.abi_encode().into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revert_is_told_in_the_registrys_words() {
        let revert = "eth_estimateGas: execution reverted (\"0xd0d04f60\")";
        let told = format!("{:#}", explain(anyhow::anyhow!(revert)));
        assert!(told.starts_with("the registry refuses: NothingToWithdraw"), "{told}");
        assert_eq!(explain(anyhow::anyhow!("no node")).to_string(), "no node");
    }
}
