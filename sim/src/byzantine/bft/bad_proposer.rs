//! Proposes blocks that break exactly one rule, and votes for them.

use super::{
    super::{actor::Actor, pick},
    validator::Validator,
    words::{Said, say, show},
};
use crate::rng::ChaCha8Rng;
use kette_consensus::bft;
use kette_node::{Input, Node, Output};
use kette_types::{
    Address, B256, Bytes, Header, SealedHeader, Time, U256,
    bft::{PublicKey, Seal, Validator as Member, ValidatorSet},
};
use std::collections::VecDeque;

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The VRF proof has another bit.
    VrfProof,
    /// The next validators are the liar alone.
    NextSet,
    /// The hash of the next validators is another one.
    NextHash,
    /// The state root is another one.
    StateRoot,
    /// More gas used than was.
    GasUsed,
    /// The gas limit doubles.
    GasLimit,
    /// Somebody else is paid than the state root says.
    Beneficiary,
    /// The parent's certificate lacks a signer.
    Certificate,
    /// The seed is another one.
    Seed,
    /// Time goes back.
    Time,
    /// The timestamp is not that of the seal.
    Timestamp,
    /// Difficulty is not zero.
    Difficulty,
    /// The round is one that somebody else leads, or that was never proven.
    Round,
    /// A seal of 200 kB.
    HugeSeal,
}

impl Flaw {
    /// All of them.
    pub(super) const ALL: [Self; 14] = [
        Self::VrfProof,
        Self::NextSet,
        Self::NextHash,
        Self::StateRoot,
        Self::GasUsed,
        Self::GasLimit,
        Self::Beneficiary,
        Self::Certificate,
        Self::Seed,
        Self::Time,
        Self::Timestamp,
        Self::Difficulty,
        Self::Round,
        Self::HugeSeal,
    ];

    /// Breaks the rule.
    fn spoil(self, key: PublicKey, header: &mut Header, seal: &mut Seal) {
        match self {
            Self::VrfProof => {
                let mut proof = seal.proof.to_vec();
                if let Some(last) = proof.last_mut() {
                    *last ^= 1;
                }
                seal.proof = proof.into();
            }
            Self::NextSet => {
                let vrf_key = B256::repeat_byte(1);
                let address = Address::repeat_byte(1);
                let alone = Member { address, key, vrf_key, weight: u64::MAX };
                if let Ok(set) = ValidatorSet::new(vec![alone]) {
                    seal.next_hash = set.hash();
                    seal.next = set.validators().to_vec();
                }
            }
            Self::NextHash => seal.next_hash = B256::repeat_byte(1),
            Self::StateRoot => header.state_root = B256::repeat_byte(1),
            Self::GasUsed => header.gas_used += 1,
            Self::GasLimit => header.gas_limit *= 2,
            Self::Beneficiary => header.beneficiary = Address::repeat_byte(1),
            Self::Certificate => {
                seal.last_commit.signers.truncate(1);
                seal.last_commit.signatures.truncate(1);
                // Block 1 carries none.
                seal.last_commit.round ^= 1;
            }
            Self::Seed => header.mix_hash = B256::repeat_byte(1),
            Self::Time => {
                seal.time_ms = seal.time_ms.saturating_sub(86_400_000);
                header.timestamp = seal.time_ms / 1_000;
            }
            Self::Timestamp => header.timestamp += 1,
            Self::Difficulty => header.difficulty = U256::from(1),
            Self::Round => seal.round += 1,
            Self::HugeSeal => seal.proof = Bytes::from(vec![0; 200_000]),
        }
    }
}

/// An actor that proposes what is not valid.
pub(super) struct BadProposer {
    me: Validator,
    rng: ChaCha8Rng,
    flaws: &'static [Flaw],
    /// The newest of its blocks, and what it shows instead.
    spoiled: VecDeque<(B256, B256)>,
}

impl BadProposer {
    pub(super) const fn new(me: Validator, rng: ChaCha8Rng, flaws: &'static [Flaw]) -> Self {
        Self { me, rng, flaws, spoiled: VecDeque::new() }
    }

    fn instead(&self, hash: B256) -> Option<B256> {
        self.spoiled.iter().find(|(ours, _)| *ours == hash).map(|(_, bad)| *bad)
    }

    fn spoil(&mut self, node: &Node, header: &SealedHeader) -> Option<()> {
        let hash = header.hash();
        if !self.me.made(header) || self.instead(hash).is_some() {
            return None;
        }
        let executed = node.tree().executed(hash)?.clone();
        let flaw = *pick(&mut self.rng, self.flaws)?;
        let key = self.me.key();
        let bad = self.me.remake(&executed.block, |header, seal| flaw.spoil(key, header, seal))?;
        if self.spoiled.len() >= SPOILED_MAX {
            self.spoiled.pop_front();
        }
        self.spoiled.push_back((hash, bad));
        Some(())
    }
}

impl Actor for BadProposer {
    fn handle(&mut self, node: &mut Node, now: Time, input: Input) -> Vec<Output> {
        let input = match self.me.asked(input) {
            Ok(answer) => return answer.into_iter().collect(),
            Err(input) => input,
        };
        let mut out = Vec::new();
        for output in node.handle(now, input) {
            let said = Said::of(output);
            let changed = match &said {
                Said::Block(peers, header, _) => {
                    self.spoil(node, header);
                    let bad = self.instead(header.hash());
                    let bad = bad.and_then(|bad| self.me.shelf.get(bad));
                    bad.map(|block| show(peers.clone(), block))
                }
                Said::Engine(peers, bft::Message::Vote(vote), _) if vote.key == self.me.key() => {
                    let bad = self.instead(vote.block);
                    bad.map(|bad| say(peers.clone(), &self.me.vote_instead(vote, bad)))
                }
                Said::Engine(peers, bft::Message::Proposal(proposal), _)
                    if proposal.key == self.me.key() =>
                {
                    let bad = self.instead(proposal.block);
                    let (height, round) = (proposal.height, proposal.round);
                    bad.map(|bad| say(peers.clone(), &self.me.proposal(height, round, bad)))
                }
                _ => None,
            };
            match changed {
                Some(changed) => out.extend(changed),
                None => out.extend(said.output()),
            }
        }
        out
    }
}

/// Blocks remembered.
const SPOILED_MAX: usize = 16;
