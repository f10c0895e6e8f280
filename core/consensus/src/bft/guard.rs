//! Whether this node signs. It signs forward only, and not at all while it may have forgotten something.

use super::{Fork, Identity, SignState};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use kette_types::{
    B256, Bytes,
    bft::{Certificate, Domain, Proposal, Seal, ValidatorSet, Vote},
    planted::{Bug, is_planted},
};

/// Heights looked back for own signatures when the sign state is missing (CometBFT's
/// `double_sign_check_height`).
pub(super) const LOOK_BACK: u64 = 10;

/// What binds this node at a height: kept in the engine's log, cut when the height is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It cast this vote.
    Vote(Vote),
    /// It proposed this.
    Proposal(Proposal),
    /// It is locked.
    Lock(Bound),
    /// This may be proposed again.
    Valid(Bound),
    /// The prepares of a quorum, because of which it may. Without them a lock can outlive its proof: if all
    /// restart at once, nobody has the prepares of those who do not come back.
    Prepared(Certificate),
    /// It stands still because of this, until an operator says otherwise.
    Forked(Fork),
    /// It goes on after this by an operator's choice.
    Resumed(Fork),
}

/// A block and the round that binds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Bound {
    pub(super) height: u64,
    pub(super) round: u32,
    pub(super) block: B256,
}

impl Entry {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Vote(vote) => {
                out.push(1);
                vote.encode(&mut out);
            }
            Self::Proposal(proposal) => {
                out.push(2);
                proposal.encode(&mut out);
            }
            Self::Lock(bound) => {
                out.push(3);
                bound.encode(&mut out);
            }
            Self::Valid(bound) => {
                out.push(4);
                bound.encode(&mut out);
            }
            Self::Prepared(prepares) => {
                out.push(5);
                prepares.encode(&mut out);
            }
            Self::Forked(fork) => {
                out.push(6);
                fork.encode(&mut out);
            }
            Self::Resumed(fork) => {
                out.push(7);
                fork.encode(&mut out);
            }
        }
        out.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let (kind, mut rest) = bytes.split_first().ok_or(alloy_rlp::Error::InputTooShort)?;
        let rest = &mut rest;
        match kind {
            1 => Ok(Self::Vote(Vote::decode(rest)?)),
            2 => Ok(Self::Proposal(Proposal::decode(rest)?)),
            3 => Ok(Self::Lock(Bound::decode(rest)?)),
            4 => Ok(Self::Valid(Bound::decode(rest)?)),
            5 => Ok(Self::Prepared(Certificate::decode(rest)?)),
            6 => Ok(Self::Forked(Fork::decode(rest)?)),
            7 => Ok(Self::Resumed(Fork::decode(rest)?)),
            _ => Err(alloy_rlp::Error::Custom("no such entry in the log of bft")),
        }
    }

    /// Returns what this entry says was signed.
    pub(super) fn signed(&self, domain: Domain) -> Option<SignState> {
        match self {
            Self::Vote(vote) => Some(SignState::of_vote(domain, vote)),
            Self::Proposal(proposal) => Some(SignState::of_proposal(domain, proposal)),
            _ => None,
        }
    }
}

/// Decides whether to sign.
#[derive(Debug)]
pub(super) struct Guard {
    last: Option<SignState>,
    /// What the log says and the file does not: the power went between the two writes.
    unfiled: Option<SignState>,
    /// Up to and including this height it only watches.
    watch_until: u64,
    reason: Option<String>,
}

impl Guard {
    /// Compares what the sign-state file, the log and the chain say. `seen` tells whether this key's
    /// signature is in one of the newest certificates.
    pub(super) fn new(
        identity: Option<&Identity>,
        domain: Domain,
        log: &[Entry],
        height: u64,
        seen: bool,
    ) -> Self {
        let mut guard = Self { last: None, unfiled: None, watch_until: 0, reason: None };
        let Some(identity) = identity else { return guard };
        if is_planted(Bug::VoteAgain) {
            return guard;
        }
        let mut logged: Vec<SignState> =
            log.iter().filter_map(|entry| entry.signed(domain)).collect();
        logged.retain(|state| state.key == identity.key());
        logged.sort_by_key(SignState::place);
        let newest = logged.last().cloned();
        match &identity.signed {
            Some(file) if (file.chain, file.key) != (domain.0, identity.key()) => {
                guard.never("the sign state is of another key or chain".to_owned());
            }
            Some(file) => {
                let known = logged.iter().any(|state| state.digest == file.digest);
                if file.height >= height && !known {
                    guard.watch_until = file.height;
                    guard.reason = Some(format!(
                        "it signed at height {} what the database does not know (restored from a \
                         backup?): it watches until that height is decided",
                        file.height
                    ));
                }
                guard.last = Some(file.clone());
            }
            None if seen && !identity.trust_missing => guard.never(
                "the chain has signatures of this key and the sign state is missing: start with \
                 `--trust-missing-sign-state` if no other process has the key"
                    .to_owned(),
            ),
            None => {}
        }
        if let Some(newest) = newest
            && guard.last.as_ref().is_none_or(|last| last.place() < newest.place())
        {
            guard.unfiled = (guard.watch_until == 0).then(|| newest.clone());
            guard.last = Some(newest);
        }
        guard
    }

    /// Takes what must be in the sign-state file before anything of the log is said again.
    pub(super) fn take_unfiled(&mut self) -> Option<SignState> {
        self.unfiled.take()
    }

    /// Signs nothing from here on.
    pub(super) fn never(&mut self, reason: String) {
        self.watch_until = u64::MAX;
        self.reason = Some(reason);
    }

    /// Returns why nothing is signed at a height.
    pub(super) fn silent(&self, height: u64) -> Option<&str> {
        if height > self.watch_until {
            return None;
        }
        Some(self.reason.as_deref().unwrap_or("it watches"))
    }

    /// Is told that a certificate of this height carries this key's signature. Tells whether somebody else made it,
    /// or this node before it lost what it signed (a new disk, or all of it from a backup): it signs no more.
    pub(super) fn meets_own_signature(&mut self, height: u64) -> bool {
        let ours = self.last.as_ref().is_some_and(|last| last.height >= height);
        if ours || self.watch_until == u64::MAX {
            return false;
        }
        self.never(format!(
            "block {height} carries a signature of this key that this node did not make, or lost: start \
             with `--trust-missing-sign-state` if no other process has the key"
        ));
        true
    }

    /// Takes note of a signature that is about to be made, or refuses it.
    pub(super) fn sign(&mut self, next: &SignState) -> bool {
        if next.height <= self.watch_until {
            return false;
        }
        if let Some(last) = &self.last {
            match last.allows(next) {
                Ok(()) if last.digest == next.digest => return false,
                Ok(()) => {}
                Err(_) => return false,
            }
        }
        self.last = Some(next.clone());
        true
    }
}

/// Tells whether a certificate carries a signature of this key.
pub(super) fn signed_by(
    seal: &Seal,
    set: &ValidatorSet,
    key: &kette_types::bft::PublicKey,
) -> bool {
    set.position(key)
        .and_then(|index| u16::try_from(index).ok())
        .is_some_and(|index| seal.last_commit.signers.contains(&index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_types::bft::VoteKind;

    #[test]
    fn a_fork_and_its_end_are_read_as_they_were_written() {
        let fork = Fork { height: 7, theirs: B256::repeat_byte(1), ours: B256::repeat_byte(2) };
        for entry in [Entry::Forked(fork), Entry::Resumed(fork)] {
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry.clone()));
            assert_eq!(entry.signed(DOMAIN), None);
        }
    }

    const DOMAIN: Domain = Domain(B256::repeat_byte(9));

    fn vote(identity: &Identity, height: u64, kind: VoteKind) -> Entry {
        let block = B256::with_last_byte(height as u8);
        Entry::Vote(Vote::sign(DOMAIN, &identity.secret, kind, height, 0, block))
    }

    /// A vote is written to the log, then to the file, then said. Whatever the file lacks must get there before it is
    /// said again, or a database from a backup would not be noticed.
    #[test]
    fn what_the_log_knows_and_the_file_does_not_is_filed_first() {
        let me = Identity::from_seed(&B256::repeat_byte(1), None);
        let other = Identity::from_seed(&B256::repeat_byte(2), None);
        let prepare = vote(&me, 7, VoteKind::Prepare);
        let precommit = vote(&me, 7, VoteKind::Precommit);
        let state = |entry: &Entry| entry.signed(DOMAIN);
        let unfiled = |file: Option<SignState>, log: &[Entry], seen: bool| {
            let identity = Identity { signed: file, ..me.clone() };
            Guard::new(Some(&identity), DOMAIN, log, 7, seen).take_unfiled()
        };
        let both = [prepare.clone(), precommit.clone()];
        assert_eq!(unfiled(None, &both, false), state(&precommit), "the very first votes");
        assert_eq!(unfiled(state(&prepare), &both, true), state(&precommit));
        assert_eq!(unfiled(state(&precommit), &both, true), None, "all is filed");
        assert_eq!(unfiled(state(&precommit), &both[..1], true), None, "it watches");
        assert_eq!(unfiled(None, &both, true), None, "it never signs");
        assert_eq!(unfiled(state(&vote(&other, 6, VoteKind::Prepare)), &both, true), None);
        let foreign = [vote(&other, 7, VoteKind::Prepare)];
        assert_eq!(unfiled(None, &foreign, false), None, "votes of a key it had before");
    }
}
