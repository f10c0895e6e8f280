//! Constants of the chain: hard enough to be real, easy enough that the nonce search costs nothing.

use super::dice::Dice;
use crate::scenario::{Group, Role};
use std::time::Duration;
use toml::{Table, Value};

/// What is drawn for the chain.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) block_time: Duration,
    pub(super) reorg_limit: u64,
    /// How far a timestamp may lie ahead.
    pub(super) future_limit: Duration,
    /// Hashes per second of a miner.
    pub(super) rate: u64,
    half_life: u64,
    pause_limit: u64,
    finality_depth: u64,
    anchor: u64,
    first: u64,
    burns: bool,
    base_fee_min: u64,
    reward: Table,
}

/// Hashes that a block takes at first, at most.
pub(super) const HASHES_MAX: u64 = 300;

impl Chain {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let block_time = dice.pick(&[1, 2, 3, 4, 6, 8, 12]);
        let future_limit = dice.pick(&[10, 15, 30, 60]);
        Self {
            block_time: Duration::from_secs(block_time),
            reorg_limit: dice.number(20..=100),
            future_limit: Duration::from_secs(future_limit),
            rate: 1,
            half_life: block_time * dice.number(8..=60),
            pause_limit: future_limit + block_time * dice.number(5..=40),
            finality_depth: dice.number(2..=8),
            anchor: 1,
            first: 1,
            burns: dice.coin(0.5),
            base_fee_min: dice.pick(&[0, 0, 1, 1_000_000_000]),
            reward: reward(dice),
        }
    }

    /// What steps need to know of a chain on which nobody mines: interruptions may last for long.
    pub(super) fn of_validators(pace: Duration, drift: Duration) -> Self {
        Self {
            block_time: pace,
            reorg_limit: 400,
            future_limit: drift,
            rate: 0,
            half_life: 0,
            pause_limit: 0,
            finality_depth: 0,
            anchor: 0,
            first: 0,
            burns: false,
            base_fee_min: 0,
            reward: Table::new(),
        }
    }

    /// Draws how fast one miner is, so that `miners` of them need [`HASHES_MAX`] for a block at most.
    pub(super) fn share_out(&mut self, dice: &mut Dice, miners: usize) {
        let hashes = dice.number(16..=HASHES_MAX);
        self.rate = (hashes / (self.block_time.as_secs() * miners as u64)).max(1);
    }

    /// Draws the schedule's first difficulties: right for these miners, or off by a factor of two.
    pub(super) fn anchor(&mut self, dice: &mut Dice, groups: &[Group]) {
        let rate: u64 = groups
            .iter()
            .filter(|group| group.roles.contains(&Role::Miner) && group.start_at.is_none())
            .map(|group| group.mine_rate.unwrap_or(self.rate) * group.count.unwrap_or(1) as u64)
            .sum();
        let right = rate * self.block_time.as_secs();
        let mut near = || dice.pick(&[right / 2, right, right, right * 2]).clamp(1, HASHES_MAX);
        (self.anchor, self.first) = (near(), near());
    }

    /// Returns by how much a clock may be off: even two wrong ones then stay within the limit.
    pub(super) fn clock_part_ms(&self) -> u64 {
        self.future_limit.as_millis() as u64 / 6
    }

    /// Returns the changes to the preset's genesis file.
    pub(super) fn genesis(&self) -> Table {
        let mut pow = Table::new();
        let numbers = [
            ("blockTime", self.block_time.as_secs()),
            ("halfLife", self.half_life),
            ("pauseLimit", self.pause_limit),
            ("futureLimit", self.future_limit.as_secs()),
            ("finalityDepth", self.finality_depth),
            ("reorgLimit", self.reorg_limit),
        ];
        for (name, value) in numbers {
            pow.insert(name.to_owned(), number(value));
        }
        pow.insert("anchorDifficulty".to_owned(), hex(self.anchor.into()));
        let base_fee = if self.burns { "burn" } else { "producer" };
        let kette = [
            ("engine", Value::Table(Table::from_iter([("pow".to_owned(), Value::Table(pow))]))),
            ("reward", Value::Table(self.reward.clone())),
            ("baseFee", Value::String(base_fee.to_owned())),
            ("baseFeeMin", number(self.base_fee_min)),
        ];
        let kette = kette.map(|(name, value)| (name.to_owned(), value));
        let config =
            Table::from_iter([("kette".to_owned(), Value::Table(kette.into_iter().collect()))]);
        Table::from_iter([
            ("config".to_owned(), Value::Table(config)),
            ("difficulty".to_owned(), hex(self.first.into())),
        ])
    }
}

/// Draws what a block pays. Halvings come within a run.
fn reward(dice: &mut Dice) -> Table {
    let wei = 50_000_000_000_000_000_000;
    let policy = |name: &str| Value::String(name.to_owned());
    let entries = match dice.number(0..=3) {
        0 => vec![("policy", policy("constant")), ("amount", hex(dice.pick(&[0, 1, wei])))],
        1 => vec![
            ("policy", policy("halving")),
            ("initial", hex(wei)),
            ("interval", number(dice.number(1..=40))),
            ("halvings", number(dice.number(0..=70))),
        ],
        2 => vec![
            ("policy", policy("log")),
            ("argument", policy("height")),
            ("unit", hex(10_000_000_000)),
        ],
        _ => {
            let value = ("value".to_owned(), number(dice.number(1..=1_000)));
            vec![
                ("policy", policy("log")),
                ("argument", Value::Table(Table::from_iter([value]))),
                ("unit", hex(10_000_000_000)),
            ]
        }
    };
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn hex(value: u128) -> Value {
    Value::String(format!("{value:#x}"))
}
