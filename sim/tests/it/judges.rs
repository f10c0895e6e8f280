//! The judges judge: each planted bug is found by the swarm, and an honest build passes the same seeds.

use crate::support::{drawn, run, scenario};
use kette_node::Input;
use kette_sim::{
    Moment,
    minimize::minimize,
    run::{Run, RunOptions},
};
use kette_types::{
    B256, Block, Bytes, SealedHeader,
    planted::{Bug, plant},
};
use std::time::Duration;

/// Seeds until a bug must have been found.
const SEEDS: u64 = 40;

/// A network in which one node of four never hands out what it announced.
const WITHHELD: &str = r#"
schema = 1
[network]
name = "withheld"
chain = "atmn"
mine_rate = 10
topology = "mesh"
duration = "3m"
[shape]
latency = "50ms"
jitter = "20ms"
[workload]
rate = 4.0
[genesis]
difficulty = "0x78"
[genesis.config.kette.engine.pow]
blockTime = 4
anchorDifficulty = "0x78"
[[group]]
name = "honest"
count = 3
roles = ["miner"]
[[group]]
name = "liar"
count = 1
roles = ["miner"]
byzantine = "withholder"
"#;

/// Plants a bug; returns the first seed at which a judge objects, and which judge.
fn found(bug: Bug) -> Option<(u64, &'static str)> {
    (0..SEEDS).find_map(|seed| {
        let scenario = if bug == Bug::NoReRequest { scenario(WITHHELD) } else { drawn(seed) };
        plant(Some(bug));
        let report = run(&scenario, seed);
        // Chance inside a run shows only in the comparison of two.
        let again = (bug == Bug::UnorderedMap).then(|| run(&scenario, seed));
        plant(None);
        if let Some(again) = again {
            return (again.trace_hash != report.trace_hash).then_some((seed, "determinism"));
        }
        report.violations.first().map(|violation| (seed, violation.checker))
    })
}

macro_rules! judges {
    ($($name:ident: $bug:ident by $judges:expr,)*) => {$(
        #[test]
        fn $name() {
            let (seed, judge) = found(Bug::$bug).expect("some seed finds it");
            assert!($judges.contains(&judge), "seed {seed} found it by {judge}");
        }
    )*};
}

judges! {
    no_re_request: NoReRequest by ["liveness", "inclusion", "mempool"],
    send_before_durable: SendBeforeDurable by ["durability"],
    duplicate_reward: DuplicateReward by ["supply", "validity"],
    unordered_map: UnorderedMap by ["determinism"],
    arrival_tie_break: ArrivalTieBreak by ["fork_choice", "liveness"],
    reorg_drops_transactions: ReorgDropsTransactions by ["mempool", "inclusion", "durability"],
    local_clock_difficulty: LocalClockDifficulty by ["validity", "difficulty", "no_self_ban", "liveness"],
    trusted_claim: TrustedClaim by ["liveness", "inclusion"],
}

#[test]
fn an_honest_build_copes_with_who_hands_out_nothing() {
    for seed in 0..3 {
        crate::support::assert_ok("withheld", &run(&scenario(WITHHELD), seed));
    }
}

/// Hands a node blocks without parents, as a client may; returns which judge objects.
fn flooded_with_orphans(bug: Option<Bug>) -> Option<&'static str> {
    plant(bug);
    let mut run = Run::new(&scenario(WITHHELD), &RunOptions::default()).unwrap();
    run.world.start(0);
    run.world.run_until(Moment::START + Duration::from_secs(1));
    let genesis = run.world.genesis.block.clone();
    for number in 0..400_u64 {
        let mut header = genesis.header.header().clone();
        header.number = 1_000;
        header.parent_hash = B256::repeat_byte(0xaa);
        header.timestamp = number;
        let header = SealedHeader::new(header, Bytes::new());
        let block = Box::new(Block { header, body: genesis.body.clone() });
        run.world.give(0, Input::SubmitBlock(number, block));
    }
    // Judges look when a turn has led to something.
    run.world.run_until(Moment::START + Duration::from_secs(120));
    plant(None);
    run.world.violations().first().map(|violation| violation.checker)
}

#[test]
fn unbounded_orphans() {
    assert_eq!(flooded_with_orphans(Some(Bug::UnboundedOrphans)), Some("bounds"));
    assert_eq!(flooded_with_orphans(None), None);
}

#[test]
fn a_found_failure_becomes_small_and_shows_itself_again() {
    let seed = 1;
    plant(Some(Bug::ReorgDropsTransactions));
    let options = RunOptions { seed, ..RunOptions::default() };
    let small = minimize(&drawn(seed), &options, &mut |_| true).unwrap();
    let again = run(&scenario(&small.file.to_toml().unwrap()), seed);
    plant(None);
    assert!(small.steps_after <= 10 && small.steps_after <= small.steps_before, "{small:?}");
    assert!(small.nodes_after <= small.nodes_before);
    assert_eq!(again.violations.first(), Some(&small.violation), "the file fails as it did");
}
