//! Keys of a generated network: new ones for every node, or development keys on this machine.

use crate::{
    presets,
    run::home::{Home, write_secret},
    validator_key::ValidatorKey,
};
use alloy_primitives::{B256, U256};
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use kette_sim::scenario::Plan;
use kette_types::bft::Validator;
use serde_json::{Value, json};

/// What a node alone knows.
pub(super) struct Secrets {
    /// Its account: it owns its stake, and is paid for its blocks.
    pub(super) account: PrivateKeySigner,
    /// What it votes with, if it does.
    validator: Option<ValidatorKey>,
}

/// Makes keys for all nodes, from the system's randomness.
pub(super) fn fresh(plan: &Plan) -> Vec<Secrets> {
    let one = |node: &kette_sim::scenario::PlannedNode| Secrets {
        account: PrivateKeySigner::random(),
        validator: (node.stake > 0).then(|| ValidatorKey::random(Some(node.name.clone()))),
    };
    plan.nodes.iter().map(one).collect()
}

/// Writes these keys into a genesis file: its validators, and instead of the development accounts theirs.
pub(super) fn write_into(
    genesis: &str,
    plan: &Plan,
    secrets: &[Secrets],
    public: bool,
) -> anyhow::Result<String> {
    let mut value: Value = serde_json::from_str(genesis).context("genesis file")?;
    let staked = || plan.nodes.iter().zip(secrets).filter(|(node, _)| node.stake > 0);
    let validator = |(node, secrets): (&kette_sim::scenario::PlannedNode, &Secrets)| {
        let identity = secrets.validator.as_ref()?.identity(None);
        Some(Validator {
            address: secrets.account.address(),
            key: identity.key(),
            vrf_key: identity.vrf_key(),
            weight: node.stake,
        })
    };
    let validators: Option<Vec<Validator>> = staked().map(validator).collect();
    if let Some(validators) = validators.filter(|list| !list.is_empty()) {
        let names: Vec<&str> = staked().map(|(node, _)| node.name.as_str()).collect();
        let bft = &mut value["config"]["kette"]["engine"]["bft"];
        bft["validators"] = json!(validators);
        bft["validatorNames"] = json!(names);
        // Another first seed for every genesis file: who writes it chooses the first leader.
        value["mixHash"] = json!(B256::new(rand::random()));
    }
    if public {
        value["config"]["kette"]["network"] = json!("public");
    }
    value["config"]["kette"]["development"] = json!(false);
    move_funds(&mut value, secrets)?;
    Ok(serde_json::to_string_pretty(&value)?)
}

/// Gives what the development accounts have to the nodes' accounts, in turn: the sum stays.
fn move_funds(genesis: &mut Value, secrets: &[Secrets]) -> anyhow::Result<()> {
    let Some(alloc) = genesis["alloc"].as_object_mut() else { return Ok(()) };
    let known: Vec<String> = (0..presets::ACCOUNTS)
        .map(|index| Ok(presets::development_signer(index)?.address().to_string()))
        .collect::<anyhow::Result<_>>()?;
    let keys: Vec<String> = alloc.keys().cloned().collect();
    let mut owed: Vec<U256> = Vec::new();
    for key in keys {
        let plain = |text: &str| text.trim_start_matches("0x").to_ascii_lowercase();
        if known.iter().any(|known| plain(known) == plain(&key))
            && let Some(account) = alloc.remove(&key)
        {
            let balance: U256 = serde_json::from_value(account["balance"].clone())?;
            owed.push(balance);
        }
    }
    let mut shares = vec![U256::ZERO; secrets.len()];
    for (index, balance) in owed.into_iter().enumerate() {
        let share = &mut shares[index % secrets.len()];
        *share = share.saturating_add(balance);
    }
    for (secrets, share) in secrets.iter().zip(shares).filter(|(_, share)| !share.is_zero()) {
        alloc.insert(secrets.account.address().to_string(), json!({ "balance": share }));
    }
    Ok(())
}

/// Writes a node's keys into its home. Its identity is made by itself.
pub(super) fn write(
    home: &Home,
    plan: &Plan,
    index: usize,
    secrets: Option<&Secrets>,
) -> anyhow::Result<()> {
    let node = &plan.nodes[index];
    match secrets {
        Some(secrets) => {
            if let Some(key) = &secrets.validator {
                key.write(&home.validator_key())?;
            }
            write_secret(&home.path().join("account.key"), &secrets.account.to_bytes().0)
        }
        None if node.stake > 0 => {
            ValidatorKey::development(&node.name).write(&home.validator_key())
        }
        None => Ok(()),
    }
}
