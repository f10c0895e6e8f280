//! Swarm runs of `bft`: networks of four to seven validators and a few followers, drawn from the seed. Most are small,
//! tens of heights; seeds that are multiples of twenty are large.
//!
//! Bounds keep every run safe and recoverable: liars, and validators that may lose what they signed, have no more weight
//! together than may lie without two final blocks, and no more than may be silent without a stop
//! ([`Quorum::safe_weight`], [`Quorum::live_weight`]). Clocks differ by less than what a block's time may be ahead.
//! Rounds last long enough for proposals and votes to cross the network: where genesis says less, a chain decides in
//! late rounds only, and its alarm says so.

use super::{Features, chain::Chain, dice::Dice, shape, steps, workload};
use crate::{
    rng::{Purpose, stream},
    scenario::{
        Action, Group, Misbehaviour, Network, NetworkFile, Shape, Step, Topology, region,
        step::DiskFault,
    },
};
use kette_types::bft::Quorum;
use std::time::Duration;
use toml::{Table, Value};

/// Draws a scenario. Its chain is the preset `bft4` with other constants and validators.
pub fn draw_bft(seed: u64) -> NetworkFile {
    let mut dice = Dice(stream(seed, Purpose::Swarm, 1));
    let features = Features::draw(&mut dice);
    let small = !seed.is_multiple_of(LARGE_EVERY);
    let mut terms = Terms::draw(&mut dice, small);
    // What a step may do to links goes by seconds, whatever the slot is.
    let pace = Duration::from_secs(dice.pick(&[1, 2, 4]));
    let chain = Chain::of_validators(pace, terms.drift);
    let shape = shape(&mut dice, &features, &chain);
    let duration = match small {
        true => dice.moment(SMALL_MIN, SMALL_MAX),
        false => dice.moment(DURATION_MIN, DURATION_MAX),
    };
    let mut roster = Roster::new(&mut dice, &features, &terms, &shape, (duration, small));
    let (group, spare) = (std::mem::take(&mut roster.groups), roster.spare);
    let mut file = NetworkFile {
        schema: 1,
        network: Network {
            edges: Vec::new(),
            name: format!("swarm-bft-{seed}"),
            chain: "bft4".to_owned(),
            base_port: 30_000,
            rpc_base_port: 31_000,
            topology: dice.pick(&[
                Topology::Mesh,
                Topology::Mesh,
                Topology::Tiers,
                Topology::Star,
                Topology::Line,
                Topology::Ring,
            ]),
            stagger: Duration::from_millis(dice.pick(&[0, 100, 500])),
            mine_rate: 1,
            quic: false,
            seed,
            duration,
            settle: None,
        },
        shape,
        workload: workload(&mut dice, &features),
        genesis: Table::new(),
        group,
        link: Vec::new(),
        step: Vec::new(),
        check: Vec::new(),
    };
    terms.cover(&file);
    file.genesis = terms.genesis();
    file.step = steps::draw(&mut dice, &features, &chain, &file);
    let weights: Vec<(String, u128)> = file
        .group
        .iter()
        .flat_map(|group| group.names.iter().map(|name| (name.clone(), weight(group))))
        .collect();
    file.step.retain(|step| is_bearable(step, &weights, spare));
    file
}

/// No round waits longer, milliseconds.
const TIMEOUT_MAX: u64 = 20_000;
/// Hardly a way between two regions takes longer.
const FAR: Duration = Duration::from_millis(200);

/// Constants of the chain.
struct Terms {
    slot: u64,
    empty_after: u64,
    quorum: Quorum,
    drift: Duration,
    propose: u64,
    vote: u64,
    least: u64,
    share: u32,
    burns: bool,
}

impl Terms {
    fn draw(dice: &mut Dice, small: bool) -> Self {
        let slot = match small {
            true => dice.pick(&[500, 1_000]),
            false => dice.pick(&[200, 300, 500, 1_000, 2_000]),
        };
        Self {
            slot,
            empty_after: dice.pick(&[0, 0, 1, 4]) * slot,
            quorum: dice.pick(&[Quorum::TwoThirds, Quorum::MoreThanTwoThirds]),
            drift: Duration::from_millis(dice.pick(&[1_000, 2_000, 10_000])),
            propose: dice.pick(&[300, 1_000, 3_000]),
            vote: dice.pick(&[150, 500, 1_500]),
            least: dice.pick(&[50, 100, 200]),
            share: dice.pick(&[0, 100_000, 500_000, 1_000_000]),
            burns: dice.coin(0.5),
        }
    }

    /// Makes timeouts no shorter than what crosses the network of this file takes.
    fn cover(&mut self, file: &NetworkFile) {
        let shape = &file.shape;
        let nodes = file.group.len() as u32;
        let hops = match file.network.topology {
            Topology::Mesh => 1,
            Topology::Star | Topology::Tiers => 2,
            Topology::Ring => nodes / 2,
            Topology::Line | Topology::Custom => nodes,
        };
        let usual = if region::is_regional(shape.profile) { FAR } else { Duration::ZERO };
        let way = shape.latency.unwrap_or(usual) + 2 * shape.jitter.unwrap_or_default();
        // A vote is passed on at once; a block is announced, asked for and handed out.
        let vote = u64::try_from((way * hops).as_millis()).unwrap_or(u64::MAX);
        self.vote = self.vote.max(vote.saturating_mul(2)).min(TIMEOUT_MAX);
        self.propose = self.propose.max(vote.saturating_mul(6)).min(TIMEOUT_MAX);
    }

    /// Returns the changes to the preset's genesis file.
    fn genesis(&self) -> Table {
        let table = |entries: Vec<(&str, Value)>| {
            let entries = entries.into_iter().map(|(name, value)| (name.to_owned(), value));
            Value::Table(entries.collect())
        };
        let number = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let rule = match self.quorum {
            Quorum::TwoThirds => "2/3",
            Quorum::MoreThanTwoThirds => "2/3+",
        };
        let timeouts = table(vec![
            ("proposeMs", number(self.propose)),
            ("proposeDeltaMs", number(self.propose / 2)),
            ("voteMs", number(self.vote)),
            ("voteDeltaMs", number(self.vote / 2)),
            ("minMs", number(self.least)),
            ("maxMs", number(TIMEOUT_MAX)),
        ]);
        let bft = table(vec![
            ("slotMs", number(self.slot)),
            ("emptyAfterMs", number(self.empty_after)),
            ("quorum", Value::String(rule.to_owned())),
            ("clockDriftMs", number(self.drift.as_millis() as u64)),
            ("producerShare", number(self.share.into())),
            // Large weights: their stake must not exceed all there may be.
            ("weightUnit", Value::String("0x1".to_owned())),
            ("timeouts", timeouts),
        ]);
        let fee = if self.burns { "burn" } else { "producer" };
        let kette = table(vec![
            ("engine", table(vec![("bft", bft)])),
            ("baseFee", Value::String(fee.to_owned())),
        ]);
        Table::from_iter([("config".to_owned(), table(vec![("kette", kette)]))])
    }
}

/// Groups so far, and the weight that may still lie or forget.
struct Roster {
    groups: Vec<Group>,
    spare: u128,
}

impl Roster {
    fn new(
        dice: &mut Dice,
        features: &Features,
        terms: &Terms,
        shape: &Shape,
        (duration, small): (Duration, bool),
    ) -> Self {
        let weights = weights(dice);
        let total = weights.iter().copied().map(u128::from).sum();
        let spare = terms.quorum.safe_weight(total).min(terms.quorum.live_weight(total));
        let mut roster = Self { groups: Vec::new(), spare };
        let mut liars = Vec::new();
        let regional = region::is_regional(shape.profile);
        for (place, weight) in weights.into_iter().enumerate() {
            let mut group = member(dice, features, terms, format!("v{place}"), regional);
            group.stake = Some(weight);
            let fits = u128::from(weight) <= roster.spare && place > 0;
            if features.byzantine && fits && dice.coin(0.5) {
                roster.spare -= u128::from(weight);
                lie(dice, &mut group);
                liars.push(group);
                continue;
            }
            if features.late && dice.coin(0.2) && place > 0 {
                group.start_at = Some(dice.moment(Duration::from_secs(5), duration * 7 / 10));
            }
            roster.groups.push(group);
        }
        let followers = if small && dice.coin(0.7) { 0 } else { dice.count(0..=FOLLOWERS_MAX) };
        for place in 0..followers {
            let mut group = member(dice, features, terms, format!("full{place}"), regional);
            if features.late && dice.coin(0.3) {
                group.start_at = Some(dice.moment(Duration::from_secs(5), duration * 7 / 10));
            }
            roster.groups.push(group);
        }
        // Byzantine nodes come last: nobody honest depends on one.
        roster.groups.extend(liars);
        roster.groups[0].tier = 1;
        roster
    }
}

/// Draws what validators weigh: all the same, a bit of everything, one that nothing goes without, or very much.
fn weights(dice: &mut Dice) -> Vec<u64> {
    let count = if dice.coin(0.6) { 4 } else { dice.count(5..=7) };
    let kind = dice.number(0..=4);
    let base = dice.pick(&[1, 100]);
    let mut weights: Vec<u64> = (0..count)
        .map(|_| match kind {
            0 | 1 => base,
            2 => dice.number(1..=10),
            3 => dice.number(1..=4),
            _ => dice.number(1 << 58..=1 << 60),
        })
        .collect();
    if kind == 3 {
        // More than a third of all.
        weights[0] = weights[1..].iter().sum::<u64>() / 2 + 1;
    }
    weights
}

fn member(
    dice: &mut Dice,
    features: &Features,
    terms: &Terms,
    name: String,
    regional: bool,
) -> Group {
    let part = terms.drift.as_millis() as u64 / 6;
    let is_slow = features.slow_cpus && dice.coin(0.2);
    Group {
        names: vec![name],
        name: None,
        count: None,
        tier: 2,
        regions: if regional {
            vec![dice.pick(&region::NAMES[..region::TEN]).to_owned()]
        } else {
            Vec::new()
        },
        roles: Vec::new(),
        stake: None,
        mine_rate: None,
        byzantine: None,
        start_at: None,
        clock_offset_ms: if features.clocks { dice.signed(part) } else { 0 },
        clock_drift_ppm: if features.clocks { dice.signed(200) } else { 0 },
        slow: is_slow.then(|| dice.pick(&[0.5, 2.0, 5.0])),
    }
}

/// Makes a validator a liar.
fn lie(dice: &mut Dice, group: &mut Group) {
    let kind = match dice.coin(0.7) {
        true => dice.pick(&Misbehaviour::OF_VALIDATORS),
        false => dice.pick(&LIES),
    };
    group.byzantine = Some(kind);
    if kind == Misbehaviour::Twin {
        let twin = format!("{}b", group.names[0]);
        group.names.push(twin);
    }
}

/// What others do as well.
const LIES: [Misbehaviour; 7] = [
    Misbehaviour::Twin,
    Misbehaviour::Twin,
    Misbehaviour::Withholder,
    Misbehaviour::Delayer,
    Misbehaviour::SyncLiar,
    Misbehaviour::Spammer,
    Misbehaviour::FutureVersion,
];

fn weight(group: &Group) -> u128 {
    group.stake.unwrap_or(0).into()
}

/// Tells whether a step makes no validator forget that is needed.
fn is_bearable(step: &Step, weights: &[(String, u128)], spare: u128) -> bool {
    let nodes = match &step.action {
        Action::Wipe(wipe) => &wipe.nodes,
        Action::Disk(disk) if matches!(disk.fault, DiskFault::LostFsync | DiskFault::BitRot) => {
            &disk.nodes
        }
        _ => return true,
    };
    let named = weights.iter().filter(|(name, _)| nodes.contains(name));
    named.map(|(_, weight)| weight).sum::<u128>() <= spare
}

/// Most runs are small, one in so many is large: most faults show in small ones, and in more of them.
const LARGE_EVERY: u64 = 20;
/// Virtual time in which faults happen. Steps begin after five seconds.
const SMALL_MIN: Duration = Duration::from_secs(8);
const SMALL_MAX: Duration = Duration::from_secs(20);
const DURATION_MIN: Duration = Duration::from_secs(20);
const DURATION_MAX: Duration = Duration::from_secs(80);
const FOLLOWERS_MAX: usize = 2;
