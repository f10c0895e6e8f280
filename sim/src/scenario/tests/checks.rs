//! How checks end.

use super::*;
use alloy_primitives::B256;

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
    let reach = |percent: f64| (percent < 100.0).then_some(Duration::from_millis(400));
    let measured = Measured { stale_rate: 0.02, reach: &reach };
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
    let reach = |_| None;
    let measured = Measured { stale_rate: 0.0, reach: &reach };
    facts.nodes[2].honest = false;
    checks.observe(&facts, None);
    facts.nodes[1].reorg_depth_max = 0;
    checks.observe(&facts, None);
    let verdict = checks.finish(&facts, &measured).remove(0);
    assert_eq!((verdict.ok, verdict.seen.as_str()), (true, "deepest 2, at miner-1"));
    assert_eq!(verdict.check, "deepest reorganization at least 1, at most 3");
}
