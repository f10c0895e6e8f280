//! How sessions begin, what they carry and how they end.

use crate::harness::{Node, bulk, config, connect, id, one_of_each, talk, within};
use kette_network::{NetworkError, NetworkEvent, SendError, start};
use kette_types::{B256, Direction, DisconnectReason, Lane, Message, PeerAddress, Transport};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

async fn carries_every_lane(transport: Transport) {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    let address = b.address(transport);
    a.network.dial(address);
    let (id_a, id_b) = (a.id(), b.id());
    let (at_a, at_b) = tokio::join!(a.connected(id_b), b.connected(id_a));
    assert_eq!(at_a, (address, Direction::Outbound));
    assert_eq!(at_b.1, Direction::Inbound);
    assert_eq!((at_b.0.peer, at_b.0.transport), (Some(id_a), transport));

    let messages = one_of_each();
    assert_eq!(messages.iter().map(Message::lane).collect::<Vec<_>>(), Lane::ALL);
    for message in &messages {
        talk(&mut a, &mut b, message).await;
    }
    let expected: usize = messages.iter().map(|message| 4 + message.encode().len()).sum();
    for (node, peer) in [(&a, id_b), (&b, id_a)] {
        let stats = node.network.stats();
        assert_eq!(stats.peers[&peer].traffic, stats.total);
        assert_eq!(stats.total.bytes_in, expected as u64);
        assert_eq!(stats.total.messages_in.len(), Lane::ALL.len());
        assert_eq!(stats.total.messages_in["new_block"].messages, 1);
    }
    assert_eq!(a.network.stats().handshakes.outbound_completed, 1);
    assert_eq!(b.network.stats().handshakes.inbound_completed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_carries_every_lane() {
    carries_every_lane(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_carries_every_lane() {
    carries_every_lane(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn largest_frames_arrive_whole() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
        connect(&mut a, &mut b, transport).await;
        talk(&mut a, &mut b, &Message::Ping(0)).await;
        let large = bulk(9, 3_700);
        assert!(large.encode().len() > 3_700 * 1024);
        a.say(b.id(), large.clone());
        b.heard(a.id(), &large).await;
        let too_large = a.network.send(b.id(), bulk(9, 4_096).into());
        assert!(matches!(too_large, Err(SendError::TooLarge { lane: Lane::Bulk, .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_nodes_dialling_all_at_once_form_a_full_mesh_without_flapping() {
    const NODES: u8 = 10;
    let mut nodes = Vec::new();
    for seed in 1..=NODES {
        nodes.push(Node::new(seed).await);
    }
    let addresses: Vec<_> = nodes.iter().map(|node| node.address(Transport::Tcp)).collect();
    for node in &nodes {
        for address in &addresses {
            if address.peer != Some(node.id()) {
                node.network.dial(*address);
            }
        }
    }
    for node in &mut nodes {
        let mut missing: BTreeSet<_> = (1..=NODES).map(id).filter(|id| *id != node.id()).collect();
        node.until("mesh", |event| {
            match event {
                NetworkEvent::Connected { peer, .. } => assert!(missing.remove(&peer), "twice"),
                NetworkEvent::Disconnected { .. } => panic!("flapped"),
                _ => {}
            }
            missing.is_empty().then_some(())
        })
        .await;
    }
    // Everybody is heard by everybody, and nothing ended meanwhile.
    for node in &nodes {
        let peers: Vec<_> = (1..=NODES).map(id).filter(|id| *id != node.id()).collect();
        assert_eq!(node.network.broadcast(&peers, &Message::Ping(5)), []);
    }
    for node in &mut nodes {
        let mut missing: BTreeSet<_> = (1..=NODES).map(id).filter(|id| *id != node.id()).collect();
        node.until("all pings", |event| {
            match event {
                NetworkEvent::Message { peer, .. } => assert!(missing.remove(&peer), "twice"),
                NetworkEvent::Disconnected { .. } => panic!("flapped"),
                _ => {}
            }
            missing.is_empty().then_some(())
        })
        .await;
        assert_eq!(node.network.stats().peers.len(), usize::from(NODES) - 1);
    }
}

/// Both sides dial; each dial has one outcome, and there is one session at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_end_in_one_session() {
    for round in 0..20 {
        let transport = if round % 2 == 0 { Transport::Tcp } else { Transport::Quic };
        let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
        let (to_a, to_b) = (a.address(transport), b.address(transport));
        a.network.dial(to_b);
        b.network.dial(to_a);
        let mut outbound = 0;
        let mut failed = 0;
        for (node, dialled) in [(&mut a, to_b), (&mut b, to_a)] {
            let (mut connected, mut settled) = (false, false);
            node.until("one outcome per dial", |event| {
                match event {
                    NetworkEvent::Connected { direction, .. } => {
                        assert!(!connected, "connected twice");
                        connected = true;
                        if direction == Direction::Outbound {
                            settled = true;
                            outbound += 1;
                        }
                    }
                    NetworkEvent::DialFailed { address, .. } => {
                        assert_eq!(address, dialled);
                        assert!(!settled, "two outcomes");
                        settled = true;
                        failed += 1;
                    }
                    NetworkEvent::Disconnected { .. } => panic!("flapped"),
                    _ => {}
                }
                (connected && settled).then_some(())
            })
            .await;
        }
        assert_eq!((outbound, failed), (1, 1));
        talk(&mut a, &mut b, &Message::Ping(1)).await;
    }
}

#[tokio::test]
async fn a_second_dial_fails_and_leaves_the_session_alone() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    connect(&mut a, &mut b, Transport::Tcp).await;
    let unnamed = PeerAddress { peer: None, ..b.address(Transport::Quic) };
    a.network.dial(unnamed);
    assert_eq!(a.dial_failed(unnamed).await, "a session with this peer exists already");
    a.say(b.id(), Message::Ping(1));
    assert_eq!(b.message().await.1, Message::Ping(1));
    assert_eq!(a.network.stats().handshakes.surplus, 1);
}

#[tokio::test]
async fn an_address_without_identity_leads_to_whoever_is_there() {
    let (mut a, b) = (Node::new(1).await, Node::new(2).await);
    let unnamed = PeerAddress { peer: None, ..b.address(Transport::Tcp) };
    a.network.dial(unnamed);
    assert_eq!(a.connected(b.id()).await.0, unnamed.with_peer(b.id()));
}

#[tokio::test]
async fn another_identity_than_expected_is_refused() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, b) = (Node::new(1).await, Node::new(2).await);
        let wrong = b.address(transport).with_peer(id(3));
        a.network.dial(wrong);
        let error = a.dial_failed(wrong).await;
        assert_eq!(error, format!("identity differs: expected {}, found {}", id(3), id(2)));
    }
}

#[tokio::test]
async fn dialling_oneself_fails_in_plain_words() {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut config = config(1);
    config.listen = vec![any];
    let mut node = Node::with(config).await;
    for transport in [Transport::Tcp, Transport::Quic] {
        let own = node.address(transport);
        // An alias of this host that is not among the addresses reported.
        let socket = SocketAddr::from(([127, 0, 0, 2], own.socket.port()));
        let alias = PeerAddress { peer: None, socket, transport };
        for address in [own, PeerAddress { peer: None, ..own }, alias] {
            node.network.dial(address);
            assert_eq!(node.dial_failed(address).await, "the address is this node's own");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_said_in_the_systems_words() {
    let mut a = Node::new(1).await;
    let gone = Node::new(2).await;
    let address = gone.address(Transport::Tcp);
    within("shutdown", gone.network.shutdown()).await;
    a.network.dial(address);
    let error = a.dial_failed(address).await;
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn another_genesis_is_refused_with_a_reason() {
    let mut a = Node::new(1).await;
    let mut other = config(2);
    other.genesis = B256::repeat_byte(8);
    let b = Node::with(other).await;
    a.network.dial(b.address(Transport::Tcp));
    let error = a.dial_failed(b.address(Transport::Tcp)).await;
    assert!(error.contains("/kette/07070707/control/1"), "{error}");
    assert!(error.contains("another chain"), "{error}");
    within("both count it", async {
        for node in [&a, &b] {
            while node.network.stats().handshakes.foreign == 0 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_goodbye_arrives_before_the_session_ends() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
        connect(&mut a, &mut b, transport).await;
        let goodbye = Message::Goodbye(DisconnectReason::TooManyPeers);
        a.say(b.id(), goodbye.clone());
        a.network.disconnect(b.id(), DisconnectReason::TooManyPeers);
        let after = a.network.send(b.id(), Message::Ping(1).into());
        assert_eq!(after, Err(SendError::NotConnected));
        assert_eq!(b.message().await.1, goodbye);
        assert_eq!(b.disconnected(a.id()).await, DisconnectReason::ConnectionLost);
        assert_eq!(a.disconnected(b.id()).await, DisconnectReason::TooManyPeers);
        assert!(a.network.stats().peers.is_empty());
        assert_eq!(a.network.stats().total.messages_out["goodbye"].messages, 1);
    }
}

/// Lanes are streams of their own: that another one ends first must not take the goodbye's time away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_arrives_on_busy_sessions_too() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    let goodbye = Message::Goodbye(DisconnectReason::Banned);
    for round in 0..100 {
        connect(&mut a, &mut b, Transport::Tcp).await;
        for message in &one_of_each() {
            talk(&mut a, &mut b, message).await;
        }
        for id in 0..20 {
            // The queue may be full; what matters is that bytes are under way.
            let _ = b.network.send(a.id(), bulk(id, 64).into());
        }
        a.say(b.id(), goodbye.clone());
        a.network.disconnect(b.id(), DisconnectReason::Banned);
        let said = b
            .until("the end", |event| match event {
                NetworkEvent::Message { message, .. } if message == goodbye => Some(true),
                NetworkEvent::Disconnected { .. } => Some(false),
                _ => None,
            })
            .await;
        assert!(said, "round {round}");
        b.disconnected(a.id()).await;
        a.disconnected(b.id()).await;
    }
}

#[tokio::test]
async fn a_busy_port_is_an_error_that_names_it() {
    let a = Node::new(1).await;
    let busy = a.address(Transport::Tcp).socket;
    let mut config = config(2);
    config.listen = vec![busy];
    let error = start(config.clone()).await.err().expect("the port is busy");
    assert!(matches!(error, NetworkError::PortInUse { address, .. } if address == busy));
    let text = error.to_string();
    assert!(text.contains(&busy.port().to_string()) && text.contains("choose another"), "{text}");

    // Only the UDP twin is busy; look for a port whose TCP twin no other test has.
    loop {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        config.listen = vec![udp.local_addr().expect("bound")];
        match start(config.clone()).await.err().expect("the port is busy") {
            NetworkError::PortInUse { transport: Transport::Quic, .. } => return,
            NetworkError::PortInUse { transport: Transport::Tcp, .. } => {}
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_frees_the_ports_at_once_and_tells_the_peers() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
        connect(&mut a, &mut b, transport).await;
        let address = b.address(transport);
        let again = b.network.clone();
        b.say(a.id(), Message::Goodbye(DisconnectReason::Shutdown));
        within("shutdown", b.network.shutdown()).await;
        assert_eq!(a.message().await.1, Message::Goodbye(DisconnectReason::Shutdown));
        a.disconnected(id(2)).await;
        assert_eq!(again.send(a.id(), Message::Ping(1).into()), Err(SendError::Closed));
        let mut rest = Vec::new();
        within("the end of events", async {
            while let Some(event) = b.events.recv().await {
                rest.push(event);
            }
        })
        .await;
        match transport {
            Transport::Tcp => drop(std::net::TcpListener::bind(address.socket).expect("free")),
            Transport::Quic => drop(std::net::UdpSocket::bind(address.socket).expect("free")),
        }
        let mut config = config(2);
        config.listen = vec![address.socket];
        let _again = Node::with(config).await;
    }
}

/// What a host decided for a former session must not reach the next one: it would come before our hello.
#[tokio::test]
async fn nothing_is_sent_on_a_session_that_the_host_did_not_meet() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    a.network.dial(b.address(Transport::Tcp));
    b.connected(a.id()).await;
    let session = loop {
        match within("connected", a.events.recv()).await.expect("the driver runs") {
            NetworkEvent::Connected { peer, session, .. } if peer == b.id() => break session,
            _ => {}
        }
    };
    let ping = Arc::new(Message::Ping(1));
    let send = || a.network.send(b.id(), ping.clone());
    assert_eq!(send(), Err(SendError::NotConnected));
    assert!(a.network.reply(b.id()).is_none());
    a.network.disconnect(b.id(), DisconnectReason::Requested);
    a.network.meet(b.id(), session + 1);
    assert_eq!(send(), Err(SendError::NotConnected), "another session");
    a.network.meet(b.id(), session);
    assert_eq!(send(), Ok(()), "it was not ended");
    b.heard(a.id(), &ping).await;
    // The way back of an answer ends with the session it was asked on.
    let reply = a.network.reply(b.id()).expect("a session");
    assert_eq!(reply.send(&Message::Ping(2)), Ok(()));
    b.heard(a.id(), &Message::Ping(2)).await;
    b.network.disconnect(a.id(), DisconnectReason::Requested);
    a.disconnected(b.id()).await;
    b.disconnected(a.id()).await;
    connect(&mut a, &mut b, Transport::Tcp).await;
    assert_eq!(reply.send(&Message::Ping(3)), Err(SendError::NotConnected));
    reply.disconnect(DisconnectReason::TooSlow);
    talk(&mut a, &mut b, &Message::Ping(4)).await;
}
