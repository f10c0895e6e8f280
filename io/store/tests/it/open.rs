//! Files that cannot be opened, disks that cannot be written: each has its own error that says what to do.

use crate::fixture::*;
use kette_chain::Record;
use kette_store::{Check, Reader, Store, StoreError, StoreOptions};
use kette_types::Bytes;
use std::{
    fs::{File, OpenOptions, Permissions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    time::Instant,
};

/// Some hundred kilobytes of blocks, closed.
fn filled(home: &Home) {
    let (mut store, _reader, _) = home.open();
    let sent = |n| (0..20).map(|from| Sent::new(from, 9, n)).collect::<Vec<_>>();
    let mut parent = home.genesis.clone();
    for n in 0..40 {
        let block = child(&parent, 1, &sent(n));
        store.write(&extend(std::slice::from_ref(&block))).unwrap();
        parent = block;
    }
    store.close().unwrap();
}

fn overwrite(home: &Home, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(home.path()).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn refused(home: &Home) -> StoreError {
    home.try_open().map(drop).unwrap_err()
}

#[test]
fn a_second_opener_learns_who_holds_the_store() {
    let home = Home::new();
    let (store, _reader, _) = home.open();
    let error = refused(&home);
    let pid = std::process::id();
    assert!(matches!(error, StoreError::Locked { pid: Some(found), .. } if found == pid));
    assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    assert!(error.to_string().contains("node.sqlite"), "{error}");
    drop(store);
    home.open();
}

#[test]
fn another_genesis_or_chain_id_is_refused() {
    let mut home = Home::new();
    home.open().0.close().unwrap();
    let id = Store::open(
        &home.path(),
        &home.options,
        (&home.genesis.block.header, &home.commit, CHAIN_ID + 1),
    );
    assert!(matches!(id.unwrap_err(), StoreError::WrongChainId { found: CHAIN_ID, .. }));
    let expected = home.genesis.hash();
    (home.genesis, home.commit) = genesis(2_000);
    let error = refused(&home);
    assert!(
        matches!(error, StoreError::WrongGenesis { found, .. } if found == expected),
        "{error}"
    );
}

#[test]
fn files_that_are_no_database_of_ours_are_refused_and_stay() {
    let home = Home::new();
    std::fs::write(home.path(), "these are not the bytes of a database, but a text of someone")
        .unwrap();
    let before = std::fs::read(home.path()).unwrap();
    assert!(matches!(refused(&home), StoreError::NotADatabase { .. }));
    assert_eq!(std::fs::read(home.path()).unwrap(), before);

    std::fs::remove_file(home.path()).unwrap();
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    drop(conn);
    assert!(matches!(refused(&home), StoreError::Foreign { .. }));
    let foreign = Reader::open(&home.path(), &home.options).unwrap_err();
    assert!(matches!(foreign, StoreError::Foreign { .. }), "{foreign}");
}

#[test]
fn a_newer_schema_is_refused() {
    let home = Home::new();
    home.open().0.close().unwrap();
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    assert!(matches!(refused(&home), StoreError::NewerSchema { found: 99, .. }));
}

#[test]
fn a_damaged_first_page_is_noticed() {
    let home = Home::new();
    filled(&home);
    overwrite(&home, 0, &[0x5a; 100]);
    let error = refused(&home);
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");

    let home = Home::new();
    filled(&home);
    // The magic is whole, the root of the schema is not.
    overwrite(&home, 100, &[0x5a; 3_900]);
    let error = refused(&home);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("kette chain verify --db"), "{error}");
}

#[test]
fn a_truncated_file_is_noticed() {
    let home = Home::new();
    filled(&home);
    let length = std::fs::metadata(home.path()).unwrap().len();
    for keep in [length / 2, length - 4096, 5_000, 50] {
        OpenOptions::new().write(true).open(home.path()).unwrap().set_len(keep).unwrap();
        let error = refused(&home);
        let expected =
            matches!(error, StoreError::Damaged { .. } | StoreError::NotADatabase { .. });
        assert!(expected, "{keep} of {length}: {error}");
    }
}

#[test]
fn damage_inside_is_found_after_a_crash_and_on_demand() {
    let mut home = Home::new();
    filled(&home);
    let length = std::fs::metadata(home.path()).unwrap().len();
    // Half of the pages in the middle: some of them are inner pages of a table.
    for page in (length / 4096 / 4)..(length / 4096 / 4 * 3) {
        overwrite(&home, page * 4096, &[0xff; 64]);
    }
    home.options.check = Check::Always;
    let error = refused(&home);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let reader = Reader::open(&home.path(), &home.options).unwrap();
    match reader.verify_integrity() {
        Ok(found) => assert!(!found.problems.is_empty()),
        Err(error) => assert!(error.to_string().contains("damaged"), "{error}"),
    }

    // A start that was followed by no clean shutdown checks by itself.
    let mut home = Home::new();
    filled(&home);
    home.options.check = Check::Never;
    drop(home.open());
    home.options.check = Check::AfterCrash;
    let length = std::fs::metadata(home.path()).unwrap().len();
    for page in (length / 4096 / 2)..(length / 4096) {
        overwrite(&home, page * 4096, &[0xff; 64]);
    }
    let error = refused(&home);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn wrong_content_in_whole_pages_is_found_by_verify() {
    let cases = [
        ("UPDATE bodies SET senders = x'' WHERE block = 3", "not one sender per transaction"),
        (
            "UPDATE blocks SET header = (SELECT header FROM blocks WHERE id = 5) WHERE id = 4",
            "has hash",
        ),
        ("UPDATE receipts SET receipts = x'c0' WHERE block = 7", "the receipts are not those"),
        (
            "UPDATE bodies SET body = (SELECT body FROM bodies WHERE block = 5) WHERE block = 6",
            "the body",
        ),
        ("DELETE FROM transactions WHERE number = 9 AND position = 3", "transaction index"),
        ("DELETE FROM canonical WHERE number = 12", "block 12 is missing"),
        ("UPDATE trie_nodes SET node = x'80'", "has other content"),
        ("DELETE FROM trie_nodes", "is missing"),
    ];
    for (damage, expected) in cases {
        let home = Home::new();
        filled(&home);
        rusqlite::Connection::open(home.path()).unwrap().execute_batch(damage).unwrap();
        let reader = Reader::open(&home.path(), &home.options).unwrap();
        let problems = reader.verify_integrity().unwrap().problems;
        assert!(problems.iter().any(|line| line.contains(expected)), "{damage}: {problems:?}");
    }
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let home = Home::new();
    let at = |path: std::path::PathBuf| {
        let genesis = (&home.genesis.block.header, &home.commit, CHAIN_ID);
        Store::open(&path, &home.options, genesis).map(drop)
    };
    // A file where a folder should be.
    File::create(home.folder.join("file")).unwrap();
    let error = at(home.folder.join("file/node.sqlite")).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    // A folder where the file should be.
    std::fs::create_dir(home.folder.join("folder")).unwrap();
    let error = at(home.folder.join("folder")).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    // proc accepts no files, whoever asks.
    let error = at("/proc/kette/node.sqlite".into()).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    // Missing folders are made.
    at(home.folder.join("a/b/node.sqlite")).unwrap();

    let sealed = home.folder.join("sealed");
    std::fs::create_dir(&sealed).unwrap();
    std::fs::set_permissions(&sealed, Permissions::from_mode(0o555)).unwrap();
    // The superuser may write everywhere; for everyone else the folder is closed.
    if File::create(sealed.join("probe")).is_err() {
        let error = at(sealed.join("node.sqlite")).unwrap_err();
        assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    }
    std::fs::set_permissions(&sealed, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_full_disk_loses_nothing() {
    let mut home = Home::new();
    home.options.database_bytes_max = Some(400 * 1024);
    let (mut store, reader, _) = home.open();
    let entry = |n: u32| Record::Engine(Bytes::from(vec![u8::try_from(n).unwrap(); 20_000]));
    let mut written = 0;
    let error = loop {
        match store.write(&[entry(written), Record::Pending(vec![1; 10_000].into())]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert!(written > 3, "{written}");
    assert_eq!(reader.engine_log().unwrap().len(), written as usize);
    // Small things still fit; the store goes on.
    store.write(&[Record::EngineTruncate]).unwrap();
    store.write(&[entry(0)]).unwrap();
    assert_eq!(reader.engine_log().unwrap().len(), 1);
    store.close().unwrap();
    home.options.database_bytes_max = None;
    let (mut store, reader, restored) = home.open();
    assert_eq!(restored.engine.len(), 1);
    store.write(&[entry(1)]).unwrap();
    assert_whole(&reader);
}

#[test]
fn the_write_ahead_log_stays_short() {
    let mut home = Home::new();
    home.options = StoreOptions { wal_bytes: 64 * 1024, ..home.options };
    let (mut store, _reader, _) = home.open();
    let wal = home.folder.join("node.sqlite-wal");
    let mut longest = 0;
    for n in 0..200_u8 {
        store.write(&[Record::Engine(vec![n; 8_000].into()), Record::EngineTruncate]).unwrap();
        longest = longest.max(std::fs::metadata(&wal).unwrap().len());
    }
    assert!(longest > 64 * 1024, "{longest}: the limit was reached");
    assert!(longest < 512 * 1024, "{longest}");
    store.close().unwrap();
    assert_eq!(std::fs::metadata(&wal).map_or(0, |data| data.len()), 0);
}

#[test]
fn ten_thousand_blocks_open_within_a_second() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let blocks = chain(&home.genesis, 1, 10_000);
    for part in blocks.chunks(500) {
        store.write(&extend(part)).unwrap();
    }
    let last = &blocks[9_990];
    store.write(&[checkpoint(last, &home.genesis, &mut std::iter::empty())]).unwrap();
    store.close().unwrap();
    drop(reader);
    let start = Instant::now();
    let (store, _reader, restored) = home.open();
    let clean = start.elapsed();
    assert_eq!((restored.checkpoint.0, restored.canonical.len()), (9_991, 9));
    drop(store);
    let start = Instant::now();
    home.open();
    let crashed = start.elapsed();
    assert!(clean.as_secs_f64() < 1.0, "{clean:?}");
    assert!(crashed.as_secs_f64() < 1.0, "{crashed:?}");
}
