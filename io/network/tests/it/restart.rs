//! A node that dies and comes back with the same key and port.

use crate::harness::{Node, config, connect, id, talk};
use kette_network::{Config, NetworkEvent, start};
use kette_types::{Message, PeerAddress, Transport};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

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

/// What the process to be killed is told: `<its port> <whom to dial>`.
const VICTIM: &str = "KETTE_TEST_VICTIM";

/// Lives until it is killed, dialling until it has a session.
async fn victim(told: &str) {
    let (socket, target) = told.split_once(' ').expect("two words");
    let socket: SocketAddr = socket.parse().expect("a socket");
    let target: PeerAddress = target.parse().expect("an address");
    let mut config = config(2);
    config.listen = vec![socket];
    let mut node = restart(config).await;
    node.network.dial(target);
    while let Some(event) = node.events.recv().await {
        if let NetworkEvent::DialFailed { .. } | NetworkEvent::Disconnected { .. } = event {
            node.network.dial(target);
        }
    }
}

/// Another process is killed with SIGKILL, so that nothing says goodbye, and comes back with the same
/// key and port (rust-libp2p issue 5097: over QUIC the old connection must not look alive).
async fn a_killed_process(transport: Transport, test: &str) {
    if let Ok(told) = std::env::var(VICTIM) {
        return victim(&told).await;
    }
    let mut a = Node::new(1).await;
    let port = Node::new(2).await;
    let socket = port.address(transport).socket;
    port.network.shutdown().await;
    let told = format!("{socket} {}", a.address(transport));
    let spawn = || -> Child {
        Command::new(std::env::current_exe().expect("a test runs"))
            .args(["--exact", test])
            .env(VICTIM, &told)
            .kill_on_drop(true)
            .spawn()
            .expect("the test runs again")
    };

    let mut child = spawn();
    a.connected(id(2)).await;
    let killed = Instant::now();
    child.kill().await.expect("it lives");
    a.disconnected(id(2)).await;
    let noticed = killed.elapsed();
    assert!(noticed < Duration::from_secs(10), "noticed after {noticed:?}");

    child = spawn();
    a.connected(id(2)).await;
    child.kill().await.expect("it lives");
    let killed = Instant::now();
    let _child = spawn();
    a.disconnected(id(2)).await;
    a.connected(id(2)).await;
    let back = killed.elapsed();
    eprintln!("{transport:?}: noticed after {noticed:?}; back after {back:?}");
    assert!(back < Duration::from_secs(12), "back after {back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_comes_back_over_tcp() {
    a_killed_process(Transport::Tcp, "restart::a_killed_process_comes_back_over_tcp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_comes_back_over_quic() {
    a_killed_process(Transport::Quic, "restart::a_killed_process_comes_back_over_quic").await;
}
