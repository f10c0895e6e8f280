//! A leader of a `bft` chain that makes blocks without end: beyond a few of a height none of its proofs is looked at.

use crate::bft::{four_at, pass};
use kette_consensus::bft::SignatureMemo;
use kette_node::Input;
use kette_sim::{disk::Loss, run::Run};
use kette_types::{
    B256, Block, SealedHeader,
    bft::{PublicKey, Seal, Signature},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts what is judged.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl SignatureMemo for Count {
    fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature, judge: &dyn Fn() -> bool) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        judge()
    }

    fn proves(&self, _: &B256, _: &B256, _: &[u8], judge: &dyn Fn() -> bool) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        judge()
    }
}

/// Returns a block that the second validator knows and that is not decided there, if there is one.
fn open_block(run: &Run) -> Option<Block> {
    let tree = run.world.hosts[1].node()?.tree();
    let (height, _) = tree.finalized();
    let hash = tree.leaves().find(|header| header.number == height + 1)?.hash();
    tree.executed(hash).map(|block| block.block.clone())
}

/// Leaves the second of four validators alone with a block that is not decided, if its leader is
/// one of the last two.
fn alone_with_a_block(height: u64, count: &Arc<Count>) -> Option<(Run, Block)> {
    let (mut run, _) = four_at(height, 1, Vec::new());
    run.world.crash(1, Loss::Unsynced);
    run.world.hosts[1].config.local.signatures = Some(count.clone());
    run.world.start(1);
    pass(&mut run, 5_000);
    // Two of four decide nothing; one of them may lead.
    for host in [2, 3] {
        run.world.crash(host, Loss::Unsynced);
    }
    pass(&mut run, 5_000);
    run.world.crash(0, Loss::Unsynced);
    // What is on its way arrives, and the milliseconds of its siblings pass.
    pass(&mut run, 2_000);
    let block = open_block(&run)?;
    Some((run, block))
}

fn seal(header: &SealedHeader) -> Seal {
    Seal::decode_exact(header.seal()).unwrap()
}

/// Another block of the same leader for the same round, as good as the first: some milliseconds later.
fn sibling(run: &Run, block: &Block, later_ms: u64) -> Block {
    let (mut header, mut seal) = (block.header.header().clone(), seal(&block.header));
    let identities = run.world.hosts.iter().filter_map(|host| host.config.local.validator.as_ref());
    let mut leader = identities.filter(|identity| identity.key() == seal.key);
    let identity = leader.next().unwrap();
    seal.time_ms += later_ms;
    header.timestamp = seal.time_ms / 1_000;
    seal.signature = Signature::ZERO;
    seal.signature = identity.secret.sign(&seal.signed_bytes(run.world.spec.domain(), &header));
    header.extra_data = seal.commitment();
    Block { header: SealedHeader::new(header, seal.encoded()), ..block.clone() }
}

#[test]
fn blocks_of_a_leader_without_end_are_not_checked_without_end() {
    let count = Arc::new(Count::default());
    let found = (3..30).find_map(|height| alone_with_a_block(height, &count));
    let (mut run, block) = found.expect("one of the last two leads sometimes");
    let mut checked = Vec::new();
    for n in 1..=150 {
        let before = count.0.load(Ordering::Relaxed);
        let sibling = sibling(&run, &block, n);
        run.world.give(1, Input::SubmitBlock(n, Box::new(sibling)));
        // Nobody else is there to say anything.
        pass(&mut run, 20);
        checked.push(count.0.load(Ordering::Relaxed) - before);
    }
    let taken = checked.iter().filter(|judged| **judged > 0).count();
    assert!((32..=64).contains(&taken), "{checked:?}");
    assert!(checked[64..].iter().all(|judged| *judged == 0), "{checked:?}");
}
