//! Chains and networks that are embedded in the binary, and the accounts that development chains fund.

use anyhow::Context as _;
use kette_types::{Address, ChainSpec};

/// The mnemonic whose accounts development chains fund, as anvil and hardhat do. Never for value.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// How many accounts of the mnemonic are funded.
pub const ACCOUNTS: u32 = 10;

const CHAINS: [(&str, &str); 3] = [
    ("atmn", include_str!("../presets/chains/atmn.json")),
    ("volkskette", include_str!("../presets/chains/volkskette.json")),
    ("dev", include_str!("../presets/chains/dev.json")),
];

const NETWORKS: [(&str, &str); 2] = [
    ("atmn", include_str!("../presets/atmn.toml")),
    ("volkskette", include_str!("../presets/volkskette.toml")),
];

const SCENARIOS: [(&str, &str); 10] = [
    ("fork1", include_str!("../presets/scenarios/fork1.toml")),
    ("fork2", include_str!("../presets/scenarios/fork2.toml")),
    ("fork3", include_str!("../presets/scenarios/fork3.toml")),
    ("fork4", include_str!("../presets/scenarios/fork4.toml")),
    ("churn", include_str!("../presets/scenarios/churn.toml")),
    ("geo", include_str!("../presets/scenarios/geo.toml")),
    ("partition", include_str!("../presets/scenarios/partition.toml")),
    ("byzantine", include_str!("../presets/scenarios/byzantine.toml")),
    ("disk", include_str!("../presets/scenarios/disk.toml")),
    ("clock", include_str!("../presets/scenarios/clock.toml")),
];

/// Tells whether a chain of this name is embedded.
pub fn has_genesis(name: &str) -> bool {
    CHAINS.iter().any(|(chain, _)| *chain == name)
}

/// Returns the names of the embedded chains.
pub fn chains() -> impl Iterator<Item = &'static str> {
    CHAINS.iter().map(|(name, _)| *name)
}

/// Returns an embedded chain's genesis file.
pub fn genesis_text(name: &str) -> Option<&'static str> {
    CHAINS.iter().find(|(chain, _)| *chain == name).map(|(_, text)| *text)
}

/// Returns an embedded chain.
///
/// # Errors
/// If there is none of this name; says which there are.
pub fn genesis(name: &str) -> anyhow::Result<ChainSpec> {
    let text = genesis_text(name).with_context(|| {
        format!("no preset `{name}`; there are: {}", chains().collect::<Vec<_>>().join(", "))
    })?;
    Ok(ChainSpec::from_json(text)?)
}

/// Returns the names of the embedded networks.
pub fn networks() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|(name, _)| *name)
}

/// Returns the names of the embedded scenarios: networks in which something goes wrong.
pub fn scenarios() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

/// Returns the file of an embedded network or scenario.
pub fn network_text(name: &str) -> Option<&'static str> {
    NETWORKS.iter().chain(&SCENARIOS).find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Returns the first account of [`MNEMONIC`].
pub fn first_development_account() -> Address {
    // Derived from the mnemonic at m/44'/60'/0'/0/0; a test holds it.
    alloy_primitives::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
}

/// Returns the signer of an account of [`MNEMONIC`].
///
/// # Errors
/// If the index is out of BIP-32's range.
pub fn development_signer(index: u32) -> anyhow::Result<alloy_signer_local::PrivateKeySigner> {
    use alloy_signer_local::{MnemonicBuilder, coins_bip39::English};
    Ok(MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index)?.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_sim::{run::Scenario, scenario::NetworkFile};
    use kette_types::spec::EngineSpec;
    use std::time::Duration;

    #[test]
    fn every_chain_is_valid_and_funds_the_mnemonic() {
        for name in chains() {
            let spec = genesis(name).unwrap();
            for index in 0..ACCOUNTS {
                let address = development_signer(index).unwrap().address();
                assert!(spec.genesis.alloc.contains_key(&address), "{name} {index}");
            }
        }
        assert_eq!(development_signer(0).unwrap().address(), first_development_account());
    }

    #[test]
    fn every_scenario_is_valid_and_says_what_it_is() {
        for name in scenarios() {
            let text = network_text(name).unwrap();
            assert!(text.starts_with("# ") && text.is_ascii(), "{name}");
            let file = NetworkFile::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(file.network.name, name);
            assert!(file.network.duration <= Duration::from_secs(600) && !file.check.is_empty());
            let genesis = genesis_text(&file.network.chain).unwrap();
            Scenario::new(file, genesis).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    /// The anchor is what all miners together find in one block time, so that difficulty starts where it stays.
    #[test]
    fn every_scenario_starts_at_the_difficulty_of_its_miners() {
        for name in scenarios() {
            let file = NetworkFile::parse(network_text(name).unwrap()).unwrap();
            let genesis = genesis_text(&file.network.chain).unwrap();
            let scenario = Scenario::new(file, genesis).unwrap();
            let rates = scenario.plan.nodes.iter().filter(|node| node.miner);
            let rate: u64 = rates.map(|node| node.mine_rate).sum();
            let EngineSpec::Pow(pow) = &scenario.spec.kette.as_ref().unwrap().engine;
            assert_eq!(pow.anchor_difficulty.to::<u64>(), rate * pow.block_time, "{name}");
        }
    }

    #[test]
    fn names_the_presets_when_one_is_misspelt() {
        let error = genesis("atm").unwrap_err().to_string();
        assert!(error.contains("atmn"), "{error}");
    }
}
