//! Tests of the peer machine: tables first, then pairs, then small networks on virtual time.

mod book;
mod dial;
mod eviction;
mod limits;
mod network;
mod score;
mod session;
mod slots;
mod toy;

use super::*;
use kette_types::{B256, Hello, limits::PROTOCOL_VERSION, spec::NetworkKind};
use std::{net::SocketAddr, time::Duration};

/// The identity of a test node: its number in every byte.
fn id(n: u8) -> PeerId {
    PeerId(B256::repeat_byte(n))
}

fn address(socket: &str) -> PeerAddress {
    PeerAddress::tcp(socket.parse::<SocketAddr>().expect("a socket address in a test"))
}

/// A local address per node number.
fn local(n: u8) -> PeerAddress {
    address(&format!("127.0.0.1:{}", 20_000 + u16::from(n)))
}

fn config(kind: NetworkKind, n: u8) -> Config {
    let listen = match kind {
        NetworkKind::Local => local(n),
        NetworkKind::Public => address(&format!("{n}.1.1.1:20000")),
    };
    let genesis = B256::repeat_byte(0xaa);
    Config::new(kind, id(n), listen, 1337, genesis, B256::repeat_byte(0xbb), 7)
}

/// The machine of node `n`, started at [`T0`].
fn started(config: Config) -> Peers {
    let mut peers = Peers::new(config, Vec::new(), Vec::new());
    peers.start(T0, &mut Vec::new());
    peers
}

/// A hello that a node with this configuration accepts.
fn hello_from(config: &Config, listen: PeerAddress) -> Hello {
    Hello {
        version: PROTOCOL_VERSION,
        chain_id: config.chain_id,
        genesis: config.genesis,
        rules: config.rules,
        nonce: 99,
        clock_ms: T0.as_millis(),
        listen,
        agent: "test/1".to_owned(),
        moniker: "m".to_owned(),
        region: String::new(),
        status: ChainStatus::default(),
    }
}

/// Brings a peer from connected to ready and returns all that was ordered.
fn greet(
    peers: &mut Peers,
    now: Time,
    peer: PeerId,
    seen: PeerAddress,
    direction: Direction,
) -> Vec<Output> {
    let mut out = Vec::new();
    peers.connected(now, peer, seen, direction, ChainStatus::default(), &mut out);
    let hello = hello_from(peers.config(), seen);
    peers.hello(now, peer, hello, ChainStatus::default(), &mut out);
    out
}

fn disconnects(out: &[Output]) -> Vec<(PeerId, DisconnectReason)> {
    out.iter()
        .filter_map(|o| match o {
            Output::Disconnect(peer, reason) => Some((*peer, *reason)),
            _ => None,
        })
        .collect()
}

fn goodbyes(out: &[Output]) -> Vec<DisconnectReason> {
    sent(out)
        .into_iter()
        .filter_map(|(_, m)| match m {
            Message::Goodbye(reason) => Some(reason),
            _ => None,
        })
        .collect()
}

fn downs(out: &[Output]) -> Vec<(PeerId, DisconnectReason)> {
    out.iter()
        .filter_map(|o| match o {
            Output::Event(Event::PeerDown { peer, reason }) => Some((*peer, *reason)),
            _ => None,
        })
        .collect()
}

fn sent(out: &[Output]) -> Vec<(PeerId, Message)> {
    let mut all = Vec::new();
    for output in out {
        if let Output::Send(to, message) = output {
            all.extend(to.iter().map(|peer| (*peer, (**message).clone())));
        }
    }
    all
}

fn dials(out: &[Output]) -> Vec<PeerAddress> {
    out.iter()
        .filter_map(|o| match o {
            Output::Dial(address) => Some(*address),
            _ => None,
        })
        .collect()
}

fn records(out: &[Output]) -> Vec<Record> {
    out.iter()
        .filter_map(|o| match o {
            Output::Persist(records) => Some(records.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

/// When all tests begin.
const T0: Time = Time::from_secs(1_700_000_000);

const SECOND: Duration = Duration::from_secs(1);
