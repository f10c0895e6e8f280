//! What bytes that are no message lead to.

use crate::{
    harness::{Node, anonymous_memory, config, within},
    rogue::{Rogue, protocol},
};
use kette_network::NetworkEvent;
use kette_types::{DecodeError, DisconnectReason, Lane, Message, PeerId, Transport};
use libp2p::StreamProtocol;
use std::time::Duration;

async fn victim() -> Node {
    Node::new(1).await
}

async fn session(victim: &mut Node) -> Rogue {
    let rogue = Rogue::session(9, victim.address(Transport::Tcp)).await;
    victim.connected(rogue.id).await;
    rogue
}

async fn malformed(node: &mut Node, from: PeerId) -> (Lane, DecodeError) {
    node.until("malformed", |event| match event {
        NetworkEvent::Malformed { peer, lane, error } if peer == from => Some((lane, error)),
        NetworkEvent::Disconnected { .. } => panic!("the session ended first"),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_longer_than_its_lane_allows_ends_the_session_before_it_is_read() {
    for lane in Lane::ALL {
        let mut victim = victim().await;
        let mut rogue = session(&mut victim).await;
        if lane != Lane::Control {
            rogue.open(lane).await;
        }
        let before = anonymous_memory();
        rogue.write(&u32::MAX.to_be_bytes()).await;
        let expected =
            DecodeError::TooLarge { got: u32::MAX as usize, max: lane.frame_bytes_max() };
        assert_eq!(malformed(&mut victim, rogue.id).await, (lane, expected));
        let reason = victim.disconnected(rogue.id).await;
        assert_eq!(reason, DisconnectReason::ProtocolViolation);
        let grown = anonymous_memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{} MiB more", grown >> 20);
        assert_eq!(victim.network.stats().total.messages_in["malformed"].messages, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_frames_that_are_no_message_are_reported_and_the_session_goes_on() {
    let wrong_lane = DecodeError::WrongLane { kind: 1, lane: "bulk" };
    let cases = [
        (Lane::Control, vec![], DecodeError::Empty),
        (Lane::Control, vec![15, 1, 2], DecodeError::UnknownKind(15)),
        (Lane::Control, vec![68], DecodeError::WrongLane { kind: 68, lane: "control" }),
        (Lane::Control, vec![1, 1, 1], DecodeError::Trailing(1)),
        (Lane::Bulk, Message::Ping(1).encode(), wrong_lane),
        (Lane::Bulk, vec![68, 0], DecodeError::Trailing(68)),
        (Lane::Consensus, vec![31], DecodeError::UnknownKind(31)),
    ];
    for (lane, bytes, expected) in cases {
        let mut victim = victim().await;
        let mut rogue = session(&mut victim).await;
        if lane != Lane::Control {
            rogue.open(lane).await;
        }
        rogue.frame(&bytes).await;
        assert_eq!(malformed(&mut victim, rogue.id).await, (lane, expected));
        let good = match lane {
            Lane::Control => Message::Ping(7),
            Lane::Consensus => Message::Engine(vec![7].into()),
            _ => Message::GetPeers,
        };
        rogue.frame(&good.encode()).await;
        victim.heard(rogue.id, &good).await;
    }
}

/// Random bytes in well-formed frames: never a panic, never the end of the session, always an event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_frames_are_reported_one_by_one_and_memory_stays_flat() {
    const FRAMES: usize = 2_000;
    let mut victim = victim().await;
    let mut rogue = session(&mut victim).await;
    rogue.open(Lane::Bulk).await;
    let before = anonymous_memory();
    let id = rogue.id;
    let writing = tokio::spawn(async move {
        let mut state = 1_u64;
        for _ in 0..FRAMES {
            // Numerical Recipes' linear congruential generator: any bytes will do.
            let mut bytes = vec![0; 4_000];
            for byte in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & 0xffff_ffff;
                *byte = (state >> 24) as u8;
            }
            rogue.frame(&bytes).await;
        }
        rogue
    });
    for _ in 0..FRAMES {
        malformed(&mut victim, id).await;
    }
    let _rogue = within("the writer", writing).await.expect("no panic");
    let grown = anonymous_memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_frame_ends_the_session_when_its_time_is_over() {
    for half in [&[0, 0][..], &[0, 0, 0, 9, 1][..]] {
        let mut config = config(1);
        config.frame_timeout = Duration::from_millis(200);
        let mut victim = Node::with(config).await;
        let mut rogue = session(&mut victim).await;
        rogue.write(half).await;
        let reason = victim.disconnected(rogue.id).await;
        assert_eq!(reason, DisconnectReason::ProtocolViolation);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_in_the_middle_of_a_frame_is_just_lost() {
    let mut victim = victim().await;
    let mut rogue = session(&mut victim).await;
    let id = rogue.id;
    rogue.frame(&Message::Ping(3).encode()).await;
    rogue.write(&[0, 0, 0, 9, 1]).await;
    victim.heard(id, &Message::Ping(3)).await;
    drop(rogue);
    assert_eq!(victim.disconnected(id).await, DisconnectReason::ConnectionLost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_protocol_is_declined_and_the_session_goes_on() {
    let mut victim = victim().await;
    let mut rogue = session(&mut victim).await;
    assert!(!rogue.try_open(StreamProtocol::new("/kette/00000000/control/1")).await);
    assert!(!rogue.try_open(StreamProtocol::new("/other/1")).await);
    rogue.frame(&Message::Ping(1).encode()).await;
    victim.heard(rogue.id, &Message::Ping(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_opened_twice_ends_the_session() {
    for lane in [Lane::Control, Lane::Bulk] {
        let mut victim = victim().await;
        let mut rogue = session(&mut victim).await;
        if lane != Lane::Control {
            rogue.open(lane).await;
        }
        // May fail: the session can end before the answer arrives.
        rogue.try_open(protocol(lane)).await;
        let reason = victim.disconnected(rogue.id).await;
        assert_eq!(reason, DisconnectReason::ProtocolViolation);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_without_a_session_lead_nowhere() {
    let mut victim = victim().await;
    let mut rogue = Rogue::connect(9, victim.address(Transport::Tcp)).await;
    rogue.open(Lane::Bulk).await;
    rogue.frame(&Message::GetPeers.encode()).await;
    // The first event about the peer is the session that it offers later.
    rogue.open(Lane::Control).await;
    victim
        .until("connected", |event| match event {
            NetworkEvent::Connected { .. } => Some(()),
            NetworkEvent::Message { .. } => panic!("a message without a session"),
            _ => None,
        })
        .await;
}
