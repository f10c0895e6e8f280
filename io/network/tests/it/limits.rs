//! Strangers that take up room, and discovery.

use crate::{
    harness::{Node, config, connect, id, within},
    rogue::Rogue,
};
use kette_network::NetworkEvent;
use kette_types::{Message, PeerAddress, Transport};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Returns when the other side hangs up.
async fn hung_up(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_clients_that_send_garbage_or_nothing_are_dropped_and_harm_nobody() {
    let mut config = config(1);
    config.handshake_timeout = Duration::from_millis(500);
    config.pending_inbound_max = 8;
    let mut a = Node::with(config).await;
    let socket = a.address(Transport::Tcp).socket;
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut stream = TcpStream::connect(socket).await.expect("it listens");
        if n % 2 == 0 {
            // The node may have hung up already.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        }
        clients.spawn(hung_up(stream));
    }
    within("all dropped", async { while clients.join_next().await.is_some() {} }).await;
    assert_eq!(a.network.stats().handshakes.inbound_completed, 0);
    let mut b = Node::new(2).await;
    connect(&mut b, &mut a, Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_gets_its_share_and_no_more() {
    let mut config = config(1);
    config.public = true;
    config.per_ip_max = Some(2);
    let mut a = Node::with(config).await;
    let address = a.address(Transport::Tcp);
    let (mut b, mut c, mut d) = (Node::new(2).await, Node::new(3).await, Node::new(4).await);
    connect(&mut b, &mut a, Transport::Tcp).await;
    connect(&mut c, &mut a, Transport::Tcp).await;
    d.network.dial(address);
    d.dial_failed(address).await;
    // A place that becomes free is free.
    b.network.shutdown().await;
    a.disconnected(id(2)).await;
    within("a free place", async {
        loop {
            d.network.dial(address);
            let up = d
                .until("an outcome", |event| match event {
                    NetworkEvent::Connected { .. } => Some(true),
                    NetworkEvent::DialFailed { .. } => Some(false),
                    _ => None,
                })
                .await;
            if up {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_sessions_than_allowed() {
    let mut config = config(1);
    config.sessions_max = 2;
    let mut a = Node::with(config).await;
    let address = a.address(Transport::Tcp);
    let (mut b, mut c, mut d) = (Node::new(2).await, Node::new(3).await, Node::new(4).await);
    connect(&mut b, &mut a, Transport::Tcp).await;
    connect(&mut c, &mut a, Transport::Tcp).await;
    d.network.dial(address);
    let error = d.dial_failed(address).await;
    assert!(error.contains("no free slot"), "{error}");
    a.network.dial(d.address(Transport::Tcp));
    let error = a.dial_failed(d.address(Transport::Tcp)).await;
    assert!(error.contains("no session slot"), "{error}");
    a.say(id(2), Message::Ping(1));
    assert_eq!(b.message().await.1, Message::Ping(1));
}

/// A connection on which nobody offers a session ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_not_accepted_fails() {
    let mut a = Node::new(1).await;
    // It listens and never accepts: a plain TCP listener that says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = PeerAddress::tcp(silent.local_addr().expect("bound"));
    a.network.dial(address);
    let error = a.dial_failed(address).await;
    assert!(!error.is_empty());
    drop(silent);
    // A stranger that connects and stays silent is no session.
    let rogue = Rogue::connect(9, a.address(Transport::Tcp)).await;
    assert!(a.network.stats().peers.is_empty());
    drop(rogue);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kademlia_finds_peers_of_peers() {
    const NODES: u8 = 4;
    let mut nodes = Vec::new();
    for seed in 1..=NODES {
        let mut config = config(seed);
        config.kademlia = true;
        nodes.push(Node::with(config).await);
    }
    let hub = nodes[0].address(Transport::Tcp);
    for node in &nodes[1..] {
        node.network.dial(hub);
    }
    for seed in 2..=NODES {
        let node = &mut nodes[usize::from(seed) - 1];
        let other = id(if seed == 2 { 3 } else { 2 });
        let found = node
            .until("discovered", |event| match event {
                NetworkEvent::Discovered(addresses) => {
                    addresses.into_iter().find(|address| address.peer == Some(other))
                }
                _ => None,
            })
            .await;
        assert!(found.socket.ip().is_loopback());
        // Found, not dialled.
        assert_eq!(node.network.stats().peers.keys().collect::<Vec<_>>(), [&id(1)]);
    }
}
