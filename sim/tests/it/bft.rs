//! Networks of the engine `bft`: quiet ones, what faults do to them, and drawn ones; and that the judges of votes judge.

use crate::support::{assert_ok, run};
use kette_chain::Record;
use kette_consensus::bft::Message as Said;
use kette_node::Input;
use kette_sim::{
    Moment,
    checkers::{Checker, Observation, evidence::Evidences, vote_discipline::VoteDiscipline},
    run::{Run, RunOptions, RunReport, Scenario},
    scenario::NetworkFile,
    swarm,
};
use kette_types::{
    B256, Bytes, Message,
    bft::{Certificate, Vote, VoteKind},
    planted::{Bug, plant},
};
use std::time::Duration;

/// The default chain.
const BFT4: &str = include_str!("../../../kette/presets/chains/bft4.json");

/// Four validators with a vote each.
fn four(rest: &str) -> Scenario {
    let text = format!(
        "schema = 1\n[network]\nname = \"t\"\nchain = \"bft4\"\ntopology = \"mesh\"\nduration = \"40s\"\n\
         [workload]\nrate = 2.0\n[[group]]\nname = \"v\"\ncount = 4\nstake = 1\n{rest}"
    );
    Scenario::new(NetworkFile::parse(&text).unwrap(), BFT4).unwrap()
}

fn drawn(seed: u64) -> Scenario {
    Scenario::new(swarm::draw_bft(seed), BFT4).unwrap()
}

#[test]
fn quiet_validators_decide_in_round_0() {
    let report = run(&four(""), 1);
    assert_ok("quiet", &report);
    let finality = report.finality.unwrap();
    assert!(report.height >= 40, "{}", report.height);
    assert!(finality.late_rounds == 0 && finality.caught_up == 0, "{finality:?}");
    assert!(finality.p50_ms > 1.0 && finality.p99_ms < 100.0, "{finality:?}");
    assert_eq!(report.transactions.included, report.transactions.submitted);
    assert_eq!(report.blocks.reorgs, 0);
}

#[test]
fn one_of_four_may_be_away() {
    let steps = "[[step]]\nat = \"5s\"\ncrash = { nodes = [\"v-2\"], restart_after = \"15s\" }\n";
    let report = run(&four(steps), 2);
    assert_ok("one away", &report);
    let finality = report.finality.unwrap();
    assert!(report.height >= 20 && finality.late_rounds > 0, "{} {finality:?}", report.height);
    assert!(finality.caught_up > 0, "it came back and caught up");
}

#[test]
fn halves_decide_nothing() {
    let steps = "[[step]]\nat = \"10s\"\npartition = { groups = [[\"v-0\", \"v-1\"], [\"v-2\", \"v-3\"]], for = \"20s\" }\n";
    let report = run(&four(steps), 3);
    assert_ok("halves", &report);
    let heights = |from: f64, to: f64| {
        let samples = report.heights.iter().filter(|s| s.at > from && s.at < to);
        let all = samples.flat_map(|sample| sample.heights.iter().flatten());
        (all.clone().min().copied().unwrap(), all.max().copied().unwrap())
    };
    let (low, high) = heights(12.5, 29.5);
    assert!(high - low <= 1, "{low} to {high} while halves were apart");
    assert!(report.height > high + 2);
}

#[test]
fn drawn_networks_pass_and_repeat() {
    for seed in 0..4 {
        let scenario = drawn(seed);
        let report = run(&scenario, seed);
        assert_ok("swarm-bft", &report);
        assert_eq!(report.trace_hash, run(&scenario, seed).trace_hash, "seed {seed}");
    }
}

/// Validators that lose power at their writes, all of them, again and again.
const RESTARTS: &str = r#"
[[step]]
at = "3s"
churn = { nodes = ["*"], every = "1s", down = "1s", for = "30s" }
[[step]]
at = "5s"
crash = { nodes = ["v-0"], at_write = "after", restart_after = "500ms" }
[[step]]
at = "8s"
crash = { nodes = ["v-1"], at_write = "after", restart_after = "500ms" }
"#;

/// Plants a bug; tells whether the judge of votes finds it alone.
fn found_by_votes(bug: Bug, scenario: &Scenario, seeds: u64) -> bool {
    (0..seeds).any(|seed| {
        plant(Some(bug));
        let options = RunOptions { seed, ..RunOptions::default() };
        let judges: Vec<Box<dyn Checker>> = vec![Box::new(VoteDiscipline::default())];
        let mut run = Run::with_checkers(scenario, &options, judges).unwrap();
        while run.advance(u64::MAX) {}
        plant(None);
        run.world.violations().iter().any(|violation| violation.checker == "vote_discipline")
    })
}

/// Plants a bug; returns who objects first.
fn planted(bug: Bug, scenario: &Scenario, seeds: u64) -> Option<&'static str> {
    (0..seeds).find_map(|seed| {
        plant(Some(bug));
        let report: RunReport = run(scenario, seed);
        plant(None);
        report.violations.first().map(|violation| violation.checker)
    })
}

#[test]
fn restarts_alone_are_no_reason_to_object() {
    for seed in 0..3 {
        assert_ok("restarts", &run(&four(RESTARTS), seed));
    }
}

#[test]
fn votes_that_leave_too_early_are_found() {
    assert!(found_by_votes(Bug::SendBeforeDurable, &four(""), 1));
}

#[test]
fn votes_that_are_cast_again_are_found() {
    let judge = planted(Bug::VoteAgain, &four(RESTARTS), 20);
    assert!(matches!(judge, Some("disk" | "vote_discipline")), "{judge:?}");
}

#[test]
fn locks_that_are_forgotten_are_found() {
    let scenario = four(LOCKS);
    assert!(found_by_votes(Bug::ForgetLock, &scenario, 10));
    assert_ok("locks", &run(&scenario, 0));
}

/// Rounds shorter than links, and power that comes and goes: blocks are locked and not decided.
const LOCKS: &str = r#"
[shape]
latency = "60ms"
jitter = "120ms"
[genesis.config.kette.engine.bft]
emptyAfterMs = 0
[genesis.config.kette.engine.bft.timeouts]
proposeMs = 150
proposeDeltaMs = 10
voteMs = 60
voteDeltaMs = 5
minMs = 20
[[step]]
at = "2s"
churn = { nodes = ["*"], every = "100ms", down = "20ms", for = "36s" }
"#;

#[test]
fn a_quorum_that_is_none_is_found() {
    let judge = planted(Bug::QuorumOffByOne, &four(""), 1);
    assert!(matches!(judge, Some("vote_discipline" | "certificates")), "{judge:?}");
}

/// Tells a node that its newest proposal is final, with nobody's signature; returns who objects.
fn believed(bug: Option<Bug>) -> Option<&'static str> {
    plant(bug);
    let mut run = Run::new(&four(""), &RunOptions::default()).unwrap();
    for host in 0..4 {
        run.world.start(host);
    }
    run.world.run_until(Moment::START + Duration::from_secs(5));
    // Whatever is proposed at the next height.
    for _ in 0..2_000 {
        let head = run.world.hosts[0].node().unwrap().tree().head().number;
        let proposed = run.world.blocks.values().find(|seen| seen.block.number() == head + 1);
        if let Some(proposed) = proposed {
            let certificate = Certificate {
                height: head + 1,
                block: proposed.block.hash(),
                ..Certificate::default()
            };
            let from = *run.world.hosts[0].sessions.keys().next().unwrap();
            let message = Message::Engine(Said::Commit(certificate).encode());
            run.world.give(0, Input::Message(from, message));
            break;
        }
        let until = run.world.now() + Duration::from_millis(1);
        run.world.run_until(until);
    }
    let until = run.world.now() + Duration::from_secs(2);
    run.world.run_until(until);
    plant(None);
    run.world.violations().first().map(|violation| violation.checker)
}

#[test]
fn a_certificate_that_nobody_checks_is_found() {
    assert_eq!(believed(Some(Bug::CertificateUnchecked)), Some("certificates"));
    assert_ne!(believed(None), Some("certificates"));
}

#[test]
fn double_votes_without_proof_are_found() {
    let mut run = Run::with_checkers(&four(""), &RunOptions::default(), Vec::new()).unwrap();
    run.world.start(0);
    let world = &run.world;
    let identity = world.hosts[3].config.local.validator.as_ref().unwrap();
    let vote = |block| {
        let secret = &identity.secret;
        let vote = Vote::sign(world.spec.domain(), secret, VoteKind::Prepare, 1, 0, block);
        Message::Engine(Said::Vote(vote).encode())
    };
    let final_at =
        |number| [Record::Final { number, hash: B256::ZERO, justification: Bytes::new() }];
    let judged = |host: usize, blocks: [u8; 2]| {
        let mut judge = Evidences::default();
        for block in blocks {
            let message = vote(B256::repeat_byte(block));
            judge.observe(world, &Observation::Sent { host, to: &[], message: &message })?;
        }
        judge.observe(world, &Observation::Ordered { host, records: &final_at(60) })?;
        judge.observe(world, &Observation::Ordered { host, records: &final_at(61) })
    };
    assert!(judged(0, [1, 2]).unwrap_err().contains("sign twice"));
    judged(0, [1, 1]).unwrap();
}
