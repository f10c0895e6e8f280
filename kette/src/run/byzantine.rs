//! A node that lies on purpose, for tests: one of the simulator's actors around the node inside. Only builds with debug
//! assertions have it, and only on chains that say that they are local.
//!
//! What the node inside signs and writes stays honest, and so do the file of what it signed last and the database. What
//! leaves the process is the actor's: it holds the key as well, and no guard of the host looks at what it says.

use super::Settings;
use crate::validator_key::ValidatorKey;
use anyhow::{Context as _, bail};
use kette_node::Node;
use kette_sim::{
    Machine,
    byzantine::{Setup, build},
    disk::Disk,
    memo::Memo,
    rng::{Purpose, stream},
    scenario::Misbehaviour,
    world::genesis_block,
};
use kette_types::{ChainSpec, PeerAddress, Time};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a liar knows of its network; whoever starts it writes this into `byzantine.json` of its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insight {
    /// Which of the nodes it is.
    pub me: usize,
    /// Where its choices come from.
    pub seed: u64,
    /// All nodes, itself among them, in the order of the network file.
    pub nodes: Vec<Known>,
}

/// A node that a liar knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// `PEER-ID@IP:PORT`.
    pub address: String,
    /// It lies in the same way, and they help each other.
    #[serde(default)]
    pub accomplice: bool,
    /// Its validator's key file, if it is a validator.
    #[serde(default)]
    pub validator: Option<PathBuf>,
}

impl Insight {
    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read {shown}, which tells a liar of its network: `kette net run` and `kette net byz` write it"
            )
        })?;
        let insight: Self = serde_json::from_str(&text).with_context(|| format!("{shown}"))?;
        if insight.me >= insight.nodes.len() {
            bail!("{shown}: there is no node {}", insight.me);
        }
        Ok(insight)
    }
}

/// Returns why a process on this chain cannot play a role; `None` if it can.
pub fn refusal(role: Misbehaviour, spec: &ChainSpec) -> Option<String> {
    use Misbehaviour::{Equivocator, InvalidBlockMaker, SelfishMiner, Twin};
    let votes = spec.bft().is_some();
    let why = match role {
        _ if !cfg!(debug_assertions) => {
            "this build cannot lie: only builds with debug assertions can (`cargo build` without --release)"
        }
        _ if !spec.is_local() => {
            "nodes lie only on chains whose genesis says `network: local` under config.kette"
        }
        Twin => {
            "twins are one identity at two places, and a process that finds its key or port in use does not start"
        }
        role if role.is_of_validators() && !votes => {
            "only validators can do this, and this chain has none (its engine is not bft)"
        }
        Equivocator | InvalidBlockMaker | SelfishMiner if votes => {
            "it makes blocks by proof of work, and this chain's engine is bft"
        }
        _ => return None,
    };
    Some(why.to_owned())
}

/// Reads the name of a role.
///
/// # Errors
/// If there is no such role; lists those that there are.
pub fn role(name: &str) -> anyhow::Result<Misbehaviour> {
    serde_json::from_value(name.into()).map_err(|error| {
        // serde lists them: "unknown variant `x`, expected one of `equivocator`, ..."
        anyhow::anyhow!("`{name}` is no role: {error}")
    })
}

/// Puts the actor of a role around a node.
///
/// # Errors
/// If a process cannot play it, or the file about its network is missing or damaged.
pub(super) fn machine(
    role: Misbehaviour,
    settings: &Settings,
    config: &kette_node::Config,
    node: Node,
    now: Time,
) -> anyhow::Result<Box<dyn Machine>> {
    let spec = &settings.spec;
    if let Some(why) = refusal(role, spec) {
        bail!("--byzantine: {why}");
    }
    if role.is_of_validators() && settings.validator.is_none() {
        bail!("--byzantine: only a validator can do this, and this node has no validator's key");
    }
    let insight = Insight::read(&settings.home.byzantine())?;
    let address = |known: &Known| -> anyhow::Result<_> {
        let address: PeerAddress = known.address.parse()?;
        let peer = address.peer.with_context(|| format!("{}: no peer id", known.address))?;
        Ok((peer, address))
    };
    let validator = |known: &Known| -> anyhow::Result<_> {
        known
            .validator
            .as_deref()
            .map(|path| Ok(ValidatorKey::read(path)?.identity(None)))
            .transpose()
    };
    let accomplices = insight.nodes.iter().enumerate();
    let (me, seed) = (insight.me, insight.seed);
    let (genesis, commit) = genesis_block(spec)?;
    let disk = Disk::new(&genesis, &commit, stream(seed, Purpose::Disk, me as u64));
    let mut another = || {
        let disk = Arc::new(disk.blank());
        let restored = disk.restored().expect("a new disk is whole");
        Node::restore(spec.clone(), config.clone(), disk, now, restored).expect("block 0 is enough")
    };
    let setup = Setup {
        host: me,
        spec: spec.clone(),
        memo: Arc::new(Memo::new(genesis)),
        rng: stream(seed, Purpose::Byzantine, me as u64),
        another: &mut another,
        everybody: insight.nodes.iter().map(address).collect::<anyhow::Result<_>>()?,
        accomplices: accomplices
            .filter(|(index, known)| known.accomplice || *index == me)
            .map(|(index, _)| index)
            .collect(),
        validators: insight.nodes.iter().map(validator).collect::<anyhow::Result<_>>()?,
    };
    tracing::warn!(?role, "this node LIES: it is one of a test");
    Ok(build(role, node, setup))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;
    use kette_types::spec::NetworkKind;

    #[test]
    fn a_role_that_a_process_cannot_play_is_refused_with_the_reason() {
        let refused = |role, chain: &str| {
            refusal(role, &presets::genesis(chain).expect("a preset")).unwrap_or_default()
        };
        for (role, chain, why) in [
            (Misbehaviour::Twin, "bft4", "two places"),
            (Misbehaviour::EquivocatingVoter, "atmn", "its engine is not bft"),
            (Misbehaviour::SelfishMiner, "bft4", "proof of work"),
        ] {
            assert!(refused(role, chain).contains(why), "{role:?} on {chain}");
        }
        assert_eq!(refused(Misbehaviour::EquivocatingVoter, "bft4"), "");
        assert_eq!(refused(Misbehaviour::SelfishMiner, "atmn"), "");
        let mut spec = presets::genesis("bft4").expect("a preset");
        spec.kette.as_mut().expect("it is ours").network = NetworkKind::Public;
        let why = refusal(Misbehaviour::EquivocatingVoter, &spec).unwrap_or_default();
        assert!(why.contains("network: local"), "{why}");
    }

    #[test]
    fn roles_are_named_as_in_network_files() {
        assert_eq!(role("equivocating-voter").expect("a role"), Misbehaviour::EquivocatingVoter);
        let error = role("liar").expect_err("no role").to_string();
        assert!(error.contains("`vote-flooder`"), "{error}");
    }
}
