//! Dialling: order, bounds, backoff, and what is kept for ever.

use super::*;
use crate::peers::dial::{DIALS_MAX, backoff};

fn with_configured(numbers: &[u8]) -> Config {
    let mut settings = config(NetworkKind::Local, 1);
    settings.configured = numbers.iter().map(|n| local(*n)).collect();
    settings
}

#[test]
fn dials_configured_peers_at_once_in_the_order_given() {
    let mut settings = with_configured(&[9, 3, 7]);
    settings.discovery = true;
    let stored = vec![(local(20), T0, 0)];
    let mut peers = Peers::new(settings, stored, Vec::new());
    let mut out = Vec::new();
    peers.tick(T0, &mut out);
    assert_eq!(dials(&out), [], "nothing before the start");
    peers.start(T0, &mut out);
    assert_eq!(dials(&out), [local(9), local(3), local(7), local(20)], "then the book");
}

#[test]
fn without_discovery_only_configured_peers_are_dialled_and_nothing_is_exchanged() {
    let mut settings = with_configured(&[9]);
    settings.discovery = false;
    let mut peers = Peers::new(settings, vec![(local(20), T0, 0)], Vec::new());
    let mut out = Vec::new();
    peers.start(T0, &mut out);
    peers.discovered(T0, &[local(21)], &mut out);
    out.extend(greet(&mut peers, T0, id(5), local(5), Direction::Inbound));
    peers.exchange(T0, id(5), Message::Peers(vec![local(22)]), &mut out);
    peers.exchange(T0, id(5), Message::GetPeers, &mut out);
    for second in 1..100 {
        peers.tick(T0 + second * SECOND, &mut out);
    }
    assert!(dials(&out).iter().all(|a| *a == local(9)));
    assert!(sent(&out).contains(&(id(5), Message::Peers(vec![]))));
    assert!(!sent(&out).iter().any(|(_, m)| *m == Message::GetPeers));
}

#[test]
fn backoff_doubles_within_a_fifth_and_up_to_the_cap() {
    for cap in [30, 900] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let cap = Duration::from_secs(cap);
        for failures in 1..40u32 {
            let ideal = Duration::from_secs(1 << (failures - 1).min(30));
            for _ in 0..50 {
                let wait = backoff(&mut rng, failures, cap);
                assert!(wait <= cap, "{failures}: {wait:?}");
                assert!(wait <= ideal * 12 / 10, "{failures}: {wait:?}");
                assert!(wait >= ideal.min(cap * 100 / 120) * 8 / 10, "{failures}: {wait:?}");
            }
        }
        let waits: BTreeSet<_> = (0..50).map(|_| backoff(&mut rng, 99, cap)).collect();
        assert!(waits.len() > 10, "jitter remains at the cap");
    }
}

#[test]
fn a_configured_peer_is_redialled_for_ever() {
    let mut peers = Peers::new(with_configured(&[9]), Vec::new(), Vec::new());
    let mut out = Vec::new();
    peers.start(T0, &mut out);
    let (mut now, mut waits) = (T0, Vec::new());
    for _ in 0..200 {
        assert_eq!(dials(&out), [local(9)], "after {} failures", waits.len());
        out.clear();
        peers.dial_failed(now, local(9), &mut out);
        assert_eq!(dials(&out), []);
        let due = peers.dials_deadline().expect("a dial is planned");
        peers.tick(due - Duration::from_millis(1), &mut out);
        assert_eq!(dials(&out), [], "not a moment too early");
        peers.tick(due, &mut out);
        waits.push(due.since(now).as_millis());
        now = due;
    }
    let seconds: Vec<_> =
        waits[..2].iter().map(|ms| (*ms as f64 / 1_000.0).log2().round()).collect();
    assert_eq!(seconds, [0.0, 1.0]);
    assert!(waits[3..].iter().all(|ms| (2_600..=4_000).contains(ms)));
}

#[test]
fn a_dial_without_report_fails_by_itself() {
    let mut peers = started(with_configured(&[9]));
    let mut out = Vec::new();
    peers.tick(T0 + 3 * SECOND, &mut out);
    assert_eq!(dials(&out), []);
    peers.tick(T0 + 4 * SECOND, &mut out);
    peers.tick(T0 + 6 * SECOND, &mut out);
    assert_eq!(dials(&out), [local(9)]);
}

#[test]
fn a_lost_configured_peer_is_dialled_again_soon_and_a_connected_one_is_not() {
    let mut peers = started(with_configured(&[9]));
    greet(&mut peers, T0, id(9), local(9), Direction::Outbound);
    let mut out = Vec::new();
    let long = T0 + Duration::from_secs(60);
    let _ = peers.gate(long, id(9), &Message::Pong(0), &mut out);
    peers.tick(long, &mut out);
    assert_eq!(dials(&out), []);
    // The same peer may also come to us: what counts is the identity that answered.
    peers.disconnected(long, id(9), DisconnectReason::ConnectionLost, &mut out);
    assert_eq!(downs(&out), [(id(9), DisconnectReason::ConnectionLost)]);
    peers.tick(long + Duration::from_millis(1_200), &mut out);
    assert_eq!(dials(&out), [local(9)], "a stable session begins again after a second");
    let seen = address("127.0.0.1:55555");
    greet(&mut peers, long + 2 * SECOND, id(9), seen, Direction::Inbound);
    out.clear();
    peers.dial_failed(long + 3 * SECOND, local(9), &mut out);
    let _ = peers.gate(long + 50 * SECOND, id(9), &Message::Pong(0), &mut out);
    peers.tick(long + 50 * SECOND, &mut out);
    assert_eq!(dials(&out), [], "it came to us");
}

#[test]
fn a_crossing_session_teaches_who_a_configured_address_is() {
    let mut settings = with_configured(&[9]);
    settings.discovery = false;
    let mut peers = started(settings);
    let mut out = Vec::new();
    // Node 9 came first from an ephemeral port; the host drops our own dial in its favour or hers.
    greet(&mut peers, T0, id(9), address("127.0.0.1:55555"), Direction::Inbound);
    assert!(!peers.is_configured(&id(9)));
    peers.dial_failed(T0, local(9).with_peer(id(9)), &mut out);
    assert!(peers.is_configured(&id(9)));
    peers.control(T0, id(9), &Message::Ping(1), &mut out);
    let _ = peers.gate(T0 + 14 * SECOND, id(9), &Message::Ping(1), &mut out);
    peers.tick(T0 + 14 * SECOND, &mut out);
    assert_eq!(dials(&out), []);
}

#[test]
fn a_configured_peer_of_another_chain_is_asked_rarely_and_never_forgotten() {
    let mut peers = started(with_configured(&[9]));
    let mut out = Vec::new();
    peers.connected(T0, id(9), local(9), Direction::Outbound, ChainStatus::default(), &mut out);
    peers.control(T0, id(9), &Message::Goodbye(DisconnectReason::WrongGenesis), &mut out);
    out.clear();
    peers.tick(T0 + 3 * SECOND, &mut out);
    assert_eq!(dials(&out), []);
    peers.tick(T0 + 4 * SECOND, &mut out);
    assert_eq!(dials(&out), [local(9)]);
}

#[test]
fn an_address_that_leads_to_ourselves_is_not_dialled_again() {
    let mut settings = with_configured(&[9]);
    settings.listen = address("0.0.0.0:20000");
    let mut peers = started(settings);
    let mut out = Vec::new();
    peers.connected(T0, id(1), local(9), Direction::Outbound, ChainStatus::default(), &mut out);
    assert_eq!(disconnects(&out), [(id(1), DisconnectReason::SelfConnection)]);
    out.clear();
    peers.discovered(T0, &[local(9)], &mut out);
    for second in 1..200 {
        peers.tick(T0 + second * SECOND, &mut out);
    }
    assert_eq!(dials(&out), []);
    assert_eq!(peers.known_addresses(), 0);
}

#[test]
fn dials_under_way_and_outbound_sessions_are_bounded() {
    let stored: Vec<_> = (2..200u8).map(|n| (local(n), T0, 0)).collect();
    let mut settings = config(NetworkKind::Local, 1);
    settings.configured = (200..=240u8).map(local).collect();
    let mut peers = Peers::new(settings, stored.clone(), Vec::new());
    let mut out = Vec::new();
    peers.start(T0, &mut out);
    assert_eq!(dials(&out), (200..200 + DIALS_MAX as u8).map(local).collect::<Vec<_>>());

    let mut peers = Peers::new(config(NetworkKind::Local, 1), stored, Vec::new());
    let (mut out, mut open) = (Vec::new(), Vec::new());
    peers.start(T0, &mut out);
    assert_eq!(dials(&out).len(), OUTBOUND_MIN, "the first few at once");
    for second in 0..60u32 {
        let now = T0 + second * SECOND;
        for dialled in dials(&std::mem::take(&mut out)) {
            let n = u8::try_from(dialled.socket.port() - 20_000).expect("a test address");
            out.extend(greet(&mut peers, now, id(n), dialled, Direction::Outbound));
            open.push((second, n));
        }
        for peer in peers.ready().collect::<Vec<_>>() {
            let _ = peers.gate(now, peer, &Message::Pong(0), &mut out);
        }
        peers.tick(now, &mut out);
    }
    assert_eq!(peers.outbound(), OUTBOUND_TARGET);
    assert_eq!(open.len(), OUTBOUND_TARGET);
    assert!(open[OUTBOUND_TARGET - 1].0 >= 6, "the others one by one: {open:?}");
}

#[test]
fn no_slot_at_a_peer_is_no_failure_of_its_address() {
    let mut peers = Peers::new(config(NetworkKind::Local, 1), vec![(local(2), T0, 0)], Vec::new());
    let mut out = Vec::new();
    peers.start(T0, &mut out);
    let mut now = T0;
    for _ in 0..20 {
        assert_eq!(dials(&out), [local(2)]);
        out.clear();
        peers.connected(
            now,
            id(2),
            local(2),
            Direction::Outbound,
            ChainStatus::default(),
            &mut out,
        );
        peers.control(now, id(2), &Message::Goodbye(DisconnectReason::TooManyPeers), &mut out);
        out.clear();
        peers.tick(now + 5 * SECOND, &mut out);
        assert_eq!(dials(&out), [], "later");
        now = now + 10 * SECOND;
        peers.tick(now, &mut out);
    }
    assert_eq!(peers.known_addresses(), 1);
}

/// A full peer learns so with our hello, when its own has gone out.
#[test]
fn a_peer_without_room_is_told_from_one_that_leaves() {
    let cases = [
        (0, DisconnectReason::TooManyPeers, 1),
        (4, DisconnectReason::TooManyFromAddress, 1),
        (6, DisconnectReason::TooManyPeers, 0),
        (0, DisconnectReason::Evicted, 0),
        (0, DisconnectReason::Shutdown, 0),
    ];
    for (secs, reason, refused) in cases {
        let mut peers = started(config(NetworkKind::Local, 1));
        greet(&mut peers, T0, id(2), local(2), Direction::Outbound);
        let mut out = Vec::new();
        peers.control(T0 + secs * SECOND, id(2), &Message::Goodbye(reason), &mut out);
        let mut counters = Counters::default();
        peers.count_into(&mut counters);
        let seen = (counters.handshakes_completed, counters.sessions_refused);
        assert_eq!(seen, (1, refused), "{secs} {reason:?}");
    }
}

#[test]
fn an_operator_adds_and_removes_peers() {
    let mut peers = started(config(NetworkKind::Local, 1));
    let mut out = Vec::new();
    assert!(peers.add(T0, local(5), &mut out));
    assert_eq!(dials(&out), [local(5)]);
    greet(&mut peers, T0, id(5), local(5), Direction::Outbound);
    assert!(peers.is_known(id(5)) && peers.is_configured(&id(5)));
    out.clear();
    assert!(peers.remove(T0, id(5), &mut out));
    assert_eq!(disconnects(&out), [(id(5), DisconnectReason::Requested)]);
    assert!(!peers.is_known(id(5)));
    assert!(!peers.remove(T0, id(5), &mut out));
}

#[test]
fn equal_seeds_behave_equally_and_others_do_not() {
    let trace = |seed: u64| {
        let mut settings = with_configured(&[200]);
        settings.seed = seed;
        let stored = (2..90u8).map(|n| (local(n), Time::ZERO, 0)).collect();
        let mut peers = Peers::new(settings, stored, Vec::new());
        let mut out = Vec::new();
        peers.start(T0, &mut out);
        for second in 1..60 {
            for dialled in dials(&out.split_off(out.len().saturating_sub(4))) {
                peers.dial_failed(T0 + second * SECOND, dialled, &mut out);
            }
            peers.tick(T0 + second * SECOND, &mut out);
        }
        format!("{out:?}")
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
