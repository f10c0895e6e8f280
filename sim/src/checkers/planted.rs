//! Wrong situations, planted: the judges of consensus must object to each, and to nothing in runs that are in order.

use super::{
    Checker, Observation, agreement::Agreement, ancestry::Ancestry, difficulty::Difficulty,
    fairness::Fairness, finality::Finality, fixture::*, fork_choice::ForkChoice, supply::Supply,
    validity::Validity,
};
use crate::{Moment, World, disk::Loss, scenario::Misbehaviour};
use kette_chain::{ExecutedBlock, Record};
use kette_node::Event;
use kette_types::{B256, Bytes, Message, SealedHeader, U256, message::CompactBlock};
use std::sync::Arc;

fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(Validity::default()),
        Box::new(Agreement::default()),
        Box::new(Finality::default()),
        Box::new(Ancestry::default()),
        Box::new(ForkChoice::default()),
        Box::new(Supply::default()),
        Box::new(Difficulty::default()),
        Box::new(Fairness::default()),
    ]
}

/// Canonical blocks of the first host, ascending from block 1.
fn canonical(world: &World) -> Vec<Arc<ExecutedBlock>> {
    let tree = world.hosts[0].node().unwrap().tree();
    let hashes = (1..=tree.head().number).map(|n| tree.canonical(n).unwrap().unwrap());
    hashes.map(|hash| world.blocks[&hash].block.clone()).collect()
}

fn attach(
    judge: &mut dyn Checker,
    world: &World,
    host: usize,
    block: ExecutedBlock,
) -> Result<(), String> {
    let records = [Record::Block(Arc::new(block))];
    judge.observe(world, &Observation::Ordered { host, records: &records })
}

fn order(judge: &mut dyn Checker, world: &World, record: Record) -> Result<(), String> {
    judge.observe(world, &Observation::Ordered { host: 0, records: &[record] })
}

fn tell(judge: &mut dyn Checker, world: &World, host: usize, event: &Event) -> Result<(), String> {
    judge.observe(world, &Observation::Event { host, event })
}

fn final_event(number: u64, hash: B256) -> Event {
    Event::Finalized { number, hash }
}

fn final_record(number: u64, hash: B256) -> Record {
    Record::Final { number, hash, justification: Bytes::new() }
}

const STRANGE: B256 = B256::repeat_byte(0x77);

#[test]
fn a_quiet_run_is_in_order() {
    let mut small = Small::with(3, all());
    small.submit(0, 20);
    small.mine_to(70);
    small.world.set_healed();
    assert_eq!(ended(&mut small.world), None);
}

#[test]
fn a_run_with_faults_is_in_order() {
    let mut small = Small::with(3, all());
    small.world.faulty = true;
    small.submit(0, 5);
    small.mine_to(12);
    cut(&mut small.world, 0, 1, true);
    cut(&mut small.world, 0, 2, true);
    small.run(400);
    crash(&mut small.world, 1);
    small.run(20);
    small.world.start(1);
    cut(&mut small.world, 0, 1, false);
    cut(&mut small.world, 0, 2, false);
    small.run(60);
    small.world.crash(2, Loss::Unsynced);
    small.world.wipe(2);
    small.world.start(2);
    small.run(120);
    small.world.set_healed();
    assert_eq!(ended(&mut small.world), None);
    let reorgs: u64 = (0..3).map(|host| small.node(host).counters().reorg_depth_max).sum();
    assert!(reorgs > 0, "the partition led to nothing");
}

/// Changes a block.
type Spoil = fn(&mut ExecutedBlock);

#[test]
fn what_is_not_valid_is_found() {
    let mut small = Small::new(2);
    small.submit(0, 5);
    small.mine_to(4);
    let world = &small.world;
    let blocks = canonical(world);
    let spoils: [(&str, Spoil); 8] = [
        ("weights", |b| b.weight += U256::from(1)),
        ("weights", |b| b.total_weight += U256::from(1)),
        ("issued", |b| b.issued += b.issued),
        ("burned", |b| b.burned += U256::from(1)),
        ("state root", |b| {
            let mut header = b.block.header.header().clone();
            header.state_root = STRANGE;
            b.block.header = super::validator::forge::sealed(header);
        }),
        ("proof", |b| {
            let mut header = b.block.header.header().clone();
            header.nonce.0[0] ^= 1;
            b.block.header = SealedHeader::new(header, Bytes::new());
        }),
        ("ahead", |b| {
            let mut header = b.block.header.header().clone();
            header.timestamp += 100_000;
            b.block.header = super::validator::forge::sealed(header);
        }),
        ("not accepted before", |b| {
            let mut header = b.block.header.header().clone();
            header.parent_hash = STRANGE;
            b.block.header = super::validator::forge::sealed(header);
        }),
    ];
    for (word, spoil) in spoils {
        let mut judge = Validity::default();
        attach(&mut judge, world, 0, (*blocks[0]).clone()).unwrap();
        let mut bad = (*blocks[1]).clone();
        spoil(&mut bad);
        let what = attach(&mut judge, world, 1, bad).expect_err(word);
        assert!(what.contains(word), "{word}: {what}");
        attach(&mut judge, world, 1, (*blocks[1]).clone()).unwrap_or_default();
    }
    let mut judge = Validity::default();
    blocks.iter().for_each(|b| attach(&mut judge, world, 0, (**b).clone()).unwrap());
    assert_eq!((judge.judged().0, judge.judged().1.len()), (blocks.len() as u64, 0));
}

#[test]
fn a_valid_block_that_is_refused_is_found() {
    let mut small = Small::new(2);
    small.mine_to(4);
    let blocks = canonical(&small.world);
    let refusal = |hash| Event::InvalidBlock { hash, reason: "no".to_owned(), peer: None };
    let mut judge = Validity::default();
    attach(&mut judge, &small.world, 0, (*blocks[0]).clone()).unwrap();
    tell(&mut judge, &small.world, 1, &refusal(blocks[0].hash())).unwrap_err();
    // First refused, then attached.
    let mut later = Validity::default();
    tell(&mut later, &small.world, 1, &refusal(blocks[0].hash())).unwrap_err();
    small.world.blocks.remove(&blocks[0].hash());
    let mut later = Validity::default();
    tell(&mut later, &small.world, 1, &refusal(blocks[0].hash())).unwrap();
    attach(&mut later, &small.world, 0, (*blocks[0]).clone()).unwrap_err();
    // Known from a liar only.
    small.world.hosts[0].byzantine = Some(Misbehaviour::Withholder);
    small.world.blocks.remove(&blocks[1].hash());
    tell(&mut judge, &small.world, 1, &refusal(blocks[1].hash())).unwrap();
    let header = blocks[1].block.header.clone();
    let compact = Box::new(CompactBlock { header, short_ids: Vec::new() });
    let message = Message::NewBlock(compact);
    let sent = Observation::Sent { host: 0, to: &[], message: &message };
    let mut judge = Validity::default();
    attach(&mut judge, &small.world, 1, (*blocks[0]).clone()).unwrap();
    judge.observe(&small.world, &sent).unwrap();
    tell(&mut judge, &small.world, 1, &refusal(blocks[1].hash())).unwrap_err();
    tell(&mut judge, &small.world, 1, &refusal(STRANGE)).unwrap();
}

#[test]
fn two_final_blocks_at_one_number_are_found() {
    let mut small = Small::new(2);
    small.mine_to(8);
    let mut judge = Agreement::default();
    tell(&mut judge, &small.world, 0, &final_event(2, STRANGE)).unwrap();
    tell(&mut judge, &small.world, 1, &final_event(1, STRANGE)).unwrap();
    tell(&mut judge, &small.world, 1, &final_event(2, B256::ZERO)).unwrap_err();
    small.world.faulty = true;
    tell(&mut judge, &small.world, 1, &final_event(2, B256::ZERO)).unwrap();
    judge.finish(&small.world).unwrap();
    cut(&mut small.world, 0, 1, true);
    let height = small.node(0).tree().head().number;
    while small.node(0).tree().finalized().0 <= height
        || small.node(1).tree().finalized().0 <= height
    {
        small.run(30);
    }
    judge.finish(&small.world).unwrap_err();
}

#[test]
fn finality_that_is_taken_back_is_found() {
    let mut small = Small::new(1);
    small.mine_to(9);
    let world = &small.world;
    let (number, hash) = small.node(0).tree().finalized();
    let up = Observation::Up { host: 0 };
    let turned = Observation::Turned { host: 0 };
    let begun = || {
        let mut judge = Finality::default();
        judge.observe(world, &up).unwrap();
        judge
    };
    let mut judge = begun();
    tell(&mut judge, world, 0, &final_event(number, STRANGE)).unwrap_err();
    let mut judge = begun();
    order(&mut judge, world, final_record(number, STRANGE)).unwrap_err();
    let mut judge = begun();
    tell(&mut judge, world, 0, &final_event(number + 1, STRANGE)).unwrap();
    tell(&mut judge, world, 0, &final_event(number, hash)).unwrap_err();
    // A restart that forgets.
    let mut judge = begun();
    tell(&mut judge, world, 0, &final_event(number + 1, STRANGE)).unwrap();
    judge.observe(world, &up).unwrap_err();
    judge.observe(world, &up).unwrap();
    // Replaced, with and without an alarm.
    let back = || Record::Canonical { keep: number - 1, added: vec![STRANGE] };
    let mut judge = begun();
    order(&mut judge, world, back()).unwrap();
    judge.observe(world, &turned).unwrap_err();
    let mut judge = begun();
    order(&mut judge, world, back()).unwrap();
    tell(&mut judge, world, 0, &Event::Alarm(String::new())).unwrap();
    judge.observe(world, &turned).unwrap();
    tell(&mut judge, world, 0, &final_event(number, STRANGE)).unwrap();
    // What an emptied disk forgets is excused.
    let mut judge = begun();
    tell(&mut judge, world, 0, &final_event(number + 1, STRANGE)).unwrap();
    world.hosts[0].disk.wipe();
    judge.observe(world, &up).unwrap();
}

#[test]
fn a_chain_with_a_gap_is_found() {
    let mut small = Small::new(1);
    small.mine_to(9);
    let world = &small.world;
    let blocks: Vec<B256> = canonical(world).iter().map(|block| block.hash()).collect();
    let head = blocks.len() as u64;
    let begun = || {
        let mut judge = Ancestry::default();
        judge.observe(world, &Observation::Up { host: 0 }).unwrap();
        judge
    };
    let canonical = |keep, added: &[B256]| Record::Canonical { keep, added: added.to_vec() };
    let cases = [
        (true, canonical(head - 2, &blocks[blocks.len() - 2..])),
        (true, canonical(head - 1, &[])),
        (false, canonical(head, &[blocks[1]])),
        (false, canonical(head - 2, &[blocks[blocks.len() - 1]])),
        (false, canonical(head - 2, &[STRANGE])),
        (false, canonical(head + 1, &[])),
        (true, final_record(head - 1, blocks[blocks.len() - 2])),
        (false, final_record(head - 1, blocks[0])),
        (false, final_record(1, blocks[0])),
        (false, final_record(head, STRANGE)),
    ];
    for (good, record) in cases {
        let what = format!("{record:?}");
        assert_eq!(order(&mut begun(), world, record).is_ok(), good, "{what}");
    }
    begun().finish(world).unwrap();
    small.world.blocks.remove(&blocks[3]);
    Ancestry::default().finish(&small.world).unwrap_err();
}

#[test]
fn a_head_that_is_not_the_best_is_found() {
    let mut small = Small::new(1);
    small.mine_to(9);
    let blocks = canonical(&small.world);
    let turned = Observation::Turned { host: 0 };
    let mut judge = ForkChoice::default();
    for block in &blocks {
        attach(&mut judge, &small.world, 0, (**block).clone()).unwrap();
    }
    judge.observe(&small.world, &turned).unwrap();
    judge.finish(&small.world).unwrap();
    let mut heavy = (*blocks[blocks.len() - 2]).clone();
    heavy.total_weight += U256::from(1_u64 << 40);
    attach(&mut judge, &small.world, 0, heavy.clone()).unwrap();
    judge.observe(&small.world, &turned).unwrap_err();
    // The same at the end: fresh nodes do not come to what is called the best.
    let hash = heavy.hash();
    small.world.blocks.get_mut(&hash).unwrap().block = Arc::new(heavy);
    ForkChoice::default().finish(&small.world).unwrap_err();
}

#[test]
fn wei_from_nowhere_is_found() {
    let mut small = Small::new(1);
    small.submit(0, 5);
    small.mine_to(17);
    let world = &small.world;
    let blocks = canonical(world);
    let run = |spoil: &dyn Fn(&mut ExecutedBlock)| {
        let mut judge = Supply::default();
        blocks.iter().try_for_each(|block| {
            let mut block = (**block).clone();
            spoil(&mut block);
            attach(&mut judge, world, 0, block)
        })?;
        judge.finish(world)
    };
    run(&|_| {}).unwrap();
    run(&|b| b.burned += U256::from(1)).unwrap_err();
    run(&|b| b.state = world.genesis.state.clone()).unwrap_err();
}

#[test]
fn an_unfair_share_and_a_wrong_pace_are_found() {
    let mut small = Small::new(2);
    let (mut fairness, mut pace) = (Fairness::default(), Difficulty::default());
    for host in 0..2 {
        let up = Observation::Up { host };
        fairness.observe(&small.world, &up).unwrap();
        pace.observe(&small.world, &up).unwrap();
    }
    small.mine_to(130);
    for judge in [&mut fairness as &mut dyn Checker, &mut pace] {
        judge.observe(&small.world, &Observation::Healed).unwrap();
        judge.finish(&small.world).unwrap();
    }
    for history in small.world.blocks.values_mut() {
        history.producer = Some(1);
        history.born = Moment::from_micros(history.born.as_micros() / 2);
    }
    let what = fairness.finish(&small.world).unwrap_err();
    assert!(what.contains("% of the hash rate"), "{what}");
    let what = pace.finish(&small.world).unwrap_err();
    assert!(what.contains("expected"), "{what}");
}
