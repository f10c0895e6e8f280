//! One session from connect to end: hello, order, pings, slots, clocks.

use super::*;
use kette_types::{Bytes, limits::HELLO_TIMEOUT_SECS};
use proptest::prelude::*;

fn connect(peers: &mut Peers, now: Time, n: u8, direction: Direction) -> Vec<Output> {
    let mut out = Vec::new();
    peers.connected(now, id(n), local(n), direction, ChainStatus::default(), &mut out);
    out
}

fn local_node() -> Peers {
    started(config(NetworkKind::Local, 1))
}

#[test]
fn says_hello_first_and_reports_a_ready_peer() {
    let mut peers = local_node();
    let out = connect(&mut peers, T0, 2, Direction::Inbound);
    let said = sent(&out);
    assert!(
        matches!(&said[..], [(to, Message::Hello(h))] if *to == id(2) && h.genesis == peers.config().genesis)
    );
    assert!(!peers.is_ready(&id(2)) && peers.infos(T0).is_empty());

    let mut hello = hello_from(peers.config(), local(2));
    hello.moniker = "b\u{1b}[31mad\n".to_owned();
    hello.status.number = 5;
    let mut out = Vec::new();
    assert!(peers.hello(T0 + SECOND, id(2), hello.clone(), ChainStatus::default(), &mut out));
    assert!(!peers.hello(T0 + SECOND, id(2), hello, ChainStatus::default(), &mut out), "only once");
    assert_eq!(peers.ready().collect::<Vec<_>>(), [id(2)]);
    assert_eq!(peers.status_of(&id(2)).map(|s| s.number), Some(5));
    let info = &peers.infos(T0 + 3 * SECOND)[0];
    assert_eq!(info.moniker, "b[31mad", "no control characters in names");
    assert_eq!((info.listen, info.age_secs), (Some(local(2).with_peer(id(2))), 3));
    assert!(
        out.iter().any(|o| matches!(o, Output::Event(Event::PeerUp { handshake_ms: 1_000, .. })))
    );
    assert!(sent(&out).contains(&(id(2), Message::GetPeers)));
}

#[test]
fn corrects_a_status_that_changed_during_the_hello() {
    let mut peers = local_node();
    connect(&mut peers, T0, 2, Direction::Inbound);
    let newer = ChainStatus { number: 3, ..ChainStatus::default() };
    let mut out = Vec::new();
    let hello = hello_from(peers.config(), local(2));
    peers.hello(T0, id(2), hello, newer, &mut out);
    assert!(sent(&out).contains(&(id(2), Message::Status(newer))));
}

#[test]
fn refuses_each_wrong_hello_with_its_reason() {
    use DisconnectReason as R;
    type Change = fn(&mut Hello);
    let table: [(Change, R); 4] = [
        (|h| h.version += 1, R::WrongVersion),
        (|h| h.chain_id += 1, R::WrongChainId),
        (|h| h.genesis = B256::ZERO, R::WrongGenesis),
        (|h| h.rules = B256::ZERO, R::WrongGenesis),
    ];
    for (change, reason) in table {
        let mut peers = local_node();
        connect(&mut peers, T0, 2, Direction::Inbound);
        let mut hello = hello_from(peers.config(), local(2));
        change(&mut hello);
        let mut out = Vec::new();
        assert!(!peers.hello(T0, id(2), hello, ChainStatus::default(), &mut out));
        assert_eq!(goodbyes(&out), [reason]);
        assert_eq!(disconnects(&out), [(id(2), reason)]);
        assert_eq!(downs(&out), [(id(2), reason)]);
        assert_eq!(peers.known_addresses(), 0, "nothing of another chain enters the book");
    }
}

#[test]
fn recognizes_itself_by_nonce_and_by_id() {
    let mut peers = local_node();
    let out = connect(&mut peers, T0, 2, Direction::Outbound);
    let Message::Hello(own) = sent(&out).remove(0).1 else { panic!("hello comes first") };
    let mut out = Vec::new();
    assert!(!peers.hello(T0, id(2), *own, ChainStatus::default(), &mut out));
    assert_eq!(disconnects(&out), [(id(2), DisconnectReason::SelfConnection)]);

    let out = connect(&mut peers, T0, 1, Direction::Inbound);
    assert_eq!(disconnects(&out), [(id(1), DisconnectReason::SelfConnection)]);
    assert!(!peers.is_known(id(1)));
}

#[test]
fn anything_before_the_hello_ends_the_session() {
    let early = [
        Message::Ping(1),
        Message::GetPeers,
        Message::Status(ChainStatus::default()),
        Message::Engine(Bytes::new()),
        Message::GetBodies { id: 0, hashes: vec![] },
        Message::NewTransactions(vec![]),
    ];
    for message in early {
        let mut peers = local_node();
        connect(&mut peers, T0, 2, Direction::Inbound);
        let mut out = Vec::new();
        assert_eq!(peers.gate(T0, id(2), &message, &mut out), Gate::Fault(Fault::HelloOrder));
        assert_eq!(disconnects(&out), [(id(2), DisconnectReason::MessageBeforeHello)]);
        assert_eq!(peers.gate(T0, id(2), &message, &mut out), Gate::Drop, "the session is gone");
    }
    let mut peers = local_node();
    connect(&mut peers, T0, 2, Direction::Inbound);
    let goodbye = Message::Goodbye(DisconnectReason::WrongGenesis);
    let mut out = Vec::new();
    assert_eq!(peers.gate(T0, id(2), &goodbye, &mut out), Gate::Pass, "a refusal may come first");
    peers.control(T0, id(2), &goodbye, &mut out);
    assert_eq!(downs(&out), [(id(2), DisconnectReason::WrongGenesis)], "both sides log the reason");
    assert_eq!(goodbyes(&out), [], "a goodbye is not answered");
}

#[test]
fn a_second_hello_is_a_fault() {
    let mut peers = local_node();
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    let again = Message::Hello(Box::new(hello_from(peers.config(), local(2))));
    assert_eq!(peers.gate(T0, id(2), &again, &mut Vec::new()), Gate::Fault(Fault::HelloOrder));
    assert!(peers.is_ready(&id(2)));
}

#[test]
fn a_flood_is_dropped_and_reported() {
    let mut peers = started(config(NetworkKind::Public, 1));
    greet(&mut peers, T0, id(2), address("9.9.9.9:4000"), Direction::Inbound);
    let mut out = Vec::new();
    let status = Message::Status(ChainStatus::default());
    let verdicts: Vec<_> = (0..61).map(|_| peers.gate(T0, id(2), &status, &mut out)).collect();
    assert_eq!(verdicts[..60], vec![Gate::Pass; 60]);
    assert_eq!(verdicts[60], Gate::Fault(Fault::RateLimit));
    assert_eq!(
        peers.gate(T0, id(2), &Message::Ping(1), &mut out),
        Gate::Pass,
        "each kind by itself"
    );
}

#[test]
fn the_hello_must_come_in_time() {
    let mut peers = local_node();
    connect(&mut peers, T0, 2, Direction::Inbound);
    let due = T0 + Duration::from_secs(HELLO_TIMEOUT_SECS);
    assert!(peers.deadline().is_some_and(|d| d <= due));
    let mut out = Vec::new();
    peers.tick(due - Duration::from_millis(1), &mut out);
    assert_eq!(disconnects(&out), []);
    peers.tick(due, &mut out);
    assert_eq!(disconnects(&out), [(id(2), DisconnectReason::HelloTimeout)]);
    assert_eq!(peers.take_gone(), [], "it never was ready");
}

#[test]
fn silence_is_pinged_and_then_ends_the_session() {
    for (kind, interval, timeout) in [(NetworkKind::Local, 5, 15), (NetworkKind::Public, 15, 45)] {
        let mut peers = started(config(kind, 1));
        greet(&mut peers, T0, id(2), address("9.9.9.9:4000"), Direction::Inbound);
        let (mut pings, mut end) = (Vec::new(), None);
        for second in 1..=60 {
            let mut out = Vec::new();
            peers.tick(T0 + second * SECOND, &mut out);
            if sent(&out).iter().any(|(_, m)| matches!(m, Message::Ping(_))) {
                pings.push(second);
            }
            if end.is_none() && !disconnects(&out).is_empty() {
                assert_eq!(disconnects(&out), [(id(2), DisconnectReason::PingTimeout)]);
                end = Some(second);
            }
        }
        assert_eq!(pings, [interval, 2 * interval], "{kind:?}");
        assert_eq!(end, Some(timeout), "{kind:?}");
        assert_eq!(peers.take_gone(), [id(2)]);
        assert_eq!(peers.take_gone(), [], "told once");
    }
}

#[test]
fn a_pong_keeps_the_session_and_measures_the_round_trip() {
    let mut peers = local_node();
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    for second in 1..=120 {
        let now = T0 + second * SECOND;
        let mut out = Vec::new();
        peers.tick(now, &mut out);
        for (peer, message) in sent(&out) {
            if let Message::Ping(n) = message {
                let (later, pong) = (now + Duration::from_millis(30), Message::Pong(n));
                assert_eq!(peers.gate(later, peer, &pong, &mut Vec::new()), Gate::Pass);
                peers.control(later, peer, &Message::Pong(n + 1), &mut Vec::new());
                peers.control(later, peer, &pong, &mut Vec::new());
            }
        }
    }
    assert!(peers.is_ready(&id(2)));
    assert_eq!(peers.infos(T0)[0].rtt_ms, Some(30));
}

#[test]
fn a_ping_is_answered_after_the_hello_only() {
    let mut peers = local_node();
    let mut out = Vec::new();
    peers.control(T0, id(2), &Message::Ping(7), &mut out);
    assert!(sent(&out).is_empty());
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    peers.control(T0, id(2), &Message::Ping(7), &mut out);
    assert_eq!(sent(&out), [(id(2), Message::Pong(7))]);
}

proptest! {
    /// Both ends of two crossing sessions keep the same one, whichever came first.
    #[test]
    fn both_sides_keep_the_same_of_two_sessions(a in any::<u8>(), b in any::<u8>(), a_first in any::<bool>()) {
        prop_assume!(a != b);
        let (a, b) = (id(a), id(b));
        let dialler_kept = |me, peer, old: Direction, new: Direction| {
            let kept = if keeps_new(me, peer, old, new) { new } else { old };
            if kept == Direction::Outbound { me } else { peer }
        };
        let (first, second) = (Direction::Outbound, Direction::Inbound);
        let at_a = if a_first { dialler_kept(a, b, first, second) } else { dialler_kept(a, b, second, first) };
        prop_assert_eq!(at_a, dialler_kept(b, a, first, second));
        prop_assert_eq!(at_a, dialler_kept(b, a, second, first));
        prop_assert_eq!(at_a, a.min(b));
    }
}

#[test]
fn a_newer_session_of_the_same_side_replaces_a_dead_one() {
    let mut peers = local_node();
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    let out = connect(&mut peers, T0 + SECOND, 2, Direction::Inbound);
    assert_eq!(downs(&out), [(id(2), DisconnectReason::Duplicate)]);
    assert_eq!(disconnects(&out), [], "the host has closed it: an order would hit the new one");
    assert!(!peers.is_ready(&id(2)));
    assert_eq!(peers.take_gone(), [id(2)]);
}

#[test]
fn only_allowed_peers_get_in() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.allow = Some(BTreeSet::from([id(2)]));
    let mut peers = started(settings);
    assert_eq!(disconnects(&connect(&mut peers, T0, 2, Direction::Inbound)), []);
    let out = connect(&mut peers, T0, 3, Direction::Inbound);
    assert_eq!(disconnects(&out), [(id(3), DisconnectReason::Requested)]);
}

#[test]
fn clocks_of_three_peers_raise_one_alarm() {
    let mut peers = local_node();
    let mut alarms = Vec::new();
    for (n, ahead_ms) in [(2, 6_000i64), (3, 9_000), (4, 5_500), (5, 7_000)] {
        connect(&mut peers, T0, n, Direction::Inbound);
        let mut hello = hello_from(peers.config(), local(n));
        hello.clock_ms = T0.as_millis().saturating_add_signed(ahead_ms);
        let mut out = Vec::new();
        peers.hello(T0, id(n), hello, ChainStatus::default(), &mut out);
        alarms.push(out.iter().filter(|o| matches!(o, Output::Event(Event::Alarm(_)))).count());
    }
    assert_eq!(alarms, [0, 0, 1, 0], "with the third peer, and not again");
    assert_eq!(peers.clock_skew_ms(), Some(7_000));
}

#[test]
fn counts_what_happened() {
    let mut peers = local_node();
    greet(&mut peers, T0, id(2), local(2), Direction::Inbound);
    connect(&mut peers, T0, 3, Direction::Inbound);
    peers.fault(T0, id(2), Fault::BodyMismatch, &mut Vec::new());
    let mut counters = Counters::default();
    peers.count_into(&mut counters);
    let counted = (counters.handshakes_attempted, counters.handshakes_completed);
    assert_eq!((counted, counters.faults, counters.bans), ((2, 1), 1, 1));
}
