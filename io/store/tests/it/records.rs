//! Each record, written, read back, and read back after a restart.

use crate::fixture::*;
use alloy_eips::eip2718::Encodable2718 as _;
use kette_chain::{ChainReader as _, Record, record::StoredBlock};
use kette_types::{B256, Bytes, PeerAddress, PeerId, Time, U256};
use std::net::SocketAddr;

#[test]
fn a_new_store_has_genesis_only() {
    let home = Home::new();
    let (_store, reader, restored) = home.open();
    let hash = home.genesis.hash();
    assert_eq!(restored.checkpoint, (0, hash));
    assert_eq!(restored.checkpoint_weight, U256::from(7));
    assert_eq!(restored.finalized, (0, hash));
    assert_eq!((restored.canonical.len(), restored.side.len()), (0, 0));
    assert_eq!(reader.head().unwrap(), (0, hash));
    assert_eq!(reader.canonical(0).unwrap(), Some(hash));
    assert_eq!(reader.canonical(1).unwrap(), None);
    assert_eq!(reader.header(hash).unwrap().as_ref(), Some(&home.genesis.block.header));
    assert_eq!(reader.body(hash).unwrap().as_ref(), Some(&home.genesis.block.body));
    assert_eq!(reader.receipts(hash).unwrap(), Some(Vec::new()));
    let counts = reader.counts().unwrap();
    assert_eq!((counts.blocks, counts.side_blocks, counts.accounts), (1, 0, 1));
    assert!(counts.disk_bytes > 0);
    assert_eq!(reader.verify_integrity().unwrap().supply, U256::from(1_000));
    assert_whole(&reader);
}

#[test]
fn blocks_are_read_back_as_written() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let sent = [Sent::new(1, 2, 0), Sent::new(2, 3, 5), Sent { to: None, ..Sent::new(1, 9, 1) }];
    let block = child(&home.genesis, 1, &sent);
    let hash = block.hash();
    store.write(&extend(std::slice::from_ref(&block))).unwrap();
    // Idempotent, also in a batch of its own.
    store.write(&[Record::Block(block.clone()), Record::Block(block.clone())]).unwrap();
    drop((store, reader));

    let (_store, reader, restored) = home.open();
    let stored = StoredBlock {
        block: block.block.clone(),
        senders: block.senders.clone(),
        total_weight: block.total_weight,
    };
    assert_eq!(restored.canonical, vec![stored.clone()]);
    assert_eq!(reader.block(hash).unwrap(), Some(stored.clone()));
    assert_eq!(reader.block_by_number(1).unwrap(), Some(stored));
    assert_eq!(reader.receipts(hash).unwrap().as_ref(), Some(&block.receipts));
    assert_eq!(reader.senders(hash).unwrap().as_ref(), Some(&block.senders));
    assert_eq!(reader.total_weight(hash).unwrap(), Some(block.total_weight));
    assert!(reader.is_canonical(hash).unwrap());
    let row = reader.block_row(hash).unwrap().unwrap();
    assert_eq!((row.issued, row.burned, row.transactions), (block.issued, block.burned, 3));
    assert_eq!(reader.recent(None, 10).unwrap()[0], row);
    assert_eq!(reader.recent(Some(0), 10).unwrap().len(), 1);
    let totals = reader.totals(1).unwrap().unwrap();
    assert_eq!((totals.transactions, totals.issued), (3, U256::from(100)));
    assert_eq!(reader.miners(1, 1).unwrap(), vec![(account(1), 1)]);
    let unknown = B256::repeat_byte(9);
    assert_eq!(reader.block(unknown).unwrap(), None);
    assert_eq!(reader.receipts(unknown).unwrap(), None);
    assert_eq!(reader.transaction(unknown).unwrap(), None);

    for (index, sent) in (0..).zip(&sent) {
        let place = reader.transaction(sent.hash()).unwrap().unwrap();
        assert_eq!((place.block, place.number, place.index), (hash, 1, index));
    }
    let of = |n| reader.activity(account(n), None, 10).unwrap();
    let indexes = |n| of(n).iter().map(|a| a.index).collect::<Vec<_>>();
    assert_eq!((indexes(1), indexes(2), indexes(3)), (vec![2, 0], vec![1, 0], vec![1]));
    assert_eq!((of(1)[0].to, of(1)[0].created), (None, Some(account(1).create(1))));
    assert_eq!(reader.activity(account(1).create(1), None, 10).unwrap(), of(1)[..1]);
    assert_eq!(reader.activity(account(1), Some((1, 2)), 10).unwrap(), of(1)[1..]);
    assert_eq!(reader.activity(account(1), None, 1).unwrap(), of(1)[..1]);
    assert_eq!((of(2)[0].success, of(2)[0].gas_used), (false, 21_000));
    assert_eq!(reader.recent_transactions(None, 2).unwrap()[0], of(1)[0]);
    assert_whole(&reader);
}

#[test]
fn side_branches_come_back_parents_first() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let main = chain(&home.genesis, 1, 4);
    let side = chain(&main[0], 2, 3);
    store.write(&extend(&main)).unwrap();
    let late: Vec<_> = side.iter().rev().cloned().map(Record::Block).collect();
    store.write(&late).unwrap();
    assert_eq!(reader.at_number(2).unwrap().len(), 2);
    assert!(!reader.is_canonical(side[0].hash()).unwrap());
    assert_eq!(reader.counts().unwrap().side_blocks, 3);
    drop(store);
    let (mut store, reader, restored) = home.open();
    let hashes = |blocks: &[StoredBlock]| blocks.iter().map(|b| b.block.hash()).collect::<Vec<_>>();
    let expected: Vec<_> = side.iter().map(|block| block.hash()).collect();
    assert_eq!(hashes(&restored.side), expected);
    assert_eq!(restored.canonical.len(), 4);

    // Pruning takes side blocks and never a canonical one.
    store.write(&[Record::Prune(vec![side[1].hash(), side[2].hash(), main[3].hash()])]).unwrap();
    assert_eq!(reader.block(side[1].hash()).unwrap(), None);
    assert_eq!(reader.receipts(side[1].hash()).unwrap(), None);
    assert!(reader.block(side[0].hash()).unwrap().is_some());
    assert!(reader.block(main[3].hash()).unwrap().is_some());
    assert_whole(&reader);
}

#[test]
fn finality_and_its_proof_are_kept() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let blocks = chain(&home.genesis, 1, 3);
    store.write(&extend(&blocks)).unwrap();
    let proof = Bytes::from_static(b"certificate");
    let record = |n: usize, justification| {
        let (number, hash) = (blocks[n].number(), blocks[n].hash());
        Record::Final { number, hash, justification }
    };
    store.write(&[record(0, Bytes::new()), record(1, proof.clone())]).unwrap();
    assert_eq!(reader.finalized().unwrap(), (2, blocks[1].hash()));
    assert_eq!(reader.justification(2).unwrap(), Some(proof));
    assert_eq!(reader.justification(1).unwrap(), None);
    drop(store);
    assert_eq!(home.open().2.finalized, (2, blocks[1].hash()));
}

#[test]
fn the_nodes_own_lists_come_back() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let socket = |port| SocketAddr::from(([10, 0, 0, 1], port));
    let known = PeerAddress::tcp(socket(1)).with_peer(PeerId(B256::repeat_byte(3)));
    let gone = PeerAddress::tcp(socket(2));
    let (bad, good) = (PeerId(B256::repeat_byte(1)), PeerId(B256::repeat_byte(2)));
    let old = PeerId(B256::repeat_byte(4));
    let (tx, done) = (Sent::new(1, 2, 3), Sent::new(1, 2, 4));
    let bytes = |sent: &Sent| Bytes::from(sent.transaction().encoded_2718());
    let address = |address, failures| Record::Address {
        address,
        last_success: Time::from_millis(77),
        failures,
    };
    store
        .write(&[
            Record::Engine(Bytes::from_static(b"forgotten")),
            Record::EngineTruncate,
            Record::Engine(Bytes::from_static(b"vote 1")),
            Record::Engine(Bytes::from_static(b"vote 1")),
            Record::Engine(Bytes::from_static(b"vote 2")),
            Record::Pending(bytes(&done)),
            Record::Pending(bytes(&tx)),
            Record::Pending(bytes(&tx)),
            Record::PendingDone(vec![done.hash(), B256::ZERO]),
            address(known, 1),
            address(gone, 0),
            address(known, 4),
            Record::AddressGone(gone),
            Record::Ban(good, Time::MAX),
            Record::Ban(bad, Time::from_millis(5)),
            Record::Ban(bad, Time::MAX),
            Record::Ban(old, Time::from_millis(5)),
            Record::Unban(good),
        ])
        .unwrap();
    store.write(&[]).unwrap();
    let votes = [&b"vote 1"[..], b"vote 1", b"vote 2"].map(Bytes::from_static).to_vec();
    assert_eq!(reader.engine_log().unwrap(), votes);
    store.close().unwrap();
    let restored = home.open().2;
    assert_eq!(restored.engine, votes);
    assert_eq!(restored.pending, vec![bytes(&tx)]);
    assert_eq!(restored.addresses, vec![(known, Time::from_millis(77), 4)]);
    // The one that ended long ago is not there.
    assert_eq!(restored.bans, vec![(bad, Time::from_millis(i64::MAX as u64))]);
}

#[test]
fn people_read_the_views() {
    let home = Home::new();
    let (mut store, _reader, _) = home.open();
    let sent = [Sent { to: None, ..Sent::new(1, 0, 1) }];
    let block = child(&home.genesis, 1, &sent);
    store.write(&extend(std::slice::from_ref(&block))).unwrap();
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("SELECT hash FROM v_blocks WHERE number = 1"), block.hash().to_string());
    assert_eq!(text("SELECT time FROM v_blocks WHERE number = 1"), "2023-11-14 22:13:20");
    assert_eq!(text("SELECT hash FROM v_transactions"), sent[0].hash().to_string());
    assert_eq!(text("SELECT balance FROM v_accounts"), "1000");
    let address = format!("{:#x}", account(0));
    assert_eq!(text("SELECT address FROM v_accounts"), address);
}

#[test]
fn readers_see_what_is_committed_while_a_write_is_under_way() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let blocks = chain(&home.genesis, 1, 2);
    store.write(&extend(&blocks)).unwrap();
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE; DELETE FROM canonical; DELETE FROM blocks;").unwrap();
    assert_eq!(reader.head().unwrap(), (2, blocks[1].hash()));
    assert!(reader.block(blocks[0].hash()).unwrap().is_some());
    conn.execute_batch("ROLLBACK").unwrap();
    // More threads than connections: all get an answer.
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let reader = reader.clone();
            scope.spawn(move || assert_eq!(reader.head().unwrap().0, 2));
        }
    });
}
