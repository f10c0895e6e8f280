//! Steps on a world: what they begin ends with them, however they overlap.

use super::*;
use crate::{
    Moment,
    run::Scenario,
    scenario::{
        self, NetworkFile,
        step::{Partition, PartitionKind},
    },
    world::Options,
};
use kette_node::Command;
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

const ATMN: &str = include_str!("../../../kette/presets/chains/atmn.json");

/// A network of this many miners.
fn scenario(nodes: usize) -> Scenario {
    let text = format!(
        "schema = 1\n\
         [network]\nname = \"test\"\nchain = \"atmn\"\ntopology = \"mesh\"\nmine_rate = 10\n\
         [genesis]\ndifficulty = \"0x20\"\n\
         [genesis.config.kette.engine.pow]\nblockTime = 2\nanchorDifficulty = \"0x20\"\n\
         [[group]]\nname = \"n\"\ncount = {nodes}\nroles = [\"miner\"]\n"
    );
    Scenario::new(NetworkFile::parse(&text).unwrap(), ATMN).unwrap()
}

struct Stage {
    world: World,
    workload: Workload,
    faults: Faults,
}

impl Stage {
    fn new(nodes: usize) -> Self {
        let Scenario { file, plan, spec, .. } = scenario(nodes);
        let options = Options { seed: 1, memo: None };
        let world = World::new(&file, &plan, spec.clone(), &options, Vec::new()).unwrap();
        let workload = Workload::new(&spec, &file.workload, 1);
        Self { world, workload, faults: Faults::new(&plan, 1) }
    }

    fn begin(&mut self, step: usize, action: &Action) {
        let order = Order::Begin { step, action: action.clone() };
        self.faults.perform(&mut self.world, &mut self.workload, &order).unwrap();
    }

    fn end(&mut self, step: usize, action: &Action) {
        let order = Order::End { step, action: action.clone() };
        self.faults.perform(&mut self.world, &mut self.workload, &order).unwrap();
    }

    fn cuts(&self) -> BTreeSet<(usize, usize)> {
        self.world.cuts().into_iter().collect()
    }

    fn start(&mut self) {
        for host in 0..self.world.hosts.len() {
            self.world.start(host);
        }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.world.now() + Duration::from_secs(seconds);
        self.world.run_until(until);
        assert!(self.world.violations().is_empty(), "{:?}", self.world.violations());
    }

    fn is_up(&self, host: usize) -> bool {
        self.world.hosts[host].is_up()
    }
}

/// Reads an action as it stands in a file.
fn action(text: &str) -> Action {
    let text = format!("at = \"1s\"\n{text}");
    toml::from_str::<scenario::Step>(&text).unwrap().action
}

fn drawn(kind: PartitionKind, one_way: bool, nodes: usize, seed: u64) -> BTreeSet<(usize, usize)> {
    let what = Partition { groups: Vec::new(), kind: Some(kind), one_way, lasts: None, flap: None };
    let mut rng = stream(seed, Purpose::Faults, 0);
    partition::partition(&scenario(nodes).plan, &what, &mut rng).unwrap().into_iter().collect()
}

/// Returns whom each node still hears, with itself.
fn heard(cuts: &BTreeSet<(usize, usize)>, nodes: usize) -> Vec<BTreeSet<usize>> {
    (0..nodes).map(|to| (0..nodes).filter(|from| !cuts.contains(&(*from, to))).collect()).collect()
}

#[test]
fn drawn_partitions_have_the_sizes_that_they_promise() {
    for nodes in 1..=9 {
        for seed in 0..20 {
            let sizes = |kind| -> BTreeSet<usize> {
                heard(&drawn(kind, false, nodes, seed), nodes).iter().map(BTreeSet::len).collect()
            };
            let half = nodes / 2;
            let halves = if nodes == 1 { vec![1] } else { vec![half, nodes - half] };
            assert_eq!(sizes(PartitionKind::Halves), halves.into_iter().collect());
            let isolated = if nodes == 1 { vec![1] } else { vec![1, nodes - 1] };
            assert_eq!(sizes(PartitionKind::Isolate), isolated.into_iter().collect());
            let majority = sizes(PartitionKind::Majority);
            assert!(nodes <= 2 || majority.iter().sum::<usize>() == nodes, "two groups");
            assert!(nodes <= 2 || *majority.last().unwrap() > half, "{majority:?} of {nodes}");
        }
    }
    let differ: BTreeSet<_> =
        (0..20).map(|seed| drawn(PartitionKind::Halves, false, 6, seed)).collect();
    assert!(differ.len() > 5, "the seed decides");
}

#[test]
fn in_a_ring_everybody_hears_another_majority() {
    for nodes in 3..=9 {
        let heard = heard(&drawn(PartitionKind::Ring, false, nodes, 7), nodes);
        for (node, others) in heard.iter().enumerate() {
            assert!(others.contains(&node) && others.len() == nodes / 2 + 1, "{others:?}");
        }
        assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), nodes, "no two the same");
    }
}

#[test]
fn one_way_cuts_only_what_leaves_the_first_group() {
    let both = drawn(PartitionKind::Isolate, false, 5, 3);
    let one = drawn(PartitionKind::Isolate, true, 5, 3);
    assert_eq!((both.len(), one.len()), (8, 4));
    let from: BTreeSet<usize> = one.iter().map(|(from, _)| *from).collect();
    assert_eq!(from.len(), 1, "only the isolated node is not heard");
    let mut stage = Stage::new(4);
    let groups = "partition = { groups = [[\"n-1\", \"n-2\"], [\"n-3\"]], one_way = true }";
    stage.begin(0, &action(groups));
    // n-0 is in no group, so it stays with the first.
    assert_eq!(stage.cuts(), BTreeSet::from([(0, 3), (1, 3), (2, 3)]));
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut stage = Stage::new(3);
    let nobody = |text: &str| action(&text.replace('?', "nobody"));
    let refused = [
        nobody("partition = { groups = [[\"n-0\"], [\"?\"]] }"),
        nobody("cut = { from = [\"n-0\"], to = [\"?\"] }"),
        nobody("crash = { nodes = [\"?\"] }"),
        nobody("pause = { nodes = [\"?\"], for = \"1s\" }"),
        nobody("disk = { nodes = [\"?\"], fault = \"full\" }"),
        nobody("frames = { nodes = [\"?\"], replay = 0.1 }"),
        nobody("link = { set = { from = [\"n-0\"], to = [\"?\"], latency = \"1s\" } }"),
        action("partition = { groups = [[\"n-0\"]] }"),
        action("partition = { groups = [[\"n-0\", \"n-1\"], [\"n-1\"]] }"),
        action("partition = { kind = \"ring\", one_way = true }"),
        action("slow = { nodes = [\"n-0\"], factor = 0.0 }"),
        action("frames = { nodes = [\"n-0\"], replay = 1.5 }"),
        action("load = { rate = -1.0 }"),
    ];
    for action in refused {
        let order = Order::Begin { step: 0, action };
        let result = stage.faults.perform(&mut stage.world, &mut stage.workload, &order);
        assert!(result.is_err(), "{order:?}");
    }
    assert!(stage.cuts().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Each step's own cuts, drawn alone, are the model: a direction is cut while a running step wants it.
    #[test]
    fn overlapping_partitions_do_not_heal_each_other(
        moves in prop::collection::vec((0usize..4, any::<bool>()), 1..30),
    ) {
        let actions = [
            action("partition = { kind = \"halves\" }"),
            action("partition = { kind = \"isolate\", one_way = true }"),
            action("partition = { kind = \"ring\" }"),
            action("cut = { from = [\"n-0\"], to = [\"n-1..3\"] }"),
        ];
        let alone: Vec<BTreeSet<(usize, usize)>> = (0..4)
            .map(|step| {
                let mut stage = Stage::new(5);
                stage.begin(step, &actions[step]);
                stage.cuts()
            })
            .collect();
        let mut stage = Stage::new(5);
        let mut running = BTreeSet::new();
        for (step, begins) in moves {
            if begins {
                stage.begin(step, &actions[step]);
                running.insert(step);
            } else {
                stage.end(step, &actions[step]);
                running.remove(&step);
            }
            let wanted: BTreeSet<_> =
                running.iter().flat_map(|step| alone[*step].iter().copied()).collect();
            prop_assert_eq!(stage.cuts(), wanted);
        }
        for (step, action) in actions.iter().enumerate() {
            stage.end(step, action);
        }
        prop_assert!(stage.cuts().is_empty());
    }
}

#[test]
fn a_node_returns_when_the_last_step_lets_it() {
    let mut stage = Stage::new(3);
    stage.start();
    stage.run(5);
    let crash = |node: &str| action(&format!("crash = {{ nodes = [\"{node}\"] }}"));
    let start = |node: &str| action(&format!("start = {{ nodes = [\"{node}\"] }}"));
    stage.begin(0, &crash("n-1"));
    stage.begin(1, &action("stop = { nodes = [\"n-1\", \"n-2\"] }"));
    assert!(stage.is_up(0) && !stage.is_up(1) && !stage.is_up(2));
    // The timeline orders a return with the number of the step that took the node down.
    stage.begin(0, &start("n-1"));
    assert!(!stage.is_up(1), "the other step still keeps it down");
    stage.begin(1, &start("n-1"));
    assert!(stage.is_up(1) && !stage.is_up(2));
    stage.begin(1, &start("n-2"));
    stage.begin(2, &crash("n-0"));
    stage.begin(3, &start("n-0"));
    assert!(stage.is_up(0), "a step of its own starts whoever is down");
    stage.run(5);
}

#[test]
fn a_node_that_never_started_is_not_started_by_the_end_of_a_crash() {
    let mut stage = Stage::new(2);
    stage.world.start(0);
    stage.begin(0, &action("crash = { nodes = [\"n-1\"], restart_after = \"1s\" }"));
    stage.begin(0, &action("start = { nodes = [\"n-1\"] }"));
    assert!(!stage.is_up(1));
    stage.faults.heal_all(&mut stage.world);
    assert!(stage.is_up(1), "but when everything is healed");
}

#[test]
fn a_crash_at_a_write_waits_for_it() {
    let mut stage = Stage::new(1);
    stage.start();
    stage.begin(0, &action("mine = { nodes = [\"*\"], on = false }"));
    stage.run(20);
    stage.begin(1, &action("crash = { nodes = [\"n-0\"], at_write = \"before\" }"));
    stage.run(20);
    assert!(stage.is_up(0), "who does not mine does not write");
    stage.begin(2, &action("mine = { nodes = [\"*\"] }"));
    stage.run(60);
    assert!(!stage.is_up(0));
    stage.begin(1, &action("start = { nodes = [\"n-0\"] }"));
    stage.run(60);
    assert!(stage.is_up(0), "once");
    assert!(stage.world.hosts[0].node().unwrap().tree().head().number > 0, "and it mines again");
}

#[test]
fn a_full_disk_stops_a_node_until_there_is_space() {
    let mut stage = Stage::new(2);
    stage.start();
    let full = action("disk = { nodes = [\"n-0\"], fault = \"full\" }");
    stage.begin(0, &full);
    stage.begin(1, &full);
    stage.run(60);
    assert!(!stage.is_up(0) && stage.world.hosts[0].failed.is_some() && stage.is_up(1));
    stage.end(0, &full);
    assert!(!stage.is_up(0), "the other step still fills it");
    stage.end(1, &full);
    stage.run(60);
    assert!(stage.is_up(0));
}

#[test]
fn links_frames_and_paces_are_again_what_they_were() {
    let mut stage = Stage::new(3);
    stage.start();
    let before = stage.world.link(0, 1);
    let slow = action("link = { set = { from = [\"n-0\"], to = [\"*\"], latency = \"1s\" } }");
    let lossy =
        action("link = { set = { from = [\"n-1\"], to = [\"n-0\"], loss = 0.2, one_way = true } }");
    stage.begin(0, &slow);
    stage.begin(1, &lossy);
    let both = stage.world.link(1, 0);
    assert_eq!((both.latency, both.loss), (Duration::from_secs(1), 0.2));
    stage.end(0, &slow);
    let one = stage.world.link(1, 0);
    assert_eq!((one.latency, one.loss), (before.latency, 0.2));
    assert_eq!(stage.world.link(0, 1), before);
    stage.end(1, &lossy);
    assert_eq!(stage.world.link(1, 0), before);

    let frames = |text: &str| action(&format!("frames = {{ nodes = [\"n-0\"], {text} }}"));
    stage.begin(2, &frames("duplicate = 0.1, reorder = 0.3"));
    stage.begin(3, &frames("duplicate = 0.2"));
    let faults = stage.world.hosts[0].frames;
    assert_eq!((faults.duplicate, faults.reorder), (0.2, 0.3));
    stage.end(2, &frames("duplicate = 0.1, reorder = 0.3"));
    let faults = stage.world.hosts[0].frames;
    assert_eq!((faults.duplicate, faults.reorder), (0.2, 0.0));

    let pause = action("pause = { nodes = [\"n-1\"] }");
    stage.begin(4, &pause);
    stage.begin(5, &pause);
    stage.end(4, &pause);
    assert!(stage.world.hosts[1].paused);
    stage.end(5, &pause);
    assert!(!stage.world.hosts[1].paused);

    let slow = |factor| action(&format!("slow = {{ nodes = [\"n-2\"], factor = {factor} }}"));
    stage.begin(6, &slow("3.0"));
    stage.begin(7, &slow("2.0"));
    assert_eq!(stage.world.hosts[2].slow, 3.0);
    stage.end(6, &slow("3.0"));
    assert_eq!(stage.world.hosts[2].slow, 2.0);
    stage.end(7, &slow("2.0"));
    assert_eq!(stage.world.hosts[2].slow, 1.0);
}

#[test]
fn healing_ends_everything_and_everybody_returns() {
    let mut stage = Stage::new(4);
    stage.start();
    stage.run(3);
    stage.begin(0, &action("partition = { kind = \"halves\" }"));
    stage.begin(1, &action("crash = { nodes = [\"n-0\"] }"));
    stage.begin(2, &action("wipe = { nodes = [\"n-1\"] }"));
    stage.begin(3, &action("pause = { nodes = [\"n-2\"] }"));
    stage.begin(4, &action("clock = { nodes = [\"n-3\"], jump_ms = -7000, drift_ppm = 900 }"));
    stage.begin(5, &action("frames = { nodes = [\"*\"], replay = 0.5 }"));
    stage.begin(6, &action("slow = { nodes = [\"*\"], factor = 9.0 }"));
    stage.begin(7, &action("disk = { nodes = [\"n-3\"], fault = \"full\" }"));
    stage.run(40);
    stage.faults.heal_all(&mut stage.world);
    assert!(stage.cuts().is_empty());
    let now = stage.world.now();
    for host in &stage.world.hosts {
        assert!(host.is_up() && !host.paused && host.slow == 1.0, "{}", host.name);
        assert_eq!(host.frames, crate::world::FrameFaults::default());
        assert_eq!(host.clock.time(now), stage.world.time(), "{}", host.name);
    }
    stage.run(200);
    assert!(stage.world.now() > Moment::START);
    let heads: BTreeSet<u64> =
        stage.world.honest().map(|host| host.node().unwrap().tree().head().number).collect();
    assert!(*heads.first().unwrap() > 20, "{heads:?}");
}

#[test]
fn bans_that_tampered_frames_led_to_are_lifted_at_the_heal() {
    let mut stage = Stage::new(3);
    stage.start();
    stage.run(2);
    stage.begin(0, &action("frames = { nodes = [\"n-0\"], replay = 0.1 }"));
    let ids: Vec<_> = stage.world.hosts.iter().map(|host| host.id).collect();
    let pairs = [(0, 1), (2, 0), (1, 2)];
    for (judge, accused) in pairs {
        stage.world.command(judge, Command::Ban(ids[accused], 3_600));
    }
    stage.run(1);
    let blames = |stage: &Stage| {
        pairs.map(|(judge, accused)| {
            stage.world.hosts[judge].node().expect("it is up").blames(&ids[accused])
        })
    };
    assert_eq!(blames(&stage), [true, true, true]);
    stage.faults.heal_all(&mut stage.world);
    stage.run(1);
    assert_eq!(blames(&stage), [false, false, true], "only where frames were tampered with");
}
