//! Slots: what a full node does with newcomers, and what one network can take.

use super::*;

fn public(inbound_max: usize) -> Peers {
    let mut settings = config(NetworkKind::Public, 1);
    settings.inbound_max = inbound_max;
    started(settings)
}

fn peer_of(n: u32) -> PeerId {
    PeerId(B256::from(alloy_primitives::U256::from(n)))
}

fn inbound(peers: &Peers) -> Vec<PeerId> {
    let infos = peers.infos(T0).into_iter();
    infos.filter(|p| p.direction == Direction::Inbound).map(|p| p.id).collect()
}

#[test]
fn a_full_local_node_names_alternatives_and_refuses() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.inbound_max = 3;
    let mut peers = started(settings);
    for n in 2..5 {
        greet(&mut peers, T0, id(n), local(n), Direction::Inbound);
    }
    let out = greet(&mut peers, T0, id(9), local(9), Direction::Inbound);
    assert_eq!(disconnects(&out), [(id(9), DisconnectReason::TooManyPeers)]);
    let said = sent(&out);
    let kinds: Vec<_> = said.iter().map(|(_, m)| m.name()).collect();
    assert_eq!(kinds, ["hello", "peers", "goodbye"]);
    let Message::Peers(alternatives) = &said[1].1 else { panic!("checked above") };
    let mut sockets: Vec<_> = alternatives.iter().map(|a| a.socket).collect();
    sockets.sort();
    assert_eq!(sockets, [2, 3, 4].map(|n| local(n).socket));
}

#[test]
fn configured_peers_need_no_slot() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.inbound_max = 1;
    settings.sessions_max = 1;
    settings.configured = vec![local(9).with_peer(id(9))];
    let mut peers = started(settings);
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    greet(&mut peers, T0, id(9), local(9), Direction::Inbound);
    assert_eq!(peers.count(), 2);
}

#[test]
fn two_hundred_sybils_of_one_subnet_take_four_slots_and_displace_nobody() {
    let mut peers = public(20);
    let honest: Vec<_> = (0..20).map(peer_of).collect();
    for (n, peer) in honest.iter().enumerate() {
        let seen = address(&format!("{}.{n}.1.1:20000", 20 + n));
        greet(&mut peers, T0, *peer, seen, Direction::Inbound);
        let now = T0 + SECOND;
        peers.useful_block(now, peer);
    }
    assert_eq!(inbound(&peers).len(), 20);
    let (mut from_address, mut evicted) = (0, Vec::new());
    for n in 0..200 {
        let seen = address(&format!("66.66.66.{}:30000", n % 250));
        let now = T0 + Duration::from_secs(u64::from(n));
        let out = greet(&mut peers, now, peer_of(1_000 + n), seen, Direction::Inbound);
        for (peer, reason) in disconnects(&out) {
            match reason {
                DisconnectReason::TooManyFromAddress => from_address += 1,
                DisconnectReason::Evicted => evicted.push(peer),
                other => panic!("{peer:?}: {other}"),
            }
        }
    }
    let stayed = honest.iter().filter(|peer| peers.is_ready(peer)).count();
    let sybils = inbound(&peers).iter().filter(|p| **p >= peer_of(1_000)).count();
    assert!(sybils <= 4, "{sybils} sybils are in");
    assert!(stayed >= 16, "{stayed} of 20 honest peers stayed");
    assert_eq!(inbound(&peers).len(), 20);
    assert!(from_address >= 190, "{from_address} were refused by their subnet");
    assert!(evicted.len() <= 10);
}

#[test]
fn a_local_node_takes_many_from_one_address() {
    let mut peers = started(config(NetworkKind::Local, 1));
    for n in 2..60 {
        greet(&mut peers, T0, id(n), local(n), Direction::Inbound);
    }
    assert_eq!(peers.count(), 58);
}

#[test]
fn sessions_without_hello_are_bounded() {
    for (kind, bound) in [(NetworkKind::Public, 16), (NetworkKind::Local, 160)] {
        let mut peers = started(config(kind, 1));
        let mut refused = 0;
        for n in 0..200 {
            let seen = address(&format!("{}.{}.1.1:20000", 20 + n / 100, n % 100));
            let mut out = Vec::new();
            let status = ChainStatus::default();
            peers.connected(T0, peer_of(n), seen, Direction::Inbound, status, &mut out);
            refused += disconnects(&out).len();
        }
        assert_eq!(refused, 200 - bound);
    }
}
