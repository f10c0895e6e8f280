//! What a listening node heard of validators, from its recording, and the rules that all of it must keep.

use kette_consensus::bft::Message as Said;
use kette_node::Input;
use kette_sim::recording::{Entry, Reader};
use kette_types::{
    B256, ChainSpec, Message,
    bft::{PublicKey, Quorum, SignState, Step, Validator},
};
use std::collections::{BTreeMap, BTreeSet};

/// A place at which a validator signs once: height, round, step.
type Place = (u64, u32, u8);

/// All that was heard.
pub(super) struct Heard {
    validators: Vec<Validator>,
    quorum: Quorum,
    /// What each validator signed where: digests, and the block of the first.
    signed: BTreeMap<(PublicKey, Place), (BTreeSet<B256>, B256)>,
    messages: u64,
    evidence: u64,
    /// Signatures that are none.
    forged: u64,
}

const PREPARE: u8 = Step::Prepare as u8 + 1;
const PRECOMMIT: u8 = Step::Precommit as u8 + 1;

impl Heard {
    /// Reads a recording.
    pub(super) fn read(bytes: &[u8], spec: &ChainSpec) -> Self {
        let bft = spec.bft().expect("a chain of validators");
        let mut heard = Self {
            validators: bft.validators.clone(),
            quorum: bft.quorum,
            signed: BTreeMap::new(),
            messages: 0,
            evidence: 0,
            forged: 0,
        };
        let domain = spec.domain();
        for entry in Reader::new(bytes).expect("a recording") {
            let entry = Entry::decode(entry).expect("a whole entry");
            let Entry::Input(_, Input::Message(_, Message::Engine(bytes))) = entry else {
                continue;
            };
            match Said::decode(&bytes).expect("honest nodes speak well") {
                Said::Vote(vote) => {
                    heard.forged += u64::from(!vote.verify(domain));
                    heard.note(SignState::of_vote(domain, &vote));
                }
                Said::Proposal(proposal) => {
                    heard.forged += u64::from(!proposal.verify(domain));
                    heard.note(SignState::of_proposal(domain, &proposal));
                }
                Said::Evidence(_) => heard.evidence += 1,
                Said::Commit(_) | Said::Position(_) => {}
            }
        }
        heard
    }

    fn note(&mut self, state: SignState) {
        self.messages += 1;
        let place = (state.height, state.round, state.step);
        let (digests, _) =
            self.signed.entry((state.key, place)).or_insert_with(|| (BTreeSet::new(), state.block));
        digests.insert(state.digest);
    }

    /// Holds the rules.
    pub(super) fn judge(&self) {
        assert_eq!((self.evidence, self.forged), (0, 0), "evidence and forged signatures");
        for ((key, place), (digests, _)) in &self.signed {
            assert_eq!(digests.len(), 1, "{key} signed {} things at {place:?}", digests.len());
        }
        for ((key, (height, round, step)), (_, block)) in &self.signed {
            if *step == PRECOMMIT && !block.is_zero() {
                let known = self.may_be_prepared(*height, *round, *block);
                assert!(known, "{key} precommits {block} at {height}/{round} without a quorum");
            }
            if *step == PREPARE && !block.is_zero() {
                self.keeps_lock(*key, *height, *round, *block);
            }
        }
    }

    /// A prepare respects the newest precommit before it: for that block, or for one that a quorum prepared since.
    fn keeps_lock(&self, key: PublicKey, height: u64, round: u32, block: B256) {
        let before = (0..round).rev().find_map(|since| {
            let (_, locked) = self.signed.get(&(key, (height, since, PRECOMMIT)))?;
            (!locked.is_zero()).then_some((since, *locked))
        });
        let Some((since, locked)) = before.filter(|(_, locked)| *locked != block) else { return };
        let released = (since..round).any(|between| self.may_be_prepared(height, between, block));
        assert!(
            released,
            "{key} prepares {block} at {height}/{round}, and precommitted {locked} in round {since}"
        );
    }

    /// Tells whether a quorum may have prepared a block: whose prepare was not heard may have.
    fn may_be_prepared(&self, height: u64, round: u32, block: B256) -> bool {
        let may = |validator: &&Validator| {
            let heard = self.signed.get(&(validator.key, (height, round, PREPARE)));
            heard.is_none_or(|(_, prepared)| *prepared == block)
        };
        let weight = |validator: &Validator| u128::from(validator.weight);
        let total = self.validators.iter().map(weight).sum();
        let may: u128 = self.validators.iter().filter(may).map(weight).sum();
        may >= self.quorum.threshold(total)
    }

    /// Returns how many heights votes were heard of.
    pub(super) fn heights(&self) -> u64 {
        let heights: BTreeSet<u64> = self.signed.keys().map(|(_, (height, ..))| *height).collect();
        heights.len() as u64
    }

    /// Returns how many places the n-th validator signed at.
    pub(super) fn of(&self, validator: usize) -> usize {
        let name = format!("validator{}", validator + 1);
        let seed = kette_sim::scenario::validators::development_seed(&name);
        let key = kette_consensus::bft::Identity::from_seed(&seed, None).key();
        self.signed.keys().filter(|(signer, _)| *signer == key).count()
    }

    /// Returns what was judged.
    pub(super) fn figures(&self) -> Vec<(&'static str, u64)> {
        let count = |wanted: u8| {
            self.signed.keys().filter(|(_, (_, _, step))| *step == wanted).count() as u64
        };
        let again: usize = self.signed.values().map(|(digests, _)| digests.len() - 1).sum();
        let late = self.signed.keys().filter(|(_, (_, round, _))| *round > 0).count() as u64;
        vec![
            ("signed messages heard", self.messages),
            ("different prepares judged", count(PREPARE)),
            ("different precommits judged", count(PRECOMMIT)),
            ("proposals judged", self.signed.len() as u64 - count(PREPARE) - count(PRECOMMIT)),
            ("of all these in later rounds", late),
            ("heights", self.heights()),
            ("double signatures", again as u64),
        ]
    }
}
