//! Scores fall and recover; bans are stored, end, and spare configured peers.

use super::*;
use crate::peers::score::{DISCONNECT_BELOW, Score};
use kette_types::DecodeError;
use proptest::prelude::*;

#[test]
fn half_of_what_was_lost_returns_in_ten_minutes() {
    let mut score = Score::new(T0);
    score.lose(T0, 40);
    let table = [(0, 60), (300, 71), (600, 80), (1_200, 90), (6_000, 99), (1_000_000_000, 100)];
    for (secs, points) in table {
        assert_eq!(score.points(T0 + Duration::from_secs(secs)), points, "after {secs} s");
    }
}

proptest! {
    #[test]
    fn recovery_does_not_depend_on_how_often_it_is_looked_at(steps in prop::collection::vec(0u64..200_000, 1..50)) {
        let (mut often, mut once) = (Score::new(T0), Score::new(T0));
        often.lose(T0, 90);
        once.lose(T0, 90);
        let mut now = T0;
        for step in steps {
            now = now + Duration::from_millis(step);
            often.lose(now, 0);
        }
        prop_assert!((often.points(now) - once.points(now)).abs() <= 1);
    }
}

fn ready(config: Config, peer: u8) -> Peers {
    let mut peers = started(config);
    greet(&mut peers, T0, id(peer), local(peer), Direction::Inbound);
    assert!(peers.is_ready(&id(peer)));
    peers
}

#[test]
fn every_fault_has_its_consequence() {
    let bad_bytes = || Fault::Malformed(DecodeError::Empty);
    let table: [(Vec<Fault>, i32, Option<DisconnectReason>); 6] = [
        (vec![Fault::Timeout; 5], 90, None),
        (vec![Fault::RateLimit; 5], 50, None),
        (vec![Fault::RateLimit; 6], 40, Some(DisconnectReason::ProtocolViolation)),
        (vec![Fault::HelloOrder; 2], 20, Some(DisconnectReason::ProtocolViolation)),
        (vec![bad_bytes()], 0, Some(DisconnectReason::Banned)),
        (vec![Fault::InvalidBlock("x".to_owned())], 0, Some(DisconnectReason::Banned)),
    ];
    for (faults, score, expected) in table {
        let mut peers = ready(config(NetworkKind::Local, 1), 2);
        let mut out = Vec::new();
        let n = faults.len();
        for fault in faults {
            peers.fault(T0, id(2), fault, &mut out);
        }
        assert_eq!(peers.score(T0, &id(2)), score);
        assert_eq!(disconnects(&out), expected.map(|r| (id(2), r)).into_iter().collect::<Vec<_>>());
        assert_eq!(goodbyes(&out), expected.into_iter().collect::<Vec<_>>());
        let events = out.iter().filter(|o| matches!(o, Output::Event(Event::PeerFault { .. })));
        assert_eq!(events.count(), n);
        assert_eq!(peers.is_ready(&id(2)), expected.is_none());
    }
}

#[test]
fn reconnecting_does_not_clear_a_score() {
    let mut peers = ready(config(NetworkKind::Local, 1), 2);
    let mut out = Vec::new();
    for _ in 0..6 {
        peers.fault(T0, id(2), Fault::RateLimit, &mut out);
    }
    greet(&mut peers, T0 + SECOND, id(2), local(2), Direction::Inbound);
    assert!(peers.is_ready(&id(2)), "it may come back");
    assert!(peers.score(T0 + SECOND, &id(2)) < DISCONNECT_BELOW);
    out.clear();
    peers.fault(T0 + SECOND, id(2), Fault::Timeout, &mut out);
    assert_eq!(disconnects(&out).len(), 1, "the next fault ends it again");
}

#[test]
fn a_ban_is_stored_holds_over_a_restart_and_ends() {
    let mut peers = ready(config(NetworkKind::Local, 1), 2);
    let mut out = Vec::new();
    peers.fault(T0, id(2), Fault::BodyMismatch, &mut out);
    let until = T0 + Duration::from_secs(3_600);
    let stored: Vec<_> = records(&out)
        .into_iter()
        .filter_map(|r| if let Record::Ban(peer, until) = r { Some((peer, until)) } else { None })
        .collect();
    assert_eq!(stored, [(id(2), until)]);

    let mut again = Peers::new(config(NetworkKind::Local, 1), Vec::new(), stored);
    again.start(T0 + SECOND, &mut Vec::new());
    let out = greet(&mut again, T0 + SECOND, id(2), local(2), Direction::Inbound);
    assert_eq!(disconnects(&out), [(id(2), DisconnectReason::Banned)]);

    let mut out = Vec::new();
    again.tick(until, &mut out);
    assert!(records(&out).iter().any(|r| matches!(r, Record::Unban(p) if *p == id(2))));
    greet(&mut again, until, id(2), local(2), Direction::Inbound);
    assert!(again.is_ready(&id(2)));
}

#[test]
fn an_operator_bans_and_unbans_anybody() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.configured = vec![local(2).with_peer(id(2))];
    let mut peers = ready(settings, 2);
    let mut out = Vec::new();
    peers.ban(T0, id(2), 100 * SECOND, &mut out);
    assert_eq!(disconnects(&out), [(id(2), DisconnectReason::Banned)]);
    assert!(peers.is_banned(T0, &id(2)));
    out.clear();
    peers.tick(T0 + 20 * SECOND, &mut out);
    assert_eq!(dials(&out), [], "a banned peer is not dialled, configured or not");
    assert!(peers.unban(id(2), &mut out));
    assert!(!peers.unban(id(2), &mut out), "once is enough");
    assert!(records(&out).iter().any(|r| matches!(r, Record::Unban(p) if *p == id(2))));
    out.clear();
    peers.tick(T0 + 30 * SECOND, &mut out);
    assert_eq!(dials(&out), [local(2).with_peer(id(2))]);
}

#[test]
fn a_configured_peer_is_disconnected_and_never_banned() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.configured = vec![local(2)];
    let mut peers = started(settings);
    greet(&mut peers, T0, id(2), local(2), Direction::Outbound);
    assert!(peers.is_configured(&id(2)), "it answered where it is configured");
    let mut out = Vec::new();
    for _ in 0..20 {
        peers.fault(T0, id(2), Fault::BodyMismatch, &mut out);
    }
    assert_eq!(disconnects(&out), [(id(2), DisconnectReason::ProtocolViolation)]);
    assert!(!peers.is_banned(T0, &id(2)));
    out.clear();
    peers.tick(T0 + 2 * SECOND, &mut out);
    assert_eq!(dials(&out), [local(2)], "and it is dialled again");
}

#[test]
fn claiming_a_configured_address_gives_no_privilege() {
    let mut settings = config(NetworkKind::Local, 1);
    settings.configured = vec![local(2)];
    let mut peers = started(settings);
    greet(&mut peers, T0, id(3), local(2), Direction::Inbound);
    assert!(peers.is_ready(&id(3)) && !peers.is_configured(&id(3)));
    peers.fault(T0, id(3), Fault::BodyMismatch, &mut Vec::new());
    assert!(peers.is_banned(T0, &id(3)));
}

#[test]
fn many_banned_identities_ban_a_public_address_only() {
    for (kind, ip, expected) in [
        (NetworkKind::Public, "8.8.8.8", Some(DisconnectReason::Banned)),
        (NetworkKind::Public, "10.0.0.8", None),
        (NetworkKind::Local, "8.8.8.8", None),
        (NetworkKind::Local, "127.0.0.1", None),
    ] {
        let mut peers = started(config(kind, 1));
        for n in 10..15 {
            greet(&mut peers, T0, id(n), address(&format!("{ip}:4000")), Direction::Inbound);
            assert!(peers.is_ready(&id(n)), "{n} bans are not enough on {ip}");
            peers.fault(T0, id(n), Fault::BodyMismatch, &mut Vec::new());
        }
        let seen = address(&format!("{ip}:5000"));
        let out = greet(&mut peers, T0, id(20), seen, Direction::Inbound);
        let reasons: Vec<_> = disconnects(&out).into_iter().map(|(_, r)| r).collect();
        assert_eq!(reasons, expected.into_iter().collect::<Vec<_>>(), "{kind:?} {ip}");
    }
}

#[test]
fn unknown_kinds_of_messages_are_counted_and_not_punished() {
    let mut peers = ready(config(NetworkKind::Local, 1), 2);
    let mut out = Vec::new();
    for _ in 0..100 {
        peers.malformed(T0, id(2), DecodeError::UnknownKind(15), &mut out);
    }
    assert_eq!(peers.score(T0, &id(2)), 100);
    peers.malformed(T0, id(2), DecodeError::UnknownKind(15), &mut out);
    assert_eq!(peers.score(T0, &id(2)), 90, "a flood of them is a flood");
    peers.malformed(T0, id(2), DecodeError::Trailing(3), &mut out);
    assert_eq!(disconnects(&out), [(id(2), DisconnectReason::Banned)]);
}

#[test]
fn the_list_of_scores_is_bounded() {
    let mut peers = started(config(NetworkKind::Local, 1));
    for n in 0..6_000u64 {
        let peer = PeerId(B256::from(alloy_primitives::U256::from(n)));
        peers.fault(T0, peer, Fault::Timeout, &mut Vec::new());
    }
    assert_eq!(peers.scores.len(), 4_096);
}
