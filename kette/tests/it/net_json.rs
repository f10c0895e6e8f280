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

/// What cannot be done where there is no network, with how it ends. Not here is what has nothing that can fail.
const FAILS: &[(&str, i64)] = &[
    ("ps", 3),
    ("status", 3),
    ("wait-sync", 3),
    ("topology", 3),
    ("monitor --once", 3),
    ("exporter", 3),
    ("observability", 3),
    ("link show", 3),
    ("link set a b --latency 5", 2),
    ("link clear", 3),
    ("partition --groups a/b --for soon", 2),
    ("partition --groups a/b", 3),
    ("heal", 3),
    ("pause b", 3),
    ("resume b", 3),
    ("kill b", 3),
    ("start b", 3),
    ("stop", 2),
    ("stop b", 3),
    ("restart b", 3),
    ("mine b off", 3),
    ("clock skew b 0", 3),
    ("byz b honest", 3),
    ("upgrade b --binary ^", 3),
    ("fork create --depth 1", 3),
    ("load --rate 5", 3),
    ("exec a -- status", 3),
    ("logs -n 2", 3),
    ("add late", 3),
    ("rm late", 3),
    ("snapshot load one", 2),
    ("generate --nodes 2 --out /dev/null/x", 2),
    ("run nosuch", 2),
    ("report /dev/null/x", 2),
    ("show nosuch", 2),
    ("test nosuch", 2),
    ("up --file nosuch", 2),
    ("down", 3),
    ("nosuch", 2),
];

#[test]
fn every_verb_that_fails_says_so_as_json() {
    let net = Net::empty();
    for (words, exit) in FAILS {
        let ran = call(&net, words, true);
        let said: Value = serde_json::from_str(&ran.out)
            .unwrap_or_else(|error| panic!("{words}: {error}: {ran:?}"));
        assert_eq!(
            (&said["exit"], i64::from(ran.code)),
            (&Value::from(*exit), *exit),
            "{words}: {ran:?}"
        );
        let error = said["error"].as_str().expect("words");
        assert!(!error.is_empty() && !error.contains("\n"), "{words}: {error}");
        // The same words go to standard error, there with line breaks and how to use the command.
        let prose = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(prose.contains(error), "{words}: {ran:?}");
    }
    let verb = |words: &&str| words.split(' ').next().unwrap_or_default().to_owned();
    let failing: BTreeSet<String> = FAILS.iter().map(|(words, _)| verb(words)).collect();
    for (words, _) in CALLS {
        assert!(failing.contains(&verb(words)) || verb(words) == "presets", "{words} is missing");
    }
    assert!(!net.home().exists(), "what fails at once leaves nothing behind");
    for (words, command) in [(&["net"][..], "kette net"), (&["net", "link"], "kette net link")] {
        let said: Value = serde_json::from_str(&kette(&[&["--json"], words].concat()).out)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let error = format!("a subcommand is missing: `{command} --help` lists them");
        assert_eq!((&said["error"], &said["exit"]), (&Value::from(error), &Value::from(2)));
    }
    // What another command of the line says is said once.
    let plain = call(&net, "ps", false);
    assert!(plain.out.is_empty() && plain.err.contains("no network at"), "{plain:?}");
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
