//! Binds the node's ports, so that a busy one is an error at start and not a silent share.

use crate::{
    address::{from_multiaddr, multiaddr},
    behaviour::Behaviour,
    config::Config,
    event::NetworkError,
};
use futures::StreamExt;
use kette_types::{PeerAddress, Transport};
use libp2p::{Multiaddr, Swarm, core::transport::TransportError, swarm::SwarmEvent};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Listens on every address of `config`; returns what is listened on.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    config: &Config,
) -> Result<Vec<Multiaddr>, NetworkError> {
    // libp2p shares TCP ports between processes (SO_REUSEPORT), so a busy one is looked for here.
    for address in &config.listen {
        if address.port() != 0 {
            probe(*address, Transport::Tcp)?;
            if config.quic {
                probe(*address, Transport::Quic)?;
            }
        }
    }
    let mut listening = Vec::new();
    for address in &config.listen {
        for attempt in 1.. {
            match listen_on(swarm, *address, config.quic).await {
                Ok(found) => {
                    listening.extend(found);
                    break;
                }
                // The system chose a TCP port whose UDP twin is taken.
                Err(NetworkError::PortInUse { .. })
                    if address.port() == 0 && attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(listening)
}

/// Waits until the ports of a driver that stopped can be bound again: a QUIC endpoint ends in the
/// background.
pub(super) async fn wait_until_free(ports: &[PeerAddress]) {
    const PAUSE: Duration = Duration::from_millis(5);
    const PATIENCE: Duration = Duration::from_secs(2);
    let free = async {
        for port in ports {
            while matches!(probe(port.socket, port.transport), Err(NetworkError::PortInUse { .. }))
            {
                sleep(PAUSE).await;
            }
        }
    };
    if timeout(PATIENCE, free).await.is_err() {
        tracing::warn!("a port is still in use after the network stopped");
    }
}

async fn listen_on(
    swarm: &mut Swarm<Behaviour>,
    address: SocketAddr,
    quic: bool,
) -> Result<Vec<Multiaddr>, NetworkError> {
    let fail = |error: io::Error, transport| match error.kind() {
        ErrorKind::AddrInUse => NetworkError::PortInUse { address, transport },
        _ => NetworkError::Listen { address, error },
    };
    let unwrap = |error: TransportError<io::Error>| match error {
        TransportError::MultiaddrNotSupported(address) => {
            io::Error::other(format!("{address} is not supported"))
        }
        TransportError::Other(error) => error,
    };
    let tcp = swarm
        .listen_on(multiaddr(address, Transport::Tcp))
        .map_err(|error| fail(unwrap(error), Transport::Tcp))?;
    let mut found = vec![bound(swarm).await.map_err(|error| fail(error, Transport::Tcp))?];
    if quic {
        let port = from_multiaddr(&found[0]).map_or(address.port(), |found| found.socket.port());
        let twin = SocketAddr::new(address.ip(), port);
        let result = probe(twin, Transport::Quic).and_then(|()| {
            swarm
                .listen_on(multiaddr(twin, Transport::Quic))
                .map_err(|error| fail(unwrap(error), Transport::Quic))
        });
        if let Err(error) = result {
            swarm.remove_listener(tcp);
            return Err(error);
        }
        found.push(bound(swarm).await.map_err(|error| fail(error, Transport::Quic))?);
    }
    Ok(found)
}

/// Waits for the next listener to be ready.
async fn bound(swarm: &mut Swarm<Behaviour>) -> io::Result<Multiaddr> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let ready = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => return Ok(address),
                SwarmEvent::ListenerError { error, .. } => return Err(error),
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, ready).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Binds and lets go.
fn probe(address: SocketAddr, transport: Transport) -> Result<(), NetworkError> {
    let result = match transport {
        Transport::Tcp => TcpListener::bind(address).map(drop),
        Transport::Quic => UdpSocket::bind(address).map(drop),
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => NetworkError::PortInUse { address, transport },
        _ => NetworkError::Listen { address, error },
    })
}

/// Ports that are tried when the system chooses.
const ATTEMPTS_MAX: usize = 16;
