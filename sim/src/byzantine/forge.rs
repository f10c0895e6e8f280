//! Makes blocks on any parent whose state is at hand, with real proof of work: valid ones, and ones that break
//! exactly one rule.
//!
//! The search for a nonce takes no virtual time. An actor that forges has that much more hash power than its host
//! is given, which makes it a stronger adversary, not a weaker one.

use super::flaw::{self, Flaw};
use crate::{engine, memo::Memo};
use alloy_primitives::B64;
use kette_chain::{ExecutedBlock, Headers as _};
use kette_consensus::{
    job::MineJob,
    pow::{self, difficulty, seal},
};
use kette_ledger::{Attributes, BlockHashes, Rules};
use kette_node::Node;
use kette_types::{
    Address, B256, Block, Bytes, ChainSpec, Header, Recovered, SealedHeader, Transaction, U256,
    limits::BODY_BYTES_MAX, spec::PowSpec, spec::RewardPolicy,
};
use std::sync::Arc;

/// A maker of blocks.
pub(super) struct Forge {
    spec: Arc<ChainSpec>,
    rules: Rules,
    /// As [`Self::rules`], but every block pays twice as much.
    greedy: Rules,
    pow: PowSpec,
    memo: Arc<Memo>,
}

/// What goes into a block.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Seconds since the Unix epoch.
    pub(super) timestamp: u64,
    /// Who is paid.
    pub(super) beneficiary: Address,
    /// Candidates; those that are not valid on the parent are left out.
    pub(super) transactions: Vec<Recovered<Transaction>>,
}

/// A block, and what is left of its making.
struct Unsealed {
    header: Header,
    body: kette_types::Body,
}

impl Forge {
    /// Makes a forge; `None` if the chain is not one of proof of work.
    pub(super) fn new(spec: &Arc<ChainSpec>, memo: &Arc<Memo>) -> Option<Self> {
        let pow = engine::pow(spec)?;
        Some(Self {
            rules: Rules::new(spec.clone()),
            greedy: Rules::new(Arc::new(greedy(spec))),
            pow: pow.clone(),
            memo: memo.clone(),
            spec: spec.clone(),
        })
    }

    /// Finds a block whose state is at hand.
    pub(super) fn parent(&self, node: &Node, hash: B256) -> Option<Arc<ExecutedBlock>> {
        self.memo.block(hash).or_else(|| node.tree().executed(hash).cloned())
    }

    /// Makes a valid block.
    pub(super) fn valid(
        &self,
        node: &Node,
        parent: &ExecutedBlock,
        recipe: &Recipe,
    ) -> Option<Block> {
        let Unsealed { header, body } = self.fill(node, &self.rules, parent, recipe)?;
        Some(Block { header: sealed(header)?, body })
    }

    /// Makes another valid block beside one that is there: the same parent and transactions, another beneficiary.
    pub(super) fn sibling(
        &self,
        node: &Node,
        of: &ExecutedBlock,
        beneficiary: Address,
    ) -> Option<Block> {
        let header = of.block.header.header();
        let parent = self.parent(node, header.parent_hash)?;
        let transactions = of.block.body.transactions.iter().zip(&of.senders);
        let transactions =
            transactions.map(|(t, sender)| Recovered::new_unchecked(t.clone(), *sender)).collect();
        let recipe = Recipe { timestamp: header.timestamp, beneficiary, transactions };
        self.valid(node, &parent, &recipe)
    }

    /// Makes a block that breaks one rule; `None` if this rule cannot be broken with this parent and recipe.
    pub(super) fn broken(
        &self,
        node: &Node,
        parent: &ExecutedBlock,
        recipe: &Recipe,
        flaw: Flaw,
    ) -> Option<Block> {
        let mut recipe = recipe.clone();
        if flaw == Flaw::FarFuture {
            recipe.timestamp += self.pow.future_limit + FAR_SECS;
        }
        let rules = if flaw == Flaw::DoubleReward { &self.greedy } else { &self.rules };
        let Unsealed { mut header, mut body } = self.fill(node, rules, parent, &recipe)?;
        if flaw == Flaw::BeforeMedian {
            header.timestamp = self.oldest_of_span(node, parent)?;
            let excess = difficulty::next_excess(&self.pow, &parent.block.header, header.timestamp);
            header.extra_data = Bytes::copy_from_slice(&excess.to_be_bytes());
        }
        flaw::spoil(flaw, self.spec.chain_id(), &mut header, &mut body)?;
        let header = match flaw {
            Flaw::NoWork => without_work(header)?,
            Flaw::SealBeside => {
                let sealed = sealed(header)?;
                SealedHeader::new(sealed.header().clone(), Bytes::from_static(b"junk"))
            }
            _ => sealed(header)?,
        };
        Some(Block { header, body })
    }

    fn fill(
        &self,
        node: &Node,
        rules: &Rules,
        parent: &ExecutedBlock,
        recipe: &Recipe,
    ) -> Option<Unsealed> {
        let head = parent.block.header.header();
        let excess = difficulty::next_excess(&self.pow, head, recipe.timestamp);
        let attributes = Attributes {
            timestamp: recipe.timestamp,
            beneficiary: recipe.beneficiary,
            extra_data: Bytes::copy_from_slice(&excess.to_be_bytes()),
            difficulty: difficulty::next_difficulty(&self.pow, self.spec.genesis.difficulty, head),
            mix_hash: B256::from(seal::header_pow_hash(&parent.block.header)),
            gas_limit: None,
            nonce: B64::ZERO,
            seal: Bytes::new(),
        };
        let built = kette_ledger::build(
            rules,
            head,
            &parent.state,
            &attributes,
            &mut recipe.transactions.iter().cloned(),
            &Ancestors { node, parent: parent.hash() },
            BODY_BYTES_MAX,
        );
        let built = built.ok()?;
        Some(Unsealed { header: built.header, body: built.body })
    }

    /// Returns the timestamp of the oldest block that the median is taken of: never later than the median.
    fn oldest_of_span(&self, node: &Node, parent: &ExecutedBlock) -> Option<u64> {
        let mut header = parent.block.header.clone();
        for _ in 1..pow::MEDIAN_SPAN {
            if header.number == 0 {
                break;
            }
            header = node.tree().header(header.parent_hash).ok()??;
        }
        Some(header.timestamp)
    }
}

/// The same chain, paying twice as much.
fn greedy(spec: &ChainSpec) -> ChainSpec {
    let mut spec = spec.clone();
    if let Some(kette) = &mut spec.kette {
        let twice = |amount: &mut U256| *amount = amount.saturating_add(*amount);
        match &mut kette.reward {
            RewardPolicy::Constant { amount } => twice(amount),
            RewardPolicy::Halving { initial, .. } => twice(initial),
            RewardPolicy::Log { unit, .. } => twice(unit),
        }
    }
    spec
}

/// Finds a nonce for the difficulty in the header.
fn sealed(mut header: Header) -> Option<SealedHeader> {
    let job = MineJob {
        preimage: seal::seal_hash(&header),
        target: seal::target(header.difficulty),
        nonce_start: 0,
        rate: None,
        threads: 1,
    };
    let nonce = pow::search(&job, 0, TRIES_MAX)?;
    header.nonce = B64::from(nonce.to_be_bytes());
    Some(SealedHeader::new(header, Bytes::new()))
}

/// Finds a nonce that does not meet the difficulty in the header.
fn without_work(mut header: Header) -> Option<SealedHeader> {
    let (preimage, target) = (seal::seal_hash(&header), seal::target(header.difficulty));
    let nonce = (0..64).find(|nonce| pow::pow_hash(preimage, *nonce) > target)?;
    header.nonce = B64::from(u64::to_be_bytes(nonce));
    Some(SealedHeader::new(header, Bytes::new()))
}

/// Hashes of the ancestors of a block, for contracts that ask.
struct Ancestors<'a> {
    node: &'a Node,
    parent: B256,
}

impl BlockHashes for Ancestors<'_> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        let mut header = self.node.tree().header(self.parent).ok()??;
        while header.number > number {
            header = self.node.tree().header(header.parent_hash).ok()??;
        }
        (header.number == number).then(|| header.hash())
    }
}

/// Nonces tried for one block: beyond any sensible difficulty of a simulation.
const TRIES_MAX: u64 = 1 << 28;
/// How far beyond what is acceptable the far future lies, seconds.
const FAR_SECS: u64 = 3_600;
