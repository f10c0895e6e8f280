//! How checks end.

use super::*;
use crate::scenario::users::{Conflicts, Pools};
use alloy_primitives::B256;
use std::collections::BTreeMap;

/// One look: second, height of all, whether one node differs, whether all faults ended at second 60.
type Look = (u64, u64, bool, bool);

fn look((at, height, forked, healed): Look) -> (Facts, Option<Duration>) {
    let mut facts = facts(secs(at), height);
    if forked {
        facts.nodes[3].hash = B256::repeat_byte(1);
    }
    // Neither of them counts.
    facts.nodes.extend([NodeFacts { up: true, ..NodeFacts::default() }, NodeFacts::default()]);
    facts.nodes[5].hash = B256::repeat_byte(2);
    (facts, healed.then_some(secs(60)))
}

fn judge(check: &str, looks: &[Look]) -> Verdict {
    let mut checks = Checks::new(&file(&format!("[[check]]\n{check}")));
    let mut last = Facts::default();
    for (facts, healed) in looks.iter().copied().map(look) {
        checks.observe(&facts, healed);
        last = facts;
    }
    let reach = |percent: f64, of: f64, after: Duration| {
        (percent < 100.0 && after < secs(9)).then_some(Duration::from_millis(if of > 50.0 {
            900
        } else {
            400
        }))
    };
    let log_errors = [("miner-1".to_owned(), 2)];
    let mut pools = Pools::new([(0, "a".to_owned()), (1, "b".to_owned())].into());
    // In both pools after 4 s; at one node only; in the second node only with a block.
    pools.add(
        B256::repeat_byte(1),
        &BTreeMap::from([(0, (1_000_000, true)), (1, (5_000_000, true))]),
    );
    pools.add(B256::repeat_byte(2), &BTreeMap::from([(0, (1_000_000, true))]));
    pools.add(
        B256::repeat_byte(3),
        &BTreeMap::from([(0, (1_000_000, true)), (1, (2_000_000, false))]),
    );
    let measured = Measured {
        stale_rate: 0.02,
        reach: &reach,
        log_errors: &log_errors,
        submitted: 100,
        included: 99,
        per_second: 11.0,
        // Blocks at 0, 10, 20 and 30 s.
        filled: &[(0, 50), (10_000_000, 10), (20_000_000, 200), (30_000_000, 30)],
        pools: Some(pools),
        conflicts: Conflicts { pairs: 3, one: 3, both: 0, pools_with_both: 0 },
    };
    checks.finish(&last, &measured).remove(0)
}

#[test]
fn checks_end_as_they_should() {
    let rows: &[(&str, &[Look], bool, &str)] = &[
        ("agreement = {}", &[(1, 1, true, false), (2, 1, false, false)], true, "height 1"),
        ("agreement = {}", &[(1, 1, false, false), (2, 1, true, false)], false, "miner-3 has"),
        // Too early is not after; in time; too late; never.
        (
            "agreement = { after = \"heal\", within = \"10s\" }",
            &[
                (50, 1, false, false),
                (61, 1, true, true),
                (69, 2, false, true),
                (99, 3, true, true),
            ],
            true,
            "after 9.0 s",
        ),
        (
            "agreement = { after = \"heal\", within = \"10s\" }",
            &[(69, 1, true, true), (71, 1, true, true), (80, 1, false, true)],
            false,
            "after 11.0 s miner-0 has",
        ),
        (
            "agreement = { after = \"heal\", within = \"10s\" }",
            &[(69, 1, true, true), (71, 1, false, true)],
            false,
            "only after 11.0 s",
        ),
        ("agreement = { after = \"heal\" }", &[(99, 1, false, false)], false, "not all faults"),
        ("agreement = { after = \"heal\" }", &[(99, 1, true, true)], false, "at the end"),
        (
            "agreement = { after = \"5s\" }",
            &[(4, 1, false, true), (9, 1, true, true)],
            false,
            "end",
        ),
        ("height = { min = 5, within = \"9s\" }", &[(9, 5, true, false)], true, "5"),
        (
            "height = { min = 5, within = \"9s\" }",
            &[(9, 4, true, false), (10, 5, true, false)],
            false,
            "only",
        ),
        ("height = { min = 5 }", &[(9, 4, true, false)], false, "least height: 4"),
        ("connected = { min_peers = 1 }", &[(9, 4, true, false)], false, "least peers: 0"),
        ("connected = { min_peers = 0 }", &[(9, 4, true, false)], true, "0"),
        ("reorg = { max_depth = 3 }", &[(1, 1, true, false)], true, "deepest 0"),
        ("reorg = { min_depth = 1 }", &[(1, 1, true, false)], false, "deepest 0"),
        ("stale_rate = { max = 0.02 }", &[(1, 1, false, false)], true, "2.00 %"),
        ("stale_rate = { max = 0.01 }", &[(1, 1, false, false)], false, "2.00 %"),
        ("propagation = { percent = 99.0, max = \"400ms\" }", &[], true, "400.0 ms"),
        ("propagation = { percent = 99.0, max = \"399ms\" }", &[], false, "400.0 ms"),
        ("propagation = { percent = 100.0, max = \"1s\" }", &[], false, "no block"),
        (
            "propagation = { percent = 99.0, of_blocks = 95.0, max = \"899ms\" }",
            &[],
            false,
            "900.0 ms",
        ),
        ("propagation = { percent = 99.0, after = \"9s\", max = \"1s\" }", &[], false, "no block"),
        ("running = { min = 5 }", &[(1, 1, false, false)], true, "5 of 7 nodes run"),
        ("running = { min = 6 }", &[(1, 1, false, false)], false, "5 of 7"),
        ("running = {}", &[(1, 1, false, false)], true, "5 of 7"),
        ("errors = { max = 2 }", &[(1, 1, false, false)], true, "2: miner-1 2"),
        ("errors = { max = 1 }", &[(1, 1, false, false)], false, "miner-1"),
        (
            "growth = { after = \"5s\", blocks = 2, within = \"4s\" }",
            &[(1, 9, false, false), (5, 9, false, false), (9, 11, false, false)],
            true,
            "2 blocks above 9",
        ),
        (
            "growth = { after = \"5s\", blocks = 2, within = \"4s\" }",
            &[(5, 9, false, false), (10, 11, false, false)],
            false,
            "only after 5.0 s",
        ),
        ("growth = { after = \"5s\", blocks = 2 }", &[(4, 9, false, false)], false, "before 5s"),
        (
            "transactions = { min = 100, min_included = 0.99, min_per_second = 11.0 }",
            &[],
            true,
            "99 of 100",
        ),
        ("transactions = { min = 101 }", &[], false, "99 of 100"),
        ("transactions = { min_included = 1.0 }", &[], false, "99 of 100"),
        ("transactions = { min_per_second = 12.0 }", &[], false, "11.0 per second"),
        (
            "transactions = { min_per_second = 11.5, over = \"20s\" }",
            &[],
            true,
            "11.5 in the best 20s",
        ),
        (
            "transactions = { min_per_second = 11.6, over = \"20s\" }",
            &[],
            false,
            "11.5 in the best",
        ),
        ("transactions = { min_per_second = 1.0, over = \"31s\" }", &[], false, "less than 31s"),
        ("pools = { max = \"4s\", min_share = 0.66 }", &[], true, "2 of 3 at all 2 nodes (1 times"),
        (
            "pools = { max = \"4s\" }",
            &[],
            false,
            "max 4000.0 ms: 0x0101010101010101010101010101010101010101010101010101010101010101 came last to b",
        ),
        ("pools = { max = \"3s\", min_share = 0.5 }", &[], false, "p95 4000.0 ms"),
        ("conflicts = { min = 3 }", &[], true, "3 of 3 pairs with one in the chain"),
        ("conflicts = { min = 4 }", &[], false, "3 of 3 pairs"),
        ("height = { min = 0 }", &[], false, "no honest node runs"),
    ];
    for (check, looks, ok, seen) in rows {
        let verdict = judge(check, looks);
        assert!(verdict.ok == *ok && verdict.seen.contains(seen), "{check} {looks:?}: {verdict:?}");
    }
}

#[test]
fn a_reorganization_is_remembered_over_restarts() {
    let file = file("[[check]]\nreorg = { min_depth = 1, max_depth = 3 }");
    let mut checks = Checks::new(&file);
    let mut facts = facts(secs(1), 5);
    (facts.nodes[2].reorg_depth_max, facts.nodes[1].reorg_depth_max) = (4, 2);
    let measured = Measured::default();
    facts.nodes[2].honest = false;
    checks.observe(&facts, None);
    facts.nodes[1].reorg_depth_max = 0;
    checks.observe(&facts, None);
    let verdict = checks.finish(&facts, &measured).remove(0);
    assert_eq!((verdict.ok, verdict.seen.as_str()), (true, "deepest 2, at miner-1"));
    assert_eq!(verdict.check, "deepest reorganization at least 1, at most 3");
}

/// Five nodes of which each has a session with the next, but for those that are cut from it.
fn line(at: u64, cut: &[usize]) -> Facts {
    let mut facts = facts(secs(at), 1);
    for node in (0..4).filter(|node| !cut.contains(node)) {
        facts.nodes[node].sessions.push(node + 1);
        facts.nodes[node + 1].sessions.push(node);
    }
    for node in &mut facts.nodes {
        node.peers = node.sessions.len();
        (node.handshakes_attempted, node.handshakes_completed) = (2, 2);
    }
    facts
}

fn judge_links(check: &str, looks: &[(Facts, bool)]) -> Verdict {
    let text =
        text(&format!("[[check]]\n{check}")).replace("\"atmn\"", "\"atmn\"\ntopology = \"line\"");
    let mut checks = Checks::new(&NetworkFile::parse(&text).unwrap());
    for (facts, healed) in looks {
        checks.observe(facts, healed.then_some(secs(60)));
    }
    let measured = Measured::default();
    checks.finish(&looks.last().unwrap().0, &measured).remove(0)
}

#[test]
fn sees_the_parts_of_a_network() {
    let looks = [(line(29, &[]), false), (line(31, &[1]), false), (line(61, &[]), true)];
    let rows = [
        (
            "components = { is = 2, after = \"30s\", within = \"15s\" }",
            true,
            "2 components of 3, 2 nodes",
        ),
        (
            "components = { is = 1, after = \"heal\", within = \"15s\" }",
            true,
            "1 component of 5 nodes, after 1.0 s",
        ),
        ("components = { is = 3, after = \"30s\", within = \"15s\" }", false, "1 component"),
        ("components = { is = 1 }", true, "1 component"),
        ("bootstrap = {}", true, "4 of 4 first dials are sessions: miner-0 1"),
        ("handshakes = { min = 10, min_success = 1.0 }", true, "10 of 10 completed, 100.0 %"),
        ("handshakes = { min = 11 }", false, "10 of 10"),
    ];
    for (check, ok, seen) in rows {
        let verdict = judge_links(check, &looks);
        assert!(verdict.ok == ok && verdict.seen.contains(seen), "{check}: {verdict:?}");
    }
    let verdict = judge_links("components = { is = 1 }", &[(line(1, &[2]), false)]);
    assert_eq!(
        (verdict.ok, verdict.nodes),
        (false, vec!["miner-3".to_owned(), "reader".to_owned()])
    );
    let verdict = judge_links("bootstrap = { min = 4 }", &[(line(1, &[2]), false)]);
    assert_eq!((verdict.ok, verdict.nodes), (false, vec!["miner-3".to_owned()]));
}

#[test]
fn a_lost_session_is_seen_although_there_is_a_new_one() {
    let check = "steady = { after = \"10s\" }";
    let calm = [(line(5, &[1]), false), (line(10, &[]), false), (line(20, &[]), false)];
    assert!(judge_links(check, &calm).ok);
    let mut renewed = line(20, &[]);
    renewed.nodes[2].handshakes_completed += 1;
    let verdict =
        judge_links(check, &[(line(10, &[]), false), (renewed, false), (line(30, &[]), false)]);
    assert_eq!((verdict.ok, verdict.nodes), (false, vec!["miner-2".to_owned()]));
    let mut refused = line(20, &[]);
    (refused.nodes[2].handshakes_completed, refused.nodes[2].sessions_refused) =
        (line(20, &[]).nodes[2].handshakes_completed + 1, 1);
    assert!(judge_links(check, &[(line(10, &[]), false), (refused, false)]).ok);
    let mut dialled = line(20, &[]);
    dialled.nodes[4].dials_failed = 1;
    let verdict = judge_links(check, &[(line(10, &[]), false), (dialled, false)]);
    assert_eq!(
        (verdict.ok, verdict.seen.as_str()),
        (false, "0 ends of sessions lost, 1 failed dials")
    );
    assert!(!judge_links(check, &[(line(9, &[]), false)]).ok, "its time never came");
}
