//! Tests of the relay: events in, messages out.

use super::*;
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Signature, TxKind, U256};
use kette_ledger::{AccountChange, State, StateChanges};
use kette_types::Address;

use crate::mempool::{self, HeadInfo, Origin};

pub(super) const START: Time = Time::from_secs(100);
const TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const HEAD: HeadInfo = HeadInfo {
    chain_id: 1,
    number: 1,
    timestamp: 100,
    base_fee: 7,
    gas_limit: 30_000_000,
    blobs_refused: true,
};

pub(super) fn peer(n: u8) -> PeerId {
    PeerId(B256::repeat_byte(n))
}

fn sender(n: u16) -> Address {
    Address::left_padding_from(&(n + 1).to_be_bytes())
}

/// The nth sender's nth transaction, with this much data.
pub(super) fn tx(n: u16, nonce: u64, data: usize) -> Recovered<Transaction> {
    let tx = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 5_000_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(sender(n)),
        input: vec![0; data].into(),
        ..TxEip1559::default()
    };
    let tx = tx.into_signed(Signature::test_signature()).into();
    Recovered::new_unchecked(tx, sender(n))
}

pub(super) fn state() -> State {
    let rich =
        AccountChange { balance: U256::from(10).pow(U256::from(30)), ..AccountChange::default() };
    let changes = StateChanges {
        accounts: (0..64).map(|n| (sender(n), Some(rich.clone()))).collect(),
        ..StateChanges::default()
    };
    State::empty().apply(&changes).unwrap()
}

fn pool_of(txs: &[Recovered<Transaction>]) -> Mempool {
    let mut pool = Mempool::new(mempool::Limits::default());
    for tx in txs {
        pool.add(START, tx.clone(), Origin::Peer, &state(), &HEAD).unwrap();
    }
    pool
}

pub(super) fn empty() -> Mempool {
    pool_of(&[])
}

pub(super) fn hash(tx: &Recovered<Transaction>) -> B256 {
    *tx.tx_hash()
}

fn fakes(from: u64, n: u64) -> Vec<B256> {
    (from..from + n).map(|n| B256::from(U256::from(n))).collect()
}

/// A relay that these peers are connected to.
pub(super) fn relay(peers: &[u8]) -> Inventory {
    let mut inventory = Inventory::new(Limits::default());
    for n in peers {
        inventory.connected(START, peer(*n), &empty(), &mut Vec::new());
    }
    inventory
}

/// Takes what was sent, as (to, message).
pub(super) fn sent(out: &mut Vec<Output>) -> Vec<(PeerId, Message)> {
    out.drain(..)
        .map(|output| match output {
            Output::Send(to, message) if to.len() == 1 => (to[0], Message::clone(&message)),
            other => panic!("the relay only sends to one at a time: {other:?}"),
        })
        .collect()
}

/// What a tick sends, and whom it blames.
type Ticked = (Vec<(PeerId, Message)>, Vec<(PeerId, Fault)>);

fn tick(inventory: &mut Inventory, now: Time) -> Ticked {
    let mut out = Vec::new();
    let faults = inventory.tick(now, &mut out);
    (sent(&mut out), faults)
}

fn announce(
    inventory: &mut Inventory,
    now: Time,
    from: u8,
    hashes: Vec<B256>,
) -> Vec<(PeerId, Message)> {
    let mut out = Vec::new();
    assert_eq!(inventory.announced(now, peer(from), hashes, &empty(), &mut out), None);
    sent(&mut out)
}

/// Nothing is in flight, wanted or due.
pub(super) fn check_idle(inventory: &Inventory) {
    assert!(inventory.wanted.is_empty() && inventory.deadlines.is_empty());
    assert!(inventory.peers.values().all(|peer| peer.in_flight == 0 && peer.requests.is_empty()));
}

/// What is counted is what is there, within its bounds.
fn check_bounds(inventory: &Inventory) {
    let limits = &inventory.limits;
    assert_eq!(inventory.wanted.len(), inventory.deadlines.len());
    assert!(
        inventory.wanted.len() <= inventory.peers.len() * (limits.announced + limits.in_flight)
    );
    for peer in inventory.peers.values() {
        let asked: usize = peer.requests.values().map(BTreeSet::len).sum();
        assert_eq!(peer.in_flight, asked);
        assert!(peer.in_flight <= limits.in_flight && peer.queue.len() <= limits.announced);
    }
}

#[test]
fn fetches_what_is_new_and_nothing_else() {
    let held = tx(0, 0, 0);
    let new = tx(1, 0, 0);
    let pool = pool_of(std::slice::from_ref(&held));
    let mut inventory = relay(&[1]);
    let (rejected, included) = (fakes(1, 1)[0], fakes(2, 1)[0]);
    inventory.rejected(rejected);
    inventory.included(&[included]);
    let mut out = Vec::new();
    let hashes = vec![hash(&held), hash(&new), rejected, included, hash(&new)];
    inventory.announced(START, peer(1), hashes, &pool, &mut out);
    assert_eq!(sent(&mut out), [(peer(1), Message::GetTransactions(vec![hash(&new)]))]);
    let fresh = inventory.received(START, peer(1), vec![new.inner().clone()], &pool);
    assert_eq!(fresh, [new.inner().clone()]);
    check_idle(&inventory);
    // While its signature is recovered it is not fetched or taken again.
    assert_eq!(announce(&mut inventory, START, 1, vec![hash(&new)]), []);
    assert_eq!(inventory.received(START, peer(1), vec![new.inner().clone()], &pool), []);
    // After a new head what was refused may be valid; what was included is not.
    inventory.on_head();
    let asked = announce(&mut inventory, START, 1, vec![rejected, included]);
    assert_eq!(asked, [(peer(1), Message::GetTransactions(vec![rejected]))]);
    check_bounds(&inventory);
}

#[test]
fn announces_in_batches_and_not_to_who_knows() {
    let mut inventory = relay(&[1, 2, 3]);
    let large = tx(0, 0, PUSH_BYTES_MAX);
    assert_eq!(announce(&mut inventory, START, 1, vec![hash(&large)]).len(), 1);
    assert_eq!(inventory.received(START, peer(1), vec![large.inner().clone()], &empty()).len(), 1);
    inventory.added(START, &Arc::new(large.clone()));
    assert_eq!(inventory.deadline(), Some(START));
    let (messages, faults) = tick(&mut inventory, START);
    let announcement = || Message::NewTransactions(vec![hash(&large)]);
    assert_eq!(messages, [(peer(2), announcement()), (peer(3), announcement())]);
    assert_eq!(faults, []);
    // The next batch waits for its time and gathers.
    let more = [tx(1, 0, PUSH_BYTES_MAX), tx(2, 0, PUSH_BYTES_MAX)];
    for tx in &more {
        inventory.added(START + Duration::from_millis(1), &Arc::new(tx.clone()));
    }
    let due = START + Duration::from_millis(50);
    assert_eq!(inventory.deadline(), Some(due));
    assert_eq!(tick(&mut inventory, START + Duration::from_millis(49)).0, []);
    let (messages, _) = tick(&mut inventory, due);
    let both = Message::NewTransactions(more.iter().map(hash).collect());
    assert_eq!(messages, [1, 2, 3].map(|n| (peer(n), both.clone())));
    assert_eq!(inventory.deadline(), None);
}

#[test]
fn a_small_transaction_goes_whole_to_the_square_root_of_peers() {
    for (peers, pushes) in [(1_u8, 1), (3, 1), (4, 2), (10, 3)] {
        let ids: Vec<u8> = (1..=peers).collect();
        let mut inventory = relay(&ids);
        let small = tx(0, 0, 0);
        inventory.added(START, &Arc::new(small.clone()));
        let (messages, _) = tick(&mut inventory, START);
        assert_eq!(messages.len(), usize::from(peers));
        let whole = Message::Transactions(vec![small.inner().clone()]);
        assert_eq!(messages.iter().filter(|(_, message)| *message == whole).count(), pushes);
    }
}

#[test]
fn large_batches_are_split() {
    let mut inventory = relay(&[1]);
    for n in 0..64 {
        for nonce in 0..40 {
            inventory.added(START, &Arc::new(tx(n, nonce, PUSH_BYTES_MAX)));
        }
    }
    let (messages, _) = tick(&mut inventory, START);
    let sizes: Vec<_> = messages
        .iter()
        .map(|(_, message)| match message {
            Message::NewTransactions(hashes) => hashes.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [1_000, 1_000, 560]);
}

#[test]
fn a_withheld_transaction_comes_from_the_next_announcer() {
    let mut inventory = relay(&[1, 2, 3]);
    let wanted = tx(0, 0, 0);
    let request = || Message::GetTransactions(vec![hash(&wanted)]);
    assert_eq!(announce(&mut inventory, START, 1, vec![hash(&wanted)]), [(peer(1), request())]);
    assert_eq!(announce(&mut inventory, START, 2, vec![hash(&wanted)]), []);
    assert_eq!(announce(&mut inventory, START, 3, vec![hash(&wanted)]), []);
    let due = START + TIMEOUT;
    assert_eq!(inventory.deadline(), Some(due));
    assert_eq!(tick(&mut inventory, due - Duration::from_millis(1)), (vec![], vec![]));
    let first = (vec![(peer(2), request())], vec![(peer(1), Fault::Timeout)]);
    assert_eq!(tick(&mut inventory, due), first);
    // The second is gone before it answers: the third is asked at once and nobody is blamed.
    inventory.disconnected(due, peer(2));
    assert_eq!(inventory.deadline(), Some(due));
    assert_eq!(tick(&mut inventory, due), (vec![(peer(3), request())], vec![]));
    let last = (vec![], vec![(peer(3), Fault::Timeout)]);
    assert_eq!(tick(&mut inventory, due + TIMEOUT), last);
    check_idle(&inventory);
    // A late answer is still of use.
    assert_eq!(inventory.received(due, peer(1), vec![wanted.inner().clone()], &empty()).len(), 1);
    assert_eq!(tick(&mut inventory, due + TIMEOUT), (vec![], vec![]));
}

#[test]
fn who_does_not_have_it_any_more_is_not_blamed() {
    let mut inventory = relay(&[1, 2]);
    let (there, gone) = (tx(0, 0, 0), tx(1, 0, 0));
    let both = vec![hash(&there), hash(&gone)];
    announce(&mut inventory, START, 1, both.clone());
    announce(&mut inventory, START, 2, both);
    inventory.received(START, peer(1), vec![there.inner().clone()], &empty());
    let next = (vec![(peer(2), Message::GetTransactions(vec![hash(&gone)]))], vec![]);
    assert_eq!(tick(&mut inventory, START), next);
    inventory.received(START, peer(2), vec![], &empty());
    assert_eq!(tick(&mut inventory, START + TIMEOUT), (vec![], vec![]));
    check_idle(&inventory);
}

#[test]
fn a_cut_answer_is_continued() {
    let txs: Vec<_> = (0..40).map(|n| tx(n, 0, 100_000)).collect();
    let server_pool = pool_of(&txs);
    let mut server = relay(&[1]);
    let mut client = relay(&[2]);
    let mut requests = announce(&mut client, START, 2, txs.iter().map(hash).collect());
    let (mut rounds, mut arrived) = (0, 0);
    while let Some((_, Message::GetTransactions(hashes))) = requests.pop() {
        rounds += 1;
        let mut out = Vec::new();
        server.requested(peer(1), &hashes, &server_pool, &mut out);
        let Some((_, Message::Transactions(answer))) = sent(&mut out).pop() else { panic!() };
        let bytes: usize = answer.iter().map(|tx| tx.eip2718_encoded_length()).sum();
        assert!(bytes <= REPLY_BYTES_MAX && !answer.is_empty());
        arrived += client.received(START, peer(2), answer, &empty()).len();
        requests = tick(&mut client, START).0;
    }
    assert_eq!((rounds, arrived), (2, 40));
    check_idle(&client);
}

#[test]
fn serving_is_bounded_by_an_allowance_of_bytes() {
    let txs: Vec<_> = (0..20).map(|n| tx(n, 0, 100_000)).collect();
    let hashes: Vec<_> = txs.iter().map(hash).collect();
    let pool = pool_of(&txs);
    let mut inventory = relay(&[1, 2]);
    let serve = |inventory: &mut Inventory, n| {
        inventory.requested(peer(n), &hashes, &pool, &mut Vec::new())
    };
    let mut served = 0;
    for _ in 0..100 {
        served += serve(&mut inventory, 1);
    }
    let size = txs[0].eip2718_encoded_length();
    let burst = 64 * 1024 * 1024;
    assert_eq!(served, burst / size);
    assert_eq!(serve(&mut inventory, 1), 0);
    assert_eq!(serve(&mut inventory, 2), 20, "others have their own");
    tick(&mut inventory, START + Duration::from_secs(1));
    assert_eq!(serve(&mut inventory, 1), 20);
    // The same hash twice is served once.
    let twice = [hashes[0], hashes[0]];
    assert_eq!(inventory.requested(peer(2), &twice, &pool, &mut Vec::new()), 1);
}

#[test]
fn announcements_and_requests_of_one_peer_are_bounded() {
    let mut inventory = relay(&[1, 2]);
    let mut asked = Vec::new();
    for page in 0..20 {
        asked.extend(announce(&mut inventory, START, 1, fakes(1 + page * 1_000, 1_000)));
        check_bounds(&inventory);
    }
    let limits = Limits::default();
    assert_eq!(inventory.wanted.len(), limits.announced + limits.in_flight);
    let sizes = asked.iter().map(|(_, message)| match message {
        Message::GetTransactions(hashes) => hashes.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(sizes.sum::<usize>(), limits.in_flight);
    // An honest peer is not held up by it: what waits at the flooder goes to who has room.
    let waiting = fakes(5_001, 10);
    let asked = announce(&mut inventory, START, 2, waiting.clone());
    assert_eq!(asked, [(peer(2), Message::GetTransactions(waiting))]);
    // The flood ends by itself, with one fault per tick, not one per hash.
    let (mut now, mut faults) = (START, 0);
    while let Some(due) = inventory.deadline() {
        now = now.max(due);
        faults += tick(&mut inventory, now).1.len();
        check_bounds(&inventory);
    }
    check_idle(&inventory);
    assert!((5..=10).contains(&faults), "{faults}");
    let too_many = inventory.announced(now, peer(1), fakes(1, 1_001), &empty(), &mut Vec::new());
    assert_eq!(too_many, Some(Fault::RateLimit));
}

#[test]
fn pushes_are_bounded() {
    let mut inventory = Inventory::new(Limits { pushes_per_sec: 10, ..Limits::default() });
    inventory.connected(START, peer(1), &empty(), &mut Vec::new());
    let txs: Vec<_> = (0..30).map(|n| tx(n, 0, 0).into_inner()).collect();
    assert_eq!(inventory.received(START, peer(1), txs[..15].to_vec(), &empty()).len(), 10);
    assert_eq!(inventory.deadline(), Some(START));
    assert_eq!(tick(&mut inventory, START).1, [(peer(1), Fault::RateLimit)]);
    let later = START + Duration::from_millis(500);
    assert_eq!(inventory.received(later, peer(1), txs[15..].to_vec(), &empty()).len(), 5);
    // Strangers are not heard.
    assert_eq!(inventory.received(later, peer(9), txs, &empty()), []);
}

#[test]
fn forgets_a_peer_and_its_debts() {
    let mut inventory = relay(&[1]);
    for page in 0..4 {
        announce(&mut inventory, START, 1, fakes(1 + page * 1_000, 1_000));
    }
    inventory.disconnected(START, peer(1));
    check_idle(&inventory);
    assert_eq!(inventory.deadline(), None);
}

#[test]
fn what_comes_from_elsewhere_is_not_waited_for() {
    let mut inventory = relay(&[1, 2]);
    let wanted = tx(0, 0, 0);
    announce(&mut inventory, START, 1, vec![hash(&wanted)]);
    inventory.added(START, &Arc::new(wanted.clone()));
    check_idle(&inventory);
    let (messages, faults) = tick(&mut inventory, START + TIMEOUT);
    assert_eq!(messages.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [peer(2)]);
    assert_eq!(faults, []);
}
