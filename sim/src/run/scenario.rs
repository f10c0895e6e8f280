//! A network file with its plan and its chain, ready to run.

use crate::{
    scenario::{Group, NetworkFile, Plan, Role},
    world::SetupError,
};
use kette_types::ChainSpec;
use serde_json::Value;
use std::sync::Arc;

/// A network file that was read, planned, and whose chain is known.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file.
    pub file: NetworkFile,
    /// Its nodes.
    pub plan: Plan,
    /// Its chain.
    pub spec: Arc<ChainSpec>,
    /// The genesis file before the network file's changes.
    base: Arc<str>,
}

/// Nodes of a simulated network at most.
pub const NODES_MAX: usize = 20_000;

impl Scenario {
    /// Puts a network file and its chain's genesis file together; the file's `[genesis]` is merged into it.
    ///
    /// # Errors
    /// If the plan or the merged genesis is not valid.
    pub fn new(file: NetworkFile, genesis: &str) -> Result<Self, SetupError> {
        Self::from_base(file, genesis.into())
    }

    fn from_base(file: NetworkFile, base: Arc<str>) -> Result<Self, SetupError> {
        let plan = Plan::new(&file).map_err(SetupError::File)?;
        if plan.nodes.len() > NODES_MAX {
            let count = plan.nodes.len();
            return Err(SetupError::File(format!("{count} nodes, at most {NODES_MAX}")));
        }
        let merged = merge_genesis(&base, &file.genesis)?;
        let merged = plan.write_validators(&merged).map_err(SetupError::File)?;
        let spec = ChainSpec::from_json(&merged).map_err(|error| {
            SetupError::File(format!("genesis of {}: {error}", file.network.chain))
        })?;
        Ok(Self { plan, spec: Arc::new(spec), file, base })
    }

    /// The same with another file, for a run that is made smaller.
    ///
    /// # Errors
    /// If the file is not valid.
    pub fn with_file(&self, file: NetworkFile) -> Result<Self, SetupError> {
        Self::from_base(file, self.base.clone())
    }

    /// Makes the network larger or smaller. Groups keep their shares; what joins a group of miners follows the chain
    /// and does not mine, so the hash rate stays what the file says.
    ///
    /// # Errors
    /// If a group would have no node left, or a step names a node that is gone.
    pub fn scaled(self, nodes: usize) -> Result<Self, SetupError> {
        let counts: Vec<usize> = self.file.group.iter().map(size).collect();
        if nodes < counts.len() || nodes > NODES_MAX {
            let groups = counts.len();
            return Err(SetupError::File(format!(
                "{nodes} nodes: this network has {groups} groups of at least one, and at most {NODES_MAX} nodes"
            )));
        }
        let regions: Vec<String> =
            self.file.group.iter().flat_map(|group| group.regions.iter().cloned()).collect();
        let mut file = self.file.clone();
        file.group.clear();
        for ((group, count), wanted) in
            self.file.group.iter().zip(&counts).zip(shares(&counts, nodes))
        {
            file.group.push(shrunk(group, *count, wanted));
            if wanted > *count {
                file.group.push(joining(group, *count, wanted, &regions));
            }
        }
        self.with_file(file)
    }
}

fn size(group: &Group) -> usize {
    if group.names.is_empty() { group.count.unwrap_or(1) } else { group.names.len() }
}

/// Shares out `total` in proportion, each at least 1, by largest remainder.
fn shares(counts: &[usize], total: usize) -> Vec<usize> {
    let sum: usize = counts.iter().sum::<usize>().max(1);
    let mut out: Vec<usize> = counts.iter().map(|count| (count * total / sum).max(1)).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(counts[*i] * total % sum));
    let mut at = 0;
    while out.iter().sum::<usize>() < total {
        out[order[at % order.len()]] += 1;
        at += 1;
    }
    while out.iter().sum::<usize>() > total {
        if let Some(largest) = out.iter_mut().max() {
            *largest -= 1;
        }
    }
    out
}

/// Returns a group with at most this many nodes.
fn shrunk(group: &Group, count: usize, wanted: usize) -> Group {
    let mut group = group.clone();
    if wanted < count {
        if group.names.is_empty() {
            group.count = Some(wanted);
        } else {
            group.names.truncate(wanted);
            if group.regions.len() == count {
                group.regions.truncate(wanted);
            }
        }
    }
    group
}

/// Returns the nodes that join a group: they have its name, so steps and commands that name it mean them as well.
fn joining(group: &Group, count: usize, wanted: usize, regions: &[String]) -> Group {
    let first = group.names.first().or(group.name.as_ref()).map_or("node", String::as_str);
    let regions = if group.regions.len() == 1 { &group.regions } else { regions };
    Group {
        names: (count..wanted).map(|extra| format!("{first}-{extra}")).collect(),
        count: None,
        regions: (count..wanted)
            .filter_map(|extra| regions.get(extra % regions.len().max(1)).cloned())
            .collect(),
        roles: vec![Role::Full],
        stake: None,
        byzantine: None,
        mine_rate: None,
        ..group.clone()
    }
}

/// Merges a network file's `[genesis]` into a genesis file, key by key.
///
/// # Errors
/// If the genesis file is not JSON.
pub fn merge_genesis(genesis: &str, changes: &toml::Table) -> Result<String, SetupError> {
    let mut value: Value = serde_json::from_str(genesis)
        .map_err(|error| SetupError::File(format!("genesis file: {error}")))?;
    let changes = serde_json::to_value(changes)
        .map_err(|error| SetupError::File(format!("[genesis]: {error}")))?;
    merge(&mut value, changes);
    Ok(value.to_string())
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            // A tagged choice with another tag has other keys: it is replaced, not mixed.
            let tag = |map: &serde_json::Map<String, Value>| map.get("policy").cloned();
            if tag(&changes).is_some() && tag(&changes) != tag(into) {
                into.clear();
            }
            for (key, change) in changes {
                merge(into.entry(key).or_insert(Value::Null), change);
            }
        }
        (into, changes) => *into = changes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_the_sum_and_leave_nobody_out() {
        assert_eq!(shares(&[1, 2, 7], 1_000), [100, 200, 700]);
        assert_eq!(shares(&[1, 2, 7], 3), [1, 1, 1]);
        assert_eq!(shares(&[1, 2, 7], 10), [1, 2, 7]);
        for total in 3..60 {
            assert_eq!(shares(&[1, 2, 7], total).iter().sum::<usize>(), total);
        }
    }

    #[test]
    fn who_joins_a_group_is_meant_by_its_name() {
        let text = "schema = 1\n[network]\nname = \"n\"\nchain = \"c\"\n[[group]]\nname = \"miner\"\ncount = 2\n\
                    roles = [\"miner\"]\n[[group]]\nnames = [\"first\"]\n";
        let file = NetworkFile::parse(text).unwrap();
        let mut larger = file.clone();
        let group = &file.group[0];
        larger.group.insert(1, joining(group, 2, 4, &[]));
        let plan = Plan::new(&larger).unwrap();
        let meant = crate::scenario::select::select(&plan, &["miner".to_owned()]).unwrap();
        assert_eq!(meant, [0, 1, 2, 3]);
        let mining: Vec<bool> = plan.nodes.iter().map(|node| node.miner).collect();
        assert_eq!(mining, [true, true, false, false, false]);
        let read = NetworkFile::parse(&larger.to_toml().unwrap()).unwrap();
        assert_eq!(Plan::new(&read).unwrap(), plan, "as a file it says the same");
    }

    #[test]
    fn merges_deeply_and_replaces_other_policies() {
        let genesis = r#"{"a":{"b":1,"c":2},"reward":{"policy":"halving","initial":"0x1"}}"#;
        let changes: toml::Table =
            toml::from_str("a.b = 3\nreward.policy = \"constant\"\nreward.amount = \"0x2\"")
                .unwrap();
        let merged: Value =
            serde_json::from_str(&merge_genesis(genesis, &changes).unwrap()).unwrap();
        let expected = serde_json::json!({
            "a": {"b": 3, "c": 2}, "reward": {"policy": "constant", "amount": "0x2"},
        });
        assert_eq!(merged, expected);
    }
}
