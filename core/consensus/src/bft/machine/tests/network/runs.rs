//! Thousands of runs.

use super::{liars::ROLES, *};

/// Draws a run that the rules promise to survive: no more liars than are safe and live, all crashes end.
fn draw(seed: u64) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let sets: [(&[u64], Quorum); 9] = [
        (&[1; 4], Quorum::MoreThanTwoThirds),
        (&[1; 4], Quorum::TwoThirds),
        (&[1; 3], Quorum::TwoThirds),
        (&[1; 5], Quorum::TwoThirds),
        (&[1; 7], Quorum::MoreThanTwoThirds),
        (&[40, 30, 20, 10], Quorum::MoreThanTwoThirds),
        (&[10, 20, 30, 40], Quorum::TwoThirds),
        (&[1, 1, 1, 1, 9], Quorum::MoreThanTwoThirds),
        (&[1; 6], Quorum::TwoThirds),
    ];
    let (weights, quorum) = sets[rng.random_range(0..sets.len())];
    let total = weights.iter().map(|weight| u128::from(*weight)).sum();
    let mut bearable = quorum.safe_weight(total).min(quorum.live_weight(total));
    let mut liars = Vec::new();
    for index in 0..weights.len() {
        let node = (index + seed as usize) % weights.len();
        let weight = u128::from(weights[node]);
        if weight <= bearable && rng.random_ratio(4, 5) {
            bearable -= weight;
            liars.push((node, ROLES[rng.random_range(0..ROLES.len())]));
        }
    }
    let heal = rng.random_range(0..1_500);
    let nodes = weights.len();
    let groups = rng.random_ratio(1, 3);
    let groups = groups.then(|| (0..nodes).map(|_| rng.random_range(0..2)).collect());
    let mut crashes = Vec::new();
    match rng.random_range(0..4) {
        0 => {
            let node = rng.random_range(0..nodes);
            let from = rng.random_range(0..1_000);
            crashes.push((node, from, from + rng.random_range(1..1_000)));
        }
        // All at once.
        1 => {
            let from = rng.random_range(0..1_000);
            crashes.extend((0..nodes).map(|node| (node, from, from + rng.random_range(1..100))));
        }
        _ => {}
    }
    crashes.retain(|(node, ..)| liars.iter().all(|(liar, _)| liar != node));
    let heal = crashes.iter().map(|(.., to)| *to).max().unwrap_or_default().max(heal);
    Plan {
        weights: weights.to_vec(),
        quorum,
        liars,
        groups,
        loss: [0, 0, 5, 20, 50][rng.random_range(0..5)],
        delay: [5, 20, 60, 200][rng.random_range(0..4)],
        heal,
        crashes,
        logs_quorum: true,
    }
}

fn forks(decisions: &[Option<B256>]) -> bool {
    let mut decided = decisions.iter().flatten();
    let first = decided.next();
    decided.any(|block| Some(block) != first)
}

fn survives(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let plan = draw(seed);
        let mut world = World::new(seed, plan.clone());
        let decisions = world.run();
        assert!(!forks(&decisions), "seed {seed}: {decisions:?} {plan:?}");
        let rounds: Vec<_> = world.nodes.iter().map(|node| node.rig.round()).collect();
        let all = decisions.iter().all(Option::is_some);
        assert!(all, "seed {seed} stalls: {decisions:?} rounds {rounds:?} {plan:?}");
    }
}

// Five tests, so that they run at once.
#[test]
fn ten_thousand_networks_agree_and_decide_1() {
    survives(0..2_000);
}
#[test]
fn ten_thousand_networks_agree_and_decide_2() {
    survives(2_000..4_000);
}
#[test]
fn ten_thousand_networks_agree_and_decide_3() {
    survives(4_000..6_000);
}
#[test]
fn ten_thousand_networks_agree_and_decide_4() {
    survives(6_000..8_000);
}
#[test]
fn ten_thousand_networks_agree_and_decide_5() {
    survives(8_000..10_000);
}

#[test]
fn a_seed_is_one_run() {
    let run = |seed| {
        let mut world = World::new(seed, draw(seed));
        (world.run(), world.now, world.number)
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1), run(2));
}

/// Counts forks of a plan whose honest nodes 0 and 1 do not hear each other.
fn count_forks(weights: &[u64], quorum: Quorum, liars: &[(usize, Role)], seeds: u64) -> usize {
    let cut = |seed| {
        let plan = Plan {
            weights: weights.to_vec(),
            quorum,
            liars: liars.to_vec(),
            groups: Some((0..weights.len()).map(|node| (node % 2) as u8).collect()),
            loss: 20,
            delay: 20,
            heal: 1_000,
            ..Plan::default()
        };
        forks(&World::new(seed, plan).run())
    };
    (0..seeds).filter(|seed| cut(*seed)).count()
}

#[test]
fn three_equal_ones_under_two_thirds_fork_by_one_liar() {
    // Requirements: `2/3` with three is for crashes only. The run must be able to show it.
    let liar = [(2, Role::Equivocates)];
    assert!(count_forks(&[1; 3], Quorum::TwoThirds, &liar, 300) > 0);
    assert_eq!(count_forks(&[1; 3], Quorum::MoreThanTwoThirds, &liar, 300), 0);
}

#[test]
fn two_of_four_that_forget_fork_and_one_does_not() {
    let quorum = Quorum::MoreThanTwoThirds;
    let two = [(2, Role::Forgets), (3, Role::Forgets)];
    assert!(count_forks(&[1; 4], quorum, &two, 500) > 0);
    assert_eq!(count_forks(&[1; 4], quorum, &two[..1], 500), 0);
}

#[test]
fn who_logs_no_quorum_may_stall_when_all_crash_at_once() {
    // A lock whose prepares nobody has any more: the locked one and the others wait for each other for ever.
    let stalls = |logs_quorum| {
        let stall = |seed| {
            let plan = Plan {
                weights: vec![1; 4],
                liars: vec![(3, Role::Equivocates)],
                loss: 30,
                delay: 40,
                heal: 450,
                crashes: (0..3).map(|node| (node, 400, 410 + node as u64)).collect(),
                logs_quorum,
                ..Plan::default()
            };
            let mut world = World::new(seed, plan);
            world.run().contains(&None)
        };
        (0..300).filter(|seed| stall(*seed)).count()
    };
    assert_eq!(stalls(true), 0);
    assert!(stalls(false) > 0);
}
