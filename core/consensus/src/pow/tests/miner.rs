//! The life of a miner as tables of inputs and outputs, and under random inputs.

use super::*;
use crate::{Command, JobResult};
use proptest::prelude::*;

fn started(local: Local) -> (Harness, Vec<String>) {
    let mut node = Harness::new(spec(), local);
    let outputs = node.say(Input::Start);
    (node, outputs)
}

fn mining() -> Harness {
    let (node, outputs) = started(Local { mining: true, ..local() });
    assert_eq!(outputs, ["propose on 0 at 100"]);
    node
}

fn command(node: &mut Harness, command: Command) -> Vec<String> {
    node.say(Input::Command(command))
}

const NOTHING: [&str; 0] = [];

#[test]
fn mines_block_after_block() {
    let mut node = mining();
    assert_eq!(node.answer(0), ["start 1 with 2"], "empty blocks are mined too");
    assert_eq!(node.after(4_000).finish(), ["publish 1"]);
    assert_eq!(node.status().blocks_found, 1);
    assert_eq!(node.own_block(), ["head 1", "propose on 1 at 104"]);
    assert_eq!(node.answer(0), ["start 2 with 2"]);
    assert_eq!(node.after(5_000).finish(), ["publish 2"]);
    assert_eq!(node.own_block(), ["head 2", "propose on 2 at 109"]);
    assert_eq!(node.published[0].beneficiary, local().beneficiary);
}

#[test]
fn nothing_happens_before_start_and_nothing_is_due_without_mining() {
    let mut node = Harness::new(spec(), Local { mining: true, ..local() });
    assert_eq!(node.say(Input::Restored(Bytes::new())), NOTHING);
    assert_eq!(node.say(Input::Pending), NOTHING);
    assert_eq!(node.engine.deadline(), None);
    let (mut node, outputs) = started(local());
    assert_eq!(outputs, NOTHING);
    assert_eq!(node.say(Input::Pending), NOTHING);
    assert_eq!(node.say(Input::Tick), NOTHING);
    assert_eq!(node.engine.deadline(), None);
    assert_eq!(node.status().work, None);
}

#[test]
fn a_job_says_what_to_search() {
    let mut node = mining();
    node.answer(0);
    let (_, job) = node.jobs[0].clone();
    assert_eq!(job.target, proof::target(first_difficulty()));
    assert_eq!((job.rate, job.threads), (Some(500), 2));
    let mut other = Harness::new(spec(), Local { mining: true, seed: 8, ..local() });
    other.say(Input::Start);
    other.answer(0);
    assert_eq!(other.jobs[0].1.preimage, job.preimage);
    assert_ne!(other.jobs[0].1.nonce_start, job.nonce_start, "nodes begin elsewhere");
}

#[test]
fn a_foreign_head_cancels_the_job_before_the_new_proposal() {
    let mut node = mining();
    node.answer(0);
    let (job, work) = node.jobs[0].clone();
    let foreign = mine(&spec(), &genesis(), EPOCH + 50);
    assert_eq!(node.block(foreign), ["head 1", "cancel 1", "propose on 1 at 100"]);
    let nonce = proof::search(&work, 0, 1 << 20).expect("low difficulty");
    assert_eq!(node.say(Input::Done(job, JobResult::Nonce(nonce))), NOTHING, "stale");
    assert_eq!(
        command(&mut node, Command::SubmitWork { preimage: work.preimage, nonce }),
        ["rejected: stale work: the chain moved on; ask for new work"]
    );
    assert_eq!(node.say(Input::Done(JobId(99), JobResult::Nonce(nonce))), NOTHING);
    assert_eq!(node.say(Input::Done(JobId(1), JobResult::Senders(Vec::new()))), NOTHING);
}

#[test]
fn a_template_for_another_parent_or_without_a_proposal_is_ignored() {
    let mut node = mining();
    let foreign = mine(&spec(), &genesis(), EPOCH + 50);
    let (old, attributes) = node.asked.clone().expect("asked");
    node.block(foreign);
    let new = node.asked.replace((old, attributes)).expect("asked again");
    assert_eq!(node.answer(0), NOTHING);
    node.asked = Some(new.clone());
    assert_eq!(node.answer(0), ["start 1 with 2"]);
    node.asked = Some(new);
    assert_eq!(node.answer(0), NOTHING);
}

#[test]
fn templates_are_renewed_every_ten_seconds() {
    let mut node = mining();
    node.answer(0);
    assert_eq!(node.engine.deadline(), Some(Time::from_secs(EPOCH + 110)));
    assert_eq!(node.after(9_999).say(Input::Tick), NOTHING);
    assert_eq!(node.after(1).say(Input::Tick), ["propose on 0 at 110"]);
    assert_eq!(node.jobs.len(), 1, "the old search goes on until the new template is there");
    assert_eq!(node.answer(0), ["cancel 1", "start 2 with 2"]);
    // The host that does not answer is asked again.
    assert_eq!(node.after(10_000).say(Input::Tick), ["propose on 0 at 120"]);
    assert_eq!(node.after(10_000).say(Input::Tick), ["propose on 0 at 130"]);
}

#[test]
fn new_transactions_renew_a_template_once_a_second() {
    let mut node = mining();
    node.answer(0);
    assert_eq!(node.after(300).say(Input::Pending), NOTHING);
    assert_eq!(node.engine.deadline(), Some(Time::from_secs(EPOCH + 101)));
    assert_eq!(node.after(300).say(Input::Pending), NOTHING);
    assert_eq!(node.after(400).say(Input::Tick), ["propose on 0 at 101"]);
    assert_eq!(node.answer(21_000), ["cancel 1", "start 2 with 2"]);
    assert_eq!(node.engine.deadline(), Some(Time::from_secs(EPOCH + 111)));
    assert_eq!(node.after(5_000).say(Input::Pending), ["propose on 0 at 106"], "late enough");
}

#[test]
fn a_replaced_template_still_makes_a_block_on_the_same_head() {
    let mut node = mining();
    node.answer(0);
    let (job, work) = node.jobs[0].clone();
    node.after(10_000).say(Input::Tick);
    node.answer(0);
    let nonce = proof::search(&work, 0, 1 << 20).expect("low difficulty");
    assert_eq!(node.say(Input::Done(job, JobResult::Nonce(nonce))), ["cancel 2", "publish 1"]);
    assert_eq!(node.published[0].timestamp, EPOCH + 100);
    assert_eq!(node.own_block(), ["head 1", "propose on 1 at 110"]);
}

#[test]
fn a_worker_that_is_wrong_raises_an_alarm() {
    let mut node = mining();
    node.answer(0);
    let (job, work) = node.jobs.remove(0);
    let loser = (0..).find(|nonce| proof::pow_hash(work.preimage, *nonce) > work.target);
    let loser = loser.expect("three of four lose");
    assert_eq!(node.say(Input::Done(job, JobResult::Nonce(loser))), ["alarm"]);
    assert!(node.published.is_empty());
    assert_eq!(node.after(10_000).say(Input::Tick), ["propose on 0 at 110"]);
}

#[test]
fn our_own_invalid_block_raises_an_alarm_and_mining_goes_on_later() {
    let mut node = mining();
    node.answer(0);
    node.finish();
    let hash = node.published[0].hash();
    assert_eq!(node.say(Input::Invalid(B256::ZERO)), NOTHING);
    assert_eq!(node.say(Input::Invalid(hash)), ["alarm"]);
    assert_eq!(node.after(10_000).say(Input::Tick), ["propose on 0 at 110"]);
}

#[test]
fn mining_is_switched_on_and_off() {
    let (mut node, _) = started(local());
    let on = Command::Mining { on: true, threads: None };
    assert_eq!(command(&mut node, on.clone()), ["propose on 0 at 100"]);
    assert_eq!(command(&mut node, on), NOTHING);
    node.answer(0);
    let threads = Command::Mining { on: true, threads: Some(5) };
    assert_eq!(command(&mut node, threads), ["cancel 1", "start 2 with 5"]);
    let off = Command::Mining { on: false, threads: None };
    assert_eq!(command(&mut node, off), ["cancel 2"]);
    assert_eq!(node.engine.deadline(), None);
    assert!(!node.status().mining);
}

#[test]
fn a_given_number_of_blocks_is_mined() {
    let (mut node, _) = started(Local { threads: 0, ..local() });
    assert_eq!(command(&mut node, Command::MineBlocks(2)), ["propose on 0 at 100"]);
    assert_eq!(node.answer(0), ["start 1 with 1"], "also empty ones, also with no threads");
    assert_eq!(node.finish(), ["publish 1"]);
    assert_eq!(node.own_block(), ["head 1", "propose on 1 at 101"]);
    node.answer(0);
    assert_eq!(node.finish(), ["publish 2"]);
    assert_eq!(node.engine.deadline(), None);
    assert_eq!(node.own_block(), ["head 2"]);
    assert_eq!(node.status().blocks_ordered, 0);
}

#[test]
fn on_demand_blocks_are_made_for_transactions_only() {
    let (mut node, outputs) = started(Local { on_demand: true, ..local() });
    assert_eq!(outputs, NOTHING);
    assert_eq!(node.say(Input::Pending), ["propose on 0 at 100"]);
    assert_eq!(node.answer(21_000), ["start 1 with 2"]);
    assert_eq!(node.finish(), ["publish 1"]);
    assert_eq!(node.own_block(), ["head 1", "propose on 1 at 101"], "more may wait");
    assert_eq!(node.answer(0), NOTHING, "nothing did");
    assert_eq!(node.engine.deadline(), None);
    assert_eq!(node.block(mine(&spec(), node.tree.head(), EPOCH + 101)), ["head 2"]);
    // Transactions that arrive while a template is made are not forgotten.
    assert_eq!(node.say(Input::Pending), ["propose on 2 at 101"]);
    assert_eq!(node.say(Input::Pending), NOTHING);
    assert_eq!(node.answer(0), ["propose on 2 at 101"]);
    assert_eq!(node.answer(0), NOTHING);
    // Ordered blocks may be empty.
    assert_eq!(command(&mut node, Command::MineBlocks(1)), ["propose on 2 at 101"]);
    assert_eq!(node.answer(0), ["start 2 with 2"]);
}

#[test]
fn external_miners_take_work_from_the_status_and_submit() {
    let (mut node, outputs) = started(Local { mining: true, threads: 0, ..local() });
    assert_eq!(outputs, ["propose on 0 at 100"]);
    assert_eq!(node.answer(0), NOTHING, "no thread of our own");
    let work = node.status().work.expect("a template");
    assert_eq!((work.parent, work.number), (genesis().hash(), 1));
    let job = MineJob {
        preimage: work.preimage,
        target: work.target,
        nonce_start: 0,
        rate: None,
        threads: 1,
    };
    let nonce = proof::search(&job, 0, 1 << 20).expect("low difficulty");
    let loser = (0..).find(|n| proof::pow_hash(work.preimage, *n) > work.target).expect("most");
    let submit = |preimage, nonce| Command::SubmitWork { preimage, nonce };
    assert_eq!(
        command(&mut node, submit(work.preimage, loser)),
        ["rejected: the nonce does not meet the target"]
    );
    assert_eq!(
        command(&mut node, submit(B256::ZERO, nonce)),
        ["rejected: stale work: the chain moved on; ask for new work"]
    );
    // The template was renewed meanwhile; the work still counts.
    node.after(10_000).say(Input::Tick);
    node.answer(0);
    assert_ne!(node.status().work.expect("a template").preimage, work.preimage);
    assert_eq!(command(&mut node, submit(work.preimage, nonce)), ["publish 1"]);
    assert_eq!(
        command(&mut node, submit(work.preimage, nonce)),
        ["rejected: stale work: the chain moved on; ask for new work"]
    );
    assert_eq!(node.own_block(), ["head 1", "propose on 1 at 110"]);
}

#[test]
fn only_the_last_templates_are_kept_for_external_miners() {
    let (mut node, _) = started(Local { mining: true, threads: 0, ..local() });
    node.answer(0);
    let first = node.status().work.expect("a template");
    for _ in 0..4 {
        node.after(10_000).say(Input::Tick);
        node.answer(0);
    }
    let submit = Command::SubmitWork { preimage: first.preimage, nonce: 0 };
    assert_eq!(
        command(&mut node, submit),
        ["rejected: stale work: the chain moved on; ask for new work"]
    );
}

#[test]
fn timestamps_follow_clock_parent_and_median() {
    let mut node = mining();
    // The parent's clock is ahead of ours.
    let ahead = mine(&spec(), &genesis(), EPOCH + 130);
    assert_eq!(node.block(ahead), ["head 1", "propose on 1 at 131"], "the median is 130");
    for (number, timestamp) in [(2, 131), (3, 132), (4, 132), (5, 132)] {
        node.answer(0);
        node.finish();
        let proposal = format!("propose on {number} at {timestamp}");
        assert_eq!(node.own_block()[1..].last(), Some(&proposal));
    }
    // The clock catches up.
    assert_eq!(node.after(40_000).say(Input::Tick), ["propose on 5 at 140"]);
}

#[test]
fn development_commands_move_the_time_of_our_blocks() {
    let mut node = mining();
    node.answer(0);
    assert_eq!(command(&mut node, Command::AddTime(3_600)), ["propose on 0 at 3700"]);
    assert_eq!(node.answer(0), ["cancel 1", "start 2 with 2"]);
    node.finish();
    assert_eq!(node.own_block(), ["head 1", "propose on 1 at 3701"]);
    assert_eq!(node.status().time_offset, 3_600);
    assert_eq!(
        command(&mut node, Command::NextTimestamp(EPOCH + 3_700)),
        ["rejected: the timestamp must be later than that of the head"]
    );
    assert_eq!(
        command(&mut node, Command::NextTimestamp(EPOCH + 90_000)),
        ["propose on 1 at 90000"]
    );
    node.answer(0);
    assert_eq!(node.after(2_000).finish(), ["publish 2"]);
    assert_eq!(node.own_block(), ["head 2", "propose on 2 at 90000"], "time goes on from there");
    assert_eq!(node.after(10_000).say(Input::Tick), ["propose on 2 at 90010"]);
    // Other nodes hold such blocks.
    let other = Pow::new(spec(), first_difficulty(), local());
    let verdict = other.check(node.now, &node.published[0], &node.tree);
    assert!(matches!(verdict, Err(crate::SealError::Future(_))));
}

#[test]
fn a_burst_that_runs_ahead_of_the_clock_waits_for_it() {
    let (mut node, _) = started(local());
    let mut said = command(&mut node, Command::MineBlocks(10_000));
    let mut blocks = 0;
    while said.last().is_some_and(|last| last.starts_with("propose")) {
        node.answer(0);
        node.finish();
        said = node.own_block();
        blocks += 1;
        assert!(blocks < 1_000, "the future limit holds");
    }
    assert!(blocks > 60 * 5, "six blocks fit into a second: {blocks}");
    let head = node.tree.head().timestamp;
    assert!(head <= node.now.as_secs() + spec().future_limit);
    let due = node.engine.deadline().expect("it waits");
    node.now = due;
    let said = node.say(Input::Tick);
    assert!(said[0].starts_with("propose"), "{said:?}");
}

#[test]
fn messages_are_faults_of_their_sender() {
    let (mut node, _) = started(local());
    let peer = kette_types::PeerId::default();
    assert_eq!(node.say(Input::Message(peer, Bytes::new())), ["fault"]);
}

#[test]
fn status_tells_difficulty_rate_and_schedule() {
    let (mut node, _) = started(local());
    assert_eq!(node.status().difficulty, first_difficulty());
    let one = mine(&spec(), &genesis(), EPOCH + 5);
    node.block(one.clone());
    assert_eq!(node.status().hash_rate_estimate, U256::ZERO, "one block tells nothing");
    let two = mine(&spec(), &one, EPOCH + 9);
    node.block(two.clone());
    let status = node.status();
    assert_eq!(status.hash_rate_estimate, U256::from(2), "8 hashes in 4 seconds");
    assert_eq!((status.excess_seconds, status.pause_skip_seconds), (-6, 0));
    assert_eq!(status.difficulty, schedule::next_difficulty(&spec(), first_difficulty(), &two));
    assert_eq!(status.target, proof::target(status.difficulty));
    node.block(mine(&spec(), &two, EPOCH + 9 + 1_000));
    assert_eq!(node.status().pause_skip_seconds, 700);
    let json = serde_json::to_value(node.engine.status()).expect("plain data");
    for key in ["engine", "mining", "onDemand", "hashRateEstimate", "finalityDepth", "alarm"] {
        assert!(json.get(key).is_some(), "{key} is missing in {json}");
    }
}

/// What happens to a node, at random.
#[derive(Clone, Debug)]
enum Event {
    After(u16),
    Pending,
    Answer(bool),
    Finish,
    OwnBlock,
    ForeignBlock(u8),
    Mining(bool, Option<u32>),
    MineBlocks(u8),
    AddTime(u8),
    Submit,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0u16..12_000).prop_map(Event::After),
        Just(Event::Pending),
        any::<bool>().prop_map(Event::Answer),
        any::<bool>().prop_map(Event::Answer),
        Just(Event::Finish),
        Just(Event::OwnBlock),
        (1u8..40).prop_map(Event::ForeignBlock),
        (any::<bool>(), prop::option::of(0u32..3)).prop_map(|(on, n)| Event::Mining(on, n)),
        (0u8..3).prop_map(Event::MineBlocks),
        (0u8..30).prop_map(Event::AddTime),
        Just(Event::Submit),
    ]
}

fn perform(node: &mut Harness, event: Event) {
    match event {
        Event::After(millis) => {
            node.after(millis.into()).say(Input::Tick);
        }
        Event::Pending => {
            node.say(Input::Pending);
        }
        Event::Answer(empty) if node.asked.is_some() => {
            node.answer(if empty { 0 } else { 21_000 });
        }
        Event::Finish if !node.jobs.is_empty() => {
            node.finish();
        }
        Event::OwnBlock => {
            let waiting = node.published.last().is_some_and(|h| !node.tree.contains(h.hash()));
            if waiting {
                node.own_block();
            }
        }
        Event::ForeignBlock(after) => {
            let head = node.tree.head().clone();
            node.block(mine(&spec(), &head, head.timestamp + u64::from(after)));
        }
        Event::Mining(on, threads) => {
            command(node, Command::Mining { on, threads });
        }
        Event::MineBlocks(blocks) => {
            command(node, Command::MineBlocks(blocks.into()));
        }
        Event::AddTime(seconds) => {
            command(node, Command::AddTime(seconds.into()));
        }
        Event::Submit => {
            if let Some(work) = node.status().work {
                let wins = |nonce: &u64| proof::pow_hash(work.preimage, *nonce) <= work.target;
                let nonce = (0..).find(wins).expect("low difficulty");
                let said = command(node, Command::SubmitWork { preimage: work.preimage, nonce });
                assert!(said.last().is_some_and(|last| last.starts_with("publish")), "{said:?}");
            }
        }
        Event::Answer(_) | Event::Finish => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Own blocks keep the rules (checked by `own_block`), deadlines move on (checked by `say`), at most one
    /// job runs, and it runs on the head.
    #[test]
    fn invariants_hold_under_random_inputs(
        on_demand: bool,
        events in prop::collection::vec(event(), 1..80),
    ) {
        let (mut node, _) = started(Local { on_demand, mining: !on_demand, ..local() });
        for event in events {
            perform(&mut node, event.clone());
            prop_assert!(node.jobs.len() <= 1, "{:?} run after {event:?}", node.jobs);
            let status = node.status();
            if let Some(work) = status.work {
                prop_assert_eq!(work.parent, node.tree.head().hash());
            }
            if let Some((_, job)) = node.jobs.first() {
                let work = status.work.expect("a job runs on a template");
                prop_assert_eq!(job.preimage, work.preimage);
            }
            let idle = !status.mining && status.blocks_ordered == 0 && !on_demand;
            prop_assert!(!idle || (node.jobs.is_empty() && node.engine.deadline().is_none()));
        }
    }
}
