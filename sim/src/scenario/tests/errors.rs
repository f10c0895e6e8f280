//! Every wrong file is refused in words that name the place and say what to do.

use super::*;

/// What a file must not hold, and what must stand in the answer.
const WRONG: &[(&str, &[&str])] = &[
    ("[[group]]\nnames = [\"a\"]\nteir = 2", &["line 13", "did you mean `tier`?"]),
    ("[shpae]\nloss = 0.1", &["did you mean `shape`?"]),
    ("[shape]\nprofile = \"aws-2024\"", &["line 12", "did you mean `aws-2025`?"]),
    ("[shape]\nloss = 1.5", &["[shape]: loss = 1.5", "0 to 1"]),
    ("[shape]\nloss = nan", &["loss = NaN"]),
    ("[shape]\nlatency = \"2 weeks\"", &["unknown unit `weeks`"]),
    ("[shape]\nlatency = \"20\"", &["20 what? write 20ms, or 20s for seconds"]),
    ("[shape]\nlatency = \"99999999h\"", &["longer than a year"]),
    ("[shape]\nprofile = \"aws-2025\"", &["[[group]] 1", "round-robin"]),
    ("[workload]\nsenders = 11", &["senders = 11", "1 to 10"]),
    ("[workload]\nrate = -1.0", &["rate = -1"]),
    ("[[group]]\nnames = [\"a\"]\nname = \"b\"\ncount = 1", &["[[group]] 3", "not both"]),
    ("[[group]]\nname = \"b\"", &["`b` needs a `count`"]),
    ("[[group]]\ncount = 3", &["needs a `name`"]),
    ("[[group]]\ntier = 1", &["[[group]] 3: no nodes"]),
    ("[[group]]\nname = \"b\"\ncount = 99999999999", &["at most 20000"]),
    ("[[group]]\nname = \"b\"\ncount = 0", &["leave the group out"]),
    ("[[group]]\nnames = [\"reader\"]", &["two nodes are called `reader`"]),
    ("[[group]]\nnames = [\"miner\"]", &["a group and a node are called `miner`"]),
    ("[[group]]\nnames = [\"../a\"]", &["`../a` is no name"]),
    ("[[group]]\nnames = [\"\"]", &["`` is no name"]),
    ("[[group]]\nnames = [\"a\"]\ntier = 0", &["tiers count from 1"]),
    ("[[group]]\nnames = [\"a\"]\nslow = 0.0", &["slow = 0"]),
    ("[[group]]\nnames = [\"a\"]\nregions = [\"EU-WET\"]", &["did you mean `EU-WEST`?"]),
    ("[[group]]\nnames = [\"a\"]\nregions = [\"AFRICA\", \"AFRICA\"]", &["2 regions for 1 node:"]),
    ("[[group]]\nnames = [\"a\"]\nbyzantine = \"twin\"", &["twins are two nodes"]),
    ("[[group]]\nnames = [\"a\"]\nbyzantine = \"spamer\"", &["did you mean `spammer`?"]),
    ("[[link]]\nfrom = [\"miner-0\"]\nto = [\"minor-1\"]", &["[[link]] 1: to", "`miner-1`?"]),
    ("[[link]]\nfrom = []\nto = [\"*\"]", &["[[link]] 1: from", "no nodes are named"]),
    ("[[link]]\nfrom = [\"*\"]\nto = [\"*\"]\nbandwidth = \"0mbit\"", &["a rate is more than 0"]),
    ("[[step]]\nat = \"1s\"", &["line 11", "only `at`", "partition, cut"]),
    ("[[step]]\nat = \"1s\"\nheal = {}\nreset = { nodes = [\"*\"] }", &["`heal` and `reset`"]),
    ("[[step]]\nat = \"1s\"\nhael = {}", &["did you mean `heal`?"]),
    ("[[step]]\nat = \"soon\"\nheal = {}", &["line 11", "at = \"soon\"", "height:20"]),
    ("[[step]]\nat = \"height:x\"\nheal = {}", &["block number"]),
    (
        "[[step]]\nat = \"11m\"\nheal = {}",
        &["[[step]] 1 (at 11m, heal)", "raise [network] duration"],
    ),
    ("[[step]]\nat = \"1s\"\npartition = {}", &["groups, or a kind"]),
    ("[[step]]\nat = \"1s\"\npartition = { groups = [[\"*\"]] }", &["at least two groups"]),
    (
        "[[step]]\nat = \"1s\"\npartition = { groups = [[\"miner\"], [\"miner-3\"]] }",
        &["`miner-3` is in two groups"],
    ),
    ("[[step]]\nat = \"1s\"\npartition = { kind = \"halfs\" }", &["did you mean `halves`?"]),
    ("[[step]]\nat = \"1s\"\npartition = { kind = \"ring\", flap = \"1us\" }", &["flap"]),
    ("[[step]]\nat = \"1s\"\npartition = { kind = \"ring\", for = \"0s\" }", &["for = \"0s\""]),
    ("[[step]]\nat = \"1s\"\npause = { nodes = [\"miner-3..9\"] }", &["not all of them exist"]),
    ("[[step]]\nat = \"1s\"\npause = { nodes = [\"miner-3..1\"] }", &["larger than the last"]),
    ("[[step]]\nat = \"1s\"\nslow = { nodes = [\"*\"], factor = inf }", &["factor = inf"]),
    ("[[step]]\nat = \"1s\"\nclock = { nodes = [\"*\"] }", &["jump_ms or drift_ppm"]),
    ("[[step]]\nat = \"1s\"\nframes = { nodes = [\"*\"] }", &["nothing happens"]),
    ("[[step]]\nat = \"1s\"\nframes = { nodes = [\"*\"], replay = 2.0 }", &["replay = 2"]),
    (
        "[[step]]\nat = \"1s\"\nchurn = { nodes = [\"*\"], every = \"0s\", down = \"1s\" }",
        &["every and down"],
    ),
    // Figures beyond what means anything, and what is allowed.
    ("[shape]\ncpu = 1e9", &["[shape]: cpu = 1000000000", "0 to 1000;"]),
    ("[shape]\ncpu = inf", &["cpu = inf"]),
    ("[shape]\nloss = 1.0", &["loss = 1", "at most 0.5", "cut"]),
    ("[shape]\nbandwidth = \"1bit\"", &["bandwidth = \"1bit\"", "at least 56kbit"]),
    ("[shape]\nlatency = \"1h\"", &["latency = \"1h\"", "at most 2s"]),
    ("[shape]\njitter = \"3s\"", &["jitter = \"3s\"", "at most 2s"]),
    ("[shape]\nfsync = \"1m\"", &["fsync = \"1m\"", "at most 1s"]),
    ("[workload]\nrate = 1e4", &["[workload]: rate = 10000", "0 to 1000 transfers per second"]),
    ("[[group]]\nnames = [\"a\"]\nmine_rate = 100000000", &["at most 1000000 hashes"]),
    ("[[group]]\nnames = [\"a\"]\nslow = 1e-9", &["slow = 0.000000001", "0.1 to 1000"]),
    (
        "[shape]\ncpu = 100.0\n[[group]]\nnames = [\"a\"]\nslow = 50.0",
        &["5000 times slower", "at most 1000"],
    ),
    ("[[group]]\nnames = [\"a\"]\nclock_offset_ms = 9223372036854775807", &["either way, a day"]),
    ("[[group]]\nnames = [\"a\"]\nclock_offset_ms = -9223372036854775808", &["at most 86400000"]),
    ("[[group]]\nnames = [\"a\"]\nclock_drift_ppm = -500001", &["at most 500000 either way"]),
    (
        "[[group]]\nnames = [\"a\"]\nstart_at = \"11m\"",
        &["start_at: after the end of the run", "10m"],
    ),
    (
        "[[link]]\nfrom = [\"*\"]\nto = [\"*\"]\nloss = 0.9",
        &["[[link]] 1: loss = 0.9", "at most 0.5"],
    ),
    ("[[link]]\nfrom = [\"*\"]\nto = [\"*\"]\nlatency = \"11s\"", &["at most 10s"]),
    ("[[link]]\nfrom = [\"*\"]\nto = [\"*\"]\nbandwidth = \"9kbit\"", &["at least 56kbit"]),
    ("[[step]]\nat = \"1s\"\nslow = { nodes = [\"*\"], factor = 1e15 }", &["0.1 to 1000"]),
    (
        "[shape]\ncpu = 100.0\n[[step]]\nat = \"1s\"\nslow = { nodes = [\"reader\"], factor = 20.0 }",
        &["[[step]] 1 (at 1s, slow): factor = 20", "2000 times slower"],
    ),
    ("[[step]]\nat = \"1s\"\nload = { rate = 1e15 }", &["0 to 1000 transfers"]),
    (
        "[[step]]\nat = \"1s\"\nclock = { nodes = [\"*\"], jump_ms = -86400001 }",
        &["jump_ms = -86400001", "at most 86400000"],
    ),
    (
        "[[step]]\nat = \"1s\"\nclock = { nodes = [\"*\"], drift_ppm = 1000000 }",
        &["drift_ppm = 1000000", "at most 500000"],
    ),
    ("[[check]]\nagreemnt = {}", &["did you mean `agreement`?"]),
    ("[[check]]\nagreement = { within = \"1s\" }", &["[[check]] 1 (agreement)", "after"]),
    ("[[check]]\nagreement = { after = \"lunch\" }", &["or \"heal\""]),
    ("[[check]]\nreorg = {}", &["max_depth or min_depth"]),
    ("[[check]]\nreorg = { min_depth = 3, max_depth = 2 }", &["above"]),
    ("[[check]]\nstale_rate = { max = 5.0 }", &["0.01 is one percent"]),
    ("[[check]]\npropagation = { percent = 0.0, max = \"1s\" }", &["at most 100"]),
    ("[[check]]\nheight = { min = 3 }\nreorg = { max_depth = 2 }", &["line 11"]),
];

#[test]
fn a_wrong_file_is_told_where_and_what_to_do() {
    let mut problems = String::new();
    for (more, wanted) in WRONG {
        match NetworkFile::parse(&text(more)) {
            Ok(_) => problems += &format!("accepted: {more}\n\n"),
            Err(error) => {
                let missing: Vec<_> = wanted.iter().filter(|w| !error.0.contains(**w)).collect();
                if !missing.is_empty() {
                    problems += &format!("{more}\n=> {error}\nwithout {missing:?}\n\n");
                }
            }
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn another_schema_is_told_before_anything_else() {
    let other = text("[later]\nkey = 1").replace("schema = 1", "schema = 2");
    assert_eq!(
        NetworkFile::parse(&other).unwrap_err().0,
        "schema = 2: this program reads schema 1"
    );
    let none = text("").replace("schema = 1", "");
    assert!(NetworkFile::parse(&none).unwrap_err().0.contains("missing field `schema`"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(more in ".{0,80}", key in "[a-z_]{1,12}", value in "[ -~]{0,20}") {
        let _ = NetworkFile::parse(&more);
        let _ = NetworkFile::parse(&text(&format!("[[step]]\nat = \"{value}\"\n{key} = {more}")));
        let _ = NetworkFile::parse(&text(&format!("[[link]]\nfrom = [\"{value}\"]\nto = [\"*\"]")));
    }
}
