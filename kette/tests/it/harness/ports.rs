//! Ports for tests that run at the same time: blocks of twenty, claimed by holding a listener.

use std::net::{Ipv4Addr, TcpListener};

/// Twenty P2P ports and, a thousand above, twenty RPC ports, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Ports {
    base: u16,
    _guard: TcpListener,
}

impl Ports {
    /// Claims a block that no other test has and in which no port is in use.
    pub(crate) fn claim() -> Self {
        // Different processes begin at different blocks.
        let start = std::process::id() as usize;
        for attempt in 0..BLOCKS {
            let block = (start * 7 + attempt) % BLOCKS;
            let (thousand, slot) = (block / PER_THOUSAND, block % PER_THOUSAND);
            let base = FIRST + (thousand * 2_000 + slot * SIZE) as u16;
            let Ok(guard) = TcpListener::bind((Ipv4Addr::LOCALHOST, base + SIZE as u16 - 1)) else {
                continue;
            };
            let ports = Self { base, _guard: guard };
            if (0..SIZE as u16 - 1).all(|i| is_free(base + i) && is_free(base + RPC_ABOVE + i)) {
                return ports;
            }
        }
        panic!("no free block of ports");
    }

    /// The P2P port of node `index`.
    pub(crate) const fn p2p(&self, index: usize) -> u16 {
        assert!(index < SIZE - 1);
        self.base + index as u16
    }

    /// The RPC port of node `index`.
    pub(crate) const fn rpc(&self, index: usize) -> u16 {
        self.p2p(index) + RPC_ABOVE
    }
}

/// Tells whether nobody listens here.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Below the range that systems take ports of outgoing connections from, above the presets' own.
const FIRST: u16 = 22_000;
const SIZE: usize = 20;
const PER_THOUSAND: usize = 1_000 / SIZE;
const BLOCKS: usize = 5 * PER_THOUSAND;
const RPC_ABOVE: u16 = 1_000;
