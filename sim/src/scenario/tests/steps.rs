//! What the step engine orders when.

use super::*;
use step::{Crash, Nodes};

/// Asks whenever the timeline wants to be asked; returns what it ordered, with the second.
fn play(timeline: &mut Timeline, until: Duration) -> Vec<(f64, String)> {
    let mut seen = Vec::new();
    while let Some(at) = timeline.next().filter(|at| *at <= until) {
        note(&mut seen, at, timeline.due(&facts(at, 0)));
    }
    seen
}

fn note(seen: &mut Vec<(f64, String)>, at: Duration, orders: Vec<Order>) {
    for order in orders {
        let word = match order {
            Order::Begin { step, action } => format!("+{} {step}", action.key()),
            Order::End { step, action } => format!("-{} {step}", action.key()),
        };
        seen.push((at.as_secs_f64(), word));
    }
}

fn played(more: &str) -> Vec<(f64, String)> {
    play(&mut Timeline::new(&file(more), 1), secs(600))
}

fn row(at: f64, word: &str) -> (f64, String) {
    (at, word.to_owned())
}

#[test]
fn spans_end_by_themselves_and_flaps_take_turns() {
    let more = "[[step]]\nat = \"10s\"\npause = { nodes = [\"reader\"], for = \"5s\" }\n\
                [[step]]\nat = \"12s\"\npartition = { kind = \"halves\", for = \"5s\", flap = \"2s\" }";
    let wanted = [
        row(10.0, "+pause 0"),
        row(12.0, "+partition 1"),
        row(14.0, "-partition 1"),
        row(15.0, "-pause 0"),
        row(16.0, "+partition 1"),
        row(17.0, "-partition 1"),
    ];
    assert_eq!(played(more), wanted);
}

#[test]
fn heal_ends_faults_in_effect_and_leaves_load() {
    let more = "[[step]]\nat = \"1s\"\npartition = { kind = \"ring\", flap = \"4s\" }\n\
                [[step]]\nat = \"2s\"\nslow = { nodes = [\"*\"], factor = 2.0, for = \"1m\" }\n\
                [[step]]\nat = \"3s\"\nload = { rate = 2.0, for = \"30s\" }\n\
                [[step]]\nat = \"6s\"\nheal = {}";
    let wanted = [
        row(1.0, "+partition 0"),
        row(2.0, "+slow 1"),
        row(3.0, "+load 2"),
        row(5.0, "-partition 0"),
        row(6.0, "-slow 1"),
        row(6.0, "+heal 3"),
        row(33.0, "-load 2"),
    ];
    assert_eq!(played(more), wanted);
}

#[test]
fn who_crashed_or_was_wiped_returns() {
    let more = "[[step]]\nat = \"1s\"\ncrash = { nodes = [\"miner-0..1\"], restart_after = \"20s\" }\n\
                [[step]]\nat = \"2s\"\nstop = { nodes = [\"reader\"] }\n\
                [[step]]\nat = \"3s\"\nwipe = { nodes = [\"miner-2\"] }";
    let wanted = [
        row(1.0, "+crash 0"),
        row(2.0, "+stop 1"),
        row(3.0, "+wipe 2"),
        row(3.0, "+start 2"),
        row(21.0, "+start 0"),
    ];
    assert_eq!(played(more), wanted);
    let mut timeline = Timeline::new(&file(more), 1);
    assert_eq!(timeline.due(&facts(secs(20), 0)).len(), 4);
    let nodes = vec!["miner-0".to_owned(), "miner-1".to_owned()];
    let start = Order::Begin { step: 0, action: Action::Start(Nodes { nodes }) };
    assert_eq!(timeline.due(&facts(secs(21), 0)), [start]);
}

#[test]
fn who_waits_for_a_write_to_crash_returns_only_after_it() {
    let more = "[[step]]\nat = \"1s\"\n\
                crash = { nodes = [\"miner-0..1\"], at_write = \"before\", restart_after = \"2s\" }";
    let mut timeline = Timeline::new(&file(more), 1);
    assert_eq!(timeline.due(&facts(secs(1), 0)).len(), 1);
    let down = |at: u64, who: &[usize]| {
        let mut facts = facts(secs(at), 0);
        who.iter().for_each(|i| facts.nodes[*i].up = false);
        facts
    };
    let starts = |orders: Vec<Order>| -> Vec<String> {
        orders
            .into_iter()
            .flat_map(|order| match order {
                Order::Begin { action: Action::Start(nodes), .. } => nodes.nodes,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(timeline.due(&down(3, &[])), []);
    assert_eq!(starts(timeline.due(&down(5, &[1]))), ["miner-1"]);
    assert_eq!(timeline.healed_at(), None);
    assert_eq!(starts(timeline.due(&down(7, &[0]))), ["miner-0"]);
    assert_eq!((timeline.next(), timeline.healed_at()), (None, Some(secs(7))));
}

#[test]
fn a_step_waits_for_an_honest_height() {
    let more = "[[step]]\nat = \"height:20\"\npause = { nodes = [\"*\"], for = \"5s\" }";
    let mut timeline = Timeline::new(&file(more), 1);
    assert_eq!((timeline.next(), timeline.waits_for_height()), (None, true));
    let mut lie = facts(secs(3), 19);
    (lie.nodes[0].height, lie.nodes[0].honest) = (90, false);
    assert_eq!(timeline.due(&lie), []);
    assert_eq!(timeline.due(&facts(secs(4), 20)).len(), 1);
    assert_eq!((timeline.next(), timeline.waits_for_height()), (Some(secs(9)), false));
}

/// The mean distance of crashes and the mean absence are as asked for; a node that is away is not crashed again.
#[test]
fn a_churn_strikes_at_its_rate_and_everybody_returns() {
    let more = "[[step]]\nat = \"0s\"\n\
                churn = { nodes = [\"miner\"], every = \"2s\", down = \"3s\", for = \"10000s\" }";
    let long = text(more).replace("chain =", "duration = \"3h\"\nchain =");
    let file = NetworkFile::parse(&long).unwrap();
    let mut timeline = Timeline::new(&file, 7);
    let (mut crashes, mut absence) = (0u32, Duration::ZERO);
    let mut away: Vec<String> = Vec::new();
    while let Some(at) = timeline.next() {
        for order in timeline.due(&facts(at, 0)) {
            match order {
                Order::Begin {
                    action: Action::Crash(Crash { nodes, restart_after, .. }), ..
                } => {
                    assert!(!away.contains(&nodes[0]) && nodes[0].starts_with("miner-"));
                    away.extend(nodes);
                    crashes += 1;
                    absence += restart_after.unwrap();
                }
                Order::Begin { action: Action::Start(Nodes { nodes }), .. } => {
                    assert!(nodes.iter().all(|node| away.contains(node)));
                    away.retain(|node| !nodes.contains(node));
                }
                Order::Begin { action, .. } | Order::End { action, .. } => {
                    assert_eq!(action.key(), "churn");
                }
            }
        }
    }
    assert!(away.is_empty());
    // Poisson: 5,000 expected less the strikes that found nobody, about 2 % (Erlang's loss, 4 nodes, load 1.5).
    assert!((4_500..5_200).contains(&crashes), "{crashes}");
    assert!((2.8..3.2).contains(&(absence.as_secs_f64() / f64::from(crashes))));
    let healed = timeline.healed_at().unwrap();
    assert!(healed >= secs(10_000), "{healed:?}");
}

#[test]
fn a_seed_decides_a_churn() {
    let more = "[[step]]\nat = \"0s\"\nchurn = { nodes = [\"*\"], every = \"2s\", down = \"3s\" }";
    let file = file(more);
    let of = |seed| play(&mut Timeline::new(&file, seed), secs(60));
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn healed_is_when_the_last_fault_ended() {
    let more = "[[step]]\nat = \"10s\"\ncut = { from = [\"miner-0\"], to = [\"*\"], for = \"5s\" }\n\
                [[step]]\nat = \"12s\"\ncrash = { nodes = [\"reader\"], restart_after = \"10s\" }\n\
                [[step]]\nat = \"80s\"\nmine = { nodes = [\"miner-0\"], rate = 9 }";
    let mut timeline = Timeline::new(&file(more), 1);
    for (at, healed) in [(9, None), (15, None), (21, None), (22, Some(secs(22)))] {
        timeline.due(&facts(secs(at), 0));
        assert_eq!(timeline.healed_at(), healed, "{at}");
    }
    assert_eq!(Timeline::new(&file(""), 1).healed_at(), Some(Duration::ZERO));
}

#[test]
fn the_end_of_the_safety_phase_ends_everything() {
    let more = "[[step]]\nat = \"1s\"\nload = { rate = 2.0 }\n\
                [[step]]\nat = \"2s\"\nchurn = { nodes = [\"*\"], every = \"2s\", down = \"3s\" }\n\
                [[step]]\nat = \"height:90\"\nheal = {}";
    let mut timeline = Timeline::new(&file(more), 1);
    play(&mut timeline, secs(50));
    let mut seen = Vec::new();
    note(&mut seen, secs(600), timeline.end(secs(600)));
    assert_eq!(seen, [row(600.0, "-load 0"), row(600.0, "-churn 1")]);
    assert_eq!((timeline.next(), timeline.waits_for_height()), (None, false));
    assert_eq!(timeline.healed_at(), Some(secs(600)));
    // Who was healed before stays so.
    let mut quiet = Timeline::new(&file(""), 1);
    assert_eq!((quiet.end(secs(600)), quiet.healed_at()), (vec![], Some(Duration::ZERO)));
}
