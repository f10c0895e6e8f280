//! The pool against a model that keeps a list and computes everything else from scratch.

use super::*;
use proptest::{collection::vec, prelude::*};

const SENDERS: u8 = 4;
const LIMITS: Limits = Limits {
    count: 12,
    bytes: 12 * 112,
    per_sender: 5,
    nonce_gap: 4,
    bump_percent: 10,
    expiry: Duration::from_secs(20),
    price_floor: 1,
};

#[derive(Clone, Debug)]
enum Op {
    Add {
        sender: u8,
        nonce: u64,
        fee: u128,
        tip: u128,
        local: bool,
    },
    Drop(prop::sample::Index),
    Wait(u64),
    /// A new head with these nonces and balances (in plain transfers at 100 wei) of some accounts, and
    /// transactions returned.
    Head {
        accounts: Vec<(u8, u64, u64)>,
        returned: Vec<(u8, u64, u128)>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let fee = prop_oneof![
        Just(50_u128),
        Just(55),
        Just(56),
        Just(100),
        Just(110),
        Just(150),
        1..200_u128
    ];
    let add = (1..=SENDERS, 0..9_u64, fee, 0..200_u128, prop::bool::weighted(0.1)).prop_map(
        |(sender, nonce, fee, tip, local)| Op::Add { sender, nonce, fee, tip: tip.min(fee), local },
    );
    let accounts = vec((1..=SENDERS, 0..5_u64, 0..9_u64), 0..3);
    let returned = vec((1..=SENDERS, 0..5_u64, 1..200_u128), 0..3);
    prop_oneof![
        12 => add,
        2 => any::<prop::sample::Index>().prop_map(Op::Drop),
        2 => (1..15_u64).prop_map(Op::Wait),
        3 => (accounts, returned).prop_map(|(accounts, returned)| Op::Head { accounts, returned }),
    ]
}

#[derive(Clone)]
struct Item {
    tx: Recovered<Transaction>,
    local: bool,
    expires: Time,
}

impl Item {
    fn nonce(&self) -> u64 {
        self.tx.nonce()
    }
    fn cost(&self) -> u128 {
        u128::from(self.tx.gas_limit()) * self.tx.max_fee_per_gas()
    }
}

/// A list, the accounts and the floor; no index.
#[derive(Clone)]
struct Model {
    items: Vec<Item>,
    accounts: BTreeMap<Address, (u64, u128)>,
    floor: u128,
}

impl Model {
    fn of(&self, sender: Address) -> Vec<&Item> {
        let mut items: Vec<_> = self.items.iter().filter(|i| i.tx.signer() == sender).collect();
        items.sort_by_key(|item| item.nonce());
        items
    }

    fn next(&self, sender: Address) -> u64 {
        let mut next = self.accounts[&sender].0;
        while self.of(sender).iter().any(|item| item.nonce() == next) {
            next += 1;
        }
        next
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.tx.eip2718_encoded_length()).sum()
    }

    fn remove(&mut self, hash: B256) {
        self.items.retain(|item| *item.tx.tx_hash() != hash);
    }

    fn bumps(old: &Item, new: &Item) -> bool {
        let enough = |old: u128, new: u128| new > old && new * 100 >= old * 110;
        enough(old.tx.max_fee_per_gas(), new.tx.max_fee_per_gas())
            && enough(old.tx.priority_fee_or_price(), new.tx.priority_fee_or_price())
    }

    fn price(&self, sender: Address) -> (bool, bool, u128, Reverse<usize>) {
        let items = self.of(sender);
        let last = items.last().unwrap();
        let cheapest = items.iter().map(|item| item.tx.max_fee_per_gas()).min().unwrap();
        (last.local, last.nonce() < self.next(sender), cheapest, Reverse(items.len()))
    }

    fn shrink(&mut self, keep: Option<B256>) -> bool {
        while self.items.len() > LIMITS.count || self.bytes() > LIMITS.bytes {
            let senders: BTreeSet<_> = self.items.iter().map(|item| item.tx.signer()).collect();
            let victim = senders.into_iter().min_by_key(|s| (self.price(*s), *s)).unwrap();
            let price = self.price(victim);
            for sender in (1..=SENDERS).map(address) {
                let last = self.of(sender).last().map(|item| hash(&item.tx));
                if last.is_some() && last == keep && price >= self.price(sender) {
                    return false;
                }
            }
            if !price.0 && price.1 {
                self.floor = self.floor.max(price.2);
            }
            let last = hash(&self.of(victim).last().unwrap().tx);
            self.remove(last);
        }
        true
    }

    fn add(&mut self, item: Item) -> bool {
        let before = self.clone();
        let sender = item.tx.signer();
        let (nonce, balance) = self.accounts[&sender];
        let floor = if item.local { LIMITS.price_floor } else { self.floor };
        let next = self.next(sender);
        if self.items.iter().any(|held| held.tx == item.tx)
            || item.tx.max_fee_per_gas() < floor
            || item.nonce() < nonce
            || item.nonce() > next + LIMITS.nonce_gap
        {
            return false;
        }
        let held = self.of(sender).into_iter().find(|held| held.nonce() == item.nonce()).cloned();
        if let Some(held) = &held {
            if !Self::bumps(held, &item) {
                return false;
            }
            self.remove(hash(&held.tx));
        }
        let spent: u128 = self.of(sender).iter().map(|item| item.cost()).sum();
        let last = self.of(sender).last().map(|last| (last.nonce(), hash(&last.tx)));
        let full = held.is_none() && self.of(sender).len() == LIMITS.per_sender;
        let may_displace = last.is_some_and(|(last, _)| last > item.nonce());
        if spent + item.cost() > balance || (full && !may_displace) {
            *self = before;
            return false;
        }
        if let (true, Some((_, last))) = (full, last) {
            self.remove(last);
        }
        let kept = hash(&item.tx);
        self.items.push(item);
        if self.shrink(Some(kept)) {
            return true;
        }
        *self = before;
        false
    }

    fn head(&mut self, accounts: &[(u8, u64, u128)], returned: Vec<Item>) {
        let mut judged: BTreeSet<_> = accounts.iter().map(|(n, ..)| address(*n)).collect();
        for (n, nonce, balance) in accounts {
            self.accounts.insert(address(*n), (*nonce, *balance));
        }
        let mut seen = BTreeSet::new();
        for item in returned {
            if self.items.iter().any(|held| held.tx == item.tx) {
                continue;
            }
            let sender = item.tx.signer();
            judged.insert(sender);
            if !seen.insert((sender, item.nonce())) || item.nonce() < self.accounts[&sender].0 {
                continue;
            }
            let held = self.of(sender).into_iter().find(|h| h.nonce() == item.nonce()).cloned();
            if let Some(held) = held {
                if !Self::bumps(&held, &item) {
                    continue;
                }
                self.remove(hash(&held.tx));
            }
            self.items.push(item);
        }
        for sender in judged {
            let (nonce, mut left) = self.accounts[&sender];
            let mut kept = Vec::new();
            for item in self.of(sender).into_iter().filter(|item| item.nonce() >= nonce) {
                if item.cost() <= left {
                    left -= item.cost();
                    kept.push(item.clone());
                }
            }
            kept.truncate(LIMITS.per_sender);
            self.items.retain(|item| item.tx.signer() != sender);
            self.items.extend(kept);
        }
        self.shrink(None);
        if self.items.len() * 4 <= LIMITS.count * 3 && self.bytes() * 4 <= LIMITS.bytes * 3 {
            self.floor = LIMITS.price_floor.max(self.floor / 2);
        }
    }

    fn best(&self, base_fee: u64) -> Vec<B256> {
        let mut nonces: BTreeMap<_, _> = self.accounts.iter().map(|(a, (n, _))| (*a, *n)).collect();
        let mut order = Vec::new();
        loop {
            let heads = self.items.iter().filter(|i| nonces[&i.tx.signer()] == i.nonce());
            let ranked = heads.filter_map(|item| {
                let tip = item.tx.effective_tip_per_gas(base_fee)?;
                Some((Reverse(tip), hash(&item.tx), item.tx.signer()))
            });
            let Some((_, hash, sender)) = ranked.min() else { return order };
            *nonces.get_mut(&sender).unwrap() += 1;
            order.push(hash);
        }
    }
}

fn to_state(accounts: &BTreeMap<Address, (u64, u128)>) -> State {
    let accounts: Vec<_> =
        accounts.iter().map(|(a, (nonce, balance))| (a[0], *nonce, U256::from(*balance))).collect();
    state(&accounts)
}

fn run(ops: &[Op]) {
    let unit = 21_000 * 100;
    let accounts: BTreeMap<_, _> = (1..=SENDERS).map(|n| (address(n), (0, unit * 6))).collect();
    let mut model = Model { items: Vec::new(), accounts, floor: LIMITS.price_floor };
    let mut pool = Mempool::new(LIMITS);
    let mut state = to_state(&model.accounts);
    let mut now = NOW;
    for op in ops {
        let snapshot = pool.snapshot();
        let shown: Vec<_> = snapshot.best(7).map(|tx| hash(&tx)).collect();
        match op.clone() {
            Op::Add { sender, nonce, fee, tip, local } => {
                let tx = signed(sender, transfer(sender, nonce, fee, tip));
                let origin = if local { Origin::Local } else { Origin::Peer };
                let result = pool.add(now, tx.clone(), origin, &state, &HEAD);
                let expires = now + LIMITS.expiry;
                let taken = model.add(Item { tx: tx.clone(), local, expires });
                assert_eq!(result.is_ok(), taken, "{op:?}: {result:?}");
                if let Ok(added) = result {
                    assert_eq!(added.executable, model.next(address(sender)) > nonce);
                    assert!(added.evicted.iter().all(|gone| !pool.contains(*gone)));
                }
            }
            Op::Drop(index) => {
                if !model.items.is_empty() {
                    let gone = hash(&model.items[index.index(model.items.len())].tx);
                    model.remove(gone);
                    assert!(pool.drop(gone));
                }
            }
            Op::Wait(secs) => {
                now = now + Duration::from_secs(secs);
                let expired: BTreeSet<_> = pool.expire(now).into_iter().collect();
                let (due, left) = model.items.drain(..).partition(|item| item.expires <= now);
                model.items = left;
                let due: Vec<Item> = due;
                assert_eq!(expired, due.iter().map(|item| hash(&item.tx)).collect());
            }
            Op::Head { accounts, returned } => {
                let accounts: Vec<_> = accounts
                    .into_iter()
                    .map(|(n, nonce, funds)| (n, nonce, u128::from(funds) * unit))
                    .collect();
                let returned: Vec<_> = returned
                    .into_iter()
                    .map(|(n, nonce, fee)| signed(n, transfer(n, nonce, fee, fee)))
                    .collect();
                let expires = now + LIMITS.expiry;
                let items =
                    returned.iter().map(|tx| Item { tx: tx.clone(), local: false, expires });
                model.head(&accounts, items.collect());
                state = to_state(&model.accounts);
                let touched: Vec<_> = accounts.iter().map(|(n, ..)| address(*n)).collect();
                let changes = pool.on_head(now, &state, &HEAD, &touched, &[], returned);
                assert_eq!(changes.error, None);
                assert!(changes.dropped.iter().all(|(gone, _)| !pool.contains(*gone)));
            }
        }
        check_invariants(&pool);
        let mut hashes: Vec<_> = model.items.iter().map(|item| hash(&item.tx)).collect();
        hashes.sort();
        assert_eq!(pool.hashes().collect::<Vec<_>>(), hashes, "{op:?}");
        assert_eq!((pool.bytes(), pool.floor()), (model.bytes(), model.floor));
        for base_fee in [0, 60, 120] {
            assert_eq!(best(&pool, base_fee), model.best(base_fee));
        }
        for sender in (1..=SENDERS).map(address) {
            let nonce = model.accounts[&sender].0;
            assert_eq!(pool.next_nonce(sender, nonce), model.next(sender));
        }
        assert_eq!(snapshot.best(7).map(|tx| hash(&tx)).collect::<Vec<_>>(), shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_model(ops in vec(op(), 1..60)) {
        run(&ops);
    }
}
