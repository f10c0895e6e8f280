//! Who takes part: honest miners, followers, late ones, and last the Byzantine, on whom nobody honest depends.

use super::{Features, NODES_MAX, chain::Chain, dice::Dice};
use crate::scenario::{Group, Misbehaviour, Role, Shape, plan::ROUND_ROBIN, region};
use std::time::Duration;

/// Draws all groups, and how fast one miner of this network is.
pub(super) fn draw(
    dice: &mut Dice,
    features: &Features,
    chain: &mut Chain,
    shape: &Shape,
    duration: Duration,
) -> Vec<Group> {
    let nodes = match dice.coin(0.6) {
        true => dice.count(4..=7),
        false => dice.count(1..=NODES_MAX),
    };
    let most = nodes / LIARS_PART;
    let liars = if features.byzantine && most > 0 { dice.count(1..=most) } else { 0 };
    let honest = nodes - liars;
    let late = match features.late && honest > 1 {
        true => dice.count(1..=(honest / 3).max(1)),
        false => 0,
    };
    let early = honest - late;
    let miners = dice.count(1..=early);
    let strong = if miners > 1 && dice.coin(0.5) { dice.count(1..=miners / 2) } else { 0 };
    chain.share_out(dice, miners + strong + late + liars);
    let mut roster =
        Roster { features, regional: region::is_regional(shape.profile), groups: Vec::new() };
    roster.add(dice, chain, "miner", miners - strong, Some(chain.rate));
    roster.add(dice, chain, "strong", strong, Some(chain.rate * 2));
    roster.add(dice, chain, "full", early - miners, None);
    let rate = dice.coin(0.5).then_some(chain.rate);
    if let Some(group) = roster.add(dice, chain, "late", late, rate) {
        group.start_at = Some(dice.moment(Duration::from_secs(10), duration * 7 / 10));
    }
    // Byzantine miners, if any, have at most a quarter of the hash rate of those who are there from the start.
    let strength = miners + strong;
    let mut mining = strength / (LIARS_PART - 1);
    let mut left = liars;
    for name in ["liar-a", "liar-b", "liar-c"] {
        let Some(kind) = misbehaviour(dice, left, mining) else { break };
        let count = if kind == Misbehaviour::Twin { 2 } else { dice.count(1..=left) };
        let mines = can_mine(kind) && mining >= count;
        let kind = if needs_mining(kind) && !mines { Misbehaviour::Delayer } else { kind };
        if let Some(group) = roster.add(dice, chain, name, count, mines.then_some(chain.rate)) {
            group.byzantine = Some(kind);
        }
        mining -= if mines { count } else { 0 };
        left -= count;
    }
    chain.anchor(dice, &roster.groups);
    roster.groups
}

/// At most one node in so many is Byzantine, and as much of the hash rate.
const LIARS_PART: usize = 4;

/// Draws what is wrong with a group of Byzantine nodes.
fn misbehaviour(dice: &mut Dice, left: usize, mining: usize) -> Option<Misbehaviour> {
    let fits = |kind: &Misbehaviour| match kind {
        Misbehaviour::Twin => left >= 2,
        kind => !needs_mining(*kind) || mining > 0,
    };
    let kinds: Vec<Misbehaviour> = KINDS.into_iter().filter(fits).collect();
    (left > 0).then(|| dice.pick(&kinds))
}

const KINDS: [Misbehaviour; 10] = [
    Misbehaviour::Equivocator,
    Misbehaviour::Withholder,
    Misbehaviour::SelfishMiner,
    Misbehaviour::Delayer,
    Misbehaviour::InvalidBlockMaker,
    Misbehaviour::SyncLiar,
    Misbehaviour::Spammer,
    Misbehaviour::Eclipse,
    Misbehaviour::Twin,
    Misbehaviour::FutureVersion,
];

/// What is nothing without blocks of its own.
const fn needs_mining(kind: Misbehaviour) -> bool {
    use Misbehaviour::{Equivocator, InvalidBlockMaker, SelfishMiner, Withholder};
    matches!(kind, Equivocator | Withholder | SelfishMiner | InvalidBlockMaker)
}

const fn can_mine(kind: Misbehaviour) -> bool {
    needs_mining(kind) || matches!(kind, Misbehaviour::Delayer | Misbehaviour::Twin)
}

/// Groups so far.
struct Roster<'a> {
    features: &'a Features,
    regional: bool,
    groups: Vec<Group>,
}

impl Roster<'_> {
    fn add(
        &mut self,
        dice: &mut Dice,
        chain: &Chain,
        name: &str,
        count: usize,
        rate: Option<u64>,
    ) -> Option<&mut Group> {
        if count == 0 {
            return None;
        }
        let clock_offset_ms =
            if self.features.clocks { dice.signed(chain.clock_part_ms()) } else { 0 };
        let clock_drift_ppm = if self.features.clocks { dice.signed(DRIFT_MAX) } else { 0 };
        let is_slow = self.features.slow_cpus && dice.coin(0.3);
        self.groups.push(Group {
            names: Vec::new(),
            name: Some(name.to_owned()),
            count: Some(count),
            tier: if self.groups.is_empty() { 1 } else { 2 },
            regions: if self.regional { vec![ROUND_ROBIN.to_owned()] } else { Vec::new() },
            roles: vec![if rate.is_some() { Role::Miner } else { Role::Full }],
            stake: None,
            mine_rate: rate.filter(|rate| *rate != chain.rate),
            byzantine: None,
            start_at: None,
            clock_offset_ms,
            clock_drift_ppm,
            slow: is_slow.then(|| dice.pick(&[0.5, 2.0, 5.0])),
        });
        self.groups.last_mut()
    }
}

/// How much faster or slower a clock runs, parts per million: bad quartz. In ten minutes 0.1 s.
const DRIFT_MAX: u64 = 200;
