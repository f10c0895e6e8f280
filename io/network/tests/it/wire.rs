//! The counters beside what the sockets carried.

use crate::harness::{Node, bulk, connect, one_of_each, talk};
use kette_types::{Message, PeerAddress, Transport};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Bytes that crossed, from who dialled and to it.
type Crossed = [Arc<AtomicU64>; 2];

/// Carries one connection to `target`.
async fn relay(target: SocketAddr) -> (SocketAddr, Crossed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let crossed = Crossed::default();
    let [there, back] = crossed.clone();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("somebody dials");
        let far = TcpStream::connect(target).await.expect("the target listens");
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(near_in, far_out, there));
        carry(far_in, near_out, back).await;
    });
    (address, crossed)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, crossed: Arc<AtomicU64>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        crossed.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_of_tcp_is_counted_and_most_belong_to_a_message() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    let (socket, crossed) = relay(b.address(Transport::Tcp).socket).await;
    a.network.dial(PeerAddress { socket, ..b.address(Transport::Tcp) });
    let (id_a, id_b) = (a.id(), b.id());
    tokio::join!(a.connected(id_b), b.connected(id_a));
    for _ in 0..50 {
        for message in &one_of_each() {
            talk(&mut a, &mut b, message).await;
        }
    }
    talk(&mut a, &mut b, &bulk(1, 256)).await;
    a.network.shutdown().await;
    let [to_b, to_a] = crossed.map(|crossed| crossed.load(Ordering::Relaxed));
    let stats = b.network.stats();
    let (wire, total) = (stats.wire, stats.total);
    // The last words are under way in one direction or another.
    let near = |counted: u64, crossed: u64| counted.abs_diff(crossed) <= 1_024;
    assert!(near(wire.received, to_b) && near(wire.sent, to_a), "{wire:?} {to_b} {to_a}");
    assert!(to_a > 200_000 && wire.received > total.bytes_in && wire.sent > total.bytes_out);
    for (kinds, bytes) in
        [(&total.messages_in, total.bytes_in), (&total.messages_out, total.bytes_out)]
    {
        assert_eq!(kinds.values().map(|kind| kind.bytes).sum::<u64>(), bytes);
        assert_eq!((kinds.len(), kinds["ping"].messages, kinds["headers"].messages), (6, 50, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_quic_count_as_they_are() {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    connect(&mut a, &mut b, Transport::Quic).await;
    talk(&mut a, &mut b, &Message::Ping(1)).await;
    let (stats_a, stats_b) = (a.network.stats(), b.network.stats());
    for stats in [stats_a, stats_b] {
        assert!(stats.wire.received > 0);
        assert_eq!(
            (stats.wire.received, stats.wire.sent),
            (stats.total.bytes_in, stats.total.bytes_out)
        );
    }
}
