//! A node that dies and comes back with the same key and port.

use crate::harness::{Node, config, connect, id, talk};
use kette_network::{Config, start};
use kette_types::{Message, Transport};
use std::time::{Duration, Instant};

/// Starts on a port that a dying node may hold for a moment more.
async fn restart(config: Config) -> Node {
    let begin = Instant::now();
    loop {
        match start(config.clone()).await {
            Ok((network, events)) => return Node { network, events },
            Err(error) => {
                assert!(begin.elapsed() < Duration::from_secs(10), "{error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn comes_back(transport: Transport, dialler_dies: bool) {
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    if dialler_dies {
        connect(&mut b, &mut a, transport).await;
    } else {
        connect(&mut a, &mut b, transport).await;
    }
    let address = b.address(transport);
    let mut config = config(2);
    config.listen = vec![address.socket];
    drop(b);
    let begin = Instant::now();
    a.disconnected(id(2)).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "a dead peer is noticed in time");

    let mut b = restart(config).await;
    if dialler_dies {
        b.network.dial(a.address(transport));
    } else {
        a.network.dial(address);
    }
    tokio::join!(a.connected(id(2)), b.connected(id(1)));
    talk(&mut a, &mut b, &Message::Ping(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_listener_is_reached_again_over_tcp() {
    comes_back(Transport::Tcp, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_listener_is_reached_again_over_quic() {
    comes_back(Transport::Quic, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_dialler_reaches_again_over_tcp() {
    comes_back(Transport::Tcp, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_dialler_reaches_again_over_quic() {
    comes_back(Transport::Quic, true).await;
}
