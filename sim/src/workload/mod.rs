//! Users: transfers between development accounts while a network runs.
//!
//! Each user counts its own nonces, hands a transaction to some honest node and, like a wallet, hands it in again
//! elsewhere if the chain does not take it up: what was lost with a crashed node leaves no gap for ever.

#[cfg(test)]
mod tests;

use crate::{
    Moment, World, engine,
    rng::{ChaCha8Rng, Purpose, exponential, happens, stream, unit},
    scenario::{self, limits::TRANSFERS_MAX},
};
use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxLegacy};
use alloy_primitives::{Signature, TxKind, b256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_node::Ticket;
use kette_types::{Address, B256, ChainSpec, Recovered, Transaction, U256};
use rand::RngExt;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// What users see of a network, virtual or real.
pub trait Desk {
    /// Returns the time since the start.
    fn now(&self) -> Moment;
    /// Returns the hosts that users can talk to.
    fn hosts(&self) -> Vec<usize>;
    /// Hands a transaction to a host; it answers under the number that is returned.
    fn submit(&mut self, host: usize, transaction: Recovered<Transaction>) -> Ticket;
    /// Returns which questions were answered since the last call, and whether the transaction was taken. One that was
    /// known already was taken.
    fn take_answers(&mut self) -> Vec<(Ticket, bool)>;
    /// Returns the nonces that the heaviest chain expects of these accounts; `None` for one that could not be read,
    /// and for all if nobody answers.
    fn nonces(&self, accounts: &[Address]) -> Option<Vec<Option<u64>>>;
    /// Hears why nobody can send.
    fn object(&mut self, what: String);
}

/// A transaction that a user handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its hash.
    pub hash: B256,
    /// When, for the first time.
    pub at: Moment,
    /// To which host, for the first time.
    pub host: usize,
    /// Whether some host said that it took it; `None` as long as none answered.
    pub taken: Option<bool>,
    /// Another one with the same nonce, which another host got at the same time: one of the two can be in the chain.
    pub rival: Option<B256>,
}

/// Users.
#[derive(Debug)]
pub struct Workload {
    rate: f64,
    loads: BTreeMap<usize, f64>,
    rng: ChaCha8Rng,
    chain_id: u64,
    patience: Duration,
    users: Vec<User>,
    /// When the next transfer is due.
    transfer_at: Option<Moment>,
    /// When users look at the chain next.
    look_at: Moment,
    sent: Vec<Sent>,
    /// Pairs with one nonce that are still to come.
    conflicts: u32,
    /// Questions that no host has answered yet, and which transaction they are about.
    asked: BTreeMap<Ticket, usize>,
    /// Why nobody can send.
    trouble: Option<String>,
}

/// One funded account.
#[derive(Debug)]
struct User {
    signer: PrivateKeySigner,
    address: Address,
    /// Nonce of the next transaction.
    next: u64,
    /// Nonce that the chain expects, as last seen.
    settled: u64,
    fee_cap: u128,
    value_max: u64,
    /// Recent transactions with consecutive nonces: those that the chain lacks, and some that a reorganization may
    /// bring back.
    recent: VecDeque<Recent>,
}

/// A transfer before it is signed.
#[derive(Clone, Copy, Debug)]
struct Draft {
    nonce: u64,
    to: Address,
    value: U256,
    /// The tip at most, wei; `None` in the format before EIP-2718.
    tip: Option<u128>,
}

#[derive(Debug)]
struct Recent {
    transaction: Recovered<Transaction>,
    handed_in: Moment,
    /// Place in [`Workload::sent`].
    sent: usize,
}

/// Time between two looks at the chain.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After this time in which the chain did not take it up a transaction is handed in again: at least this,
const PATIENCE_MIN: Duration = Duration::from_secs(30);
/// and this many block times.
const PATIENCE_BLOCKS: u32 = 4;
/// Transactions of one user handed in again per look.
const AGAIN_MAX: usize = 32;
/// Transactions of one user that the chain lacks; a user with more waits. Below the pool's bound per sender.
const OPEN_MAX: u64 = 800;
/// Transactions of one user that are kept although the chain has them, for reorganizations.
const KEPT: u64 = 500;
/// Transactions remembered in all; users fall silent then.
const SENT_MAX: usize = 2_000_000;
/// Rates below are none: one transfer in more than eleven days.
const RATE_MIN: f64 = 1e-6;
/// Share of transfers in the format before EIP-2718.
const LEGACY: f64 = 0.2;
/// Share of transfers that are handed to two hosts at once.
const TWICE: f64 = 0.1;
/// Each so manieth transfer is one of a pair with one nonce, as long as the file wants pairs.
const PAIR_EVERY: usize = 10;
const GWEI: u128 = 1_000_000_000;
const ETHER: u64 = 1_000_000_000_000_000_000;

impl Workload {
    /// Begins with the file's workload.
    pub fn new(spec: &Arc<ChainSpec>, file: &scenario::Workload, seed: u64) -> Self {
        let count = file.senders.map_or(KEYS.len(), |count| count as usize);
        let users: Vec<User> =
            KEYS.iter().filter_map(|key| User::new(spec, *key)).take(count).collect();
        let trouble = users.is_empty().then(|| {
            "workload: the genesis funds no development account (those of the mnemonic \
             \"test test test test test test test test test test test junk\")"
                .to_owned()
        });
        let block_time = engine::block_time(spec);
        let mut workload = Self {
            rate: file.rate,
            loads: BTreeMap::new(),
            rng: stream(seed, Purpose::Workload, 0),
            chain_id: spec.chain_id(),
            patience: PATIENCE_MIN.max(block_time.saturating_mul(PATIENCE_BLOCKS)),
            users,
            transfer_at: None,
            look_at: Moment::START,
            sent: Vec::new(),
            conflicts: file.conflicts,
            asked: BTreeMap::new(),
            trouble,
        };
        workload.draw_next(Moment::START);
        workload
    }

    /// Adds transfers per second on behalf of a step.
    ///
    /// # Errors
    /// If the rate is no number, or negative.
    pub fn add_load(&mut self, now: Moment, step: usize, rate: f64) -> Result<(), String> {
        if !rate.is_finite() || rate < 0.0 {
            return Err(format!("load: rate = {rate} is not a number of 0 or more"));
        }
        self.loads.insert(step, rate);
        self.draw_next(now);
        Ok(())
    }

    /// Ends what a step added.
    pub fn end_load(&mut self, now: Moment, step: usize) {
        if self.loads.remove(&step).is_some() {
            self.draw_next(now);
        }
    }

    /// Sends nothing new from now on; what got lost is still handed in again.
    pub fn retire(&mut self, now: Moment) {
        self.rate = 0.0;
        self.loads.clear();
        self.draw_next(now);
    }

    /// Returns when there is something to do next.
    pub fn next(&self) -> Option<Moment> {
        let waits = self.users.iter().any(|user| user.next > user.settled);
        let look = waits.then_some(self.look_at);
        self.transfer_at.into_iter().chain(look).min()
    }

    /// Does what is due.
    pub fn act(&mut self, world: &mut impl Desk) {
        let now = world.now();
        if self.transfer_at.is_some_and(|at| at <= now)
            && let Some(trouble) = self.trouble.take()
        {
            world.object(trouble);
        }
        while let Some(at) = self.transfer_at.filter(|at| *at <= now) {
            self.transfer(world);
            self.draw_next(at);
        }
        self.hear(world);
        if self.look_at <= now {
            self.look(world);
            self.look_at = now + LOOK_EVERY;
        }
    }

    /// Returns what was handed in, each transaction once, in order.
    pub fn sent(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter()
    }

    /// Returns the accounts that send.
    pub fn accounts(&self) -> impl Iterator<Item = Address> {
        self.users.iter().map(|user| user.address)
    }

    /// Draws when the next transfer is due: independent users, so a Poisson process. It has no memory, so that it may
    /// be drawn again whenever the rate changes.
    fn draw_next(&mut self, from: Moment) {
        let rate = (self.rate + self.loads.values().sum::<f64>()).min(TRANSFERS_MAX);
        self.transfer_at = (rate >= RATE_MIN).then(|| {
            let mean = Duration::from_secs_f64(1.0 / rate);
            from + exponential(&mut self.rng, mean).max(Duration::from_micros(1))
        });
    }

    /// Makes a transfer, if some user has room and some host takes it.
    fn transfer(&mut self, world: &mut impl Desk) {
        let hosts = world.hosts();
        if hosts.is_empty() || self.users.is_empty() || self.sent.len() >= SENT_MAX {
            return;
        }
        let from = self.rng.random_range(0..self.users.len());
        let to = self.recipient(from);
        let user = &mut self.users[from];
        if user.next.saturating_sub(user.settled) >= OPEN_MAX {
            return;
        }
        let draft = user.draft(to, &mut self.rng);
        let transaction = user.sign(self.chain_id, draft);
        let pair =
            self.conflicts > 0 && hosts.len() > 1 && self.sent.len() % PAIR_EVERY == PAIR_EVERY - 1;
        let host = hosts[self.rng.random_range(0..hosts.len())];
        let (at, sent) = (world.now(), self.sent.len());
        let hash = *transaction.inner().tx_hash();
        // The amounts differ, the fees do not: neither replaces the other.
        let value = draft.value + U256::from(1);
        let rival = pair.then(|| user.sign(self.chain_id, Draft { value, ..draft }));
        let rival_hash = rival.as_ref().map(|rival| *rival.inner().tx_hash());
        self.sent.push(Sent { hash, at, host, taken: None, rival: rival_hash });
        user.recent.push_back(Recent { transaction: transaction.clone(), handed_in: at, sent });
        if happens(&mut self.rng, TWICE) && hosts.len() > 1 {
            let others: Vec<usize> = hosts.into_iter().filter(|other| *other != host).collect();
            let second = others[self.rng.random_range(0..others.len())];
            self.ask(world, second, transaction.clone(), sent);
        }
        self.ask(world, host, transaction, sent);
        if let Some(rival) = rival {
            let others: Vec<usize> =
                world.hosts().into_iter().filter(|other| *other != host).collect();
            if let Some(second) = others.get(self.rng.random_range(0..others.len().max(1))) {
                self.conflicts -= 1;
                // Whether it is taken is nobody's matter: it need not be in the chain.
                world.submit(*second, rival);
            }
        }
    }

    fn recipient(&mut self, from: usize) -> Address {
        let others = self.users.len() - 1;
        if others == 0 {
            // The only user pays itself.
            return self.users[from].address;
        }
        let place = self.rng.random_range(0..others);
        self.users[if place < from { place } else { place + 1 }].address
    }

    fn ask(
        &mut self,
        world: &mut impl Desk,
        host: usize,
        what: Recovered<Transaction>,
        sent: usize,
    ) {
        let ticket = world.submit(host, what);
        self.asked.insert(ticket, sent);
    }

    /// Hears what hosts answered.
    fn hear(&mut self, world: &mut impl Desk) {
        for (ticket, taken) in world.take_answers() {
            if let Some(sent) = self.asked.remove(&ticket) {
                let known = &mut self.sent[sent].taken;
                *known = Some(known.unwrap_or(false) || taken);
            }
        }
    }

    /// Looks at the heaviest chain that an honest host has, and hands in again what it lacks for too long.
    fn look(&mut self, world: &mut impl Desk) {
        let accounts: Vec<Address> = self.accounts().collect();
        let Some(nonces) = world.nonces(&accounts) else { return };
        let now = world.now();
        let hosts = world.hosts();
        let mut again = Vec::new();
        for (user, nonce) in self.users.iter_mut().zip(nonces) {
            // A host that cannot read its state says nothing about the chain.
            let Some(nonce) = nonce else { continue };
            user.settled = nonce;
            user.next = user.next.max(user.settled);
            again.extend(user.overdue(now, self.patience));
        }
        let oldest =
            self.users.iter().filter_map(|user| user.recent.front()).map(|it| it.sent).min();
        let oldest = oldest.unwrap_or(self.sent.len());
        // Who crashed never answers: what is settled for good needs no answer.
        self.asked.retain(|_, sent| *sent >= oldest);
        if hosts.is_empty() {
            return;
        }
        for (transaction, sent) in again {
            let host = hosts[self.rng.random_range(0..hosts.len())];
            self.ask(world, host, transaction, sent);
        }
    }
}

impl User {
    /// Returns the owner of a key, if the genesis file funds it.
    fn new(spec: &ChainSpec, key: B256) -> Option<Self> {
        let signer = PrivateKeySigner::from_bytes(&key).expect("a constant that is tested");
        let address = signer.address();
        let account = spec.genesis.alloc.get(&address)?;
        let nonce = account.nonce.unwrap_or(0);
        // A full pool of its transactions takes less than a fifth of what it has.
        let part = account.balance / U256::from(GAS * 20_000);
        let fee_cap = u128::try_from(part).unwrap_or(u128::MAX).clamp(1, 1_000 * GWEI);
        let part = account.balance / U256::from(10_000);
        let value_max = u64::try_from(part).unwrap_or(u64::MAX).min(ETHER);
        let funded = account.balance > U256::from(GAS) * U256::from(fee_cap);
        funded.then_some(Self {
            signer,
            address,
            next: nonce,
            settled: nonce,
            fee_cap,
            value_max,
            recent: VecDeque::new(),
        })
    }

    /// Draws the next transfer, which takes a nonce.
    fn draft(&mut self, to: Address, rng: &mut ChaCha8Rng) -> Draft {
        let nonce = self.next;
        self.next += 1;
        // Amounts of all magnitudes.
        let bits = rng.random_range(0..=60u32);
        let value = U256::from((rng.random::<u64>() >> (63 - bits)).min(self.value_max));
        let tip = (!happens(rng, LEGACY)).then(|| (unit(rng) * 3.0 * GWEI as f64) as u128);
        Draft { nonce, to, value, tip }
    }

    /// Signs a transfer.
    fn sign(&self, chain_id: u64, draft: Draft) -> Recovered<Transaction> {
        let Draft { nonce, to, value, tip } = draft;
        let to = TxKind::Call(to);
        let transaction: Transaction = match tip {
            None => {
                let (chain_id, gas_price) = (Some(chain_id), self.fee_cap);
                let input = Default::default();
                self.seal(TxLegacy { chain_id, nonce, gas_price, gas_limit: GAS, to, value, input })
            }
            Some(tip) => self.seal(TxEip1559 {
                chain_id,
                nonce,
                gas_limit: GAS,
                max_fee_per_gas: self.fee_cap,
                max_priority_fee_per_gas: tip.min(self.fee_cap),
                to,
                value,
                ..TxEip1559::default()
            }),
        };
        Recovered::new_unchecked(transaction, self.address)
    }

    /// Signs, with the nonce of RFC 6979: the same transaction has the same hash in every run.
    fn seal<T>(&self, transaction: T) -> Transaction
    where
        T: SignableTransaction<Signature> + alloy_consensus::transaction::RlpEcdsaEncodableTx,
        Transaction: From<Signed<T>>,
    {
        let hash = transaction.signature_hash();
        let signature = self.signer.sign_hash_sync(&hash).expect("a local key signs");
        transaction.into_signed(signature).into()
    }

    /// Returns what the chain lacks for too long, and forgets what it has for good.
    fn overdue(&mut self, now: Moment, patience: Duration) -> Vec<(Recovered<Transaction>, usize)> {
        let nonce =
            |recent: &Recent| alloy_consensus::Transaction::nonce(recent.transaction.inner());
        let settled = self.settled;
        while self.recent.front().is_some_and(|first| nonce(first) + KEPT < settled) {
            self.recent.pop_front();
        }
        self.recent
            .iter_mut()
            .filter(|recent| nonce(recent) >= settled && recent.handed_in + patience <= now)
            .take(AGAIN_MAX)
            .map(|recent| {
                recent.handed_in = now;
                (recent.transaction.clone(), recent.sent)
            })
            .collect()
    }
}

impl Desk for World {
    fn now(&self) -> Moment {
        Self::now(self)
    }

    fn hosts(&self) -> Vec<usize> {
        self.honest().filter(|host| !host.paused).map(|host| host.index).collect()
    }

    fn submit(&mut self, host: usize, transaction: Recovered<Transaction>) -> Ticket {
        Self::submit(self, host, transaction)
    }

    fn take_answers(&mut self) -> Vec<(Ticket, bool)> {
        Self::take_answers(self)
    }

    fn nonces(&self, accounts: &[Address]) -> Option<Vec<Option<u64>>> {
        let best = self.honest().filter_map(|host| host.node()).reduce(|best, node| {
            if node.tree().head_weight() > best.tree().head_weight() { node } else { best }
        })?;
        let state = best.tree().head_block().state.clone();
        let nonce = |address: &Address| {
            state.account(*address).ok().map(|account| account.map_or(0, |account| account.nonce))
        };
        Some(accounts.iter().map(nonce).collect())
    }

    fn object(&mut self, what: String) {
        Self::object(self, "scenario", what);
    }
}

/// Gas of a transfer (Yellow Paper, appendix G).
const GAS: u64 = 21_000;

/// Private keys of m/44'/60'/0'/0/0 to 9 of the mnemonic "test test test test test test test test test test test
/// junk", as anvil and hardhat print them at start. Deriving them (BIP-39: 2,048 rounds of HMAC-SHA512 each) would
/// take longer than many runs.
const KEYS: [B256; 10] = [
    b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
    b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
    b256!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"),
    b256!("8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"),
    b256!("92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"),
    b256!("4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356"),
    b256!("dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97"),
    b256!("2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"),
];
