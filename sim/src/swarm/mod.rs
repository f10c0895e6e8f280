//! Swarm runs: the whole configuration is drawn from the seed.
//!
//! First which features take part, then their parameters (swarm testing: Groce, Zhang, Eide, Chen and Regehr, ISSTA
//! 2012): a run with few kinds of trouble reaches states that a run with a little of everything never does.
//!
//! Bounds keep every run recoverable, so that it must converge when it is healed:
//! honest miners have at least three quarters of the hash rate; Byzantine nodes are at most a quarter and come last,
//! so that no honest node depends on one; clocks differ by less than the limit for future blocks; all interruptions
//! together last less than half of the time in which a reorganization of the highest allowed depth is mined; data is
//! lost at one node only.

mod bft;
mod chain;
mod dice;
mod groups;
mod steps;
#[cfg(test)]
mod tests;

use crate::{
    rng::{Purpose, stream},
    scenario::{Network, NetworkFile, Profile, Shape, Topology, Workload},
};
pub use bft::draw_bft;

use chain::Chain;
use dice::Dice;
use std::time::Duration;

/// Draws a scenario. Its chain is the preset `atmn` with other constants.
pub fn draw(seed: u64) -> NetworkFile {
    let mut dice = Dice(stream(seed, Purpose::Swarm, 0));
    let features = Features::draw(&mut dice);
    let mut chain = Chain::draw(&mut dice);
    let shape = shape(&mut dice, &features, &chain);
    let duration = dice.moment(DURATION_MIN, DURATION_MAX);
    let group = groups::draw(&mut dice, &features, &mut chain, &shape, duration);
    let mut file = NetworkFile {
        schema: 1,
        network: Network {
            edges: Vec::new(),
            name: format!("swarm-{seed}"),
            chain: "atmn".to_owned(),
            base_port: 30_000,
            rpc_base_port: 31_000,
            topology: dice.pick(&[
                Topology::Tiers,
                Topology::Mesh,
                Topology::Star,
                Topology::Line,
                Topology::Ring,
            ]),
            stagger: Duration::from_millis(dice.pick(&[0, 100, 500])),
            mine_rate: chain.rate,
            quic: false,
            seed,
            duration,
            settle: None,
        },
        shape,
        workload: workload(&mut dice, &features),
        genesis: chain.genesis(),
        group,
        link: Vec::new(),
        step: Vec::new(),
        check: Vec::new(),
    };
    file.step = steps::draw(&mut dice, &features, &chain, &file);
    file
}

/// What takes part in a run. Kinds of steps are drawn in `steps`.
#[derive(Clone, Copy, Debug)]
struct Features {
    far: bool,
    jitter: bool,
    loss: bool,
    narrow: bool,
    slow_disks: bool,
    slow_cpus: bool,
    users: bool,
    clocks: bool,
    byzantine: bool,
    late: bool,
    steps: bool,
}

impl Features {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            far: dice.coin(0.5),
            jitter: dice.coin(0.5),
            loss: dice.coin(0.3),
            narrow: dice.coin(0.3),
            slow_disks: dice.coin(0.3),
            slow_cpus: dice.coin(0.3),
            users: dice.coin(0.8),
            clocks: dice.coin(0.4),
            byzantine: dice.coin(0.4),
            late: dice.coin(0.4),
            steps: dice.coin(0.85),
        }
    }
}

fn shape(dice: &mut Dice, features: &Features, chain: &Chain) -> Shape {
    let block_time = chain.block_time;
    let profile = match block_time.as_secs() {
        _ if !features.far => dice.pick(&[Profile::Loopback, Profile::Lan]),
        ..2 => Profile::Lan,
        2..4 => Profile::Aws2025,
        _ => dice.pick(&[Profile::Aws2025, Profile::Simblock2019]),
    };
    // A block must reach everybody well before the next one comes.
    let milli = Duration::from_millis(1);
    let latency =
        dice.coin(0.5).then(|| dice.time(milli, (block_time / 8).min(Duration::from_millis(600))));
    let jitter = features.jitter.then(|| dice.time(milli, block_time / 16));
    let loss_max = if block_time.as_secs() < 4 { 0.05 } else { LOSS_MAX };
    let loss = features.loss.then(|| dice.share(0.001, loss_max));
    let bandwidth =
        features.narrow.then(|| dice.pick(&[1_000_000, 5_000_000, 20_000_000, 100_000_000]));
    let fsync = features.slow_disks.then(|| Duration::from_millis(dice.pick(&[0, 1, 5, 20, 50])));
    let cpu = features.slow_cpus.then(|| dice.pick(&[0.0, 0.5, 4.0, 16.0]));
    Shape { profile, latency, jitter, loss, bandwidth, fsync, cpu }
}

fn workload(dice: &mut Dice, features: &Features) -> Workload {
    if !features.users {
        return Workload::default();
    }
    let senders = dice.coin(0.5).then(|| dice.number(1..=10) as u32);
    Workload { rate: dice.share(0.1, USERS_RATE_MAX), senders, conflicts: 0 }
}

/// Most nodes: small networks find most faults, and fastest.
const NODES_MAX: usize = 12;
const DURATION_MIN: Duration = Duration::from_secs(60);
const DURATION_MAX: Duration = Duration::from_secs(360);
/// Share of packets lost, at most.
const LOSS_MAX: f64 = 0.1;
/// Transfers per second, at most.
const USERS_RATE_MAX: f64 = 5.0;
