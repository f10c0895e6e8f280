//! An independent, slow validator: what a valid block is, written a second time from the documents.
//!
//! It shares nothing with the ledger or the engine but the structures of `kette_types` and the hash functions: headers by
//! the rules of Prague as `pow` uses them, seals by a streaming SHA-256d, difficulty by the absolute form of ASERT,
//! transfers by an executor of its own over a flat map, roots by building whole tries. What it does not execute
//! (contracts) it takes over from the node, compares by state root alone, and counts.
//!
//! On `bft` it follows seeds, leaders and the registry of validators (`bft/`): jailing, evidence, sets, and who is paid
//! what. Once a transaction called the registry, its storage is taken over too, from there on.

mod accounts;
mod bft;
mod header;
mod money;
mod schedule;
mod seal;
mod transfer;

#[cfg(test)]
pub(super) mod forge;
#[cfg(test)]
mod tests;

pub use accounts::Accounts;
pub use money::reward;

use alloy_primitives::B256;
use kette_chain::ExecutedBlock;
use kette_types::{
    Address, Block, ChainSpec, Header, Transaction, U256, bft::Seal, limits::BODY_BYTES_MAX,
    spec::KetteConfig, spec::PowSpec,
};
use std::{collections::BTreeMap, sync::Arc};

/// Why a block is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It breaks this rule.
    #[error("{0}")]
    Invalid(String),
    /// Its parent was not accepted here: no verdict.
    #[error("its parent {0} was not accepted before")]
    UnknownParent(B256),
    /// It contains what is not executed here, and nobody gave the result: no verdict.
    #[error("not executed here: {0}")]
    NotExecuted(&'static str),
}

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Wei created.
    pub issued: U256,
    /// Wei destroyed; `None` if the block was not executed here.
    pub burned: Option<U256>,
    /// Who signed its transactions; empty if the block was not executed here.
    pub senders: Vec<Address>,
    /// Gas used up to and with each transaction; empty if the block was not executed here.
    pub cumulative_gas: Vec<u64>,
}

/// An accepted block.
#[derive(Debug)]
struct Known {
    header: Header,
    accounts: Accounts,
    /// What the engine's rules say about its children.
    more: More,
}

/// What the next block needs to know of its parent, by engine.
#[derive(Clone, Debug)]
enum More {
    /// Sum of the solve times that count, from block 1 on, seconds.
    Pow(i128),
    /// Its seal, but of block 0, and the registry after it, unless somebody called it.
    Bft(Option<Arc<Seal>>, Option<Arc<bft::Registry>>),
}

/// The engine's constants.
#[derive(Debug)]
enum Engine {
    Pow(PowSpec),
    Bft(Box<bft::Terms>),
}

/// Accepted blocks, on whatever branch. Grows with the blocks of a run, as the world's own list of them does; states share
/// what is equal.
#[derive(Debug)]
pub struct Validator {
    spec: Arc<ChainSpec>,
    kette: KetteConfig,
    engine: Engine,
    known: BTreeMap<B256, Known>,
    senders: transfer::Senders,
    skipped: BTreeMap<&'static str, u64>,
    executed: u64,
}

impl Validator {
    /// Makes a validator that knows block 0.
    ///
    /// # Errors
    /// If the chain has no engine, or the accounts of the genesis file do not have the state root of block 0.
    pub fn new(spec: Arc<ChainSpec>, genesis: &Block) -> Result<Self, Refusal> {
        let missing = || Refusal::Invalid("the genesis file names no engine".to_owned());
        let kette = spec.kette.clone().ok_or_else(missing)?;
        let mut accounts = Accounts::genesis(&spec);
        let (engine, more) = match (spec.pow(), spec.bft()) {
            (Some(pow), _) => (Engine::Pow(pow.clone()), More::Pow(0)),
            (None, Some(bft)) => {
                let terms = bft::Terms::new(&spec, bft);
                let registry = bft::Registry::genesis(&terms, &mut accounts);
                (Engine::Bft(Box::new(terms)), More::Bft(None, Some(Arc::new(registry))))
            }
            (None, None) => return Err(missing()),
        };
        same("state root of block 0", genesis.header.state_root, accounts.root())?;
        same("hash of block 0", genesis.hash(), header::hash(genesis.header.header()))?;
        let known = Known { header: genesis.header.header().clone(), accounts, more };
        Ok(Self {
            spec,
            kette,
            engine,
            known: BTreeMap::from([(genesis.hash(), known)]),
            senders: transfer::Senders::default(),
            skipped: BTreeMap::new(),
            executed: 0,
        })
    }

    /// Tells whether a block was accepted.
    pub fn accepted(&self, hash: B256) -> bool {
        self.known.contains_key(&hash)
    }

    /// Returns all balances of an accepted block.
    pub fn accounts(&self, hash: B256) -> Option<&Accounts> {
        self.known.get(&hash).map(|known| &known.accounts)
    }

    /// Returns how many blocks were accepted without being executed here, by reason.
    pub const fn skipped(&self) -> &BTreeMap<&'static str, u64> {
        &self.skipped
    }

    /// Returns how many blocks were executed here.
    pub const fn executed(&self) -> u64 {
        self.executed
    }

    /// Judges a block without remembering it. The receiver's clock is not asked.
    ///
    /// # Errors
    /// The rule that it breaks, or why there is no verdict.
    pub fn judge(&mut self, block: &Block) -> Result<Effect, Refusal> {
        self.run(block, None).map(|(effect, _)| effect)
    }

    /// Judges a block and remembers it. `given` is what a node got from it, for what is not executed here.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn accept(
        &mut self,
        block: &Block,
        given: Option<&ExecutedBlock>,
    ) -> Result<Effect, Refusal> {
        let (effect, known) = self.run(block, given)?;
        self.known.insert(block.hash(), known);
        Ok(effect)
    }

    fn run(
        &mut self,
        block: &Block,
        given: Option<&ExecutedBlock>,
    ) -> Result<(Effect, Known), Refusal> {
        let head = block.header.header();
        let unknown = Refusal::UnknownParent(head.parent_hash);
        let parent = self.known.get(&head.parent_hash).ok_or(unknown)?;
        same("block hash", block.hash(), header::hash(head))?;
        header::check(&self.kette, head, &parent.header)?;
        let (parent_header, mut accounts) = (&parent.header, parent.accounts.clone());
        let mut more = match (&self.engine, &parent.more) {
            (Engine::Pow(pow), More::Pow(counted)) => {
                seal::check(pow, block.header.seal(), head, parent_header)?;
                let (first, times) = (self.spec.genesis.difficulty, self.times(head.parent_hash));
                More::Pow(schedule::check(pow, first, head, parent_header, *counted, &times)?)
            }
            (Engine::Bft(terms), More::Bft(before, registry)) => {
                let seal =
                    terms.seal(block, parent_header, before.as_deref(), registry.as_deref())?;
                More::Bft(Some(Arc::new(seal)), registry.clone())
            }
            _ => unreachable!("a chain has one engine"),
        };
        body(block)?;
        let why_not = match &more {
            More::Bft(_, None) => Some("the registry of validators was called"),
            _ => transfer::why_not(&self.spec, &accounts, block),
        };
        let effect = match why_not {
            None => {
                let chain = (self.spec.chain_id(), self.kette.base_fee);
                let mut done = transfer::run(chain, &mut self.senders, &mut accounts, block)?;
                let policy = &self.kette.reward;
                match (&self.engine, &mut more) {
                    (Engine::Bft(terms), More::Bft(Some(seal), Some(registry))) => {
                        let registry = Arc::make_mut(registry);
                        let closed = registry.close(terms, head, seal, &mut accounts)?;
                        done.issued = reward(policy, head.number, closed.voters);
                        done.burned = done.burned.map(|burned| burned + closed.burned);
                        let share = terms.bft.producer_share;
                        let credits = closed.split(head.beneficiary, share, done.issued);
                        bft::credit(&mut accounts, &credits)?;
                    }
                    _ => {
                        done.issued = reward(policy, head.number, (0, 0));
                        bft::credit(&mut accounts, &[(head.beneficiary, done.issued)])?;
                    }
                }
                self.executed += 1;
                done
            }
            Some(reason) => {
                let given = given.ok_or(Refusal::NotExecuted(reason))?;
                accounts.adopt(given).map_err(Refusal::Invalid)?;
                *self.skipped.entry(reason).or_default() += 1;
                let issued = match &mut more {
                    More::Pow(_) => reward(&self.kette.reward, head.number, (0, 0)),
                    // Who votes may have changed by it.
                    More::Bft(_, registry) => {
                        *registry = None;
                        given.issued
                    }
                };
                Effect { issued, burned: None, senders: Vec::new(), cumulative_gas: Vec::new() }
            }
        };
        same("state root", head.state_root, accounts.root())?;
        Ok((effect, Known { header: head.clone(), accounts, more }))
    }

    /// Returns the timestamps of a block and its ancestors, at most eleven.
    fn times(&self, hash: B256) -> Vec<u64> {
        let mut times = Vec::with_capacity(schedule::MEDIAN_SPAN);
        let mut cursor = self.known.get(&hash);
        while let Some(known) = cursor
            && times.len() < schedule::MEDIAN_SPAN
        {
            times.push(known.header.timestamp);
            cursor = match known.header.number {
                0 => None,
                _ => self.known.get(&known.header.parent_hash),
            };
        }
        times
    }
}

/// Checks that the body is the one the header commits to.
fn body(block: &Block) -> Result<(), Refusal> {
    let (header, body) = (&block.header, &block.body);
    let encode = |transaction: &Transaction| {
        use alloy_eips::eip2718::Encodable2718 as _;
        transaction.encoded_2718()
    };
    let encoded: Vec<Vec<u8>> = body.transactions.iter().map(encode).collect();
    let root = alloy_trie::root::ordered_trie_root_encoded(&encoded);
    same("transactions root", header.transactions_root, root)?;
    same("number of ommers", body.ommers.len(), 0)?;
    // Kette chains have the list of withdrawals (EIP-4895), always empty.
    same("withdrawals", body.withdrawals.as_ref().map(|list| list.len()), Some(0))?;
    let bytes = alloy_rlp::Encodable::length(body);
    demand(bytes <= BODY_BYTES_MAX, || format!("body of {bytes} bytes"))
}

/// Demands that what came is what was expected.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), Refusal> {
    demand(got == expected, || format!("{what} {got:?}, expected {expected:?}"))
}

/// Demands that something holds.
fn demand(holds: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Invalid(what())) }
}
