//! Whether the validators of a network that run can make blocks final: their votes, against the quorum of the chain.

use super::control::Control;
use crate::{run::home::Home, validator_key::ValidatorKey};
use kette_types::bft::{BftSpec, PublicKey, Quorum};
use serde::Serialize;
use serde_json::Value;

/// The votes of a network's nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Votes {
    /// Votes of each node, in the network's order; 0 of one that is no validator.
    of: Vec<u128>,
    /// Votes of all validators, also of those that are no nodes here.
    total: u128,
    quorum: Quorum,
}

/// Too few votes to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MissingVotes {
    /// Votes that are there.
    pub up: u128,
    /// Votes of all validators.
    pub total: u128,
    /// Votes that decide.
    pub quorum: u128,
}

impl Votes {
    /// Returns who votes in the next block, as a node that answers says, or in the first, if none does. `None` if the
    /// chain has no validators. Nodes that are `paused` just now are not asked: the kernel may not show it yet.
    ///
    /// # Errors
    /// If the chain's genesis file cannot be read.
    pub async fn ask(control: &Control, paused: &[usize]) -> anyhow::Result<Option<Self>> {
        let home = |node: usize| Home::new(control.directory.node(control.name(node)));
        let spec = control.spec()?;
        let Some(terms) = spec.bft() else { return Ok(None) };
        let weights = match asked(control, paused).await {
            Some(weights) => weights,
            None => genesis(terms),
        };
        let votes = |node: usize| {
            // A node without a key file is no validator.
            let key = ValidatorKey::read(&home(node).validator_key()).ok()?;
            let key = key.identity(None).key();
            weights.iter().find(|(known, _)| *known == key).map(|(_, weight)| *weight)
        };
        Ok(Some(Self {
            of: (0..control.manifest.nodes.len()).map(|node| votes(node).unwrap_or(0)).collect(),
            total: weights.iter().map(|(_, weight)| *weight).sum(),
            quorum: terms.quorum,
        }))
    }

    /// Tells whether any of these nodes has a vote.
    pub fn any(&self, nodes: &[usize]) -> bool {
        nodes.iter().any(|node| self.of.get(*node).is_some_and(|votes| *votes > 0))
    }

    /// Says what is missing if only the nodes that are `up` vote.
    pub fn missing(&self, up: impl Fn(usize) -> bool) -> Option<MissingVotes> {
        let there = self.of.iter().enumerate().filter(|(node, _)| up(*node));
        let weight = there.map(|(_, votes)| *votes).sum();
        (!self.quorum.is_met(weight, self.total)).then_some(MissingVotes {
            up: weight,
            total: self.total,
            quorum: self.quorum.threshold(self.total),
        })
    }
}

impl std::fmt::Display for MissingVotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { up, total, quorum } = self;
        write!(f, "{up} of {total} votes, and {quorum} decide: no block becomes final")
    }
}

/// Tells whether a node's process takes part: it runs and does not stand still.
pub fn takes_part(control: &Control, node: usize) -> bool {
    let process = control.manifest.nodes[node].process;
    process.is_some_and(|process| process.is_alive() && !process.is_paused())
}

/// Nodes that are asked: one that runs and does not answer takes its time.
const ASKED: usize = 3;

async fn asked(control: &Control, paused: &[usize]) -> Option<Vec<(PublicKey, u128)>> {
    let there = (0..control.manifest.nodes.len())
        .filter(|node| !paused.contains(node) && takes_part(control, *node));
    for node in there.take(ASKED) {
        let Ok(client) = control.client(node) else { continue };
        let Ok(answer) = client.ask::<Value>("kette_validators", []).await else { continue };
        let list = answer["validators"].as_array()?;
        let one = |shown: &Value| {
            let key = serde_json::from_value(shown["key"].clone()).ok()?;
            Some((key, u128::from(shown["weight"].as_u64()?)))
        };
        return list.iter().map(one).collect();
    }
    None
}

fn genesis(terms: &BftSpec) -> Vec<(PublicKey, u128)> {
    terms.validators.iter().map(|first| (first.key, u128::from(first.weight))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_two_thirds_of_all_votes() {
        let votes =
            Votes { of: vec![100, 0, 100, 100], total: 400, quorum: Quorum::MoreThanTwoThirds };
        assert_eq!(votes.missing(|_| true), None, "300 of 400");
        let missing = votes.missing(|node| node != 3).expect("200 of 400");
        assert_eq!(missing, MissingVotes { up: 200, total: 400, quorum: 267 });
        assert_eq!(missing.to_string(), "200 of 400 votes, and 267 decide: no block becomes final");
        assert_eq!(votes.missing(|node| node != 1), None, "who has no vote is not missed");
        assert!(votes.any(&[1, 2]) && !votes.any(&[1]) && !votes.any(&[9]));
    }
}
