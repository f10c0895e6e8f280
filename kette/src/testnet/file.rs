//! Where network files come from, and which of them real processes can run.

use crate::{
    presets,
    run::{byzantine, clock},
};
use anyhow::{Context as _, bail};
use kette_sim::{
    run::{Scenario, merge_genesis},
    scenario::{Group, NetworkFile, plan, region},
};
use kette_types::ChainSpec;
use std::path::Path;

/// Reads a preset by name, or a file.
///
/// # Errors
/// If there is no such preset or file, or it breaks a rule; says which key.
pub fn load(name: &str) -> anyhow::Result<NetworkFile> {
    if let Some(text) = presets::network_text(name) {
        return NetworkFile::parse(text).with_context(|| format!("preset {name}"));
    }
    let path = Path::new(name);
    if !path.exists() {
        bail!("`{name}` is neither a file nor a preset: {}", presets::known(name));
    }
    let mut file = crate::input::network(path)?;
    if !presets::has_genesis(&file.network.chain) {
        let beside = path.parent().unwrap_or(Path::new(".")).join(&file.network.chain);
        file.network.chain = beside.display().to_string();
    }
    Ok(file)
}

/// The same, made larger or smaller as `kette sim run --nodes` does.
///
/// # Errors
/// As [`load`]; or if a group would have no node left, or a step names a node that is gone.
pub fn load_scaled(name: &str, nodes: Option<usize>) -> anyhow::Result<NetworkFile> {
    let file = load(name)?;
    let Some(nodes) = nodes else { return Ok(file) };
    let base = base_genesis(&file)?;
    let scaled = Scenario::new(file, &base).and_then(|whole| whole.scaled(nodes));
    Ok(scaled.with_context(|| format!("--nodes {nodes}: {name}"))?.file)
}

/// Returns the genesis file of a network's chain.
fn base_genesis(file: &NetworkFile) -> anyhow::Result<String> {
    let chain = &file.network.chain;
    match presets::genesis_text(chain) {
        Some(text) => Ok(text.to_owned()),
        None => std::fs::read_to_string(chain)
            .with_context(|| format!("cannot read the genesis file {chain}")),
    }
}

/// Returns the genesis file of a network, with the changes that its file makes to the chain's.
///
/// # Errors
/// If the chain's file cannot be read.
pub fn genesis_text(file: &NetworkFile) -> anyhow::Result<String> {
    let text = base_genesis(file)?;
    // Unchanged to the letter if nothing is to change.
    let text = if file.genesis.is_empty() { text } else { merge_genesis(&text, &file.genesis)? };
    let plan = kette_sim::scenario::Plan::new(file).map_err(anyhow::Error::msg)?;
    plan.write_validators(&text).map_err(anyhow::Error::msg)
}

/// Puts the nodes into these regions in turn, `round-robin` alone for all ten; no region changes nothing.
pub fn set_regions(file: &mut NetworkFile, regions: &[String]) {
    let names: Vec<String> = match regions {
        [] => return,
        [one] if one == plan::ROUND_ROBIN => {
            region::NAMES[..region::TEN].iter().map(|name| (*name).to_owned()).collect()
        }
        list => list.to_vec(),
    };
    let mut next = names.iter().cycle();
    for group in &mut file.group {
        let count = group.count.unwrap_or(group.names.len());
        group.regions = next.by_ref().take(count).cloned().collect();
    }
}

/// Refuses groups that `kette net up` cannot start, and returns what it leaves out, one line each.
///
/// # Errors
/// Names the group and what is not possible with processes.
pub fn for_processes(file: &NetworkFile) -> anyhow::Result<Vec<String>> {
    for (index, group) in file.group.iter().enumerate() {
        if let Some((key, instead)) = impossible(group) {
            bail!(
                "[[group]] {}: `kette net up` starts processes that are as fast as this machine, all at once; \
                 `{key}` works in {instead} only",
                index + 1
            );
        }
    }
    if file.group.iter().any(|group| group.byzantine.is_some() || group.clock_offset_ms != 0) {
        let spec = ChainSpec::from_json(&genesis_text(file)?)?;
        for (index, group) in file.group.iter().enumerate() {
            if let Some(why) = clock::refusal(group.clock_offset_ms, &spec) {
                bail!("[[group]] {}: `clock_offset_ms`: {why}", index + 1);
            }
            if let Some(why) = group.byzantine.and_then(|role| byzantine::refusal(role, &spec)) {
                bail!("[[group]] {}: `byzantine` works in `kette sim run` only: {why}", index + 1);
            }
        }
    }
    let mut left_out = Vec::new();
    let mut leave = |is: bool, what: String| left_out.extend(is.then_some(what));
    let run = "`kette net run` does";
    leave(!file.step.is_empty(), format!("{} steps are not carried out ({run})", file.step.len()));
    leave(!file.check.is_empty(), format!("{} checks are not judged ({run})", file.check.len()));
    leave(
        file.workload.rate > 0.0,
        format!("no transactions are sent: [workload] does nothing ({run})"),
    );
    left_out.extend(unshaped(file));
    Ok(left_out)
}

/// Says that disks and processors are not as the file wants them, if it wants anything of them.
pub fn unshaped(file: &NetworkFile) -> Option<String> {
    let asks = file.shape.fsync.is_some() || file.shape.cpu.is_some();
    asks.then(|| {
        "disks and processors are this machine's: `fsync` and `cpu` of [shape] do nothing (`kette sim run` has them)"
            .to_owned()
    })
}

/// Returns the key of a group that asks for more than a process started at once can give, and who gives it.
fn impossible(group: &Group) -> Option<(&'static str, &'static str)> {
    match simulated(group) {
        Some(key) => Some((key, "`kette sim run`")),
        None => group.start_at.map(|_| ("start_at", "`kette net run` and `kette sim run`")),
    }
}

/// Returns the key of a group that asks for more than any process can give. Which roles of `byzantine` a process can
/// play depends on the chain ([`byzantine::refusal`]).
pub fn simulated(group: &Group) -> Option<&'static str> {
    let keys = [("clock_drift_ppm", group.clock_drift_ppm != 0), ("slow", group.slow.is_some())];
    keys.into_iter().find(|(_, asked)| *asked).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_can_be_started() {
        for name in presets::networks() {
            let file = load(name).unwrap();
            assert!(!file.group.is_empty() && for_processes(&file).unwrap().is_empty(), "{name}");
        }
    }

    #[test]
    fn suggests_the_key_that_was_meant() {
        let text = presets::network_text("atmn").unwrap().replace("mine_rate", "mine_rtae");
        let error = NetworkFile::parse(&text).unwrap_err().to_string();
        assert!(error.contains("did you mean `mine_rate`?"), "{error}");
    }

    #[test]
    fn says_what_processes_cannot_do() {
        let error = for_processes(&load("byzantine").unwrap()).unwrap_err().to_string();
        let words = "[[group]] 11: `byzantine` works in `kette sim run` only: twins";
        assert!(error.contains(words), "{error}");
        let left_out = for_processes(&load("fork2").unwrap()).unwrap().join("\n");
        for words in ["1 steps", "4 checks", "[workload]", "`kette net run` does"] {
            assert!(left_out.contains(words), "{words} is missing in: {left_out}");
        }
    }

    #[test]
    fn a_wrong_clock_is_for_local_chains() {
        let mut file = load("atmn").unwrap();
        file.group[0].clock_offset_ms = -500;
        assert_eq!(for_processes(&file).unwrap(), [""; 0]);
        file.genesis =
            toml::from_str("config.kette.development = false\nconfig.kette.network = \"public\"")
                .unwrap();
        let error = for_processes(&file).unwrap_err().to_string();
        assert!(error.contains("[[group]] 1: `clock_offset_ms`: clocks are wrong only"), "{error}");
        file.group[0].clock_drift_ppm = 5;
        let error = for_processes(&file).unwrap_err().to_string();
        assert!(error.contains("`clock_drift_ppm` works in `kette sim run` only"), "{error}");
    }

    #[test]
    fn a_genesis_is_changed_as_the_file_says() {
        let mut file = load("atmn").unwrap();
        assert_eq!(genesis_text(&file).unwrap(), presets::genesis_text("atmn").unwrap());
        file.genesis = toml::from_str("config.kette.engine.pow.blockTime = 3").unwrap();
        let spec = ChainSpec::from_json(&genesis_text(&file).unwrap()).unwrap();
        let kette_types::spec::EngineSpec::Pow(pow) = spec.kette.unwrap().engine else {
            panic!("not pow")
        };
        assert_eq!((pow.block_time, pow.half_life), (3, 120));
    }
}
