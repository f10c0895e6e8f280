//! What links are like: latency, jitter, loss, bandwidth, cuts.

use crate::{
    rng::{self, ChaCha8Rng},
    scenario::{Shape, region},
};
use std::{collections::BTreeMap, time::Duration};

/// One direction between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkShape {
    /// One-way latency.
    pub latency: Duration,
    /// Mean of an exponential extra delay.
    pub jitter: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Bits per second on the link itself.
    pub bandwidth: Option<u64>,
}

/// What may happen to a host's outgoing frames. Probabilities per frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameFaults {
    /// Arrives twice.
    pub duplicate: f64,
    /// An old frame arrives again.
    pub replay: f64,
    /// Overtakes earlier ones.
    pub reorder: f64,
    /// The session breaks.
    pub corrupt: f64,
}

impl FrameFaults {
    pub(crate) fn any(&self) -> bool {
        self.duplicate > 0.0 || self.replay > 0.0 || self.reorder > 0.0 || self.corrupt > 0.0
    }
}

/// Where steps look links up and change them: a world, or the table of a host of processes.
pub trait LinkTable {
    /// Returns what the way from one node to another is like now.
    fn link(&self, from: usize, to: usize) -> LinkShape;

    /// Changes the way from one node to another, or makes it again what the file says.
    fn set_link(&mut self, from: usize, to: usize, shape: Option<LinkShape>);
}

/// Shapes of all links: the file's shape, the region table, and what was changed.
#[derive(Clone, Debug)]
pub struct Shapes {
    shape: Shape,
    changed: BTreeMap<(usize, usize), LinkShape>,
}

impl Shapes {
    /// Begins with what a file says of all links.
    pub fn new(shape: Shape) -> Self {
        Self { shape, changed: BTreeMap::new() }
    }

    /// Tells whether a way was changed.
    pub fn is_changed(&self, from: usize, to: usize) -> bool {
        self.changed.contains_key(&(from, to))
    }

    /// Changes the way from one node to another, or makes it again what the file says.
    pub fn set(&mut self, from: usize, to: usize, shape: Option<LinkShape>) {
        match shape {
            Some(shape) => self.changed.insert((from, to), shape),
            None => self.changed.remove(&(from, to)),
        };
    }

    /// Returns what a link is like now, given its ends and their regions.
    pub fn get(
        &self,
        (from, from_region): (usize, Option<usize>),
        (to, to_region): (usize, Option<usize>),
    ) -> LinkShape {
        if !self.changed.is_empty()
            && let Some(changed) = self.changed.get(&(from, to))
        {
            return *changed;
        }
        self.base(from_region, to_region)
    }

    /// Returns what a link between these regions is like if nothing was changed.
    pub(crate) fn base(&self, from: Option<usize>, to: Option<usize>) -> LinkShape {
        let (latency, jitter, loss, bandwidth) = region::link(self.shape.profile, from, to);
        LinkShape {
            latency: self.shape.latency.unwrap_or(latency),
            jitter: self.shape.jitter.unwrap_or(jitter),
            loss: self.shape.loss.unwrap_or(loss),
            bandwidth,
        }
    }

    /// Returns bits per second that a host in this region sends.
    pub fn uplink(&self, region: Option<usize>) -> Option<u64> {
        self.shape.bandwidth.or_else(|| region::uplink(self.shape.profile, region))
    }
}

impl LinkShape {
    /// Draws how long a frame of this size takes from one end to the other, without queues.
    ///
    /// A lost packet of an ordered stream arrives after a retransmission timeout (RFC 6298: at least 200 ms here,
    /// as Linux has it, and two round trips), each loss doubling it. It never disappears.
    pub fn delay(&self, bytes: usize, rng: &mut ChaCha8Rng) -> Duration {
        let mut delay = self.latency;
        if !self.jitter.is_zero() {
            delay += rng::exponential(rng, self.jitter);
        }
        if self.loss > 0.0 {
            let packets = bytes.div_ceil(PACKET_BYTES).max(1);
            let mut timeout = (self.latency * 4).max(Duration::from_millis(200));
            // Packets of one frame are in flight together: the worst of them decides.
            let survives = libm::pow(1.0 - self.loss, packets as f64);
            let mut lost = rng::unit(rng) >= survives;
            let mut tries = 0;
            while lost && tries < RETRANSMISSIONS_MAX {
                delay += timeout;
                timeout *= 2;
                tries += 1;
                lost = rng::happens(rng, self.loss);
            }
        }
        if let Some(bandwidth) = self.bandwidth {
            delay += transmission(bytes, bandwidth);
        }
        delay
    }
}

/// Returns how long sending takes at this rate.
pub(super) fn transmission(bytes: usize, bits_per_second: u64) -> Duration {
    let micros = (bytes as u64).saturating_mul(8_000_000) / bits_per_second.max(1);
    Duration::from_micros(micros)
}

/// Bytes of a packet: Ethernet's 1,500 less headers.
const PACKET_BYTES: usize = 1_400;
const RETRANSMISSIONS_MAX: u32 = 6;
