//! What a Byzantine validator has: its keys, who its accomplices are, and which half of the others it shows what.

use super::{
    super::{Setup, shelf::Shelf},
    words,
};
use kette_consensus::bft::{self, Identity, leader, vrf};
use kette_ledger::staking;
use kette_node::{Input, Node, Output};
use kette_types::{
    B256, Block, Bytes, Header, Message, PeerId, SealedHeader,
    bft::{Domain, Evidence, Proposal, PublicKey, Seal, Signature, ValidatorSet, Vote, VoteKind},
};

/// A validator that may sign anything.
pub(super) struct Validator {
    identity: Identity,
    domain: Domain,
    /// Keys of accomplices, its own among them.
    accomplices: Vec<PublicKey>,
    /// Half of each honest host, with its key if it is a validator.
    halves: Vec<(PeerId, Option<PublicKey>, Half)>,
    /// Blocks made aside of the node.
    pub(super) shelf: Shelf,
}

/// One half of the honest hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

impl Validator {
    /// Returns `None` if the host is no validator.
    pub(super) fn new(setup: &Setup<'_>) -> Option<Self> {
        let identity = setup.validators.get(setup.host)?.clone()?;
        let key = |host: usize| setup.validators.get(host)?.as_ref().map(Identity::key);
        let accomplices = setup.accomplices.iter().filter_map(|host| key(*host)).collect();
        let mut halves = Vec::new();
        for (host, (peer, _)) in setup.everybody.iter().enumerate() {
            if host != setup.host && !setup.accomplices.contains(&host) {
                let half = if halves.len() % 2 == 0 { Half::First } else { Half::Second };
                halves.push((*peer, key(host), half));
            }
        }
        let domain = setup.spec.domain();
        Some(Self { identity, domain, accomplices, halves, shelf: Shelf::default() })
    }

    /// Returns the honest hosts.
    pub(super) fn everybody(&self) -> Vec<PeerId> {
        self.halves.iter().map(|(peer, ..)| *peer).collect()
    }

    pub(super) fn key(&self) -> PublicKey {
        self.identity.key()
    }

    /// Tells whether this key is its own or an accomplice's.
    pub(super) fn is_accomplice(&self, key: &PublicKey) -> bool {
        self.accomplices.contains(key)
    }

    /// Tells whether this key is of an honest validator of this half.
    pub(super) fn is_in(&self, half: Half, key: &PublicKey) -> bool {
        self.halves.iter().any(|(_, known, h)| *h == half && known.as_ref() == Some(key))
    }

    /// Tells whether this peer is an accomplice.
    pub(super) fn is_accomplice_peer(&self, peer: &PeerId) -> bool {
        self.halves.iter().all(|(known, ..)| known != peer)
    }

    /// Splits peers: the first half and accomplices, and the second half.
    pub(super) fn split(&self, peers: Vec<PeerId>) -> (Vec<PeerId>, Vec<PeerId>) {
        let second = |peer: &PeerId| {
            self.halves.iter().any(|(known, _, half)| known == peer && *half == Half::Second)
        };
        peers.into_iter().partition(|peer| !second(peer))
    }

    /// Tells whether evidence is against accomplices: they do not spread it.
    pub(super) fn hushes(&self, evidence: &Evidence) -> bool {
        self.is_accomplice(&evidence.culprit())
    }

    pub(super) fn vote(&self, kind: VoteKind, height: u64, round: u32, block: B256) -> Vote {
        Vote::sign(self.domain, &self.identity.secret, kind, height, round, block)
    }

    /// Signs the same vote for another block.
    pub(super) fn vote_instead(&self, vote: &Vote, block: B256) -> bft::Message {
        bft::Message::Vote(self.vote(vote.kind, vote.height, vote.round, block))
    }

    pub(super) fn proposal(&self, height: u64, round: u32, block: B256) -> bft::Message {
        let secret = &self.identity.secret;
        bft::Message::Proposal(Proposal::sign(self.domain, secret, height, round, block, None))
    }

    /// Proves to lead a round, whoever does.
    pub(super) fn prove(&self, seed: B256, height: u64, round: u32) -> Bytes {
        let alpha = leader::alpha(seed, height, round);
        Bytes::copy_from_slice(vrf::prove(&self.identity.vrf, alpha.as_slice()).0.as_slice())
    }

    /// Tells whether it made the block of this header.
    pub(super) fn made(&self, header: &SealedHeader) -> bool {
        seal(header).is_some_and(|seal| seal.key == self.key())
    }

    /// Makes another block of one that is there: changes header and seal, and signs. Keeps it.
    pub(super) fn remake(
        &mut self,
        block: &Block,
        change: impl FnOnce(&mut Header, &mut Seal),
    ) -> Option<B256> {
        let mut header = block.header.header().clone();
        let mut seal = seal(&block.header)?;
        change(&mut header, &mut seal);
        seal.key = self.key();
        seal.signature = Signature::ZERO;
        seal.signature = self.identity.secret.sign(&seal.signed_bytes(self.domain, &header));
        header.extra_data = seal.commitment();
        let header = SealedHeader::new(header, seal.encoded());
        let hash = header.hash();
        self.shelf.keep(Block { header, body: block.body.clone() });
        Some(hash)
    }

    /// Makes another valid block beside one that is there: it only says another millisecond.
    pub(super) fn sibling(&mut self, block: &Block) -> Option<B256> {
        self.remake(block, |header, seal| {
            seal.time_ms += 1;
            header.timestamp = seal.time_ms / 1_000;
        })
    }

    /// Answers what the node cannot, because it does not know these blocks. Else returns the input.
    #[expect(clippy::result_large_err, reason = "the input goes on by value, once per turn")]
    pub(super) fn asked(&self, input: Input) -> Result<Option<Output>, Input> {
        if let Input::Message(peer, Message::GetBlock(hash)) = &input
            && let Some(block) = self.shelf.get(*hash)
        {
            return Ok(words::show(vec![*peer], block));
        }
        Err(input)
    }
}

/// Reads a header's seal.
pub(super) fn seal(header: &SealedHeader) -> Option<Seal> {
    Seal::decode_exact(header.seal()).ok()
}

/// Returns the validators of a block's height.
pub(super) fn set_of(node: &Node, header: &SealedHeader) -> Option<ValidatorSet> {
    let parent = node.tree().executed(header.parent_hash)?;
    staking::validators(&parent.state, header.number).ok()?
}

/// Returns the validators of the height after a block.
pub(super) fn set_after(node: &Node, header: &SealedHeader) -> Option<ValidatorSet> {
    let block = node.tree().executed(header.hash())?;
    staking::validators(&block.state, header.number + 1).ok()?
}

/// Returns who leads a round of a block's height.
pub(super) fn leader_of(set: &ValidatorSet, header: &SealedHeader, round: u32) -> PublicKey {
    set.validators()[leader::leader(set, header.mix_hash, round)].key
}
