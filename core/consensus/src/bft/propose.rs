//! Builds and seals blocks when this node leads a round.

use super::{Bft, EVIDENCE_MAX, Event, leader, vrf};
use crate::{Output, SealError};
use alloy_primitives::B64;
use kette_chain::BlockTree;
use kette_ledger::{Attributes, staking};
use kette_types::{
    B256, Bytes, Header, SealedHeader, Time, U256,
    bft::{Proposal, Seal, Signature},
};

impl Bft {
    /// Orders a block for a round that this node leads.
    pub(super) fn build(&mut self, now: Time, round: u32, tree: &BlockTree, out: &mut Vec<Output>) {
        let Some(voting) = &self.voting else { return };
        if let Some(proposal) = voting.own_proposals.get(&round).copied() {
            let mut effects = Vec::new();
            self.repeat_proposal(&proposal, &mut effects, out);
            return self.carry_out(now, effects, tree, out);
        }
        if self.guard.silent(voting.height).is_some() || voting.commit.is_some() {
            return;
        }
        let seal = match self.draft(now, round, tree) {
            Ok(Some(seal)) => seal,
            Ok(None) => return,
            Err(error) => {
                return out.push(Output::Alarm(format!("no block can be proposed: {error}")));
            }
        };
        let Some(voting) = &mut self.voting else { return };
        let me = voting.machine.me().and_then(|me| voting.set().get(me));
        let attributes = Attributes {
            timestamp: seal.time_ms / 1_000,
            beneficiary: me.map(|validator| validator.address).unwrap_or_default(),
            extra_data: Bytes::copy_from_slice(B256::ZERO.as_slice()),
            difficulty: U256::ZERO,
            mix_hash: voting.seed,
            gas_limit: None,
            nonce: B64::ZERO,
            seal: seal.encoded(),
        };
        voting.draft = Some(seal);
        out.push(Output::Propose { parent: voting.parent.hash(), attributes });
    }

    /// Returns the seal of a block as far as it is known before execution.
    fn draft(&self, now: Time, round: u32, tree: &BlockTree) -> Result<Option<Seal>, SealError> {
        let (Some(voting), Some(identity)) = (&self.voting, &self.identity) else {
            return Ok(None);
        };
        let Some(parent) = tree.executed(voting.parent.hash()) else { return Ok(None) };
        let height = voting.height;
        let next = staking::validators(&parent.state, height + 1)?;
        let next = next.unwrap_or_else(|| voting.set().clone());
        let last_commit = if voting.parent.number == 0 {
            Default::default()
        } else {
            match self.commits.last(voting.parent.number, voting.parent.hash()) {
                Some(certificate) => certificate.clone(),
                None => return Ok(None),
            }
        };
        let alpha = leader::alpha(voting.seed, height, round);
        let proof = vrf::prove(&identity.vrf, alpha.as_slice());
        let earliest = voting.parent_ms.saturating_add(self.rules.spec.slot_ms);
        let pool = self.pool.iter();
        let evidence =
            staking::choose_evidence(&self.ledger, &parent.state, height, pool, EVIDENCE_MAX)?;
        Ok(Some(Seal {
            round,
            time_ms: earliest.max(now.as_millis()),
            proof: Bytes::copy_from_slice(proof.0.as_slice()),
            next_hash: next.hash(),
            next: if next.hash() == voting.set().hash() {
                Vec::new()
            } else {
                next.validators().to_vec()
            },
            last_commit,
            evidence,
            key: identity.key(),
            signature: Signature::ZERO,
        }))
    }

    /// Takes the block that was ordered: seals, publishes and proposes it.
    pub(super) fn seal(
        &mut self,
        now: Time,
        mut header: Header,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let (Some(voting), Some(identity)) = (&mut self.voting, &self.identity) else { return };
        let height = voting.height;
        let Some(mut seal) = voting.draft.take() else { return };
        if header.parent_hash != voting.parent.hash() || seal.round != voting.machine.round() {
            return;
        }
        let domain = self.rules.domain;
        seal.signature = identity.secret.sign(&seal.signed_bytes(domain, &header));
        header.extra_data = seal.commitment();
        let sealed = SealedHeader::new(header, seal.encoded());
        let proposal =
            Proposal::sign(domain, &identity.secret, height, seal.round, sealed.hash(), None);
        if !self.sign_proposal(&proposal, out) {
            return;
        }
        // Said first: publishing leads to this node's own vote.
        let (round, block) = (proposal.round, proposal.block);
        out.push(Output::Event(Event::Proposed { height, round, block, again: false }));
        out.push(Output::Publish(Box::new(sealed)));
        let mut effects = Vec::new();
        self.spread_proposal(&proposal, false, &mut effects, out);
        self.carry_out(now, effects, tree, out);
    }

    /// A leader that signs many blocks for one round cannot fill the memory of others: it is punished for the
    /// second, and beyond a few they are not taken. A block that votes or a certificate speak of is.
    pub(super) fn refuse_flood(&self, header: &SealedHeader) -> Result<(), SealError> {
        let Some(voting) = &self.voting else { return Ok(()) };
        if header.number != voting.height {
            return Ok(());
        }
        let hash = header.hash();
        let known = voting.blocks.values().map(Vec::len).sum::<usize>();
        let wanted = voting.fetch.contains_key(&hash)
            || voting.commit.as_ref().is_some_and(|commit| commit.block == hash)
            || voting.blocks.values().any(|blocks| blocks.contains(&hash));
        if known >= BLOCKS_MAX && !wanted {
            return Err(SealError::Unwanted("too many blocks were proposed at this height"));
        }
        Ok(())
    }
}

/// Blocks of one height that are taken without being asked for.
const BLOCKS_MAX: usize = 64;
