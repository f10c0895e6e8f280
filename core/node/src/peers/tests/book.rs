//! The address book: slots, floods, storage, and what is never dialled.

use super::*;
use crate::peers::book::{Book, Endpoint, Group, is_dialable};
use rand_chacha::ChaCha8Rng;

const KEY: (u64, u64) = (11, 22);

fn endpoint(socket: &str) -> Endpoint {
    Endpoint::of(&address(socket))
}

fn source(socket: &str) -> Group {
    Group::of(NetworkKind::Public, socket.parse().expect("a socket"))
}

/// A public book in which `n` addresses of as many networks were reached.
fn reached(n: u8) -> Book {
    let mut book = Book::new(NetworkKind::Public, KEY);
    for i in 0..n {
        let at = endpoint(&format!("{}.{i}.3.4:20000", 20 + i));
        book.reached(T0, at, id(i), "eu", &mut Vec::new());
    }
    book
}

fn tried(book: &Book) -> BTreeSet<Endpoint> {
    book.iter().filter(|(_, e)| e.is_tried()).map(|(at, _)| *at).collect()
}

#[test]
fn only_addresses_of_nodes_are_dialable() {
    let table = [
        ("8.8.8.8:20000", true, true),
        ("8.8.8.8:1023", true, false),
        ("8.8.8.8:0", false, false),
        ("127.0.0.1:20000", true, false),
        ("10.1.2.3:20000", true, false),
        ("192.168.1.1:20000", true, false),
        ("169.254.1.1:20000", true, false),
        ("100.64.0.1:20000", true, false),
        ("203.0.113.9:20000", true, false),
        ("0.0.0.0:20000", false, false),
        ("224.0.0.1:20000", false, false),
        ("255.255.255.255:20000", false, false),
        ("[2a00::1]:20000", true, true),
        ("[2001:db8::1]:20000", true, false),
        ("[::1]:20000", true, false),
        ("[fd00::1]:20000", true, false),
        ("[::ffff:10.0.0.1]:20000", true, false),
        ("[::ffff:8.8.8.8]:20000", true, true),
    ];
    for (socket, in_local, in_public) in table {
        let socket = socket.parse().expect("a socket");
        assert_eq!(is_dialable(NetworkKind::Local, socket), in_local, "{socket} locally");
        assert_eq!(is_dialable(NetworkKind::Public, socket), in_public, "{socket} publicly");
    }
}

#[test]
fn groups_are_networks_and_in_local_ones_sockets() {
    use NetworkKind::{Local, Public};
    let table = [
        (Public, "8.8.1.1:1", "8.8.200.9:2", true),
        (Public, "8.8.1.1:1", "8.9.1.1:1", false),
        (Public, "[2a00:1:2::1]:1", "[2a00:1:9::1]:1", true),
        (Public, "[2a00:1::1]:1", "[2a00:2::1]:1", false),
        (Public, "8.8.1.1:1", "[::ffff:8.8.3.3]:1", true),
        (Local, "127.0.0.1:20001", "127.0.0.1:20002", false),
        (Local, "127.0.0.1:20001", "127.0.0.1:20001", true),
        (Local, "8.8.1.1:1", "8.8.2.2:2", true),
    ];
    for (kind, a, b, same) in table {
        let group = |s: &str| Group::of(kind, s.parse().expect("a socket"));
        assert_eq!(group(a) == group(b), same, "{kind:?} {a} {b}");
    }
}

#[test]
fn a_flood_from_one_network_takes_few_slots_and_no_reached_address() {
    let mut book = reached(60);
    let before = tried(&book);
    assert!(before.len() >= 45, "{} of 60 found a slot", before.len());
    let known = book.len();
    for n in 0..10_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let fake = endpoint(&format!("{}.{b}.{c}.{}:20000", 60 + n % 100, a + 1));
        book.heard(fake, source("66.66.1.1:20000"), &mut Vec::new());
    }
    assert_eq!(tried(&book), before);
    assert!(book.len() - known <= 128, "{} fakes are in", book.len() - known);
}

#[test]
fn a_flood_from_everywhere_is_bounded_and_displaces_no_reached_address() {
    let mut book = reached(60);
    let before = tried(&book);
    let mut records = Vec::new();
    for n in 0..10_000u32 {
        let [_, _, b, c] = n.to_be_bytes();
        let fake = endpoint(&format!("{}.{b}.{c}.7:20000", 60 + n % 100));
        book.heard(fake, source(&format!("{}.{c}.1.1:1", 30 + b)), &mut records);
    }
    let lost = before.difference(&tried(&book)).count();
    assert_eq!(lost, 0, "of {}", before.len());
    assert!(book.len() <= 64 * 16 + 16 * 16, "{} addresses", book.len());
    assert!(records.len() < 3_000, "a flood is not written to disk: {} records", records.len());
}

#[test]
fn a_working_address_keeps_its_slot_against_reached_ones_and_a_failing_one_yields() {
    let mut book = reached(60);
    let before = tried(&book);
    // An attacker that really runs two thousand nodes in one network and is dialled each time.
    for n in 0..2_000u32 {
        let [_, _, b, c] = n.to_be_bytes();
        let evil = endpoint(&format!("66.66.{b}.{c}:20000"));
        book.reached(T0, evil, id(200), "", &mut Vec::new());
    }
    assert!(before.is_subset(&tried(&book)));
    let evil = tried(&book).len() - before.len();
    assert!(evil <= 64, "one network has four of sixteen buckets: {evil}");
    assert!(book.len() <= 64 * 16 + 16 * 16);

    for at in &before {
        book.failed(T0, at, T0, &mut Vec::new());
    }
    for n in 0..200u8 {
        let other = endpoint(&format!("{n}.77.1.1:20000"));
        book.reached(T0, other, id(n), "", &mut Vec::new());
    }
    assert!(!before.is_subset(&tried(&book)), "what fails gives way to what works");
}

#[test]
fn an_address_that_never_worked_is_forgotten_after_three_failures() {
    let mut book = Book::new(NetworkKind::Public, KEY);
    let at = endpoint("8.8.8.8:20000");
    let mut records = Vec::new();
    assert!(book.heard(at, source("9.9.9.9:1"), &mut records));
    assert!(!book.heard(at, source("9.9.9.9:1"), &mut records), "once");
    for left in [1, 1, 0] {
        book.failed(T0, &at, T0, &mut records);
        assert_eq!(book.len(), left);
    }
    assert!(matches!(records.last(), Some(Record::AddressGone(a)) if a.socket == at.socket));
}

#[test]
fn an_address_that_worked_is_kept_for_a_day_and_not_tied_to_a_key_for_ever() {
    let mut book = reached(1);
    let at = endpoint("20.0.3.4:20000");
    assert_eq!(book.get(&at).and_then(|e| e.expected()), Some(id(0)));
    for n in 0..50 {
        book.failed(T0 + n * SECOND, &at, T0, &mut Vec::new());
    }
    let entry = book.get(&at).expect("still there after fifty failures");
    assert_eq!(entry.expected(), None, "a node may come back with another identity");
    book.failed(T0 + Duration::from_secs(90_000), &at, T0, &mut Vec::new());
    assert_eq!(book.len(), 0);
}

/// Applies records as a store does.
fn store(records: Vec<Record>) -> Vec<(PeerAddress, Time, u32)> {
    let mut stored = BTreeMap::new();
    for record in records {
        match record {
            Record::Address { address, last_success, failures } => {
                stored.insert(address, (address, last_success, failures));
            }
            Record::AddressGone(address) => {
                stored.remove(&address);
            }
            other => panic!("the book does not write {other:?}"),
        }
    }
    stored.into_values().collect()
}

#[test]
fn what_was_written_is_what_comes_back() {
    let mut records = Vec::new();
    let mut book = Book::new(NetworkKind::Public, KEY);
    for n in 0..120u8 {
        let at = endpoint(&format!("{n}.{n}.1.1:20000"));
        book.heard(at, source(&format!("9.{n}.1.1:1")), &mut records);
        match n % 3 {
            0 => book.reached(T0, at, id(n), "", &mut records),
            1 => book.failed(T0, &at, T0, &mut records),
            _ => {}
        }
    }
    let stored = store(records);
    assert_eq!(stored.len(), book.len(), "the store and the book agree");
    for (address, last_success, failures) in &stored {
        let entry = book.get(&Endpoint::of(address)).expect("in both");
        assert_eq!(
            (entry.peer, entry.last_success, entry.failures),
            (address.peer, *last_success, *failures)
        );
    }
    let mut again = Book::new(NetworkKind::Public, (33, 44));
    let mut gone = Vec::new();
    again.restore(stored.clone(), &mut gone);
    assert_eq!(
        again.len() + gone.len(),
        stored.len(),
        "what found no slot is removed from the store"
    );
    assert!(again.len() * 10 >= stored.len() * 9, "{} of {}", again.len(), stored.len());
    let kept = tried(&book).intersection(&tried(&again)).count();
    assert!(kept * 10 >= tried(&book).len() * 8, "most of what worked is still known to work");
}

#[test]
fn answers_show_a_share_of_the_book() {
    for (known, most) in [(10u8, 10), (40, 16), (100, 23), (250, 57)] {
        let mut book = Book::new(NetworkKind::Public, KEY);
        for n in 0..known {
            let at = endpoint(&format!("{}.{n}.1.1:20000", 1 + n % 9));
            book.heard(at, source(&format!("{}.{n}.1.1:1", 20 + n % 100)), &mut Vec::new());
        }
        let answer = book.sample(&mut ChaCha8Rng::seed_from_u64(1), 100);
        assert!(answer.len() <= most, "{} of {known}", answer.len());
        assert!(answer.len() * 10 >= most * 7, "{} of {known}", answer.len());
    }
}

#[test]
fn a_new_region_is_dialled_first() {
    let mut book = Book::new(NetworkKind::Local, KEY);
    for n in 0..40u8 {
        let region = if n == 33 { "asia" } else { "eu" };
        let at = Endpoint::of(&local(n));
        book.heard(at, Group::of(NetworkKind::Local, local(n).socket), &mut Vec::new());
        book.set_region(&at, region);
    }
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let regions = BTreeSet::from(["eu"]);
        let chosen = book.pick(T0, &mut rng, &regions, &BTreeSet::new(), |_, _| true);
        assert_eq!(chosen, Some(Endpoint::of(&local(33))));
    }
}

#[test]
fn the_same_network_is_dialled_last() {
    let mut book = Book::new(NetworkKind::Public, KEY);
    for socket in ["8.8.1.1:20000", "8.8.2.2:20000", "9.9.1.1:20000"] {
        book.heard(endpoint(socket), source("7.7.7.7:1"), &mut Vec::new());
    }
    let groups = BTreeSet::from([source("8.8.3.3:1")]);
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let chosen = book.pick(T0, &mut rng, &BTreeSet::new(), &groups, |_, _| true);
        assert_eq!(chosen, Some(endpoint("9.9.1.1:20000")));
    }
}
