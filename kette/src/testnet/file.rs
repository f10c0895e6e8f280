//! The network file: groups of nodes, tiers, regions, links. One parser for every command that reads it.

use crate::presets;
use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::{path::Path, time::Duration};

/// A network file. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Version of this format: 1.
    pub schema: u32,
    /// What holds for all nodes.
    pub network: Network,
    /// Groups of nodes, in the order in which they start.
    pub group: Vec<Group>,
}

/// What holds for all nodes.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name for people.
    pub name: String,
    /// A chain preset's name or a genesis file beside the network file.
    pub chain: String,
    /// P2P port of the first node; the others follow.
    pub base_port: u16,
    /// RPC port of the first node; the others follow.
    pub rpc_base_port: u16,
    /// Who dials whom at first.
    #[serde(default)]
    pub topology: Topology,
    /// Time between starts.
    #[serde(default, deserialize_with = "duration")]
    pub stagger: Duration,
    /// Hashes per second of each miner.
    #[serde(default = "default_mine_rate")]
    pub mine_rate: u64,
    /// Offers and dials QUIC as well.
    #[serde(default)]
    pub quic: bool,
}

const fn default_mine_rate() -> u64 {
    200
}

/// Who dials whom at first. Peer exchange adds sessions afterwards unless discovery is off.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// Each node dials one node of an earlier tier; the load is spread evenly.
    #[default]
    Tiers,
    /// Each node dials all earlier ones.
    Mesh,
    /// Each node dials the first one.
    Star,
    /// Each node dials the one before it; no peer exchange.
    Line,
    /// As a line, and the last dials the first; no peer exchange.
    Ring,
}

/// Nodes that are alike.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// One name per node.
    pub names: Vec<String>,
    /// Bootstrap tier, 1 is first.
    #[serde(default = "one")]
    pub tier: u32,
    /// Region labels, one per node or one for all.
    #[serde(default)]
    pub regions: Vec<String>,
    /// What the nodes do.
    #[serde(default)]
    pub roles: Vec<Role>,
}

const fn one() -> u32 {
    1
}

/// What a node does besides following the chain.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing else.
    Full,
    /// Produces blocks by proof of work.
    Miner,
}

impl NetworkFile {
    /// Reads a preset by name, or a file.
    ///
    /// # Errors
    /// If there is no such preset or file, or it breaks a rule; says which key.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        if let Some(text) = presets::network_text(name) {
            return Self::parse(text).with_context(|| format!("preset {name}"));
        }
        let path = Path::new(name);
        if !path.exists() {
            bail!(
                "`{name}` is neither a preset ({}) nor a file",
                presets::networks().collect::<Vec<_>>().join(", ")
            );
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let mut file = Self::parse(&text).with_context(|| name.to_owned())?;
        if !presets::has_genesis(&file.network.chain) {
            let beside = path.parent().unwrap_or(Path::new(".")).join(&file.network.chain);
            file.network.chain = beside.display().to_string();
        }
        Ok(file)
    }

    /// Reads and checks a network file's text.
    ///
    /// # Errors
    /// If it breaks a rule; says which key, and what may have been meant.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let hint = did_you_mean(error.message());
            anyhow::anyhow!("{error}{hint}")
        })?;
        if file.schema != 1 {
            bail!("schema = {}: this version reads schema 1", file.schema);
        }
        let mut names: Vec<&String> = file.group.iter().flat_map(|group| &group.names).collect();
        if names.is_empty() {
            bail!("no nodes: add a [[group]] with names");
        }
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("two nodes are called `{}`", pair[0]);
        }
        for group in &file.group {
            let regions = group.regions.len();
            if regions > 1 && regions != group.names.len() {
                bail!(
                    "a group has {} names and {regions} regions: one each, or one for all",
                    group.names.len()
                );
            }
            if group.tier == 0 {
                bail!("tier = 0: tiers count from 1");
            }
        }
        Ok(file)
    }
}

/// Finds the key that a misspelt one resembles most, from the parser's own list of expected keys.
fn did_you_mean(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| message.starts_with("unknown")) else {
        return String::new();
    };
    quoted
        .map(|known| (distance(unknown, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map_or_else(String::new, |(_, known)| format!("\ndid you mean `{known}`?"))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// Reads `80ms`, `2s`, `5m`, `1h`.
///
/// # Errors
/// If the text is no duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| format!("`{text}` is no duration, e.g. 80ms, 2s, 5m"))?;
    match text[split..].trim() {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3_600))),
        unit => Err(format!("`{text}`: unknown unit `{unit}`, use ms, s, m or h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid() {
        for name in presets::networks() {
            assert!(!NetworkFile::load(name).unwrap().group.is_empty(), "{name}");
        }
    }

    #[test]
    fn suggests_the_key_that_was_meant() {
        let text = presets::network_text("atmn").unwrap().replace("mine_rate", "mine_rtae");
        let error = format!("{:#}", NetworkFile::parse(&text).unwrap_err());
        assert!(error.contains("did you mean `mine_rate`?"), "{error}");
    }

    #[test]
    fn refuses_two_nodes_of_one_name() {
        let text = presets::network_text("atmn").unwrap().replace("node9", "node8");
        assert!(NetworkFile::parse(&text).unwrap_err().to_string().contains("node8"));
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("80ms"), Ok(Duration::from_millis(80)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("2 weeks").is_err());
    }
}
