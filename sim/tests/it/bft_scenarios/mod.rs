//! The 24 scenarios of the engine `bft`: embedded files and tests, each with several seeds and what must come of it.
//!
//! | # | Scenario | Where |
//! |---|---|---|
//! | 1 | equivocating proposer, one of four | `liars`, file `bft4-e` |
//! | 2 | the same, three validators, two thirds decide | `liars`, file `bft-fork` |
//! | 3 | equivocating voter | `liars`, file `bft-double-votes` |
//! | 4 | amnesia, one and two of four | `liars`, files `bft-amnesia`, `bft-amnesia-fork` |
//! | 5 | lost proposals | `faults`, file `bft-lost-proposals` |
//! | 6 | prepares after the precommit time-out | `faults`, file `bft-late-votes` |
//! | 7 | proposals after the prepares; past rounds | `faults`, file `bft-late-proposals` |
//! | 8 | partitions | `faults`, files `bft-partitions`, `bft4-p` |
//! | 9 | loss, duplicates, order, jitter | `faults`, file `bft-lossy` |
//! | 10 | power lost at every write | `crashes`, file `bft-crashes` |
//! | 11 | power lost everywhere | `faults`, file `bft-blackout` |
//! | 12 | disks | `faults`, file `bft-disks`; whole disks in `kette/tests` |
//! | 13 | sign state lost or old, key copied | `crashes` |
//! | 14 | twins | `liars`, file `bft-twins` |
//! | 15 | late joiner, long gap, lying height | `faults`, file `bft-late-joiner` |
//! | 16 | pauses, slow disk, slow processor | `faults`, file `bft-pauses` |
//! | 17 | clocks | `faults`, file `bft-clocks` |
//! | 18 | validators come, go and change | `registry` |
//! | 19 | bad blocks, wrong leader | `liars`, file `bft-bad-blocks` |
//! | 20 | floods | `liars`, file `bft-floods` |
//! | 21 | weights | `registry`, file `bft-weights` |
//! | 22 | versions, other chains | `faults`, file `bft-versions`; `registry` |
//! | 23 | leaders | `core/consensus` (10,000 heights); withheld: `liars`, file `bft-withholder` |
//! | 24 | against another implementation | `core/consensus` |

mod crashes;
mod faults;
mod liars;
mod notes;
mod registry;

use kette_chain::ExecutedBlock;
use kette_ledger::staking;
use kette_sim::{
    Moment, checkers,
    run::{Run, RunOptions, RunReport, Scenario},
    scenario::NetworkFile,
    world::Host,
};
use kette_types::bft::{PublicKey, Seal, ValidatorSet};
use notes::{Notes, Witness};
use std::{
    cell::{Ref, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// Chains that network files name.
const CHAINS: [(&str, &str); 3] = [
    ("bft4", include_str!("../../../../kette/presets/chains/bft4.json")),
    ("timecoin", include_str!("../../../../kette/presets/chains/timecoin.json")),
    ("timecoin5", include_str!("../../../../kette/presets/chains/timecoin5.json")),
];

/// An embedded scenario's file.
macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../../../../kette/presets/scenarios/", $name, ".toml"))
    };
}
use file;

/// A run to its end, with what the witness saw.
struct Ran {
    run: Run,
    report: RunReport,
    notes: Rc<RefCell<Notes>>,
}

fn scenario(text: &str) -> Scenario {
    let file = NetworkFile::parse(text).unwrap();
    let chain = CHAINS.iter().find(|(name, _)| *name == file.network.chain).unwrap().1;
    Scenario::new(file, chain).unwrap()
}

/// Prepares a run that all judges and the witness watch.
fn prepared(text: &str, seed: u64) -> (Run, Rc<RefCell<Notes>>) {
    let notes = Rc::new(RefCell::new(Notes::default()));
    let mut judges = checkers::all();
    judges.push(Box::new(Witness(notes.clone())));
    let options = RunOptions { seed, ..RunOptions::default() };
    (Run::with_checkers(&scenario(text), &options, judges).unwrap(), notes)
}

/// Prepares a run and starts everybody; the test drives it.
fn started(text: &str, seed: u64) -> (Run, Rc<RefCell<Notes>>) {
    let (mut run, notes) = prepared(text, seed);
    for host in 0..run.world.hosts.len() {
        run.world.start(host);
    }
    (run, notes)
}

fn finished(mut run: Run, notes: Rc<RefCell<Notes>>) -> Ran {
    while run.advance(u64::MAX) {}
    let report = run.report();
    Ran { run, report, notes }
}

/// Runs a file to its end.
fn ran(text: &str, seed: u64) -> Ran {
    let (run, notes) = prepared(text, seed);
    finished(run, notes)
}

/// Runs a file with some seeds; all must be well, and this as well.
fn holds(text: &str, seeds: std::ops::Range<u64>, check: impl Fn(&Ran)) {
    for seed in seeds {
        let ran = ran(text, seed);
        crate::support::assert_ok(&text[..text.len().min(60)], &ran.report);
        check(&ran);
    }
}

impl Ran {
    fn notes(&self) -> Ref<'_, Notes> {
        self.notes.borrow()
    }

    fn host(&self, name: &str) -> &Host {
        self.run.world.hosts.iter().find(|host| host.name == name).unwrap()
    }

    fn key(&self, name: &str) -> PublicKey {
        self.host(name).config.local.validator.as_ref().unwrap().key()
    }

    /// The chain of the first honest host that runs, without block 0.
    fn chain(&self) -> Vec<Arc<ExecutedBlock>> {
        let world = &self.run.world;
        let tree = world.honest().next().unwrap().node().unwrap().tree();
        let hashes =
            (1..=tree.head().number).map(|number| tree.canonical(number).unwrap().unwrap());
        hashes.map(|hash| world.blocks[&hash].block.clone()).collect()
    }

    fn seals(&self) -> Vec<Seal> {
        let seal =
            |block: Arc<ExecutedBlock>| Seal::decode_exact(block.block.header.seal()).unwrap();
        self.chain().into_iter().map(seal).collect()
    }

    /// Who votes in the height after the last block.
    fn validators(&self) -> ValidatorSet {
        let last = self.chain().pop().unwrap();
        staking::validators(&last.state, last.number() + 1).unwrap().unwrap()
    }

    /// Whom evidence in blocks is against.
    fn punished(&self) -> Vec<PublicKey> {
        self.seals().iter().flat_map(|seal| &seal.evidence).map(|one| one.culprit()).collect()
    }
}

fn at(seconds: u64) -> Moment {
    Moment::START + Duration::from_secs(seconds)
}

/// Heights decided between two times of a run, seconds.
fn decided(notes: &Notes, from: u64, to: u64) -> usize {
    notes.decided(at(from), at(to))
}
