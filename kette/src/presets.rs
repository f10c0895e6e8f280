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

/// Returns an embedded network file.
pub fn network_text(name: &str) -> Option<&'static str> {
    NETWORKS.iter().find(|(network, _)| *network == name).map(|(_, text)| *text)
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
    fn names_the_presets_when_one_is_misspelt() {
        let error = genesis("atm").unwrap_err().to_string();
        assert!(error.contains("atmn"), "{error}");
    }
}
