//! Peer exchange: what is asked, answered and believed.

use super::*;
use kette_types::limits::PEERS_MAX;

fn many(n: usize) -> Vec<PeerAddress> {
    (0..n).map(|i| address(&format!("127.{}.{}.1:3000", 1 + i / 250, i % 250))).collect()
}

fn answer(peers: &mut Peers, now: Time, asker: PeerId) -> Vec<PeerAddress> {
    let mut out = Vec::new();
    peers.exchange(now, asker, Message::GetPeers, &mut out);
    match sent(&out).pop() {
        Some((to, Message::Peers(addresses))) if to == asker => addresses,
        other => panic!("{other:?}"),
    }
}

#[test]
fn believes_as_many_addresses_as_it_asked_for() {
    let mut settings = config(NetworkKind::Public, 1);
    settings.outbound_target = 0;
    let mut peers = started(settings);
    let public: Vec<_> =
        (0..250).map(|n| address(&format!("{}.{n}.1.1:20000", 20 + n % 150))).collect();
    let seen = address("9.9.9.9:20000");
    greet(&mut peers, T0, id(2), seen, Direction::Outbound);
    let mut out = Vec::new();
    for chunk in public.chunks(PEERS_MAX) {
        peers.exchange(T0, id(2), Message::Peers(chunk.to_vec()), &mut out);
    }
    let known = peers.known_addresses();
    assert!((60..=102).contains(&known), "one answer is believed, and few find no slot: {known}");
    assert!(disconnects(&out).is_empty(), "excess is dropped without blame");
    let later = T0 + 100 * SECOND;
    peers.exchange(later, id(2), Message::Peers(public[200..250].to_vec()), &mut out);
    assert!(peers.known_addresses() <= known + 10, "a tenth of an address per second");
}

#[test]
fn a_peer_that_was_not_asked_tells_little() {
    let mut settings = config(NetworkKind::Public, 1);
    settings.outbound_target = 0;
    let stored = (0..200u32).map(|n| (address(&format!("{}.{n}.9.9:20000", 20 + n % 99)), T0, 0));
    let mut peers = Peers::new(settings, stored.collect(), Vec::new());
    peers.start(T0, &mut Vec::new());
    let out = greet(&mut peers, T0, id(2), address("9.9.9.9:4000"), Direction::Inbound);
    let questions = sent(&out).into_iter().filter(|(_, m)| *m == Message::GetPeers).count();
    assert_eq!(questions, 0, "who comes to a node with a full book is not asked");
    let before = peers.known_addresses();
    let rumours = (0..100).map(|n| address(&format!("8.{n}.1.1:20000"))).collect();
    peers.exchange(T0, id(2), Message::Peers(rumours), &mut Vec::new());
    assert!(peers.known_addresses() <= before + 1);
}

#[test]
fn drops_claimed_identities_itself_and_low_ports() {
    let mut settings = config(NetworkKind::Public, 1);
    settings.outbound_target = 0;
    let mut peers = started(settings);
    greet(&mut peers, T0, id(2), address("9.9.9.9:20000"), Direction::Outbound);
    let told = vec![
        address("1.1.1.1:20000"), // this node
        address("8.8.8.8:22"),
        address("10.0.0.1:20000"),
        address("8.8.4.4:20000").with_peer(id(66)),
    ];
    let mut out = Vec::new();
    peers.exchange(T0, id(2), Message::Peers(told), &mut out);
    let stored: Vec<_> = records(&out)
        .into_iter()
        .map(|r| if let Record::Address { address, .. } = r { address } else { panic!("{r:?}") })
        .collect();
    assert_eq!(stored, [address("8.8.4.4:20000")]);
}

#[test]
fn gives_everybody_the_same_answer_for_a_while() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.outbound_target = 0;
    let stored = many(300).into_iter().map(|a| (a, Time::ZERO, 0)).collect();
    let mut peers = Peers::new(settings, stored, Vec::new());
    peers.start(T0, &mut Vec::new());
    for n in 2..5 {
        greet(&mut peers, T0, id(n), local(n), Direction::Inbound);
    }
    let first = answer(&mut peers, T0, id(2));
    assert!(first.len() <= PEERS_MAX && first.len() >= peers.known_addresses() / 5);
    let without_asker = |mut list: Vec<PeerAddress>| {
        list.retain(|a| ![2, 3].map(|n| local(n).socket).contains(&a.socket));
        list
    };
    let other = answer(&mut peers, T0 + 4 * SECOND, id(3));
    assert_eq!(without_asker(other), without_asker(first.clone()));
    let later = answer(&mut peers, T0 + 5 * SECOND, id(2));
    assert_ne!(without_asker(later), without_asker(first));
}

#[test]
fn a_young_book_is_answered_afresh() {
    let mut settings = config(NetworkKind::Public, 1);
    settings.outbound_target = 0;
    let mut peers = started(settings);
    greet(&mut peers, T0, id(2), address("9.9.9.9:20000"), Direction::Inbound);
    assert_eq!(answer(&mut peers, T0, id(2)), [], "its own address is no news to it");
    greet(&mut peers, T0, id(3), address("8.8.8.8:20000"), Direction::Inbound);
    let heard = answer(&mut peers, T0, id(2));
    assert_eq!(
        heard.iter().map(|a| a.socket).collect::<Vec<_>>(),
        [address("8.8.8.8:20000").socket]
    );
}

#[test]
fn asks_again_while_outbound_slots_are_free() {
    let mut peers = started(config(NetworkKind::Local, 1));
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    let asked = |peers: &mut Peers| {
        let mut questions = 0;
        for second in 1..=20 {
            let now = T0 + second * SECOND;
            let mut out = Vec::new();
            let _ = peers.gate(now, id(2), &Message::Pong(0), &mut out);
            peers.tick(now, &mut out);
            questions += sent(&out).iter().filter(|(_, m)| *m == Message::GetPeers).count();
        }
        questions
    };
    assert_eq!(asked(&mut peers), 4);
    let mut settings = config(NetworkKind::Local, 1);
    settings.outbound_target = 0;
    let mut content = started(settings);
    greet(&mut content, T0, id(2), local(2), Direction::Inbound);
    assert_eq!(asked(&mut content), 0);
}

#[test]
fn host_discovery_feeds_the_book() {
    let mut peers = started(config(NetworkKind::Local, 1));
    let mut out = Vec::new();
    peers.discovered(T0, &many(1_000), &mut out);
    assert!(peers.known_addresses() <= 128, "one source has its share of slots");
    assert_eq!(dials(&out).len(), OUTBOUND_MIN);
}
