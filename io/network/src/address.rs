//! Translates between our identities and addresses and libp2p's.

use kette_types::{B256, PeerAddress, PeerId, Transport};
use libp2p::{
    Multiaddr,
    identity::{Keypair, PublicKey, ed25519},
    multiaddr::Protocol,
};
use std::net::{IpAddr, SocketAddr};

/// Builds the libp2p key pair of an ed25519 seed.
pub(crate) fn keypair(secret: &[u8; 32]) -> Keypair {
    let secret = ed25519::SecretKey::try_from_bytes(&mut secret.clone())
        .expect("every 32 bytes are an ed25519 seed");
    Keypair::from(ed25519::Keypair::from(secret))
}

/// Returns libp2p's name of `peer`, or nothing if its bytes are no ed25519 public key.
pub(crate) fn to_libp2p(peer: &PeerId) -> Option<libp2p::PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(peer.0.as_slice()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Returns our name of `peer`, or nothing if it is not an ed25519 identity: such a libp2p identity is
/// the identity multihash of the key's protobuf.
pub(crate) fn from_libp2p(peer: &libp2p::PeerId) -> Option<PeerId> {
    const IDENTITY_CODE: u64 = 0;
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_CODE {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(PeerId(B256::from(key.try_into_ed25519().ok()?.to_bytes())))
}

/// Returns the multiaddress of `address`, without the identity.
pub(crate) fn to_multiaddr(address: &PeerAddress) -> Multiaddr {
    multiaddr(address.socket, address.transport)
}

/// Returns the multiaddress of a socket.
pub(crate) fn multiaddr(socket: SocketAddr, transport: Transport) -> Multiaddr {
    let base = Multiaddr::from(socket.ip());
    match transport {
        Transport::Tcp => base.with(Protocol::Tcp(socket.port())),
        Transport::Quic => base.with(Protocol::Udp(socket.port())).with(Protocol::QuicV1),
    }
}

/// Reads a multiaddress of one of our two shapes.
pub(crate) fn from_multiaddr(address: &Multiaddr) -> Option<PeerAddress> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let (port, transport) = match parts.next()? {
        Protocol::Tcp(port) => (port, Transport::Tcp),
        Protocol::Udp(port) if parts.next()? == Protocol::QuicV1 => (port, Transport::Quic),
        _ => return None,
    };
    let peer = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(from_libp2p(&peer)?),
        Some(_) => return None,
    };
    Some(PeerAddress { peer, socket: SocketAddr::new(ip, port), transport })
}

/// Returns the IP address of a multiaddress.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    }
}

/// Returns whether strangers' claims about this socket may be followed in a public network: neither
/// private nor special ranges, no system port.
pub(crate) fn is_global(socket: &SocketAddr) -> bool {
    const SYSTEM_PORTS: u16 = 1024;
    socket.port() >= SYSTEM_PORTS
        && match socket.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                let shared = a == 100 && (64..128).contains(&b);
                !(ip.is_private()
                    || ip.is_loopback()
                    || ip.is_link_local()
                    || ip.is_multicast()
                    || ip.is_broadcast()
                    || ip.is_documentation()
                    || shared
                    || a == 0
                    || a >= 240)
            }
            IpAddr::V6(ip) => {
                !(ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_multicast()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local())
            }
        }
}
