//! What stays, what goes, in which order: gaps, eviction, expiry, reorganizations, snapshots.

use super::*;

#[test]
fn gaps_fill_in_any_order() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    let txs: Vec<_> = (0..5).map(|nonce| tx(1, nonce, 100)).collect();
    for nonce in [3, 1, 4] {
        assert!(!add(&mut pool, &state, &txs[nonce]).unwrap().executable);
    }
    assert_eq!((pool.pending_count(), pool.queued_count()), (0, 3));
    assert_eq!(pool.next_nonce(address(1), 0), 0);
    let added = add(&mut pool, &state, &txs[0]).unwrap();
    assert!(added.executable);
    let promoted: Vec<_> = added.promoted.iter().map(|tx| *tx.tx_hash()).collect();
    assert_eq!(promoted, [hash(&txs[1])]);
    assert_eq!(pool.next_nonce(address(1), 0), 2);
    let queued: Vec<_> = pool.queued(address(1)).map(|tx| *tx.tx_hash()).collect();
    assert_eq!(queued, [hash(&txs[3]), hash(&txs[4])]);
    let added = add(&mut pool, &state, &txs[2]).unwrap();
    assert_eq!(added.promoted.len(), 2);
    assert_eq!(best(&pool, 7), txs.iter().map(hash).collect::<Vec<_>>());
    assert_eq!((pool.next_nonce(address(1), 0), pool.next_nonce(address(2), 9)), (5, 9));
    check_invariants(&pool);
}

#[test]
fn the_gap_is_measured_from_the_first_missing_nonce() {
    let mut pool = Mempool::new(Limits { nonce_gap: 4, ..Limits::default() });
    let state = rich();
    add(&mut pool, &state, &tx(1, 0, 100)).unwrap();
    let refused = Rejection::NonceGap { got: 6, expected: 1, gap: 4 };
    assert_eq!(add(&mut pool, &state, &tx(1, 6, 100)), Err(refused));
    assert!(add(&mut pool, &state, &tx(1, 5, 100)).is_ok());
}

#[test]
fn best_is_by_tip_in_nonce_order_and_stops_at_what_does_not_pay() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    let cheap_first = tx(1, 0, 20);
    let dear_second = tx(1, 1, 900);
    let middle = tx(2, 0, 100);
    let tip_counts = signed(3, transfer(3, 0, 1_000, 5));
    let too_cheap = tx(4, 0, 9);
    let behind = tx(4, 1, 1_000);
    for tx in [&cheap_first, &dear_second, &middle, &tip_counts, &too_cheap, &behind] {
        add(&mut pool, &state, tx).unwrap();
    }
    let order = [&middle, &cheap_first, &dear_second, &tip_counts].map(hash);
    assert_eq!(best(&pool, 10), order);
    assert!(best(&pool, 10_000).is_empty());
    // At base fee 0 the tip of a transaction is all of its cap, or its tip.
    let order = [&middle, &cheap_first, &dear_second, &too_cheap, &behind, &tip_counts].map(hash);
    assert_eq!(best(&pool, 0), order);
}

#[test]
fn equal_tips_are_ordered_by_hash() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    let mut hashes: Vec<_> =
        (1..=9).map(|sender| add(&mut pool, &state, &tx(sender, 0, 100)).unwrap().hash).collect();
    hashes.sort();
    assert_eq!(best(&pool, 7), hashes);
}

#[test]
fn what_no_longer_fits_a_block_is_not_offered() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    let large = signed(1, TxEip1559 { gas_limit: 1_000_000, ..transfer(1, 0, 100, 100) });
    add(&mut pool, &state, &large).unwrap();
    add(&mut pool, &state, &tx(1, 1, 100)).unwrap();
    let small = HeadInfo { gas_limit: 900_000, ..HEAD };
    pool.on_head(NOW, &state, &small, &[], &[], Vec::new());
    assert!(best(&pool, 7).is_empty());
    pool.on_head(NOW, &state, &HEAD, &[], &[], Vec::new());
    assert_eq!(best(&pool, 7).len(), 2);
}

#[test]
fn a_full_pool_lets_the_cheapest_go_and_raises_its_floor() {
    let (mut pool, state) = (Mempool::new(limits(3)), rich());
    let txs: Vec<_> = (1..=3).map(|n| tx(n, 0, u128::from(n) * 100)).collect();
    for tx in &txs {
        add(&mut pool, &state, tx).unwrap();
    }
    let refused = Rejection::Full { fee_cap: 90, lowest: 100 };
    assert_eq!(add(&mut pool, &state, &tx(4, 0, 90)), Err(refused));
    assert_eq!(
        add(&mut pool, &state, &tx(4, 0, 100)),
        Err(Rejection::Full { fee_cap: 100, lowest: 100 })
    );
    assert_eq!(pool.floor(), 1);
    check_invariants(&pool);
    let added = add(&mut pool, &state, &tx(4, 0, 150)).unwrap();
    assert_eq!(added.evicted, [hash(&txs[0])]);
    assert_eq!(pool.floor(), 100);
    pool.drop(hash(&txs[1]));
    assert_eq!(
        add(&mut pool, &state, &tx(5, 0, 99)),
        Err(Rejection::Underpriced { fee_cap: 99, floor: 100, base_fee: 7 })
    );
    // With room the floor falls, block by block.
    pool.drop(hash(&txs[2]));
    for floor in [50, 25, 12, 6, 3, 1, 1] {
        pool.on_head(NOW, &state, &HEAD, &[], &[], Vec::new());
        assert_eq!(pool.floor(), floor);
    }
    check_invariants(&pool);
}

#[test]
fn a_dear_last_transaction_does_not_protect_cheap_ones() {
    let (mut pool, state) = (Mempool::new(limits(3)), rich());
    let (cheap, dear) = (tx(1, 0, 10), tx(1, 1, 10_000));
    for tx in [&cheap, &dear, &tx(2, 0, 100)] {
        add(&mut pool, &state, tx).unwrap();
    }
    assert_eq!(add(&mut pool, &state, &tx(3, 0, 200)).unwrap().evicted, [hash(&dear)]);
    assert_eq!(add(&mut pool, &state, &tx(4, 0, 200)).unwrap().evicted, [hash(&cheap)]);
    check_invariants(&pool);
}

#[test]
fn what_waits_for_a_nonce_goes_before_what_can_execute() {
    let (mut pool, state) = (Mempool::new(limits(2)), rich());
    let waiting = tx(1, 3, 10_000);
    add(&mut pool, &state, &waiting).unwrap();
    add(&mut pool, &state, &tx(2, 0, 10)).unwrap();
    assert_eq!(add(&mut pool, &state, &tx(3, 0, 10)).unwrap().evicted, [hash(&waiting)]);
    assert_eq!(pool.floor(), 1, "its price says nothing about what executes");
    assert!(matches!(
        add(&mut pool, &state, &tx(4, 3, 10_000)),
        Err(Rejection::Full { fee_cap: 10_000, .. })
    ));
    check_invariants(&pool);
}

#[test]
fn at_equal_price_the_crowd_gives_way() {
    let (mut pool, state) = (Mempool::new(limits(10)), rich());
    for nonce in 0..10 {
        add(&mut pool, &state, &tx(1, nonce, 100)).unwrap();
    }
    for sender in 2..=5 {
        let added = add(&mut pool, &state, &tx(sender, 0, 100)).unwrap();
        assert_eq!(added.evicted.len(), 1);
    }
    assert_eq!(pool.pending(address(1)).count(), 6);
    assert!(add(&mut pool, &state, &tx(1, 6, 100)).is_err());
    check_invariants(&pool);
}

#[test]
fn local_transactions_outlast_remote_ones_within_the_caps() {
    let (mut pool, state) = (Mempool::new(limits(2)), rich());
    let local = |pool: &mut Mempool, tx: &Recovered<Transaction>| {
        pool.add(NOW, tx.clone(), Origin::Local, &state, &HEAD)
    };
    let (mine, remote) = (tx(1, 0, 1), tx(2, 0, 500));
    local(&mut pool, &mine).unwrap();
    add(&mut pool, &state, &remote).unwrap();
    assert_eq!(local(&mut pool, &tx(3, 0, 2)).unwrap().evicted, [hash(&remote)]);
    assert!(matches!(add(&mut pool, &state, &tx(4, 0, 900)), Err(Rejection::Full { .. })));
    assert_eq!(local(&mut pool, &tx(5, 0, 3)).unwrap().evicted, [hash(&mine)]);
    assert_eq!(pool.len(), 2);
    check_invariants(&pool);
}

#[test]
fn the_byte_cap_holds_and_a_refusal_leaves_no_trace() {
    let size = tx(1, 0, 1_000).eip2718_encoded_length();
    let bytes = size * 10 + 20;
    let mut pool = Mempool::new(Limits { bytes, ..Limits::default() });
    let state = rich();
    for sender in 1..=10 {
        add(&mut pool, &state, &tx(sender, 0, u128::from(sender) * 1_000)).unwrap();
    }
    let hashes: Vec<_> = pool.hashes().collect();
    let input = Bytes::from(vec![0; size * 3]);
    let large =
        |fee| TxEip1559 { input: input.clone(), gas_limit: 50_000, ..transfer(11, 0, fee, fee) };
    // It would have to push out five and is dearer than two of them only.
    let refused = Rejection::Full { fee_cap: 2_500, lowest: 1_000 };
    assert_eq!(add(&mut pool, &state, &signed(11, large(2_500))), Err(refused));
    assert_eq!(pool.hashes().collect::<Vec<_>>(), hashes);
    assert_eq!(pool.floor(), 1);
    check_invariants(&pool);
    let added = add(&mut pool, &state, &signed(11, large(50_000))).unwrap();
    assert!((4..=5).contains(&added.evicted.len()), "{}", added.evicted.len());
    check_invariants(&pool);
}

#[test]
fn a_sender_has_its_share_and_may_fill_its_own_gap() {
    let mut pool = Mempool::new(Limits { per_sender: 3, ..Limits::default() });
    let state = rich();
    for nonce in [1, 2, 3] {
        add(&mut pool, &state, &tx(1, nonce, 100)).unwrap();
    }
    assert_eq!(add(&mut pool, &state, &tx(1, 4, 100)), Err(Rejection::SenderLimit { max: 3 }));
    let added = add(&mut pool, &state, &tx(1, 0, 100)).unwrap();
    assert_eq!((added.executable, added.evicted), (true, vec![hash(&tx(1, 3, 100))]));
    assert_eq!(pool.pending_count(), 3);
    assert!(add(&mut pool, &state, &tx(1, 1, 110)).unwrap().replaced.is_some());
    assert!(add(&mut pool, &state, &tx(2, 0, 1)).is_ok());
    check_invariants(&pool);
}

#[test]
fn waits_an_hour_at_most() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    assert_eq!(pool.deadline(), None);
    let minute = Duration::from_secs(60);
    let old = tx(1, 0, 100);
    add(&mut pool, &state, &old).unwrap();
    let young = tx(1, 1, 100);
    pool.add(NOW + minute, young.clone(), Origin::Local, &state, &HEAD).unwrap();
    let due = NOW + minute * 60;
    assert_eq!(pool.deadline(), Some(due));
    assert!(pool.expire(due - Duration::from_millis(1)).is_empty());
    assert_eq!(pool.expire(due), [hash(&old)]);
    assert_eq!((pool.pending_count(), pool.queued_count()), (0, 1));
    check_invariants(&pool);
    assert_eq!(pool.expire(due + minute), [hash(&young)]);
    assert!(pool.is_empty() && pool.deadline().is_none());
}

#[test]
fn included_transactions_leave_without_being_dropped() {
    let (mut pool, state_before) = (Mempool::new(Limits::default()), rich());
    let txs: Vec<_> = (0..4).map(|nonce| tx(1, nonce, 100)).collect();
    for tx in &txs {
        add(&mut pool, &state_before, tx).unwrap();
    }
    // The block has nonce 0 of ours and another transaction with nonce 1.
    let after = state(&[(1, 2, U256::from(GWEI))]);
    let included = [hash(&txs[0])];
    let changes = pool.on_head(NOW, &after, &HEAD, &[address(1)], &included, Vec::new());
    assert_eq!(changes.dropped, [(hash(&txs[1]), "nonce too low")]);
    assert_eq!(best(&pool, 7), [hash(&txs[2]), hash(&txs[3])]);
    check_invariants(&pool);
}

#[test]
fn a_poorer_sender_loses_what_it_cannot_pay() {
    let (mut pool, state_before) = (Mempool::new(Limits::default()), rich());
    let txs = [tx(1, 0, 100), tx(1, 1, 900), tx(1, 2, 100)];
    for tx in &txs {
        add(&mut pool, &state_before, tx).unwrap();
    }
    let after = state(&[(1, 0, U256::from(21_000 * 200))]);
    let changes = pool.on_head(NOW, &after, &HEAD, &[address(1)], &[], Vec::new());
    assert_eq!(changes.dropped, [(hash(&txs[1]), "insufficient funds")]);
    assert_eq!((pool.pending_count(), pool.queued_count()), (1, 1));
    check_invariants(&pool);
}

#[test]
fn a_reorganization_returns_transactions_in_front() {
    let (mut pool, genesis) = (Mempool::new(Limits::default()), rich());
    let txs: Vec<_> = (0..4).map(|nonce| tx(1, nonce, 100)).collect();
    let other = tx(2, 0, 50);
    let one = U256::from(21_000 * 100);
    let included = state(&[(1, 2, one * U256::from(2)), (2, 1, one)]);
    for tx in &txs[2..] {
        add(&mut pool, &included, tx).unwrap();
    }
    // Back at genesis, with funds for three: the returned ones go first, as in a fresh evaluation.
    let back = state(&[(1, 0, one * U256::from(3)), (2, 0, one)]);
    let touched = [address(1), address(2)];
    let readmit = vec![txs[0].clone(), other.clone(), txs[1].clone()];
    let changes = pool.on_head(NOW, &back, &HEAD, &touched, &[], readmit);
    assert_eq!(changes.dropped, [(hash(&txs[3]), "insufficient funds")]);
    let promoted: Vec<_> = changes.promoted.iter().map(|tx| *tx.tx_hash()).collect();
    assert_eq!(promoted, [hash(&txs[0]), hash(&txs[1]), hash(&other)]);
    let mut fresh = Mempool::new(Limits::default());
    for tx in txs.iter().chain([&other]) {
        let _ = add(&mut fresh, &back, tx);
    }
    assert_eq!(best(&pool, 7), best(&fresh, 7));
    check_invariants(&pool);

    // Forward again: the same block holds them.
    let hashes = [hash(&txs[0]), hash(&txs[1]), hash(&other)];
    let changes = pool.on_head(NOW, &genesis, &HEAD, &[], &hashes, Vec::new());
    assert_eq!(changes.dropped, []);
    check_invariants(&pool);
}

#[test]
fn what_a_reorganization_returns_is_judged() {
    let (mut pool, genesis) = (Mempool::new(Limits::default()), rich());
    let held = tx(1, 0, 100);
    add(&mut pool, &genesis, &held).unwrap();
    let (conflict, known) = (tx(1, 0, 105), held.clone());
    let foreign = signed(2, TxEip1559 { chain_id: 1, ..transfer(2, 0, 100, 100) });
    let returned = vec![conflict.clone(), known, foreign.clone()];
    let changes = pool.on_head(NOW, &genesis, &HEAD, &[], &[], returned);
    let reasons = [(hash(&foreign), "no longer valid"), (hash(&conflict), "replaced")];
    assert_eq!(changes.dropped, reasons);
    assert_eq!(best(&pool, 7), [hash(&held)]);
    // A higher bid wins.
    let dear = tx(1, 0, 110);
    let changes = pool.on_head(NOW, &genesis, &HEAD, &[], &[], vec![dear.clone()]);
    assert_eq!(changes.dropped, [(hash(&held), "replaced")]);
    assert_eq!(best(&pool, 7), [hash(&dear)]);
    check_invariants(&pool);
}

#[test]
fn what_a_reorganization_returns_respects_the_caps() {
    let small = Limits { count: 4, per_sender: 2, ..Limits::default() };
    let (mut pool, genesis) = (Mempool::new(small), rich());
    for sender in 1..=4 {
        add(&mut pool, &genesis, &tx(sender, 0, u128::from(sender) * 10)).unwrap();
    }
    let returned = (0..3).map(|nonce| tx(5, nonce, 100)).collect();
    let changes = pool.on_head(NOW, &genesis, &HEAD, &[], &[], returned);
    let reasons = [
        (hash(&tx(5, 2, 100)), "account limit exceeded"),
        (hash(&tx(1, 0, 10)), "evicted"),
        (hash(&tx(2, 0, 20)), "evicted"),
    ];
    assert_eq!(changes.dropped, reasons);
    check_invariants(&pool);
}

#[test]
fn a_snapshot_does_not_change() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    let txs: Vec<_> = (0..3).map(|nonce| tx(1, nonce, 100)).collect();
    for tx in &txs {
        add(&mut pool, &state, tx).unwrap();
    }
    let snapshot = pool.snapshot();
    pool.drop(hash(&txs[0]));
    add(&mut pool, &state, &tx(2, 0, 100)).unwrap();
    assert_eq!((snapshot.len(), snapshot.pending_count(), snapshot.queued_count()), (3, 3, 0));
    assert_eq!(snapshot.sender(hash(&txs[0])), Some(address(1)));
    assert_eq!(snapshot.best(7).count(), 3);
    assert_eq!(snapshot.senders().collect::<Vec<_>>(), [address(1)]);
    assert_eq!((pool.pending_count(), pool.queued_count()), (1, 2));
    assert_eq!(pool.get(hash(&txs[1])).as_deref(), Some(&txs[1]));
}

#[test]
fn pages_cover_what_can_execute_once() {
    let (mut pool, state) = (Mempool::new(Limits::default()), rich());
    let mut expected = Vec::new();
    for sender in 1..=5 {
        for nonce in 0..u64::from(sender) {
            expected.push(add(&mut pool, &state, &tx(sender, nonce, 100)).unwrap().hash);
        }
        add(&mut pool, &state, &tx(sender, 50, 100)).unwrap();
    }
    for size in [1, 2, 4, 14, 15, 100] {
        let (mut hashes, mut from) = (Vec::new(), None);
        loop {
            let (page, next) = pool.page(from, size);
            assert!(page.len() <= size);
            hashes.extend(page);
            from = next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(hashes, expected, "pages of {size}");
    }
    assert_eq!(Mempool::new(Limits::default()).page(None, 9), (Vec::new(), None));
}
