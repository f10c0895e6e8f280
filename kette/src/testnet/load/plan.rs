//! What is handed in by whom, drawn from the seed and signed before the first one is due.

use super::{
    Wish,
    accounts::{Sender, Signed, Terms},
    mix::{Kind, token_code, token_transfer},
};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// A transaction of the load.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who sends it: its place among the senders.
    pub sender: u32,
    /// Its nonce.
    pub nonce: u64,
    /// To which endpoint it is handed.
    pub endpoint: usize,
    /// The signed bytes.
    pub signed: Signed,
    /// The pair to which it belongs, if it is one of two with the same nonce.
    pub pair: Option<u32>,
}

/// What is to be signed.
struct Draft {
    sender: u32,
    nonce: u64,
    kind: Kind,
    to: Address,
    value: u64,
    endpoint: usize,
    pair: Option<u32>,
}

/// Highest amount of a transfer, wei or units.
const VALUE_MAX: u64 = 1_000;

/// Returns how many accounts a load needs: its senders, and one for each pair in conflict.
pub const fn accounts(wish: &Wish) -> usize {
    wish.senders + wish.conflicts
}

/// Returns how many transactions one account sends at most.
pub fn each(wish: &Wish) -> u64 {
    wish.transactions.div_ceil(wish.senders.max(1) as u64).max(2)
}

/// Draws and signs everything, in the order in which it is due. Pairs in conflict come last.
///
/// # Errors
/// None: the token's code is a constant.
pub fn plan(
    wish: &Wish,
    endpoints: usize,
    terms: &Terms,
    senders: &[Sender],
    token: Address,
) -> anyhow::Result<Vec<Entry>> {
    let code = token_code()?;
    let mut rng = ChaCha8Rng::seed_from_u64(wish.seed);
    let count = wish.senders;
    let mut next: Vec<u64> = senders.iter().map(|sender| sender.next).collect();
    let mut drafts: Vec<Draft> = (0..wish.transactions)
        .map(|place| {
            let sender = (place % count as u64) as usize;
            let kind = wish.mix.pick(rng.random());
            let other = (sender + rng.random_range(1..count.max(2))) % count;
            let nonce = next[sender];
            next[sender] += 1;
            Draft {
                sender: sender as u32,
                nonce,
                kind,
                to: senders[other].address,
                value: rng.random_range(1..=VALUE_MAX),
                endpoint: sender % endpoints,
                pair: None,
            }
        })
        .collect();
    for pair in 0..wish.conflicts {
        let sender = count + pair;
        let to = senders[rng.random_range(0..count)].address;
        // The amounts differ, so the two are two.
        for (value, endpoint) in [(1, pair % endpoints), (2, (pair + 1) % endpoints)] {
            drafts.push(Draft {
                sender: sender as u32,
                nonce: next[sender],
                kind: Kind::Transfer,
                to,
                value,
                endpoint,
                pair: Some(pair as u32),
            });
        }
    }
    Ok(drafts.into_par_iter().map(|draft| draft.sign(terms, senders, token, &code)).collect())
}

impl Draft {
    fn sign(self, terms: &Terms, senders: &[Sender], token: Address, code: &Bytes) -> Entry {
        let (to, value, input) = match self.kind {
            Kind::Transfer => (TxKind::Call(self.to), U256::from(self.value), Bytes::new()),
            Kind::Erc20 => (TxKind::Call(token), U256::ZERO, token_transfer(self.to, self.value)),
            Kind::Deploy => (TxKind::Create, U256::ZERO, code.clone()),
        };
        let key = &senders[self.sender as usize].key;
        let signed = terms.sign(key, self.nonce, self.kind.gas(), to, value, input);
        let Self { sender, nonce, endpoint, pair, .. } = self;
        Entry { sender, nonce, endpoint, signed, pair }
    }
}
