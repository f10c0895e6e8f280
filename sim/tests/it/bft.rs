//! Networks of the engine `bft`: quiet ones, what faults do to them, and drawn ones; and that the judges of votes judge.

use crate::support::{assert_ok, run};
use kette_chain::Record;
use kette_consensus::Status;
use kette_consensus::bft::Message as Said;
use kette_node::{Event, Input};
use kette_sim::{
    Moment, World,
    checkers::{
        Checker, Observation, evidence::Evidences, validity::Validity,
        vote_discipline::VoteDiscipline,
    },
    disk::Loss,
    run::{Run, RunOptions, RunReport, Scenario},
    scenario::NetworkFile,
    swarm,
};
use kette_types::{
    B256, Bytes, Message, PeerId,
    bft::{Certificate, Seal, Vote, VoteKind},
    planted::{Bug, plant},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// The default chain.
const BFT4: &str = include_str!("../../../kette/presets/chains/bft4.json");

/// Four validators with a vote each.
pub(crate) fn four(rest: &str) -> Scenario {
    let text = format!(
        "schema = 1\n[network]\nname = \"t\"\nchain = \"bft4\"\ntopology = \"mesh\"\nduration = \"40s\"\n\
         [workload]\nrate = 2.0\n[[group]]\nname = \"v\"\ncount = 4\nstake = 1\n{rest}"
    );
    Scenario::new(NetworkFile::parse(&text).unwrap(), BFT4).unwrap()
}

/// A network file on the default chain.
pub(crate) fn of(text: &str) -> Scenario {
    Scenario::new(NetworkFile::parse(text).unwrap(), BFT4).unwrap()
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

/// Producer and signers share a subsidy; now and then one of four is away, and in the end it is jailed.
const SHARED: &str = r#"
[genesis.config.kette.engine.bft]
producerShare = 400000
[genesis.config.kette.engine.bft.slashing]
downtimeWindow = 10
downtimeMissed = 5
downtimeShare = 10000
[[step]]
at = "10s"
crash = { nodes = ["v-2"], restart_after = "15s" }
"#;

/// Runs with the judge of validity alone; returns its verdict, and whether the set of validators changed.
fn validity(scenario: &Scenario) -> (Option<String>, bool) {
    let judges: Vec<Box<dyn Checker>> = vec![Box::new(Validity::default())];
    let mut run = Run::with_checkers(scenario, &RunOptions::default(), judges).unwrap();
    while run.advance(u64::MAX) {}
    let violation = run.world.violations().first().map(|violation| violation.what.clone());
    let changed = run.world.blocks.values().any(|history| {
        let seal = Seal::decode_exact(history.block.block.header.seal());
        seal.is_ok_and(|seal| !seal.next.is_empty())
    });
    (violation, changed)
}

#[test]
fn a_share_that_is_off_by_a_wei_is_found_by_replaying_blocks() {
    let scenario = four(SHARED);
    assert_eq!(validity(&scenario), (None, true), "somebody is jailed, and all is as it should be");
    plant(Some(Bug::RewardOffByOne));
    let (violation, _) = validity(&scenario);
    plant(None);
    assert!(violation.as_ref().is_some_and(|what| what.contains("state root")), "{violation:?}");
}

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

/// One is away for a while: the rounds that it leads fail, and the liar has what it needs.
const NIL: &str = r#"
[[group]]
names = ["liar"]
stake = 1
byzantine = "certificate-liar"
[[step]]
at = "5s"
crash = { nodes = ["v-2"], restart_after = "15s" }
"#;

#[test]
fn precommits_for_nil_that_a_liar_collects_are_refused_and_else_it_is_found() {
    for seed in 0..2 {
        assert_ok("nil", &run(&four(NIL), seed));
    }
    assert_eq!(planted(Bug::NilCertificate, &four(NIL), 6), Some("liveness"));
}

/// Proposals reach full nodes long after their parents were chosen elsewhere: nobody is to blame for that.
#[test]
fn who_passes_on_proposals_far_away_is_not_blamed() {
    let scenario =
        of("schema = 1\n[network]\nname = \"far\"\nchain = \"bft4\"\ntopology = \"mesh\"\n\
         duration = \"40s\"\n[shape]\nlatency = \"150ms\"\njitter = \"30ms\"\ncpu = 3.0\n\
         [genesis.config.kette.engine.bft]\nslotMs = 150\nemptyAfterMs = 0\n\
         [[group]]\nname = \"v\"\ncount = 4\nstake = 100\n[[group]]\nname = \"f\"\ncount = 4\n\
         [workload]\nrate = 10.0\nsenders = 8\n");
    for seed in 3..5 {
        assert_ok("far", &run(&scenario, seed));
    }
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

/// Notes what nodes say and write, and objects to nothing.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) alarms: Vec<(usize, String)>,
    signed: u64,
    locked: Option<usize>,
}

struct Scribe(Rc<RefCell<Notes>>);

impl Checker for Scribe {
    fn name(&self) -> &'static str {
        "scribe"
    }

    fn observe(&mut self, _: &World, seen: &Observation<'_>) -> Result<(), String> {
        let mut notes = self.0.borrow_mut();
        match seen {
            Observation::Event { host, event: Event::Alarm(text) } => {
                notes.alarms.push((*host, text.clone()));
            }
            Observation::Ordered { host, records } => {
                for record in *records {
                    match record {
                        Record::Sign(_) => notes.signed += 1,
                        // The third kind of entry in the log of `bft`.
                        Record::Engine(entry) if entry.first() == Some(&3) => {
                            notes.locked = Some(*host);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Runs four validators until all are past some height.
pub(crate) fn four_at(
    height: u64,
    seed: u64,
    mut judges: Vec<Box<dyn Checker>>,
) -> (Run, Rc<RefCell<Notes>>) {
    let notes = Rc::new(RefCell::new(Notes::default()));
    judges.push(Box::new(Scribe(notes.clone())));
    let options = RunOptions { seed, ..RunOptions::default() };
    let mut run = Run::with_checkers(&four(""), &options, judges).unwrap();
    for host in 0..4 {
        run.world.start(host);
    }
    // What a test does to them is a fault.
    run.world.faulty = true;
    while heights(&run).iter().any(|now| *now < height) {
        pass(&mut run, 50);
    }
    (run, notes)
}

pub(crate) fn heights(run: &Run) -> Vec<u64> {
    let node = |host: &kette_sim::world::Host| host.node().map(|n| n.tree().finalized().0);
    run.world.hosts.iter().filter_map(node).collect()
}

pub(crate) fn pass(run: &mut Run, millis: u64) {
    let until = run.world.now() + Duration::from_millis(millis);
    run.world.run_until(until);
    assert!(run.world.violations().is_empty(), "{:?}", run.world.violations());
}

/// Precommits of three of the four.
pub(crate) fn precommits(world: &World, height: u64, block: B256) -> Certificate {
    let mut members = world.spec.bft().unwrap().validators.clone();
    members.sort_by_key(|member| member.key);
    let (mut signers, mut signatures) = (Vec::new(), Vec::new());
    for (place, member) in (0_u16..).zip(&members).take(3) {
        let of = |host: &&kette_sim::world::Host| {
            host.config.local.validator.as_ref().unwrap().key() == member.key
        };
        let host = world.hosts.iter().find(of).unwrap();
        let secret = &host.config.local.validator.as_ref().unwrap().secret;
        let domain = world.spec.domain();
        let vote = Vote::sign(domain, secret, VoteKind::Precommit, height, 0, block);
        signers.push(place);
        signatures.push(vote.signature);
    }
    Certificate { height, round: 0, block, signers, signatures }
}

/// A round that failed leaves precommits for nil of everybody, which anybody may collect.
#[test]
fn precommits_for_nil_are_no_certificate() {
    let (mut run, notes) = four_at(3, 1, Vec::new());
    let from: Vec<PeerId> = run.world.hosts[0].sessions.keys().copied().collect();
    let decided = run.world.hosts[0].node().unwrap().tree().finalized().0;
    for (from, height) in from.into_iter().zip([decided, decided + 1]) {
        let nil = Said::Commit(precommits(&run.world, height, B256::ZERO));
        run.world.give(0, Input::Message(from, Message::Engine(nil.encode())));
        pass(&mut run, 10);
    }
    pass(&mut run, 10_000);
    assert!(notes.borrow().alarms.is_empty(), "{:?}", notes.borrow().alarms);
    assert!(heights(&run).iter().all(|height| *height > decided + 3), "{:?}", heights(&run));
}

#[test]
fn a_certificate_against_a_final_block_stops_everybody() {
    // Without judges: a message that a test gives in somebody's name is nobody's fault.
    let (mut run, notes) = four_at(3, 1, Vec::new());
    let world = &run.world;
    let height = world.hosts[0].node().unwrap().tree().finalized().0;
    let head = world.hosts[0].node().unwrap().tree().finalized().1;
    let certificate = precommits(world, height, B256::repeat_byte(7));
    let from: Vec<PeerId> = world.hosts[0].sessions.keys().copied().collect();
    // A forged one is its sender's fault and nothing else.
    let forged = Certificate { signatures: vec![Default::default(); 3], ..certificate.clone() };
    for (from, what, alarms) in [(from[0], forged, 0), (from[1], certificate, 1)] {
        let said = Message::Engine(Said::Commit(what).encode());
        run.world.give(0, Input::Message(from, said));
        // It may be busy with something else.
        pass(&mut run, 10);
        assert_eq!(notes.borrow().alarms.iter().filter(|(host, _)| *host == 0).count(), alarms);
    }
    let alarms: Vec<String> = notes.borrow().alarms.iter().map(|(_, text)| text.clone()).collect();
    assert!(alarms[0].contains("has forked"), "{alarms:?}");
    let node = run.world.hosts[0].node().unwrap();
    assert_eq!(node.tree().finalized(), (height, head), "what is final stays so");
    // Those that are at the same height stop as well, and three of four are needed.
    pass(&mut run, 3_000);
    let (stopped, signed) = (heights(&run), notes.borrow().signed);
    pass(&mut run, 10_000);
    assert_eq!(heights(&run)[0], height, "the first one decides nothing any more");
    if notes.borrow().alarms.len() > 1 {
        assert_eq!((heights(&run), notes.borrow().signed), (stopped, signed));
    }
}

#[test]
fn after_a_lock_all_crash_and_one_never_returns() {
    let mut locked = 0;
    for seed in 0..12 {
        let (mut run, notes) = four_at(2, seed, kette_sim::checkers::all());
        notes.borrow_mut().locked = None;
        while notes.borrow().locked.is_none() {
            pass(&mut run, 1);
        }
        let holder = notes.borrow().locked.unwrap();
        // A write takes two milliseconds, with the sign state four.
        pass(&mut run, 5 + seed);
        for host in 0..4 {
            run.world.crash(host, Loss::Unsynced);
        }
        // The one with the lock, or another one.
        let gone = (holder + seed as usize) % 4;
        for host in (0..4).filter(|host| *host != gone) {
            run.world.start(host);
        }
        let status = |host: usize| match run.world.hosts[host]
            .node()
            .unwrap()
            .status(run.world.time())
            .engine
        {
            Status::Bft(status) => status,
            Status::Pow(_) => panic!("bft"),
        };
        locked += (0..4)
            .filter(|host| *host != gone)
            .filter(|host| status(*host).locked.is_some())
            .count();
        let before = heights(&run).into_iter().max().unwrap();
        pass(&mut run, 30_000);
        let after = heights(&run);
        assert!(after.iter().all(|now| *now >= before + 5), "seed {seed}: {before} {after:?}");
    }
    assert!(locked > 0, "in some run a lock outlived the crash");
}
