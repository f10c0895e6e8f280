//! The types that Malachite is generic over: numbers.

use alloy_primitives::B256;
use arc_malachitebft_core_types::{
    self as core, NilOrVal, Round, SignedExtension, SigningScheme, Timeout, VoteType, VotingPower,
};
use std::{convert::Infallible, fmt, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) usize);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Height(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block(pub(crate) B256);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validator(pub(crate) Address, pub(crate) u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set(pub(crate) Vec<Validator>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) round: Round,
    pub(crate) block: Block,
    pub(crate) valid_round: Round,
    pub(crate) from: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) round: Round,
    pub(crate) block: NilOrVal<B256>,
    pub(crate) from: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeouts;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsigned;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl core::Address for Address {}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0 + n)
    }
    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }
    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl core::Value for Block {
    type Id = B256;
    fn id(&self) -> B256 {
        self.0
    }
}

impl core::Validator<Context> for Validator {
    fn address(&self) -> &Address {
        &self.0
    }
    fn public_key(&self) -> &() {
        &()
    }
    fn voting_power(&self) -> VotingPower {
        self.1
    }
}

impl core::ValidatorSet<Context> for Set {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total_voting_power(&self) -> VotingPower {
        self.0.iter().map(|validator| validator.1).sum()
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.0.get(address.0)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

impl core::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        Height(1)
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &Block {
        &self.block
    }
    fn take_value(self) -> Block {
        self.block
    }
    fn pol_round(&self) -> Round {
        self.valid_round
    }
    fn validator_address(&self) -> &Address {
        &self.from
    }
}

impl core::Vote<Context> for Vote {
    fn height(&self) -> Height {
        Height(1)
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<B256> {
        &self.block
    }
    fn take_value(self) -> NilOrVal<B256> {
        self.block
    }
    fn vote_type(&self) -> VoteType {
        self.kind
    }
    fn validator_address(&self) -> &Address {
        &self.from
    }
    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }
    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }
    fn extend(self, _: SignedExtension<Context>) -> Self {
        self
    }
}

impl core::ProposalPart<Context> for Part {
    fn is_first(&self) -> bool {
        true
    }
    fn is_last(&self) -> bool {
        true
    }
}

impl core::Timeouts<Context> for Timeouts {
    fn duration_for(&self, _: Timeout) -> Duration {
        Duration::ZERO
    }
}

impl SigningScheme for Unsigned {
    type DecodingError = Infallible;
    type Signature = ();
    type PublicKey = ();
    type PrivateKey = ();
    fn decode_signature(_: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
    fn encode_signature((): &()) -> Vec<u8> {
        Vec::new()
    }
    fn decode_public_key(_: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
    fn encode_public_key((): &()) -> Vec<u8> {
        Vec::new()
    }
}

impl core::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Set;
    type Timeouts = Timeouts;
    type Value = Block;
    type Vote = Vote;
    type Extension = Vec<u8>;
    type SigningScheme = Unsigned;

    fn select_proposer<'a>(&self, set: &'a Set, _: Height, round: Round) -> &'a Validator {
        let round = usize::try_from(round.as_i64().max(0)).expect("a round");
        &set.0[round % set.0.len()]
    }

    fn new_proposal(
        &self,
        _: Height,
        round: Round,
        block: Block,
        valid_round: Round,
        from: Address,
    ) -> Proposal {
        Proposal { round, block, valid_round, from }
    }

    fn new_prevote(&self, _: Height, round: Round, block: NilOrVal<B256>, from: Address) -> Vote {
        Vote { kind: VoteType::Prevote, round, block, from }
    }

    fn new_precommit(&self, _: Height, round: Round, block: NilOrVal<B256>, from: Address) -> Vote {
        Vote { kind: VoteType::Precommit, round, block, from }
    }
}
