//! Peers that do not even speak the protocol, and peers of another chain, against a running node's sockets.

use crate::harness::{
    Chain, Node, Ports, figure,
    nets::{SOON, agreed},
    secs, until,
};
use serde_json::json;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Sockets of each kind in one wave.
const GARBAGE: usize = 150;
const SILENT: usize = 150;
const SLOW: usize = 40;
/// Memory may grow this much from the second wave to the last, bytes.
const GROWTH_MAX: u64 = 8 << 20;

fn connect(port: u16) -> Option<TcpStream> {
    // A node that refuses some of hundreds from one address is right.
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_nonblocking(true).expect("a socket");
    Some(stream)
}

/// Tells whether the other side has closed.
fn closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// One wave on both ports, until the node has closed all P2P sockets that made no progress.
fn wave(node: &Node, seed: u8) -> Duration {
    let mut streams: Vec<TcpStream> = Vec::new();
    for index in 0..GARBAGE {
        for port in [node.p2p, node.rpc.0] {
            let Some(mut stream) = connect(port) else { continue };
            let noise: Vec<u8> = (0..4_096u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed ^ index as u8)
                .collect();
            // The node may close before it was all written.
            let _ = stream.write(&noise);
            if port == node.p2p {
                streams.push(stream);
            }
        }
    }
    streams.extend((0..SILENT).filter_map(|_| connect(node.p2p)));
    // Begins as libp2p does, and then a byte at a time.
    let mut slow: Vec<TcpStream> = (0..SLOW).filter_map(|_| connect(node.p2p)).collect();
    let mut http: Vec<TcpStream> = (0..SLOW).filter_map(|_| connect(node.rpc.0)).collect();
    let hello = b"\x13/multistream/1.0.0\n";
    let request = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n{";
    let started = Instant::now();
    let mut sent = 0;
    let (_, took) = until("the end of sockets that say nothing", secs(40), || {
        if started.elapsed() > Duration::from_millis(100) * sent {
            for stream in &mut slow {
                let _ = stream.write(&hello[sent as usize % hello.len()..][..1]);
            }
            for stream in &mut http {
                let _ = stream.write(&request[sent as usize % request.len()..][..1]);
            }
            sent += 1;
            // Meanwhile clients are answered.
            let asked = Instant::now();
            node.rpc.height()?;
            assert!(asked.elapsed() < secs(3), "an answer took {:?}", asked.elapsed());
        }
        streams.retain_mut(|stream| !closed(stream));
        slow.retain_mut(|stream| !closed(stream));
        match (streams.len(), slow.len()) {
            (0, 0) => Ok(()),
            open => Err(format!("open: {open:?}")),
        }
    });
    took
}

#[test]
fn noise_silence_and_slowness_do_not_hurt() {
    let ports = Ports::claim();
    let chain = Chain::fixed(9_121, 1);
    let node = Node::new(&ports, 0, &chain).up();
    let friend = Node::new(&ports, 1, &chain).dialling(&node).up();
    let together = || match node.rpc.peers() {
        Ok(1) => Ok(()),
        other => Err(other),
    };
    until("a session", SOON, together);
    let mut memory = vec![node.rss()];
    for seed in 0..4 {
        let took = wave(&node, seed);
        figure("bad sockets: until the node had closed all, s", took.as_secs_f64());
        assert_eq!(node.rpc.peers(), Ok(1), "the friend stays");
        node.mine(2);
        agreed(&[node.rpc, friend.rpc], 2 * u64::from(seed) + 2, SOON);
        memory.push(node.rss());
    }
    figure("bad sockets: resident memory after each wave, KiB", {
        let kib: Vec<u64> = memory.iter().map(|bytes| bytes / 1_024).collect();
        format!("{kib:?}")
    });
    let grown = memory[4].saturating_sub(memory[2]);
    assert!(grown < GROWTH_MAX, "memory grows: {memory:?}");
    // The friend's own address has room for a new friend.
    let late = Node::new(&ports, 2, &chain).dialling(&node).up();
    agreed(&[node.rpc, late.rpc], 8, SOON);
    assert!(node.rpc.status()["counters"]["bans"] == json!(0), "nobody was to blame");
}

#[test]
fn a_peer_of_another_chain_is_refused_and_both_say_why() {
    let ports = Ports::claim();
    let chain = Chain::fixed(9_122, 1);
    let node = Node::new(&ports, 0, &chain).up();
    let mut foreign = Chain::fixed(9_122, 1);
    foreign.0["timestamp"] = json!("0x69800e81");
    let stranger = Node::new(&ports, 1, &foreign).dialling(&node).up();
    // The same block 0 under another rule is another chain as well.
    let mut rules = Chain::fixed(9_122, 1);
    rules.kette()["reward"]["amount"] = json!("0x1");
    let heretic = Node::new(&ports, 2, &rules).dialling(&node).up();
    assert_eq!(node.rpc.hash_at(0), heretic.rpc.hash_at(0));
    assert_ne!(node.rpc.hash_at(0), stranger.rpc.hash_at(0));

    // Other rules are another genesis file, and so another chain to people.
    for (name, node) in [("node", &node), ("stranger", &stranger), ("heretic", &heretic)] {
        until(&format!("the reason in the log of the {name}"), SOON, || {
            let log = node.log_text();
            if log.contains("the peer follows another chain") { Ok(()) } else { Err(log.len()) }
        });
    }
    let reason = "genesis hash differs: the peer follows another chain";
    assert!(node.log_text().contains(reason), "the heretic is told apart by its hello");
    node.mine(2);
    for other in [&stranger, &heretic] {
        assert_eq!(other.rpc.height(), Ok(0));
        assert_eq!(other.rpc.peers(), Ok(0));
    }
    assert_eq!(node.rpc.peers(), Ok(0));
    let friend = Node::new(&ports, 3, &chain).dialling(&node).up();
    agreed(&[node.rpc, friend.rpc], 2, SOON);
}
