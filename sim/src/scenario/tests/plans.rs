//! Names, regions, twins, first dials, and which nodes a pattern means.

use super::*;

fn dials(topology: &str, groups: &str) -> Vec<Vec<usize>> {
    let text = format!(
        "schema = 1\n[network]\nname = \"t\"\nchain = \"atmn\"\ntopology = \"{topology}\"\n{groups}"
    );
    let plan = Plan::new(&NetworkFile::parse(&text).unwrap()).unwrap();
    plan.nodes.into_iter().map(|node| node.dials).collect()
}

#[test]
fn tiers_spread_first_dials_evenly() {
    let groups = "[[group]]\nname = \"a\"\ncount = 1\n[[group]]\nname = \"b\"\ncount = 2\ntier = 2\n\
                  [[group]]\nname = \"c\"\ncount = 7\ntier = 3\n";
    let parents: Vec<usize> = dials("tiers", groups).into_iter().flatten().collect();
    assert_eq!(parents, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}

#[test]
fn other_topologies_dial_as_they_are_called() {
    let groups = "[[group]]\nname = \"a\"\ncount = 4\n";
    let rows: [(&str, [&[usize]; 4]); 4] = [
        ("mesh", [&[], &[0], &[0, 1], &[0, 1, 2]]),
        ("star", [&[], &[0], &[0], &[0]]),
        ("line", [&[], &[0], &[1], &[2]]),
        ("ring", [&[3], &[0], &[1], &[2]]),
    ];
    for (topology, wanted) in rows {
        assert_eq!(dials(topology, groups), wanted, "{topology}");
    }
}

#[test]
fn a_twin_has_its_brothers_identity_and_dials_somebody_else() {
    let groups = "[[group]]\nname = \"evil\"\ncount = 2\nbyzantine = \"twin\"\n[[group]]\n\
                  name = \"a\"\ncount = 2\n";
    for topology in ["tiers", "mesh", "star", "line"] {
        let dials = dials(topology, groups);
        assert!(!dials[1].contains(&0), "{topology} {dials:?}");
        assert!(topology == "mesh" || dials[1] == [2], "{topology} {dials:?}");
    }
    let file = file("[[group]]\nname = \"evil\"\ncount = 2\nbyzantine = \"twin\"");
    let plan = Plan::new(&file).unwrap();
    let identities: Vec<_> = plan.nodes.iter().map(|node| node.identity).collect();
    assert_eq!(identities, [None, None, None, None, None, None, Some(5)]);
}

#[test]
fn regions_are_for_all_for_each_or_go_round() {
    let rows = [
        ("[]", ["", "", "", ""]),
        ("[\"AFRICA\"]", ["AFRICA"; 4]),
        ("[\"AFRICA\", \"SYDNEY\"]", ["AFRICA", "SYDNEY", "AFRICA", "SYDNEY"]),
        ("[\"round-robin\"]", ["US-EAST", "US-CENTRAL", "US-WEST", "EU-WEST"]),
    ];
    for (regions, wanted) in rows {
        let more = format!("[[group]]\nname = \"x\"\ncount = 4\nregions = {regions}");
        let plan = Plan::new(&file(&more)).unwrap();
        let got: Vec<&str> = plan.nodes[5..].iter().map(|node| node.region.as_str()).collect();
        assert_eq!(got, wanted);
    }
}

#[test]
fn groups_override_what_the_network_says() {
    let more = "[[group]]\nnames = [\"x\"]\nroles = [\"miner\"]\nmine_rate = 7\nstart_at = \"9s\"";
    let text = text(more).replace("chain =", "stagger = \"2s\"\nmine_rate = 5\nchain =");
    let plan = Plan::new(&NetworkFile::parse(&text).unwrap()).unwrap();
    let seen: Vec<_> =
        plan.nodes.iter().map(|n| (n.miner, n.mine_rate, n.start_at.as_secs())).collect();
    let wanted =
        [(true, 5, 0), (true, 5, 2), (true, 5, 4), (true, 5, 6), (false, 5, 8), (true, 7, 9)];
    assert_eq!(seen, wanted);
}

#[test]
fn patterns_mean_nodes_groups_and_ranges() {
    let plan = Plan::new(&file("[[group]]\nname = \"miner-x\"\ncount = 2")).unwrap();
    let rows: [(&[&str], &[usize]); 9] = [
        (&["reader"], &[4]),
        (&["miner"], &[0, 1, 2, 3]),
        (&["*"], &[0, 1, 2, 3, 4, 5, 6]),
        (&["miner-*"], &[0, 1, 2, 3, 5, 6]),
        (&["miner-x"], &[5, 6]),
        (&["miner-1..3"], &[1, 2, 3]),
        (&["miner-2..2"], &[2]),
        (&["reader", "miner-0..1", "miner-1"], &[0, 1, 4]),
        (&["miner-x-0..1"], &[5, 6]),
    ];
    for (patterns, wanted) in rows {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        assert_eq!(select::select(&plan, &patterns).unwrap(), wanted, "{patterns:?}");
    }
    for wrong in ["minor", "miner-4", "miner-0..4", "miner-00..01", "miner-..3", "..", "x*"] {
        let error = select::select(&plan, &[wrong.to_owned()]).unwrap_err();
        assert!(error.contains("group miner") && error.contains("reader"), "{wrong}: {error}");
    }
}
