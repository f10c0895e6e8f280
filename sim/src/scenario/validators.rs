//! Validators of development networks: who they are follows from the network file alone, so that processes and the
//! simulator run the same chain.
//!
//! **Everybody can compute these keys.** They are for networks without value, as the accounts of the mnemonic are.

use super::{Plan, PlannedNode};
use alloy_primitives::{address, keccak256};
use alloy_signer_local::PrivateKeySigner;
use kette_consensus::bft::Identity;
use kette_types::{Address, B256, bft::Validator};
use serde_json::{Value, json};

/// Returns the seed of a development validator's key. Everybody can compute it from the name.
pub fn development_seed(name: &str) -> B256 {
    keccak256([b"kette/insecure/validator/", name.as_bytes()].concat())
}

/// Returns who owns the stake of the n-th validator of a network: an account of the mnemonic that development chains
/// fund; beyond those an account whose key everybody can compute from the name as well.
pub fn development_owner(index: usize, name: &str) -> Address {
    ACCOUNTS.get(index).copied().unwrap_or_else(|| {
        let secret = keccak256([b"kette/insecure/owner/", name.as_bytes()].concat());
        let signer = PrivateKeySigner::from_bytes(&secret);
        signer.expect("a hash is a key but for a chance of 2^-127").address()
    })
}

impl Plan {
    /// Returns the seed of a node's validator key, if it has stake. Twins have one between them.
    pub fn validator_seed(&self, node: usize) -> Option<B256> {
        let holder = self.nodes.get(self.nodes.get(node)?.identity.unwrap_or(node))?;
        (holder.stake > 0).then(|| development_seed(&holder.name))
    }

    /// Returns the validators of the first heights, in the order of the file.
    pub fn validators(&self) -> Vec<Validator> {
        let validators = self.staked().enumerate().map(|(index, node)| {
            let identity = Identity::from_seed(&development_seed(&node.name), None);
            Validator {
                address: development_owner(index, &node.name),
                key: identity.key(),
                vrf_key: identity.vrf_key(),
                weight: node.stake,
            }
        });
        validators.collect()
    }

    /// Writes the validators of the file into a genesis file, in place of its own. Without any it stays as it is.
    ///
    /// # Errors
    /// If the genesis file is not JSON, or its engine is another one.
    pub fn write_validators(&self, genesis: &str) -> Result<String, String> {
        let validators = json!(self.validators());
        if validators == json!([]) {
            return Ok(genesis.to_owned());
        }
        let mut value: Value =
            serde_json::from_str(genesis).map_err(|error| format!("genesis file: {error}"))?;
        let engine = &mut value["config"]["kette"]["engine"];
        let Some(bft) = engine.get_mut("bft") else {
            return Err(
                "`stake` is for chains with the engine bft, this network's has another".to_owned()
            );
        };
        let names = json!(self.staked().map(|node| &node.name).collect::<Vec<_>>());
        let written = serde_json::from_value::<Vec<Validator>>(bft["validators"].clone());
        if written.is_ok_and(|written| json!(written) == validators)
            && bft["validatorNames"] == names
        {
            return Ok(genesis.to_owned());
        }
        bft["validators"] = validators;
        bft["validatorNames"] = names;
        Ok(value.to_string())
    }

    fn staked(&self) -> impl Iterator<Item = &PlannedNode> {
        self.nodes.iter().filter(|node| node.stake > 0 && node.identity.is_none())
    }
}

/// The accounts of the mnemonic that development chains fund.
const ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

#[cfg(test)]
mod tests {
    use crate::scenario::{NetworkFile, Plan};
    use std::collections::BTreeSet;

    fn plan(groups: &str) -> Plan {
        let text = format!("schema = 1\n[network]\nname = \"n\"\nchain = \"c\"\n{groups}");
        Plan::new(&NetworkFile::parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn validators_follow_from_names_and_stakes() {
        let plan = plan(
            "[[group]]\nname = \"v\"\ncount = 12\nstake = 7\n[[group]]\nnames = [\"watcher\"]\n",
        );
        let validators = plan.validators();
        assert_eq!(validators.len(), 12);
        let keys: BTreeSet<_> = validators.iter().map(|v| v.key).collect();
        let owners: BTreeSet<_> = validators.iter().map(|v| v.address).collect();
        assert_eq!((keys.len(), owners.len()), (12, 12));
        assert!(validators.iter().all(|v| v.weight == 7));
        assert!(plan.validator_seed(11).is_some() && plan.validator_seed(12).is_none());
    }

    #[test]
    fn a_genesis_gets_the_validators_of_the_file() {
        let plan = plan("[[group]]\nnames = [\"a\"]\nstake = 3\n");
        let genesis = r#"{"config":{"kette":{"engine":{"bft":{"validators":[]}}}}}"#;
        let written = plan.write_validators(genesis).unwrap();
        assert!(written.contains("\"weight\":3"), "{written}");
        assert_eq!(plan.write_validators(&written).unwrap(), written, "unchanged to the letter");
        let pow = r#"{"config":{"kette":{"engine":{"pow":{}}}}}"#;
        assert!(plan.write_validators(pow).unwrap_err().contains("engine bft"));
        let none = self::plan("[[group]]\nnames = [\"a\"]\n");
        assert_eq!(none.write_validators(pow).unwrap(), pow);
    }

    #[test]
    fn a_stake_is_not_zero() {
        let text = "schema = 1\n[network]\nname = \"n\"\nchain = \"c\"\n[[group]]\nnames = [\"a\"]\nstake = 0\n";
        let error = NetworkFile::parse(text).unwrap_err().to_string();
        assert!(error.contains("stake = 0"), "{error}");
    }
}
