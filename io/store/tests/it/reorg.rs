//! The canonical chain moves: every index moves with it, or nothing does.

use crate::fixture::*;
use alloy_primitives::{Log, LogData};
use kette_chain::{ChainReader as _, Record};
use kette_ledger::StateChanges;
use kette_store::{LogFilter, StoreError};
use kette_types::{B256, Bytes, U256};

fn logging(mut sent: Sent, topic: u8) -> Sent {
    let data = LogData::new_unchecked(vec![B256::repeat_byte(topic)], Bytes::from_static(b"x"));
    sent.logs.push(Log { address: account(50), data });
    sent
}

#[test]
fn a_reorganization_moves_every_index() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let root = child(&home.genesis, 1, &[]);
    let both = || logging(Sent::new(1, 2, 0), 1);
    let (only_a, only_b) = (logging(Sent::new(1, 3, 1), 2), logging(Sent::new(1, 4, 1), 3));
    let a1 = child(&root, 1, &[both()]);
    let a2 = child(&a1, 1, std::slice::from_ref(&only_a));
    let b1 = child(&root, 2, std::slice::from_ref(&only_b));
    let b2 = child(&b1, 2, &[both()]);
    let b3 = child(&b2, 2, &[]);
    store.write(&extend(&[root.clone(), a1.clone(), a2.clone()])).unwrap();
    let blocks = [&b1, &b2, &b3].map(|block| Record::Block(block.clone()));
    store.write(&blocks).unwrap();
    let filter = LogFilter { from: 0, to: 100, ..LogFilter::default() };
    let topics = |reader: &kette_store::Reader| -> Vec<(u64, u8)> {
        let rows = reader.logs(&filter, 100).unwrap();
        rows.iter().map(|row| (row.number, row.log.topics()[0][0])).collect()
    };
    let to_b = Record::Canonical { keep: 1, added: [&b1, &b2, &b3].map(|b| b.hash()).to_vec() };
    let to_a = Record::Canonical { keep: 1, added: [&a1, &a2].map(|b| b.hash()).to_vec() };
    let shared = both().hash();
    for _ in 0..2 {
        assert_eq!(reader.head().unwrap(), (3, a2.hash()));
        assert_eq!(topics(&reader), vec![(2, 1), (3, 2)]);
        assert_eq!(reader.transaction(shared).unwrap().unwrap().block, a1.hash());
        assert_eq!(reader.transaction(only_b.hash()).unwrap(), None);
        assert_eq!(reader.activity(account(3), None, 9).unwrap().len(), 1);
        assert_eq!(reader.activity(account(4), None, 9).unwrap().len(), 0);
        assert_eq!(reader.canonical(4).unwrap(), None);
        assert_whole(&reader);

        store.write(std::slice::from_ref(&to_b)).unwrap();
        assert_eq!(reader.head().unwrap(), (4, b3.hash()));
        assert_eq!(topics(&reader), vec![(2, 3), (3, 1)]);
        let place = reader.transaction(shared).unwrap().unwrap();
        assert_eq!((place.block, place.number), (b2.hash(), 3));
        assert_eq!(reader.transaction(only_a.hash()).unwrap(), None);
        assert_eq!(reader.activity(account(3), None, 9).unwrap().len(), 0);
        assert_eq!(reader.activity(account(1), None, 9).unwrap().len(), 2);
        let totals = reader.totals(4).unwrap().unwrap();
        assert_eq!((totals.transactions, totals.issued), (2, U256::from(400)));
        assert_whole(&reader);

        store.write(std::slice::from_ref(&to_a)).unwrap();
    }
}

#[test]
fn a_batch_that_contradicts_the_chain_leaves_nothing() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let blocks = chain(&home.genesis, 1, 3);
    store.write(&extend(&blocks[..1])).unwrap();
    let entry = Record::Engine(Bytes::from_static(b"vote"));
    let stranger = B256::repeat_byte(1);
    let canonical = |keep, added: &[B256]| Record::Canonical { keep, added: added.to_vec() };

    let unknown = store.write(&[entry.clone(), canonical(1, &[stranger])]).unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownBlock(hash) if hash == stranger), "{unknown}");
    let skipping = [
        entry.clone(),
        Record::Block(blocks[2].clone()),
        canonical(0, &[blocks[0].hash(), blocks[2].hash()]),
    ];
    let skipped = store.write(&skipping).unwrap_err();
    assert!(matches!(skipped, StoreError::Unlinked { number: 2, .. }), "{skipped}");
    let gap = store.write(&[entry, canonical(7, &[blocks[0].hash()])]).unwrap_err();
    assert!(matches!(gap, StoreError::Unlinked { number: 8, .. }), "{gap}");

    assert_eq!(reader.engine_log().unwrap(), Vec::<Bytes>::new());
    assert_eq!(reader.block(blocks[2].hash()).unwrap(), None);
    assert_eq!(reader.head().unwrap(), (1, blocks[0].hash()));
    store.write(&extend(&blocks[1..])).unwrap();
    assert_whole(&reader);
}

#[test]
fn below_the_last_checkpoint_an_older_one_is_taken() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let paid = |wei| {
        let mut changes = StateChanges::default();
        changes.accounts.insert(account(1), Some(balance_of(wei)));
        changes
    };
    let a1 = child_with(&home.genesis, 1, &[], &paid(1));
    let a2 = child_with(&a1, 1, &[], &paid(2));
    let a3 = child_with(&a2, 1, &[], &paid(3));
    let b2 = child_with(&a1, 2, &[], &paid(9));
    let mut batch = extend(&[a1.clone(), a2.clone(), a3.clone()]);
    let one = || [account(1)].into_iter();
    batch.push(checkpoint(&a1, &home.genesis, &mut one()));
    batch.push(checkpoint(&a3, &a1, &mut one()));
    batch.push(Record::Final {
        number: 3,
        hash: a3.hash(),
        justification: Bytes::from_static(b"j"),
    });
    store.write(&batch).unwrap();
    assert_eq!(reader.checkpoint().unwrap(), (3, a3.hash()));

    store
        .write(&[
            Record::Block(b2.clone()),
            Record::Canonical { keep: 1, added: vec![b2.hash()] },
            // What a3 made stale is needed again and must stay.
            Record::PruneStates { below: 3 },
        ])
        .unwrap();
    assert_eq!(reader.finalized().unwrap(), (1, a1.hash()));
    assert_eq!(reader.justification(3).unwrap(), None);
    drop(store);
    let (mut store, reader, restored) = home.open();
    assert_eq!(restored.checkpoint, (1, a1.hash()));
    assert_eq!(restored.canonical.len(), 1);
    assert_eq!(restored.side.len(), 2);
    assert_whole(&reader);

    store.write(&[checkpoint(&b2, &a1, &mut one()), Record::PruneStates { below: 2 }]).unwrap();
    assert_eq!(reader.checkpoint().unwrap(), (2, b2.hash()));
    assert_eq!(reader.states().unwrap().len(), 1);
    assert_whole(&reader);
}
