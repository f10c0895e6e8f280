//! Links made slow, narrow or dead in one direction, at the start and at run time.

use crate::harness::{Node, bulk, config, connect, id, vote, within};
use kette_network::{Config, LinkShape, LinkShapes, SendError};
use kette_types::{Lane, Message, PeerId, Transport};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const LATENCY: Duration = Duration::from_millis(40);

fn to(peer: PeerId, shape: LinkShape) -> LinkShapes {
    LinkShapes { uplink: None, links: [(peer, shape)].into() }
}

fn slow(latency: Duration) -> LinkShape {
    LinkShape { delay: Some(Arc::new(move |_| latency)), ..LinkShape::default() }
}

/// Two nodes with a session, each with its own way to the other.
async fn pair(transport: Transport, there: LinkShape, back: LinkShape) -> (Node, Node) {
    let with = |seed, links| Config { links, ..config(seed) };
    let mut a = Node::with(with(1, to(id(2), there))).await;
    let mut b = Node::with(with(2, to(id(1), back))).await;
    connect(&mut a, &mut b, transport).await;
    (a, b)
}

async fn round_trip(a: &mut Node, b: &mut Node) -> Duration {
    let begin = Instant::now();
    a.say(b.id(), Message::Ping(1));
    b.heard(a.id(), &Message::Ping(1)).await;
    b.say(a.id(), Message::Pong(1));
    a.heard(b.id(), &Message::Pong(1)).await;
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_direction_has_its_own_latency() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = pair(transport, slow(LATENCY), slow(LATENCY)).await;
        let both = round_trip(&mut a, &mut b).await;
        assert!(both >= 2 * LATENCY, "{transport:?}: {both:?}");
        // Changed while the session lives.
        b.network.set_links(LinkShapes::default());
        let one = round_trip(&mut a, &mut b).await;
        assert!(one >= LATENCY, "{transport:?}: {one:?}");
        a.network.set_links(LinkShapes::default());
        let mut least = Duration::MAX;
        for _ in 0..20 {
            least = least.min(round_trip(&mut a, &mut b).await);
        }
        assert!(least < LATENCY, "{transport:?}: {least:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_lane_keep_their_order_however_long_each_takes() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let drawn = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&drawn);
        let delay = move |_| {
            // 20, 15, 10, 5, 0 ms, and again: without order every fifth would be the first.
            let turn = count.fetch_add(1, Ordering::Relaxed) % 5;
            Duration::from_millis(20 - 5 * turn as u64)
        };
        let shape = LinkShape { delay: Some(Arc::new(delay)), ..LinkShape::default() };
        let (a, mut b) = pair(transport, shape, LinkShape::default()).await;
        a.say(b.id(), Message::Ping(0));
        b.heard(a.id(), &Message::Ping(0)).await;
        for n in 0..100 {
            a.say(b.id(), vote(n));
        }
        for n in 0..100 {
            assert_eq!(b.message().await.1, vote(n));
        }
        assert!(drawn.load(Ordering::Relaxed) >= 101);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_narrow_link_carries_takes_its_time_and_bulk_waits_for_the_rest() {
    for transport in [Transport::Tcp, Transport::Quic] {
        // A megabit per second: 128 KiB take a second.
        let shape = LinkShape { bandwidth: Some(1_000_000), ..LinkShape::default() };
        let (a, mut b) = pair(transport, shape, LinkShape::default()).await;
        a.say(b.id(), Message::Ping(0));
        b.heard(a.id(), &Message::Ping(0)).await;
        let begin = Instant::now();
        let large = bulk(1, 64);
        a.say(b.id(), large.clone());
        a.say(b.id(), large.clone());
        a.say(b.id(), vote(7));
        assert_eq!(b.message().await.1, vote(7), "a vote does not wait for a download");
        assert_eq!(b.message().await.1, large);
        assert_eq!(b.message().await.1, large);
        let bits = 2 * 8 * large.encode().len() as u64;
        let least = Duration::from_micros(bits) - Duration::from_millis(2);
        assert!(begin.elapsed() >= least, "{transport:?}: {bits} bits in {:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_too_slow_fills_its_queue_and_delays_nobody_else() {
    let shape = LinkShape { bandwidth: Some(1_000), ..LinkShape::default() };
    let (mut a, mut b) = pair(Transport::Tcp, shape, LinkShape::default()).await;
    let mut c = Node::new(3).await;
    connect(&mut a, &mut c, Transport::Tcp).await;
    a.say(b.id(), Message::Ping(0));
    b.heard(a.id(), &Message::Ping(0)).await;
    let message = Arc::new(bulk(1, 1024));
    let mut taken = 0;
    let error = loop {
        match a.network.send(b.id(), message.clone()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::Overflow(Lane::Bulk));
    assert!(taken <= 9, "8 MiB wait and a frame is leaving, not {taken}");
    assert!(a.network.stats().peers[&b.id()].queued_bytes <= 8 * 1024 * 1024);
    round_trip(&mut a, &mut c).await;
    // As wide as the machine again: all that waits arrives.
    a.network.set_links(LinkShapes::default());
    for _ in 0..taken {
        assert_eq!(b.message().await.1, *message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_uplink_is_shared_by_all_peers() {
    let links = LinkShapes { uplink: Some(1_000_000), ..LinkShapes::default() };
    let mut a = Node::with(Config { links, ..config(1) }).await;
    let (mut b, mut c) = (Node::new(2).await, Node::new(3).await);
    connect(&mut a, &mut b, Transport::Tcp).await;
    connect(&mut a, &mut c, Transport::Tcp).await;
    for node in [&b, &c] {
        a.say(node.id(), Message::Ping(0));
    }
    b.heard(a.id(), &Message::Ping(0)).await;
    c.heard(a.id(), &Message::Ping(0)).await;
    let begin = Instant::now();
    let large = bulk(1, 32);
    a.say(b.id(), large.clone());
    a.say(c.id(), large.clone());
    tokio::join!(b.heard(id(1), &large), c.heard(id(1), &large));
    let bits = 2 * 8 * large.encode().len() as u64;
    let least = Duration::from_micros(bits) - Duration::from_millis(2);
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_held_lets_the_other_direction_pass() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = pair(transport, LinkShape::default(), LinkShape::default()).await;
        round_trip(&mut a, &mut b).await;
        let held = LinkShape { held: true, ..LinkShape::default() };
        a.network.set_links(to(id(2), held));
        a.say(b.id(), vote(1));
        b.say(a.id(), Message::Ping(2));
        a.heard(b.id(), &Message::Ping(2)).await;
        let silence = tokio::time::timeout(Duration::from_millis(300), b.message()).await;
        assert!(silence.is_err(), "{silence:?}");

        // A new session would need both directions.
        a.network.dial(b.address(transport));
        assert_eq!(a.dial_failed(b.address(transport)).await, "the link to this peer is cut");

        a.network.set_links(LinkShapes::default());
        within("the held vote", b.heard(id(1), &vote(1))).await;
        round_trip(&mut a, &mut b).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_profits_from_a_better_link() {
    let (a, mut b) =
        pair(Transport::Tcp, slow(Duration::from_secs(3_600)), LinkShape::default()).await;
    a.say(b.id(), Message::Ping(1));
    a.say(b.id(), Message::Ping(2));
    let silence = tokio::time::timeout(Duration::from_millis(200), b.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    a.network.set_links(to(id(2), slow(LATENCY)));
    assert_eq!(b.message().await.1, Message::Ping(1));
    assert_eq!(b.message().await.1, Message::Ping(2));
}
