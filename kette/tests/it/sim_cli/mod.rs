//! The command `kette sim`: what it accepts, what it prints for people and programs, and how it ends.

mod misuse;
mod told;

use crate::harness::{Ran, kette, program, text};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::Stdio,
};
use tempfile::TempDir;

/// Three miners in one room for a minute and a half: some thousand events.
const TINY: &str = r#"
# Three miners in one room.
schema = 1

[network]
name = "tiny"
chain = "atmn"
topology = "mesh"
duration = "90s"
mine_rate = 2000

[workload]
rate = 0.5

[[group]]
names = ["alice", "bob", "carol"]
roles = ["miner"]

[[step]]
at = "20s"
crash = { nodes = ["bob"], restart_after = "15s" }

[[check]]
agreement = {}
"#;

/// A folder with network files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary directory"));
        files.write("tiny.toml", TINY);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("written");
    }

    /// Runs `kette` in the folder.
    fn kette(&self, args: &[&str]) -> Ran {
        program().current_dir(self.0.path()).args(args).output().expect("the program starts").into()
    }
}

/// Keys that results promise; programs read them.
const RUN_KEYS: [&str; 21] = [
    "seed",
    "trace_hash",
    "events",
    "virtual_seconds",
    "violations",
    "violation_count",
    "config_hash",
    "checkpoints",
    "checks",
    "notes",
    "ok",
    "complete",
    "nodes",
    "height",
    "head",
    "blocks",
    "propagation",
    "transactions",
    "names",
    "heights",
    "faults",
];

#[test]
fn what_cannot_be_meant_is_refused_with_a_hint() {
    let files = Files::new();
    files.write("key.toml", &TINY.replace("duration", "duratoin"));
    files.write("chain.toml", &TINY.replace("\"atmn\"", "\"nochain.json\""));
    let good = "tiny.toml";
    let rows: [(&[&str], &[&str]); 24] = [
        (&["run", "atnm"], &["`atnm`", "did you mean `atmn`?"]),
        (&["run", "none.toml"], &["no file `none.toml`", "kette sim scenarios"]),
        (&["run", "key.toml"], &["duratoin", "did you mean `duration`?"]),
        (&["run", "chain.toml"], &["nochain.json", "atmn"]),
        (&["run"], &["FILE|PRESET|swarm"]),
        (&["run", good, "--seeds", "5..5"], &["holds no seed"]),
        (&["run", good, "--seeds", "9..2"], &["holds no seed"]),
        (&["run", good, "--seeds", "a..b"], &["`a..b` is no range"]),
        (&["run", good, "--seeds", "0..99999999"], &["at most"]),
        (&["run", good, "--seeds", "0..2", "--seed", "1"], &["--seed"]),
        (&["run", good, "--hours", "0"], &["more than 0"]),
        (&["run", good, "--hours", "1", "--duration", "5m"], &["--duration"]),
        (&["run", good, "--duration", "soon"], &["`soon`"]),
        (&["run", good, "--duration", "0s"], &["no time"]),
        (&["run", good, "--nodes", "0"], &["--nodes"]),
        (&["run", good, "--jobs", "0"], &["--jobs"]),
        (&["run", good, "--seeds", "0..2", "--trace"], &["one --seed"]),
        (&["run", good, "--trace", "--json"], &["give --trace a file"]),
        (&["run", good, "--html", "none/x.html"], &["cannot write none/x.html"]),
        (&["run", good, "--trace", "none/x.txt"], &["cannot write none/x.txt"]),
        (&["replay", good, "--from-event", "9", "--until-event", "3"], &["--from-event 9"]),
        (&["show", "volkskete"], &["did you mean `volkskette`?"]),
        (&["diff", good, "none.json"], &["tiny.toml seems to be a network file", "a result of"]),
        (&["diff", "none.json", good], &["none.json"]),
    ];
    for (args, words) in rows {
        files.kette(&[&["sim"], args].concat()).fails(2, words);
    }
}

#[test]
fn a_seed_decides_everything() {
    let files = Files::new();
    let ask = |seeds: &[&str]| {
        let words: &[&str] = &["--json", "sim", "run", "tiny.toml"];
        files.kette(&[words, seeds].concat()).json()
    };
    let (first, second) = (ask(&["--seeds", "0..3", "--jobs", "2"]), ask(&["--seeds", "0..3"]));
    assert_eq!(first["runs"], second["runs"], "threads change nothing");
    let runs = first["runs"].as_array().expect("a list");
    let hash = |index: usize| runs[index]["trace_hash"].as_str().expect("a hash");
    assert!(hash(0) != hash(1) && hash(1) != hash(2), "another seed, another trace");
    assert_eq!(runs.iter().map(|run| &run["seed"]).collect::<Vec<_>>(), [0, 1, 2]);
    let one = ask(&["--seed", "2", "--twice"]);
    assert_eq!(one["runs"][0]["trace_hash"], hash(2));
    assert_eq!(one["runs"][0]["repeats"], true);

    for run in runs {
        for key in RUN_KEYS {
            assert!(run.get(key).is_some(), "no `{key}` in {run}");
        }
        assert_eq!((&run["violations"], &run["violation_count"]), (&json!([]), &json!(0)));
        assert!(run["events"].as_u64().is_some_and(|events| events > 100), "{run}");
        assert!(run["virtual_seconds"].as_f64().is_some_and(|seconds| seconds >= 90.0));
        assert!(run["height"].as_u64().is_some_and(|height| height > 0));
    }
    assert!(runs[0]["heights"].as_array().is_some_and(|series| !series.is_empty()));
    assert_eq!(runs[1]["heights"], json!([]), "series over time are there for the first run only");
    assert_eq!((&first["violations"], &first["ok"]), (&json!(0), &json!(true)));
    assert_eq!((&first["schema"], &first["schema_version"]), (&json!("kette-sim-run"), &json!(1)));
    assert!(
        first["command"].as_str().is_some_and(|words| words.starts_with("kette --json sim run"))
    );
    assert!(first["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0));
    assert!(
        first["performance"]["peak_memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20)
    );
    assert!(kette(&["--version"]).out.contains(first["commit"].as_str().expect("a commit")));
}

#[test]
fn people_get_a_line_per_seed_and_a_summary() {
    let files = Files::new();
    let ran = files.kette(&["sim", "run", "tiny.toml", "--seeds", "0..2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let seeds: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("seed ")).collect();
    assert!(seeds.len() == 2 && seeds[1].starts_with("seed 1 "), "{}", ran.out);
    for word in
        ["2 of 2, 0 violations", "per second", "block reach", "stale", "memory", "agreement"]
    {
        assert!(ran.out.contains(word), "no `{word}` in {}", ran.out);
    }
    assert_eq!(ran.err, "", "no spinner without a terminal");
}

#[test]
fn a_check_that_fails_is_1_and_the_first_one_ends_the_batch() {
    let files = Files::new();
    let demand = "\n[[check]]\nheight = { min = 100000 }\n";
    files.write("high.toml", &format!("{TINY}{demand}"));
    let ran = files.kette(&["sim", "run", "high.toml", "--seeds", "0..3"]);
    ran.fails(1, &["0 violations, 1 failed check, ", "1 of 3 runs"]);
    assert!(ran.out.contains("FAIL") && ran.out.contains("100000"), "{}", ran.out);
    let ran =
        files.kette(&["--json", "sim", "run", "high.toml", "--seeds", "0..2", "--keep-going"]);
    ran.fails(1, &["2 failed checks"]);
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&value["failed_checks"], &value["ok"]), (&json!(2), &json!(false)));
    assert_eq!(value["runs"].as_array().map(Vec::len), Some(2));
    let words = ["nothing to minimize", "height at least 100000", "the least height", "--trace"];
    files.kette(&["sim", "minimize", "high.toml"]).fails(2, &words);
}

/// A chain that is final after two blocks and a cut for much longer: both sides are final, and never agree again.
const SPLIT: &str = r#"
schema = 1

[network]
name = "split"
chain = "atmn"
topology = "mesh"
duration = "100s"
settle = "20s"
mine_rate = 4000

[genesis.config.kette.engine.pow]
finalityDepth = 2
reorgLimit = 3

[[group]]
names = ["a", "b"]
roles = ["miner"]

[[step]]
at = "20s"
partition = { groups = [["a"], ["b"]], for = "70s" }

[[step]]
at = "5s"
mine = { nodes = ["a"] }

[[step]]
at = "6s"
clock = { nodes = ["b"], jump_ms = 1 }
"#;

#[test]
fn a_violation_is_5_and_is_shown_again_and_made_smaller() {
    let files = Files::new();
    files.write("split.toml", SPLIT);
    let ran = files.kette(&["sim", "run", "split.toml", "--seed", "4"]);
    ran.fails(5, &["1 violation, 0 failed checks"]);
    for word in ["VIOLATION of ", "seed      4", "commit ", "config    0x", "virtual"] {
        assert!(ran.out.contains(word), "no `{word}` in {}", ran.out);
    }
    let told = |about: &str| -> Vec<String> {
        let line = ran.out.lines().find_map(|line| line.trim().strip_prefix(about));
        let words = line.unwrap_or_else(|| panic!("no `{about}` in {}", ran.out));
        words.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let carry_out = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        files.kette(&words)
    };
    let what = ran.out.lines().find_map(|line| line.strip_prefix("VIOLATION of ")).expect("one");
    let (checker, _) = what.split_once(':').expect("what");
    let shown = carry_out(&told("show it"));
    shown.fails(5, &["1 violation"]);
    assert!(shown.out.contains(&format!("VIOLATION of {checker} at event")), "{}", shown.out);

    let mut words = told("shrink it");
    words.extend(["--json", "-o", "small.toml"].map(str::to_owned));
    let small = carry_out(&words).json();
    assert_eq!(small["violation"]["checker"], checker);
    let steps = |when: &str| small["steps"][when].as_u64().expect("a number");
    assert!(steps("before") == 3 && (1..3).contains(&steps("after")), "{small}");
    let again = small["replay"].as_str().expect("a command").split_whitespace().skip(1);
    carry_out(&again.map(str::to_owned).collect::<Vec<_>>()).fails(5, &["1 violation"]);

    let value: Value = serde_json::from_str(
        &files.kette(&["--json", "sim", "run", "split.toml", "--seed", "4"]).out,
    )
    .expect("JSON");
    let run = &value["runs"][0];
    assert_eq!(run["violations"][0]["checker"], checker);
    assert_eq!((&value["violations"], &value["ok"]), (&run["violation_count"], &json!(false)));
    assert!(run["replay"].as_str().is_some_and(|it| it.contains("--until-event")), "{run}");
}

#[test]
fn the_trace_has_a_column_per_node() {
    let files = Files::new();
    let ran = files.kette(&["sim", "run", "tiny.toml", "--seed", "3", "--trace", "trace.txt"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let trace = fs::read_to_string(files.path("trace.txt")).expect("a trace");
    let mut lines = trace.lines();
    let heads: Vec<&str> = lines.next().expect("headings").split_whitespace().collect();
    assert_eq!(heads, ["event", "time", "alice", "bob", "carol", "what"]);
    let acted =
        |line: &str| line.split_whitespace().skip(2).take(3).any(|cell| cell.ends_with('*'));
    let rows: Vec<&str> = lines.collect();
    assert!(
        rows.len() > 100 && rows.iter().filter(|line| acted(line)).count() > 100,
        "{} lines",
        rows.len()
    );
    for word in ["! head 1 ", "! produced 1 ", " - "] {
        assert!(rows.iter().any(|line| line.contains(word)), "no `{word}`");
    }
    let numbers: Vec<u64> =
        rows.iter().filter_map(|l| l.split_whitespace().next()?.parse().ok()).collect();
    assert!(numbers.len() == rows.len() && numbers.is_sorted(), "events are in order");

    let replayed =
        files.kette(&["sim", "replay", "tiny.toml", "--seed", "3", "--until-event", "500"]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    let row = rows.iter().rev().find(|line| line.trim_start().starts_with("500 "));
    if let Some(row) = row {
        assert!(replayed.out.contains(row), "the same line for event 500: {row}");
    }
    for word in ["NODE", "HEIGHT", "alice", "carol", "event 500", "no violation up to here"] {
        assert!(replayed.out.contains(word), "no `{word}` in {}", replayed.out);
    }
    let part = [
        "sim",
        "replay",
        "tiny.toml",
        "--seed",
        "3",
        "--from-event",
        "490",
        "--until-event",
        "500",
    ];
    let value = files.kette(&[&["--json"], part.as_slice()].concat()).json();
    let first = value["trace"][0].as_str().expect("a line").split_whitespace().next();
    assert!(first.and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| (490..=500).contains(&n)));
    assert_eq!(value["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(value["event"], 500);
}

/// Counts elements that open and close, in a page written by us.
fn balanced(page: &str, element: &str) -> bool {
    let open = page.matches(&format!("<{element} ")).count()
        + page.matches(&format!("<{element}>")).count();
    open == page.matches(&format!("</{element}>")).count()
}

#[test]
fn the_report_is_one_page_that_loads_nothing() {
    let files = Files::new();
    files.write("a<b>&.toml", TINY);
    let args = ["sim", "run", "a<b>&.toml", "--seeds", "0..2", "--html", "report.html"];
    let ran = files.kette(&args);
    assert_eq!(ran.code, 0, "{ran:?}");
    let page = fs::read_to_string(files.path("report.html")).expect("a page");
    for element in
        ["html", "body", "main", "svg", "table", "tr", "td", "figure", "section", "div", "title"]
    {
        assert!(balanced(&page, element), "<{element}> is not closed");
    }
    assert!(page.matches("<svg").count() >= 4, "plots are drawn");
    for outside in ["http:", "https:", "//cdn", "<script", "<link", "src=", "@import", "NaN", "inf"]
    {
        assert!(!page.contains(outside), "`{outside}` in the page");
    }
    assert!(page.contains("a&lt;b&gt;&amp;.toml") && !page.contains("a<b>"), "text is escaped");
    for word in [
        "prefers-color-scheme:dark",
        "Block propagation",
        "Heights",
        "Stale blocks over seeds",
        "class=\"fault\"",
    ] {
        assert!(page.contains(word), "no `{word}`");
    }
}

#[test]
fn two_results_are_compared() {
    let files = Files::new();
    let result = |name: &str, args: &[&str]| {
        let words: &[&str] = &["--json", "sim", "run", "tiny.toml"];
        files.write(name, &files.kette(&[words, args].concat()).out);
    };
    result("a.json", &["--seeds", "0..2"]);
    result("b.json", &["--seeds", "0..2"]);
    result("c.json", &["--seeds", "0..2", "--duration", "80s"]);
    result("d.json", &["--seeds", "7..9"]);
    let same = files.kette(&["sim", "diff", "a.json", "b.json"]);
    assert!(same.code == 0 && same.out.contains("seed 1: the same"), "{same:?}");
    let other = files.kette(&["sim", "diff", "a.json", "c.json"]);
    other.fails(1, &["2 of 2 runs differ"]);
    assert!(other.out.contains("same up to event 0") && other.out.contains("another network"));
    let value: Value =
        serde_json::from_str(&files.kette(&["--json", "sim", "diff", "a.json", "c.json"]).out)
            .expect("JSON");
    assert_eq!(value["runs"][0]["difference"]["same_until"], 0);
    files.kette(&["sim", "diff", "a.json", "d.json"]).fails(2, &["no seed in common"]);
}

#[test]
fn embedded_networks_are_listed_and_shown() {
    let list = kette(&["--json", "sim", "scenarios"]).json();
    let list = list.as_array().expect("a list");
    for entry in list {
        let name = entry["name"].as_str().expect("a name");
        assert!(entry["about"].as_str().is_some_and(|about| !about.is_empty()), "{entry}");
        let shown = kette(&["sim", "show", name]);
        assert!(shown.code == 0 && shown.out.contains("[network]"), "{name}: {shown:?}");
    }
    for name in ["atmn", "volkskette", "swarm"] {
        assert!(list.iter().any(|entry| entry["name"] == name), "no {name}");
    }
    let drawn = |seed: &str| kette(&["sim", "show", "swarm", "--seed", seed]).out;
    assert_eq!(drawn("7"), drawn("7"));
    assert_ne!(drawn("7"), drawn("8"));
    assert!(kette(&["sim", "scenarios"]).out.starts_with("NAME"));
}

#[test]
fn ctrl_c_tells_what_was_done() {
    let files = Files::new();
    let mut child = program()
        .current_dir(files.0.path())
        .args(["sim", "run", "tiny.toml", "--seeds", "0..100000", "--jobs", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    assert!(first.starts_with("seed 0 "), "{first}");
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("an id"));
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("it runs");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    ran.fails(130, &["interrupted"]);
    assert!(rest.contains("of 100000, 0 violations"), "{rest}");
}

#[test]
fn a_network_file_is_found_beside_its_chain() {
    let files = Files::new();
    let chain = kette(&["genesis", "new", "--preset", "dev", "--chain-id", "77"]).out;
    files.write("own.json", &chain);
    files.write("own.toml", &TINY.replace("\"atmn\"", "\"own.json\"").replace("90s", "25s"));
    let path = files.path("own.toml");
    let args = ["--json", "sim", "run", text(Path::new(&path)), "--seed", "1"];
    assert_eq!(kette(&args).json()["runs"][0]["seed"], 1);
}
