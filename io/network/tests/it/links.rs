//! Links cut and healed at run time.

use crate::harness::{Node, connect, id};
use kette_network::CutSet;
use kette_types::{Message, Transport};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_ends_the_session_refuses_dials_both_ways_and_heals() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
        let mut c = Node::new(3).await;
        connect(&mut a, &mut b, transport).await;
        connect(&mut a, &mut c, transport).await;

        let cut = CutSet::Peers([b.id()].into());
        let begin = Instant::now();
        a.network.set_cut(cut.clone());
        tokio::join!(a.disconnected(id(2)), b.disconnected(id(1)));
        assert!(begin.elapsed() < Duration::from_millis(100), "took {:?}", begin.elapsed());
        assert_eq!(a.network.cut(), cut);

        a.network.dial(b.address(transport));
        assert_eq!(a.dial_failed(b.address(transport)).await, "the link to this peer is cut");
        b.network.dial(a.address(transport));
        b.dial_failed(a.address(transport)).await;

        a.say(c.id(), Message::Ping(1));
        assert_eq!(c.message().await.1, Message::Ping(1));

        a.network.set_cut(CutSet::default());
        connect(&mut b, &mut a, transport).await;
        b.say(a.id(), Message::Ping(2));
        assert_eq!(a.message().await.1, Message::Ping(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cut_from_everyone_is_alone() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    connect(&mut a, &mut b, Transport::Tcp).await;
    a.network.set_cut(CutSet::Everyone);
    tokio::join!(a.disconnected(id(2)), b.disconnected(id(1)));
    let unnamed = kette_types::PeerAddress { peer: None, ..b.address(Transport::Tcp) };
    a.network.dial(unnamed);
    a.dial_failed(unnamed).await;
    b.network.dial(a.address(Transport::Tcp));
    b.dial_failed(a.address(Transport::Tcp)).await;
    a.network.set_cut(CutSet::default());
    connect(&mut a, &mut b, Transport::Tcp).await;
}

/// The peer does not read, so the socket is full when the link is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_does_not_wait_for_a_peer_that_does_not_read() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    connect(&mut a, &mut b, Transport::Tcp).await;
    let message = std::sync::Arc::new(crate::harness::bulk(1, 1024));
    while a.network.send(b.id(), message.clone()).is_ok() {}
    let begin = Instant::now();
    a.network.set_cut(CutSet::Everyone);
    a.disconnected(b.id()).await;
    assert!(begin.elapsed() < Duration::from_millis(100), "took {:?}", begin.elapsed());
    b.disconnected(a.id()).await;
}
