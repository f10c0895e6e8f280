//! Chains and networks that are embedded in the binary, and the accounts that development chains fund.

use anyhow::Context as _;
use kette_types::{Address, ChainSpec};

/// The mnemonic whose accounts development chains fund, as anvil and hardhat do. Never for value.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// How many accounts of the mnemonic are funded.
pub const ACCOUNTS: u32 = 10;

/// The network that `kette net up` starts.
pub const DEFAULT_NETWORK: &str = "bft4";

const CHAINS: [(&str, &str); 6] = [
    ("bft4", include_str!("../presets/chains/bft4.json")),
    ("timecoin", include_str!("../presets/chains/timecoin.json")),
    ("timecoin5", include_str!("../presets/chains/timecoin5.json")),
    ("atmn", include_str!("../presets/chains/atmn.json")),
    ("volkskette", include_str!("../presets/chains/volkskette.json")),
    ("dev", include_str!("../presets/chains/dev.json")),
];

const NETWORKS: [(&str, &str); 5] = [
    ("bft4", include_str!("../presets/bft4.toml")),
    ("timecoin", include_str!("../presets/timecoin.toml")),
    ("timecoin5", include_str!("../presets/timecoin5.toml")),
    ("atmn", include_str!("../presets/atmn.toml")),
    ("volkskette", include_str!("../presets/volkskette.toml")),
];

const SCENARIOS: [(&str, &str); 38] = [
    ("bft3", include_str!("../presets/scenarios/bft3.toml")),
    ("bft3-k", include_str!("../presets/scenarios/bft3-k.toml")),
    ("bft4-p", include_str!("../presets/scenarios/bft4-p.toml")),
    ("bft4-e", include_str!("../presets/scenarios/bft4-e.toml")),
    ("bft5", include_str!("../presets/scenarios/bft5.toml")),
    ("bft-fork", include_str!("../presets/scenarios/bft-fork.toml")),
    ("bft-double-votes", include_str!("../presets/scenarios/bft-double-votes.toml")),
    ("bft-amnesia", include_str!("../presets/scenarios/bft-amnesia.toml")),
    ("bft-amnesia-fork", include_str!("../presets/scenarios/bft-amnesia-fork.toml")),
    ("bft-lost-proposals", include_str!("../presets/scenarios/bft-lost-proposals.toml")),
    ("bft-late-votes", include_str!("../presets/scenarios/bft-late-votes.toml")),
    ("bft-late-proposals", include_str!("../presets/scenarios/bft-late-proposals.toml")),
    ("bft-partitions", include_str!("../presets/scenarios/bft-partitions.toml")),
    ("bft-lossy", include_str!("../presets/scenarios/bft-lossy.toml")),
    ("bft-crashes", include_str!("../presets/scenarios/bft-crashes.toml")),
    ("bft-blackout", include_str!("../presets/scenarios/bft-blackout.toml")),
    ("bft-disks", include_str!("../presets/scenarios/bft-disks.toml")),
    ("bft-twins", include_str!("../presets/scenarios/bft-twins.toml")),
    ("bft-late-joiner", include_str!("../presets/scenarios/bft-late-joiner.toml")),
    ("bft-pauses", include_str!("../presets/scenarios/bft-pauses.toml")),
    ("bft-clocks", include_str!("../presets/scenarios/bft-clocks.toml")),
    ("bft-bad-blocks", include_str!("../presets/scenarios/bft-bad-blocks.toml")),
    ("bft-floods", include_str!("../presets/scenarios/bft-floods.toml")),
    ("bft-weights", include_str!("../presets/scenarios/bft-weights.toml")),
    ("bft-regions", include_str!("../presets/scenarios/bft-regions.toml")),
    ("bft-versions", include_str!("../presets/scenarios/bft-versions.toml")),
    ("bft-withholder", include_str!("../presets/scenarios/bft-withholder.toml")),
    ("bft-silence", include_str!("../presets/scenarios/bft-silence.toml")),
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

const TESTS: [(&str, &str); 23] = [
    ("byzantine-net", include_str!("../presets/tests/byzantine-net.toml")),
    ("churn-net", include_str!("../presets/tests/churn-net.toml")),
    ("engines-bft", include_str!("../presets/tests/engines-bft.toml")),
    ("engines-pow", include_str!("../presets/tests/engines-pow.toml")),
    ("fork1-net", include_str!("../presets/tests/fork1-net.toml")),
    ("fork2-net", include_str!("../presets/tests/fork2-net.toml")),
    ("fork3-net", include_str!("../presets/tests/fork3-net.toml")),
    ("fork4-net", include_str!("../presets/tests/fork4-net.toml")),
    ("geo-net", include_str!("../presets/tests/geo-net.toml")),
    ("load10", include_str!("../presets/tests/load10.toml")),
    ("load100", include_str!("../presets/tests/load100.toml")),
    ("load5", include_str!("../presets/tests/load5.toml")),
    ("nak3", include_str!("../presets/tests/nak3.toml")),
    ("pow10", include_str!("../presets/tests/pow10.toml")),
    ("pow10-kill", include_str!("../presets/tests/pow10-kill.toml")),
    ("propagation", include_str!("../presets/tests/propagation.toml")),
    ("scale", include_str!("../presets/tests/scale.toml")),
    ("topo-custom", include_str!("../presets/tests/topo-custom.toml")),
    ("topo-line", include_str!("../presets/tests/topo-line.toml")),
    ("topo-mesh", include_str!("../presets/tests/topo-mesh.toml")),
    ("topo-ring", include_str!("../presets/tests/topo-ring.toml")),
    ("topo-star", include_str!("../presets/tests/topo-star.toml")),
    ("upgrade", include_str!("../presets/tests/upgrade.toml")),
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

/// Returns the names of the embedded networks that `kette net test` runs.
pub fn tests() -> impl Iterator<Item = &'static str> {
    TESTS.iter().map(|(name, _)| *name)
}

/// Says which networks are embedded, first of all the one whose name is most like `name`.
pub fn known(name: &str) -> String {
    let hint = kette_sim::scenario::nearest(name, networks().chain(scenarios()).chain(tests()))
        .map_or_else(String::new, |nearest| format!("did you mean `{nearest}`? "));
    let list = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>().join(", ");
    format!(
        "{hint}There are the networks {}; the tests {}; the scenarios {}",
        list(&mut networks()),
        list(&mut tests()),
        list(&mut scenarios())
    )
}

/// Returns the file of an embedded network, scenario or test.
pub fn network_text(name: &str) -> Option<&'static str> {
    NETWORKS
        .iter()
        .chain(&SCENARIOS)
        .chain(&TESTS)
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
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
    use kette_consensus::bft::leader;
    use kette_sim::{run::Scenario, scenario::NetworkFile};
    use kette_types::{U256, bft::BftSpec, spec::EngineSpec};
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
        for name in scenarios().chain(tests()) {
            let text = network_text(name).unwrap();
            assert!(text.starts_with("# ") && text.is_ascii(), "{name}");
            let file = NetworkFile::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(file.network.name, name);
            // The hour of bft5 is the longest.
            assert!(file.network.duration <= Duration::from_secs(3_700), "{name}");
            // Where too many lie it is a judge that must object.
            assert!(!file.check.is_empty() || name.ends_with("-fork"), "{name}");
            let genesis = genesis_text(&file.network.chain).unwrap();
            Scenario::new(file, genesis).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    /// The anchor is what all miners together find in one block time, so that difficulty starts where it stays.
    #[test]
    fn every_scenario_starts_at_the_difficulty_of_its_miners() {
        for name in scenarios().chain(tests()) {
            let file = NetworkFile::parse(network_text(name).unwrap()).unwrap();
            let genesis = genesis_text(&file.network.chain).unwrap();
            let scenario = Scenario::new(file, genesis).unwrap();
            let rates = scenario.plan.nodes.iter().filter(|node| node.miner);
            let rate: u64 = rates.map(|node| node.mine_rate).sum();
            let EngineSpec::Pow(pow) = &scenario.spec.kette.as_ref().unwrap().engine else {
                continue;
            };
            assert_eq!(pow.anchor_difficulty.to::<u64>(), rate * pow.block_time, "{name}");
        }
    }

    fn bft(name: &str) -> (ChainSpec, BftSpec) {
        let spec = genesis(name).unwrap();
        let bft = spec.bft().unwrap().clone();
        (spec, bft)
    }

    /// What a network file makes of its chain is the chain as it is embedded, to the letter.
    #[test]
    fn validators_of_networks_are_those_of_their_chains() {
        for name in ["bft4", "timecoin", "timecoin5"] {
            let file = NetworkFile::parse(network_text(name).unwrap()).unwrap();
            let text = genesis_text(&file.network.chain).unwrap();
            let plan = kette_sim::scenario::Plan::new(&file).unwrap();
            assert_eq!(plan.write_validators(text).unwrap(), text, "{name}");
            assert_eq!(plan.validators(), bft(name).1.validators, "{name}");
        }
    }

    /// Requirement T19: validator1 proposes first; the others follow in their order.
    #[test]
    fn the_first_leaders_are_the_first_validators() {
        for name in ["bft4", "timecoin", "timecoin5"] {
            let (spec, bft) = bft(name);
            let set = bft.genesis_set().unwrap();
            let seed = leader::first_seed(spec.genesis.mix_hash);
            let ranking = leader::leaders(&set, seed).take(set.len());
            let ranking: Vec<Address> = ranking.map(|at| set.validators()[at].address).collect();
            let wanted: Vec<Address> = bft.validators.iter().map(|v| v.address).collect();
            assert_eq!(ranking, wanted, "{name}");
        }
    }

    /// Requirements T4, T34, T63 and X1.
    #[test]
    fn quorums_are_the_published_ones() {
        let figures = |name| {
            let bft = bft(name).1;
            let total = bft.genesis_set().unwrap().total();
            let quorum = bft.quorum;
            (total, quorum.threshold(total), quorum.safe_weight(total), quorum.live_weight(total))
        };
        assert_eq!(figures("timecoin"), (300, 200, 99, 100));
        assert_eq!(figures("timecoin5"), (500, 334, 167, 166));
        assert_eq!(figures("bft4"), (400, 267, 133, 133));
        let timecoin = bft("timecoin").1;
        assert_eq!(timecoin.quorum.threshold(200), 134);
        assert_eq!((timecoin.slot_ms, timecoin.producer_share), (8_000, 100_000));
        assert!(bft("bft4").1.slot_ms <= 500);
    }

    /// Requirement X7: 5.60 TIME with a mean stake of 100.
    #[test]
    fn block_1_of_timecoin_pays_560517018_units() {
        let kette = bft("timecoin").0.kette.unwrap();
        let voters = kette_ledger::Voters { count: 3, weight: 300 };
        let wei = kette_ledger::reward(&kette.reward, 1, voters);
        assert_eq!(wei, U256::from(560_517_018) * U256::from(10_000_000_000_u64));
    }

    #[test]
    fn names_the_presets_when_one_is_misspelt() {
        let error = genesis("atm").unwrap_err().to_string();
        assert!(error.contains("atmn"), "{error}");
    }
}
