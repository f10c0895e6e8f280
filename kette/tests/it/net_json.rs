//! Every verb of `kette net`: lines for people, and with `--json` one document for programs.

use crate::harness::{Chain, Net, Ports, Ran, kette, nets::SOON, text};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a verb prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// One document.
    Json,
    /// A document per line, since it may go on for ever.
    JsonLines,
    /// Words and tables.
    Words,
}
use Says::{Json, JsonLines, Words};

/// In this order on a network of the miners a and b. `@` is a directory for files, `^` the program.
const CALLS: &[(&str, Says)] = &[
    ("ps", Json),
    ("ps", Words),
    ("status", Json),
    ("status", Words),
    ("wait-sync --timeout 30s", Json),
    ("topology", Json),
    ("topology", Words),
    ("monitor --once", Json),
    ("observability", Json),
    ("observability", Words),
    ("link show", Json),
    ("link show", Words),
    ("link set a b --latency 5ms", Json),
    ("link set a b --loss 1%", Words),
    ("link clear", Json),
    ("link clear", Words),
    ("partition --groups a/b", Json),
    ("heal", Json),
    ("partition --groups a/b --for 1h", Words),
    ("heal", Words),
    ("pause b", Json),
    ("resume b", Json),
    ("pause b", Words),
    ("resume b", Words),
    ("kill b", Json),
    ("start b", Json),
    ("stop b", Json),
    ("start b", Words),
    ("restart b", Json),
    ("mine b off", Json),
    ("mine b on", Words),
    ("clock skew b 0", Json),
    ("byz b honest", Words),
    ("byz b honest", Json),
    ("upgrade b --binary ^", Json),
    ("fork create --depth 1", Json),
    ("fork create --depth 1", Words),
    ("load --rate 5 --duration 1s", Json),
    ("exec a -- status", Json),
    ("exec a -- status", Words),
    ("logs -n 2", JsonLines),
    ("logs -n 2", Words),
    ("add late", Json),
    ("rm late --purge", Json),
    ("add late", Words),
    ("rm late --purge", Words),
    ("snapshot save one", Json),
    ("snapshot list", Json),
    ("snapshot list", Words),
    ("snapshot load one", Words),
    ("snapshot load one", Json),
    ("snapshot rm one", Json),
    ("generate --nodes 2 --out @/made", Json),
    ("generate --nodes 2 --out @/made --force", Words),
    ("presets", Json),
    ("presets", Words),
    ("show atmn", Json),
    ("show atmn", Words),
    ("test --list", Json),
    ("test --list", Words),
    ("down", Json),
    ("up", Words),
    ("down", Words),
    ("up --fresh", Json),
    ("down --purge", Json),
];
/// What is not called here, and why.
const NOT_HERE: [(&str, &str); 3] = [
    ("run", "it takes long: net_run.rs"),
    ("report", "it needs a run: net_run.rs"),
    ("exporter", "a server: observe.rs"),
];
/// Verbs that work on no network.
const NO_HOME: [&str; 4] = ["generate", "presets", "show", "test"];

fn call(net: &Net, words: &str, json: bool) -> Ran {
    let home = net.home();
    let files = home.parent().expect("a folder").to_path_buf();
    let words = words.replace('@', text(&files)).replace('^', env!("CARGO_BIN_EXE_kette"));
    let (own, others) = words.split_once(" -- ").unwrap_or((&words, ""));
    let mut args = if json { vec!["--json", "net"] } else { vec!["net"] };
    args.extend(own.split(' '));
    if !NO_HOME.contains(&args[args.len() - own.split(' ').count()]) {
        args.extend(["--home", text(&home)]);
    }
    if !others.is_empty() {
        args.push("--");
        args.extend(others.split(' '));
    }
    kette(&args)
}

#[test]
fn every_verb_speaks_to_people_and_with_json_to_programs() {
    let ports = Ports::claim();
    // Two miners of 200 hashes per second: a block every second or so.
    let (net, _) = Net::of(&ports, &["a", "b"], &Chain::fixed(9_462, 400), "");
    net.until("a session", SOON, |status| status["sessions"] == 1);
    for (words, says) in CALLS {
        let ran = call(&net, words, *says != Words);
        assert_eq!(ran.code, 0, "{words}: {ran:?}");
        let document = |text: &str| {
            serde_json::from_str::<Value>(text).is_ok_and(|it| it.is_object() || it.is_array())
        };
        let is = match says {
            Json => document(&ran.out),
            JsonLines => ran.out.lines().count() == 2 && ran.out.lines().all(document),
            Words => {
                let said = !ran.out.trim().is_empty() || !ran.err.trim().is_empty();
                said && !document(&ran.out) && !ran.out.lines().any(document)
            }
        };
        assert!(is, "`{words}` does not say {says:?}: {ran:?}");
    }
    let help = kette(&["net", "--help"]).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = verbs.take_while(|line| !line.is_empty());
    let verbs: BTreeSet<&str> = verbs
        .filter(|line| line.starts_with("  ") && !line.starts_with("    "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    let called = CALLS.iter().filter(|(_, says)| *says != Words);
    let called = called.filter_map(|(words, _)| words.split(' ').next());
    let known: BTreeSet<&str> = called.chain(NOT_HERE.map(|(verb, _)| verb)).collect();
    assert_eq!(verbs, known, "a verb is missing here, or is no more");
}
