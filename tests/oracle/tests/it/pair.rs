//! Two machines side by side. Each carries out its own orders; what they did and where they are is compared.

use super::context::{Address, Block, Context, Height, Proposal, Set, Validator, Vote};
use alloy_primitives::{Address as Account, B256};
use arc_malachitebft_core_driver::{Driver, Input, Output, Step as TheirStep, ThresholdParams};
use arc_malachitebft_core_types::{
    NilOrVal, Round, SignedMessage, ThresholdParam, Timeout, TimeoutKind, Validity, VoteType,
};
use kette_consensus::bft::machine::{Effect, Machine, Proposed, Step, Wait};
use kette_types::bft::{PublicKey, Quorum, Signature, ValidatorSet, VoteKind};
use std::collections::BTreeSet;

/// What one machine did and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) round: u32,
    step: Option<Step>,
    locked: Option<(u32, B256)>,
    valid: Option<(u32, B256)>,
    pub(crate) decision: Option<(u32, B256)>,
    votes: Vec<(VoteKind, u32, B256)>,
    pub(crate) proposals: Vec<(u32, B256, Option<u32>)>,
    /// Waits that may still matter.
    pub(crate) waits: BTreeSet<(Wait, u32)>,
}

/// How often the rules applied.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    decisions: u64,
    past_decisions: u64,
    relocks: u64,
    valid_only: u64,
    again: u64,
    skips: u64,
    nil_while_locked: u64,
}

impl Seen {
    pub(crate) fn counts(&self) -> [(&'static str, u64); 7] {
        [
            ("decisions", self.decisions),
            ("decisions for rounds before", self.past_decisions),
            ("locks that replace a lock", self.relocks),
            ("valid without a lock", self.valid_only),
            ("own proposals made again", self.again),
            ("rounds skipped", self.skips),
            ("nil while locked", self.nil_while_locked),
        ]
    }
}

pub(crate) struct Pair {
    ours: Machine,
    theirs: Driver<Context>,
    me: usize,
    pub(crate) our: State,
    their: State,
    their_waits: BTreeSet<(Wait, u32)>,
    our_waits: BTreeSet<(Wait, u32)>,
}

/// What both are told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Start,
    Proposal { round: u32, block: B256, valid_round: Option<u32>, valid: bool },
    Vote { kind: VoteKind, round: u32, from: usize, block: B256 },
    Over(Wait, u32),
}

/// What this node proposes when it may choose.
pub(crate) fn own_block(round: u32) -> B256 {
    B256::left_padding_from(&[0xee, u8::try_from(round).expect("few rounds") + 1])
}

const K: u64 = 1 << 31;

impl Pair {
    pub(crate) fn new(weights: &[u64], quorum: Quorum, me: usize, seed: B256) -> Self {
        let validators = weights.iter().zip(1..).map(|(weight, key)| {
            let address = Account::repeat_byte(key);
            let key = PublicKey(B256::repeat_byte(key));
            kette_types::bft::Validator { address, key, vrf_key: B256::ZERO, weight: *weight }
        });
        let set = ValidatorSet::from_sorted(validators.collect()).expect("sorted");
        let theirs = weights.iter().enumerate();
        let theirs = Set(theirs.map(|(at, weight)| Validator(Address(at), *weight)).collect());
        let params = ThresholdParams {
            quorum: match quorum {
                Quorum::TwoThirds => ThresholdParam::new(2 * K - 1, 3 * K),
                Quorum::MoreThanTwoThirds => ThresholdParam::TWO_F_PLUS_ONE,
            },
            honest: ThresholdParam::new(K - 1, 3 * K),
        };
        Self {
            ours: Machine::new(set, quorum, Some(me), seed),
            theirs: Driver::new(Context, Height(1), theirs, Address(me), params),
            me,
            our: State::default(),
            their: State::default(),
            our_waits: BTreeSet::new(),
            their_waits: BTreeSet::new(),
        }
    }

    pub(crate) fn leads(&self, round: u32) -> bool {
        self.ours.leader(round) == self.me
    }

    /// Tells both, and compares.
    pub(crate) fn tell(&mut self, told: Told, seen: &mut Seen) -> Result<(), String> {
        let before = self.our.clone();
        self.tell_ours(told);
        self.tell_theirs(told)?;
        self.look();
        if self.our != self.their {
            return Err(format!("after {told:?}\nours   {:?}\ntheirs {:?}", self.our, self.their));
        }
        seen.count(&before, &self.our, told);
        Ok(())
    }

    fn tell_ours(&mut self, told: Told) {
        let mut effects = Vec::new();
        let ours = &mut self.ours;
        match told {
            Told::Start => ours.start(0, None, &mut effects),
            Told::Proposal { round, block, valid_round, valid } => {
                ours.propose(round, Proposed { block, valid_round }, &mut effects);
                ours.verdict(block, valid, &mut effects);
            }
            Told::Vote { kind, round, from, block } => {
                ours.vote(kind, round, from, block, Signature::ZERO, &mut effects);
            }
            Told::Over(wait, round) => {
                ours.timeout(wait, round, &mut effects);
            }
        }
        let mut next = 0;
        while let Some(effect) = effects.get(next).copied() {
            next += 1;
            let proposal = match effect {
                Effect::Build(round) => (round, own_block(round), None),
                Effect::Propose { round, block, valid_round } => (round, block, Some(valid_round)),
                Effect::Vote(kind, round, block) => {
                    self.our.votes.push((kind, round, block));
                    let sign = Signature::ZERO;
                    self.ours.vote(kind, round, self.me, block, sign, &mut effects);
                    continue;
                }
                Effect::Wait(wait, round) => {
                    self.our_waits.insert((wait, round));
                    continue;
                }
                Effect::Decide(round, block) => {
                    self.our.decision = Some((round, block));
                    continue;
                }
                _ => continue,
            };
            self.our.proposals.push(proposal);
            let (round, block, valid_round) = proposal;
            self.ours.propose(round, Proposed { block, valid_round }, &mut effects);
            self.ours.verdict(block, true, &mut effects);
        }
    }

    fn tell_theirs(&mut self, told: Told) -> Result<(), String> {
        let mut inputs = vec![match told {
            Told::Start => self.new_round(0),
            Told::Proposal { round, block, valid_round, valid } => {
                let from = Address(self.ours.leader(round));
                let proposal = Proposal {
                    round: Round::new(round),
                    block: Block(block),
                    valid_round: valid_round.map_or(Round::Nil, Round::new),
                    from,
                };
                Input::Proposal(SignedMessage::new(proposal, ()), Validity::from_bool(valid))
            }
            Told::Vote { kind, round, from, block } => {
                let kind = match kind {
                    VoteKind::Prepare => VoteType::Prevote,
                    VoteKind::Precommit => VoteType::Precommit,
                };
                let block = if block.is_zero() { NilOrVal::Nil } else { NilOrVal::Val(block) };
                let vote = Vote { kind, round: Round::new(round), block, from: Address(from) };
                Input::Vote(SignedMessage::new(vote, ()))
            }
            Told::Over(wait, round) => {
                let kind = match wait {
                    Wait::Propose => TimeoutKind::Propose,
                    Wait::Prepare => TimeoutKind::Prevote,
                    Wait::Precommit => TimeoutKind::Precommit,
                };
                Input::TimeoutElapsed(Timeout::new(Round::new(round), kind))
            }
        }];
        let mut next = 0;
        while let Some(input) = inputs.get(next).cloned() {
            next += 1;
            let outputs = self.theirs.process(input).map_err(|error| error.to_string())?;
            for output in outputs {
                inputs.extend(self.carry_out(output));
            }
        }
        Ok(())
    }

    fn new_round(&self, round: u32) -> Input<Context> {
        Input::NewRound(Height(1), Round::new(round), Address(self.ours.leader(round)))
    }

    fn carry_out(&mut self, output: Output<Context>) -> Option<Input<Context>> {
        match output {
            Output::NewRound(_, round) => return Some(self.new_round(number(round))),
            Output::Propose(proposal) => {
                let valid_round = proposal.valid_round.as_u32();
                let (round, block) = (number(proposal.round), proposal.block.0);
                self.their.proposals.push((round, block, valid_round));
                return Some(Input::Proposal(SignedMessage::new(proposal, ()), Validity::Valid));
            }
            Output::Vote(vote) => {
                let kind = match vote.kind {
                    VoteType::Prevote => VoteKind::Prepare,
                    VoteType::Precommit => VoteKind::Precommit,
                };
                let block = match vote.block {
                    NilOrVal::Nil => B256::ZERO,
                    NilOrVal::Val(block) => block,
                };
                self.their.votes.push((kind, number(vote.round), block));
                return Some(Input::Vote(SignedMessage::new(vote, ())));
            }
            Output::Decide(..) => {}
            Output::ScheduleTimeout(timeout) => {
                let wait = match timeout.kind {
                    TimeoutKind::Propose => Wait::Propose,
                    TimeoutKind::Prevote => Wait::Prepare,
                    _ => Wait::Precommit,
                };
                self.their_waits.insert((wait, number(timeout.round)));
            }
            Output::GetValue(_, round, _) => {
                return Some(Input::ProposeValue(round, Block(own_block(number(round)))));
            }
        }
        None
    }

    fn look(&mut self) {
        self.our.round = self.ours.round();
        self.our.step = Some(self.ours.step());
        self.our.locked = self.ours.locked();
        self.our.valid = self.ours.valid();
        let state = self.theirs.round_state();
        self.their.round = number(state.round);
        self.their.step = Some(match state.step {
            TheirStep::Unstarted => Step::Wait,
            TheirStep::Propose => Step::Propose,
            TheirStep::Prevote => Step::Prepare,
            TheirStep::Precommit => Step::Precommit,
            TheirStep::Commit => Step::Decided,
        });
        self.their.locked = state.locked.as_ref().map(|it| (number(it.round), it.value.0));
        self.their.valid = state.valid.as_ref().map(|it| (number(it.round), it.value.0));
        self.their.decision = state.decision.as_ref().map(|it| (number(it.round), it.value.0));
        for (state, waits) in
            [(&mut self.our, &self.our_waits), (&mut self.their, &self.their_waits)]
        {
            let matters = |(wait, round): &&(Wait, u32)| {
                *round == state.round
                    && match (wait, state.step) {
                        (Wait::Propose, step) => step == Some(Step::Propose),
                        (Wait::Prepare, step) => step == Some(Step::Prepare),
                        (Wait::Precommit, step) => step != Some(Step::Decided),
                    }
            };
            state.waits = waits.iter().filter(matters).copied().collect();
        }
    }
}

impl Seen {
    fn count(&mut self, before: &State, after: &State, told: Told) {
        if before.decision.is_none()
            && let Some((round, _)) = after.decision
        {
            self.decisions += 1;
            self.past_decisions += u64::from(round < before.round);
        }
        if let (Some((_, old)), Some((_, new))) = (before.locked, after.locked) {
            self.relocks += u64::from(old != new);
        }
        self.valid_only += u64::from(before.valid != after.valid && before.locked == after.locked);
        let new = &after.proposals[before.proposals.len()..];
        self.again += new.iter().filter(|(.., valid_round)| valid_round.is_some()).count() as u64;
        let over = matches!(told, Told::Over(..));
        self.skips += u64::from(!over && after.round > before.round);
        let votes = &after.votes[before.votes.len()..];
        let nil = votes.iter().any(|(kind, _, block)| {
            *kind == VoteKind::Prepare && block.is_zero() && before.locked.is_some()
        });
        self.nil_while_locked += u64::from(nil && !over);
    }
}

fn number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}
