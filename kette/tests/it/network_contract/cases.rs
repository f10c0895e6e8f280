//! What a core may rely on, whichever network is under it.

use super::{Net, Seen, watch::Watched};
use kette_types::{
    B256, Direction, DisconnectReason, Header, Lane, Message, PeerAddress, PeerId, SealedHeader,
};

pub(super) fn a_dial_connects_both_sides_once<N: Net>() {
    let mut net = Watched::<N>::of(2);
    let address = net.net.address(1);
    net.dial(0, address);
    assert_eq!(net.until_connected(0, 1), (address, Direction::Outbound));
    let (seen, direction) = net.until_connected(1, 0);
    assert_eq!((seen.peer, direction), (Some(net.id(0)), Direction::Inbound));
    assert_eq!(seen.socket.ip(), net.net.address(0).socket.ip());
    net.talk(0, 1);
    net.end(&[0, 1]);
}

pub(super) fn a_dial_to_nobody_fails_once<N: Net>() {
    let mut net = Watched::<N>::of(1);
    let nobody = net.net.nobody();
    for _ in 0..3 {
        net.dial(0, nobody);
        assert_eq!(net.next(0), Seen::DialFailed(nobody));
    }
    net.end(&[0]);
}

pub(super) fn a_dial_to_another_identity_fails_once<N: Net>() {
    let mut net = Watched::<N>::of(3);
    let wrong = net.net.address(1).with_peer(net.id(2));
    net.dial(0, wrong);
    assert_eq!(net.next(0), Seen::DialFailed(wrong));
    net.end(&[0, 1, 2]);
}

pub(super) fn a_dial_to_oneself_fails_once<N: Net>() {
    let mut net = Watched::<N>::of(1);
    let own = net.net.address(0);
    for address in [own, PeerAddress { peer: None, ..own }] {
        net.dial(0, address);
        assert_eq!(net.next(0), Seen::DialFailed(address));
    }
    net.end(&[0]);
}

/// Whoever dialled first, and whichever identity is the smaller.
pub(super) fn a_dial_to_a_connected_peer_fails_and_names_it<N: Net>() {
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut net = Watched::<N>::of(2);
        net.connect(first, 1 - first);
        let address = net.net.address(1 - second);
        net.dial(second, address);
        assert_eq!(net.next(second), Seen::DialFailed(address));
        net.talk(0, 1);
        net.end(&[0, 1]);
    }
}

pub(super) fn an_address_without_identity_leads_to_whoever_is_there<N: Net>() {
    let mut net = Watched::<N>::of(2);
    let named = net.net.address(1);
    net.dial(0, PeerAddress { peer: None, ..named });
    assert_eq!(net.until_connected(0, 1), (named, Direction::Outbound));
    net.until_connected(1, 0);
    net.end(&[0, 1]);
}

pub(super) fn two_dials_of_one_side_end_in_one_session<N: Net>() {
    let mut net = Watched::<N>::of(2);
    let address = net.net.address(1);
    net.dial(0, address);
    net.dial(0, address);
    net.until_connected(0, 1);
    assert_eq!(net.until_failed(0), address);
    net.until_connected(1, 0);
    net.talk(0, 1);
    assert!(net.is_connected(0, 1) && net.is_connected(1, 0));
    net.end(&[0, 1]);
}

pub(super) fn two_sides_that_dial_at_once_share_one_session<N: Net>() {
    let mut net = Watched::<N>::of(2);
    let addresses = [net.net.address(0), net.net.address(1)];
    net.dial(0, addresses[1]);
    net.dial(1, addresses[0]);
    let directions = [net.until_connected(0, 1).1, net.until_connected(1, 0).1];
    let winner = directions.iter().position(|d| *d == Direction::Outbound).expect("one dialled");
    assert_eq!(directions[1 - winner], Direction::Inbound, "two sessions");
    assert_eq!(net.until_failed(1 - winner), addresses[winner]);
    net.talk(0, 1);
    // Neither has seen an end meanwhile: the session never changed.
    for (side, other) in [(0, 1), (1, 0)] {
        assert!(net.is_connected(side, other));
    }
    net.end(&[0, 1]);
}

fn numbered(lane: Lane, number: u64) -> Message {
    let hash = B256::left_padding_from(&number.to_be_bytes());
    match lane {
        Lane::Control => Message::Ping(number),
        Lane::Consensus => Message::Engine(number.to_be_bytes().to_vec().into()),
        Lane::Announce => Message::GetBlockTransactions { block: hash, indexes: vec![1] },
        Lane::Inventory => Message::GetTransactions(vec![hash]),
        Lane::Bulk => Message::GetBodies { id: number, hashes: vec![hash] },
    }
}

pub(super) fn a_lane_keeps_order_and_loses_nothing<N: Net>() {
    const EACH: u64 = 20;
    let mut net = Watched::<N>::of(2);
    net.connect(0, 1);
    for number in 0..EACH {
        for lane in Lane::ALL {
            net.say(0, 1, numbered(lane, number));
            net.say(1, 0, numbered(lane, number));
        }
    }
    for (side, other) in [(0, 1), (1, 0)] {
        let mut heard = [0; Lane::ALL.len()];
        for _ in 0..EACH * Lane::ALL.len() as u64 {
            let message = net.until_message(side, other);
            let next = &mut heard[message.lane() as usize];
            assert_eq!(message, numbered(message.lane(), *next));
            *next += 1;
        }
    }
    net.end(&[0, 1]);
}

/// About half a mebibyte.
fn bulk(id: u64) -> Message {
    let header = SealedHeader::new(Header::default(), vec![id as u8; 8 * 1024].into());
    Message::Headers { id, headers: vec![header; 64] }
}

pub(super) fn control_is_not_kept_waiting_by_bulk<N: Net>() {
    const BULK: u64 = 6;
    let mut net = Watched::<N>::of(2);
    net.connect(0, 1);
    // The control lane carried something before: it is open.
    net.talk(0, 1);
    for id in 0..BULK {
        net.say(0, 1, bulk(id));
    }
    net.say(0, 1, Message::Ping(9));
    let mut before = 0;
    loop {
        match net.until_message(1, 0) {
            Message::Ping(9) => break,
            message => {
                assert_eq!(message, bulk(before));
                before += 1;
            }
        }
    }
    assert!(before < BULK, "the ping came after all bulk");
    for id in before..BULK {
        assert_eq!(net.until_message(1, 0), bulk(id));
    }
    net.end(&[0, 1]);
}

pub(super) fn what_was_said_before_an_ordered_end_arrives<N: Net>() {
    let mut net = Watched::<N>::of(2);
    net.connect(0, 1);
    let goodbye = Message::Goodbye(DisconnectReason::TooManyPeers);
    for number in 0..5 {
        net.say(0, 1, Message::Ping(number));
    }
    net.say(0, 1, goodbye.clone());
    let peer = net.id(1);
    net.net.disconnect(0, peer, DisconnectReason::TooManyPeers);
    net.say(0, 1, Message::Ping(99));
    for number in 0..5 {
        assert_eq!(net.until_message(1, 0), Message::Ping(number));
    }
    assert_eq!(net.until_message(1, 0), goodbye);
    // The other side knows only what the goodbye said; this side knows why it did it.
    assert_eq!(ended(&mut net, 1, 0), DisconnectReason::ConnectionLost);
    assert_eq!(ended(&mut net, 0, 1), DisconnectReason::TooManyPeers);
    net.connect_at_last(1, 0);
    net.talk(0, 1);
    net.end(&[0, 1]);
}

#[track_caller]
fn ended<N: Net>(net: &mut Watched<N>, side: usize, other: usize) -> DisconnectReason {
    let wanted: PeerId = net.id(other);
    net.until(side, |seen| match seen {
        Seen::Disconnected { peer, reason } if *peer == wanted => Some(*reason),
        _ => None,
    })
}

/// The watcher fails if a message comes from a peer without a session, or two sessions overlap.
pub(super) fn nothing_arrives_from_a_session_that_ended<N: Net>() {
    let mut net = Watched::<N>::of(2);
    for round in 0..4 {
        net.connect_at_last(0, 1);
        for number in 0..20 {
            net.say(0, 1, numbered(Lane::Bulk, number));
            net.say(1, 0, numbered(Lane::Bulk, number));
        }
        let (side, peer) = (round % 2, net.id(1 - round % 2));
        net.net.disconnect(side, peer, DisconnectReason::Requested);
        net.until_disconnected(0, 1);
        net.until_disconnected(1, 0);
    }
    net.end(&[0, 1]);
}

pub(super) fn a_crash_ends_the_session_at_the_other_side<N: Net>() {
    for (dialler, listener) in [(0, 1), (1, 0)] {
        let mut net = Watched::<N>::of(2);
        net.connect(dialler, listener);
        net.crash(1);
        assert_eq!(ended(&mut net, 0, 1), DisconnectReason::ConnectionLost);
        let address = net.net.address(1);
        net.dial(0, address);
        assert_eq!(net.until_failed(0), address);
        net.end(&[0]);
    }
}

pub(super) fn a_side_that_crashed_connects_again<N: Net>() {
    for dialler in [0, 1] {
        let mut net = Watched::<N>::of(2);
        net.connect(0, 1);
        net.crash(1);
        net.until_disconnected(0, 1);
        net.net.restart(1);
        net.connect_at_last(dialler, 1 - dialler);
        net.talk(0, 1);
        net.end(&[0, 1]);
    }
}

/// The other side may still have the old session.
pub(super) fn a_side_that_comes_back_at_once_connects_again<N: Net>() {
    let mut net = Watched::<N>::of(2);
    net.connect(0, 1);
    net.crash(1);
    net.net.restart(1);
    net.connect_at_last(1, 0);
    net.until_disconnected(0, 1);
    net.until_session(0, 1);
    net.talk(0, 1);
    net.end(&[0, 1]);
}

pub(super) fn a_cut_fails_dials_and_healing_ends_that<N: Net>() {
    let mut net = Watched::<N>::of(2);
    net.net.cut(0, 1, true);
    for (side, other) in [(0, 1), (1, 0)] {
        let address = net.net.address(other);
        net.dial(side, address);
        assert_eq!(net.until_failed(side), address);
    }
    net.net.cut(0, 1, false);
    net.connect_at_last(0, 1);
    net.talk(0, 1);
    net.end(&[0, 1]);
}

pub(super) fn a_third_side_is_not_touched<N: Net>() {
    let mut net = Watched::<N>::of(3);
    net.connect(0, 2);
    net.connect(1, 2);
    net.net.cut(0, 2, true);
    net.talk(1, 2);
    net.crash(0);
    net.talk(1, 2);
    let (mut heard, mut seen) = (0, Vec::new());
    net.say(1, 2, Message::Ping(3));
    while heard == 0 {
        match net.next(2) {
            Seen::Message(_, Message::Ping(3)) => heard += 1,
            other => seen.push(other),
        }
    }
    let other = net.id(1);
    assert!(
        !seen.iter().any(|seen| matches!(seen, Seen::Disconnected { peer, .. } if *peer == other))
    );
    net.end(&[1, 2]);
}
