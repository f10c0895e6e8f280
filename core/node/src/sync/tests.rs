//! What the sync machine asks, of whom, and what it keeps.

use super::*;
use kette_types::{Bytes, block::Header};
use std::collections::BTreeSet;

const T0: Time = Time::from_secs(1_000);

fn id(n: u8) -> PeerId {
    PeerId(B256::with_last_byte(n))
}

/// Headers in a row, each of weight 1, on a genesis of weight 0.
fn chain(n: u64, salt: u8) -> Vec<SealedHeader> {
    let mut parent = B256::ZERO;
    (1..=n)
        .map(|number| {
            let extra_data = Bytes::copy_from_slice(&[salt]);
            let header = Header { number, parent_hash: parent, extra_data, ..Header::default() };
            let header = SealedHeader::new(header, Bytes::new());
            parent = header.hash();
            header
        })
        .collect()
}

struct Bench {
    sync: Sync,
    now: Time,
    head: u64,
    known: BTreeSet<B256>,
}

/// What went out: headers asked of whom with which id, and bodies.
#[derive(Debug, Default)]
struct Asked {
    headers: Vec<(PeerId, u64)>,
    bodies: Vec<(PeerId, u64, Vec<B256>)>,
    faults: Vec<(PeerId, Fault)>,
}

impl Bench {
    fn new() -> Self {
        Self { sync: Sync::new(), now: T0, head: 0, known: BTreeSet::new() }
    }

    fn ours(&self) -> Ours {
        Ours { number: self.head, weight: U256::from(self.head), hash: B256::ZERO }
    }

    fn peers(&mut self, n: u8, weight: u64) {
        for peer in 1..=n {
            self.sync.claimed(id(peer), weight, U256::from(weight));
        }
    }

    fn accept(&mut self, headers: &[SealedHeader], from: PeerId) {
        for header in headers {
            let total = U256::from(header.number);
            self.sync.header_accepted(header.clone(), U256::ONE, total, from);
        }
    }

    fn tick(&mut self) -> Asked {
        let mut out = Vec::new();
        let known = self.known.clone();
        let faults = self.sync.tick(
            self.now,
            self.ours(),
            &mut || vec![B256::ZERO],
            &|hash| known.contains(&hash),
            &mut out,
        );
        let mut asked = Asked { faults, ..Asked::default() };
        for output in out {
            let Output::Send(peers, message) = output else { panic!("sync only sends") };
            assert_eq!(peers.len(), 1);
            match &*message {
                Message::GetHeaders { id, locator, .. } => {
                    assert!(locator.len() <= limits::LOCATOR_MAX);
                    asked.headers.push((peers[0], *id));
                }
                Message::GetBodies { id, hashes } => {
                    assert!(hashes.len() <= limits::BODIES_MAX && !hashes.is_empty());
                    asked.bodies.push((peers[0], *id, hashes.clone()));
                }
                other => panic!("{}", other.name()),
            }
        }
        if let Some(due) = self.sync.deadline() {
            assert!(due > self.now, "a deadline that has passed");
        }
        asked
    }
}

#[test]
fn asks_the_heaviest_claim_first_and_two_at_once() {
    let mut bench = Bench::new();
    bench.sync.claimed(id(1), 5, U256::from(5));
    bench.sync.claimed(id(2), 9, U256::from(9));
    bench.sync.claimed(id(3), 0, U256::ZERO);
    assert_eq!(bench.tick().headers.first().map(|(peer, _)| *peer), Some(id(2)));
    assert_eq!(bench.tick().headers.first().map(|(peer, _)| *peer), Some(id(1)));
    let asked = bench.tick();
    assert!(asked.headers.is_empty(), "{asked:?}");
}

#[test]
fn a_silent_peer_is_blamed_once_and_asked_last() {
    let mut bench = Bench::new();
    bench.sync.claimed(id(9), 99, U256::from(99));
    assert_eq!(bench.tick().headers[0].0, id(9));
    bench.sync.claimed(id(1), 5, U256::from(5));
    bench.sync.claimed(id(2), 5, U256::from(5));
    bench.now = T0 + HEADERS_TIMEOUT;
    let asked = bench.tick();
    assert_eq!(asked.faults, [(id(9), Fault::Timeout)]);
    assert_ne!(asked.headers[0].0, id(9));
    // When it may be asked again, those without a strike still come first.
    bench.now = bench.now + HEADERS_TIMEOUT;
    let asked = bench.tick();
    assert_eq!(asked.faults.len(), 1);
    assert!(asked.headers.iter().all(|(peer, _)| *peer != id(9)));
}

#[test]
fn runs_of_missing_blocks_go_to_different_peers_once() {
    let mut bench = Bench::new();
    bench.peers(4, 100);
    let headers = chain(100, 0);
    bench.accept(&headers, id(1));
    let mut asked = bench.tick().bodies;
    asked.extend(bench.tick().bodies);
    asked.extend(bench.tick().bodies);
    let hashes: Vec<B256> = asked.iter().flat_map(|(_, _, hashes)| hashes.clone()).collect();
    let expected: Vec<B256> = headers.iter().map(SealedHeader::hash).collect();
    assert_eq!(hashes, expected, "all of them, in order, once");
    let peers: BTreeSet<PeerId> = asked.iter().map(|(peer, ..)| *peer).collect();
    assert_eq!(peers.len(), 4);
    for peer in peers {
        assert!(asked.iter().filter(|(p, ..)| *p == peer).count() <= REQUESTS_PER_PEER);
    }
}

#[test]
fn windows_grow_with_whole_answers_and_shrink_with_others() {
    let mut bench = Bench::new();
    bench.peers(1, 1_000);
    let headers = chain(1_000, 0);
    bench.accept(&headers, id(1));
    let answer = |bench: &mut Bench, asked: Asked, n: usize| {
        let (peer, request, hashes) = asked.bodies[0].clone();
        let bodies = vec![Body::default(); n.min(hashes.len())];
        let arrived = bench.sync.bodies(bench.now, peer, request, bodies).unwrap();
        for block in &arrived {
            bench.sync.attached(block.header.hash());
            bench.known.insert(block.header.hash());
        }
        hashes.len()
    };
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let asked = bench.tick();
        sizes.push(answer(&mut bench, asked, usize::MAX));
    }
    assert!(sizes.is_sorted() && sizes[0] < sizes[3], "{sizes:?}");
    let asked = bench.tick();
    answer(&mut bench, asked, 1);
    let asked = bench.tick();
    assert_eq!(answer(&mut bench, asked, usize::MAX), BODIES_WINDOW_MIN);
    let asked = bench.tick();
    answer(&mut bench, asked, 0);
    assert!(bench.tick().bodies.is_empty(), "one that has nothing is left alone for a while");
    bench.now = bench.now + UNBACKED_PAUSE;
    assert!(!bench.tick().bodies.is_empty());
}

#[test]
fn a_peer_whose_body_did_not_fit_is_not_asked_for_it_again() {
    let mut bench = Bench::new();
    bench.peers(2, 3);
    let headers = chain(3, 0);
    bench.accept(&headers, id(1));
    let asked = bench.tick();
    let (peer, request, hashes) = asked.bodies[0].clone();
    bench.sync.bodies(bench.now, peer, request, vec![Body::default(); 3]).unwrap();
    bench.sync.body_refused(hashes[0], peer);
    bench.known.extend(&hashes[1..]);
    let asked = bench.tick();
    assert_eq!(asked.bodies.len(), 1);
    assert_ne!(asked.bodies[0].0, peer);
    assert_eq!(asked.bodies[0].2, [hashes[0]]);
    // Refusals of blocks that nobody waits for are not kept.
    for n in 0..1_000u64 {
        bench.sync.body_refused(B256::from(U256::from(n + 7)), peer);
    }
    assert!(bench.sync.bodies.refused_len() <= 1);
}

#[test]
fn what_a_peer_was_asked_for_is_asked_elsewhere_when_it_is_gone() {
    let mut bench = Bench::new();
    bench.peers(1, 20);
    let headers = chain(10, 0);
    bench.accept(&headers, id(1));
    assert_eq!(bench.tick().bodies.len(), 1);
    bench.sync.claimed(id(2), 20, U256::from(20));
    bench.sync.disconnected(id(1));
    let asked = bench.tick();
    assert_eq!((asked.bodies.len(), asked.bodies[0].0), (1, id(2)));
    assert_eq!(bench.sync.bodies(T0, id(1), 1, Vec::new()), Err(Fault::Unsolicited));
}

#[test]
fn an_invalid_block_takes_what_stands_on_it_along() {
    let mut bench = Bench::new();
    bench.peers(2, 9);
    let headers = chain(9, 0);
    bench.accept(&headers, id(1));
    let other = chain(8, 1);
    bench.accept(&other, id(2));
    assert_eq!(bench.sync.progress(bench.ours()), Some((0, 9)));
    let gone = bench.sync.invalid(headers[3].hash());
    assert_eq!(gone.len(), 6);
    assert!(gone.iter().all(|(_, from)| *from == Some(id(1))));
    bench.tick();
    assert_eq!(bench.sync.progress(bench.ours()), Some((0, 8)), "the next best branch");
}

#[test]
fn headers_ahead_are_bounded_and_no_more_are_asked_for() {
    let mut bench = Bench::new();
    bench.peers(1, 99_999);
    let headers = chain(HEADERS_AHEAD_MAX as u64 + 5, 0);
    bench.accept(&headers, id(1));
    assert!(bench.sync.pending(headers[HEADERS_AHEAD_MAX - 1].hash()).is_some());
    assert!(bench.sync.pending(headers[HEADERS_AHEAD_MAX].hash()).is_none());
    let asked = bench.tick();
    assert!(asked.headers.is_empty());
    assert!(!asked.bodies.is_empty());
    // As blocks join the tree there is room again.
    for header in &headers[..limits::HEADERS_MAX] {
        bench.sync.attached(header.hash());
    }
    bench.head = limits::HEADERS_MAX as u64;
    assert_eq!(bench.tick().headers.len(), 1);
    bench.sync.prune(99_999, &[]);
    assert_eq!(bench.sync.progress(bench.ours()), None);
}

#[test]
fn of_equally_heavy_branches_the_one_that_would_win_is_fetched() {
    let mut bench = Bench::new();
    bench.peers(1, 3);
    let branches = [chain(3, 1), chain(3, 2), chain(3, 3)];
    let best = branches.iter().map(|b| b[2].hash()).min().unwrap();
    for branch in &branches {
        bench.accept(branch, id(1));
    }
    let asked = bench.tick();
    assert_eq!(asked.bodies[0].2.last(), Some(&best));
    // Not if ours is as heavy and wins.
    let mut bench = Bench::new();
    bench.head = 3;
    bench.peers(1, 3);
    bench.accept(&branches[0], id(1));
    assert!(bench.tick().bodies.is_empty());
}

#[test]
fn an_announcer_of_an_unknown_parent_is_asked_once_whatever_it_claims() {
    let mut bench = Bench::new();
    bench.peers(1, 5);
    bench.head = 50;
    assert!(bench.tick().headers.is_empty());
    bench.sync.missing_parent(id(1), &chain(7, 1)[6], U256::from(10));
    let asked = bench.tick().headers;
    assert_eq!(asked.len(), 1);
    let answer = bench.sync.headers(bench.now, id(1), asked[0].1, Vec::new());
    assert_eq!(answer, HeadersAnswer::Nothing);
    bench.now = bench.now + UNBACKED_PAUSE;
    assert!(bench.tick().headers.is_empty());
}

#[test]
fn a_branch_that_nobody_hands_out_is_forgotten_and_a_lighter_one_is_fetched() {
    let mut bench = Bench::new();
    // Heavy headers without bodies, whose sender goes away, and an honest peer with a lighter chain.
    bench.sync.claimed(id(1), 7_000, U256::from(7_000));
    bench.accept(&chain(7_000, 1), id(1));
    bench.sync.disconnected(id(1));
    bench.sync.claimed(id(2), 100, U256::from(100));
    let asked = bench.tick();
    assert!(asked.headers.is_empty(), "{asked:?}");
    bench.now = bench.now + GIVE_UP_AFTER;
    bench.tick();
    assert_eq!(bench.sync.take_forgotten().len(), 7_000);
    // It did not answer either, so it has its pause.
    bench.now = bench.now + UNBACKED_PAUSE;
    let asked = bench.tick();
    assert_eq!(asked.headers.first().map(|(peer, _)| *peer), Some(id(2)));
    assert!(bench.sync.headers.best().is_none());
}

#[test]
fn who_was_just_asked_may_still_answer() {
    let mut bench = Bench::new();
    bench.accept(&chain(3, 1), id(1));
    assert!(bench.tick().bodies.is_empty(), "nobody is there");
    // Somebody who has it comes shortly before it would be forgotten.
    bench.now = bench.now + GIVE_UP_AFTER - Duration::from_secs(1);
    bench.peers(1, 3);
    assert_eq!(bench.tick().bodies.len(), 1);
    bench.now = bench.now + Duration::from_secs(1);
    bench.tick();
    assert!(bench.sync.take_forgotten().is_empty());
    bench.now = bench.now + BODIES_TIMEOUT;
    bench.tick();
    assert_eq!(bench.sync.take_forgotten().len(), 3);
}

#[test]
fn what_can_no_longer_join_the_tree_is_forgotten_with_all_on_top_of_it() {
    let mut bench = Bench::new();
    bench.peers(1, 9);
    let headers = chain(9, 1);
    bench.accept(&headers, id(1));
    // The tree now begins with block 4: none may leave it below.
    bench.sync.prune(4, &[]);
    assert_eq!(bench.sync.take_forgotten().len(), 9);
    assert_eq!(bench.sync.progress(bench.ours()), None);
    // The lowest of these leaves the tree at a block that the tree forgot.
    bench.accept(&headers[4..], id(1));
    bench.sync.prune(3, &[B256::repeat_byte(1)]);
    assert!(bench.sync.take_forgotten().is_empty());
    bench.sync.prune(3, &[headers[3].hash()]);
    assert_eq!(bench.sync.take_forgotten().len(), 5);
}

#[test]
fn headers_without_bodies_do_not_keep_out_a_whole_block() {
    let mut bench = Bench::new();
    bench.peers(1, 9_999);
    bench.accept(&chain(9_999, 1), id(1));
    let whole = chain(1, 2).remove(0);
    assert!(!bench.sync.header_accepted(whole.clone(), U256::ONE, U256::ONE, id(1)));
    assert!(bench.sync.block_accepted(whole.clone(), U256::ONE, U256::ONE, None));
    assert!(bench.sync.block_accepted(whole, U256::ONE, U256::ONE, None), "it has its place");
    let many = chain(STAGED_BLOCKS_MAX as u64, 3);
    let fit = many.into_iter().filter(|header| {
        let total = U256::from(header.number);
        bench.sync.block_accepted(header.clone(), U256::ONE, total, None)
    });
    assert_eq!(fit.count(), STAGED_BLOCKS_MAX - 1);
}

#[test]
fn who_gives_headers_without_bodies_made_a_false_claim() {
    let mut bench = Bench::new();
    bench.sync.claimed(id(1), 3, U256::from(3));
    let headers = chain(3, 1);
    bench.accept(&headers, id(1));
    bench.tick();
    // It hands out the second body and never the first.
    bench.known.insert(headers[1].hash());
    bench.now = bench.now + GIVE_UP_AFTER;
    let faults = bench.tick().faults;
    assert!(faults.contains(&(id(1), Fault::FalseClaim("headers without bodies"))), "{faults:?}");
    assert!(bench.sync.headers.best().is_none());
    // A block that came and waits for its turn is not missing.
    bench.accept(&headers, id(1));
    bench.known.insert(headers[0].hash());
    bench.tick();
    bench.now = bench.now + GIVE_UP_AFTER;
    bench.tick();
    assert!(bench.sync.headers.best().is_some());
}

#[test]
fn a_late_answer_is_not_an_unsolicited_one() {
    let mut bench = Bench::new();
    bench.peers(1, 9);
    let (peer, request) = bench.tick().headers[0];
    bench.now = bench.now + HEADERS_TIMEOUT;
    assert_eq!(bench.tick().faults, [(peer, Fault::Timeout)]);
    let late = bench.sync.headers(bench.now, peer, request, chain(9, 0));
    assert_eq!(late, HeadersAnswer::Nothing);
    let again = bench.sync.headers(bench.now, peer, request, chain(9, 0));
    assert_eq!(again, HeadersAnswer::Fault(Fault::Unsolicited));
    bench.accept(&chain(9, 0), peer);
    bench.now = bench.now + HEADERS_TIMEOUT;
    let (peer, request, hashes) = bench.tick().bodies[0].clone();
    bench.now = bench.now + BODIES_TIMEOUT;
    assert!(bench.tick().faults.contains(&(peer, Fault::Timeout)));
    let bodies = vec![Body::default(); hashes.len()];
    assert_eq!(bench.sync.bodies(bench.now, peer, request, bodies.clone()), Ok(Vec::new()));
    let again = bench.sync.bodies(bench.now, peer, request, bodies);
    assert_eq!(again, Err(Fault::Unsolicited));
}

/// Asks once and answers with no headers; tells what the peer is blamed for.
fn nothing_to_say(bench: &mut Bench) -> HeadersAnswer {
    let asked = bench.tick().headers;
    assert_eq!(asked.len(), 1, "it is asked");
    let answer = bench.sync.headers(bench.now, asked[0].0, asked[0].1, Vec::new());
    bench.now = bench.now + UNBACKED_PAUSE;
    assert!(bench.tick().headers.is_empty(), "and not again for the same reason");
    answer
}

#[test]
fn a_claim_that_is_never_backed_is_a_fault_on_every_chain() {
    for proposes in [false, true] {
        let mut bench = Bench::new();
        bench.sync = Sync::new().proposing(proposes);
        let mut answers = (1..=UNBACKED_CLAIMS_MAX).map(|n| {
            bench.sync.claimed(id(1), 100, U256::from(100 + n));
            nothing_to_say(&mut bench)
        });
        assert_eq!(answers.next(), Some(HeadersAnswer::Nothing), "its head may have changed");
        let blamed = HeadersAnswer::Fault(Fault::FalseClaim("weight without headers"));
        assert_eq!(answers.last(), Some(blamed), "{proposes}");
    }
}

/// Peers serve what is canonical to them, and pass on proposals that are on top of what is not.
#[test]
fn who_passes_on_proposals_may_have_nothing_to_say() {
    let mut bench = Bench::new();
    bench.sync = Sync::new().proposing(true);
    bench.head = 5;
    bench.sync.claimed(id(1), 5, U256::from(5));
    for salt in 1..20 {
        bench.sync.missing_parent(id(1), &chain(7, salt)[6], U256::from(5));
        assert_eq!(nothing_to_say(&mut bench), HeadersAnswer::Nothing);
        // Nor is it blamed for what it showed and has left since.
        bench.sync.shown(id(1), 6, U256::from(6));
        assert_eq!(nothing_to_say(&mut bench), HeadersAnswer::Nothing);
    }
    // What it claimed and took back is no claim.
    for _ in 0..5 {
        bench.sync.claimed(id(1), 9, U256::from(9));
        bench.sync.claimed(id(1), 5, U256::from(5));
        bench.sync.missing_parent(id(1), &chain(7, 1)[6], U256::from(5));
        assert_eq!(nothing_to_say(&mut bench), HeadersAnswer::Nothing);
    }
}

#[test]
fn a_parent_that_came_is_not_asked_for() {
    let blocks = chain(7, 1);
    let ways: [fn(&mut Bench, &[SealedHeader]); 3] = [
        |bench, blocks| bench.sync.attached(blocks[5].hash()),
        |bench, blocks| {
            let header = blocks[5].clone();
            assert!(bench.sync.block_accepted(header, U256::ONE, U256::from(6), None));
        },
        |bench, _| bench.head = 7,
    ];
    for (n, way) in ways.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.sync = Sync::new().proposing(true);
        bench.head = 5;
        bench.sync.claimed(id(1), 5, U256::from(5));
        bench.sync.missing_parent(id(1), &blocks[6], U256::from(5));
        way(&mut bench, &blocks);
        assert!(bench.tick().headers.is_empty(), "{n}");
    }
}

#[test]
fn a_node_that_stands_still_asks_for_nothing_and_blames_nobody() {
    let mut bench = Bench::new();
    bench.peers(2, 100);
    bench.accept(&chain(9, 0), id(1));
    bench.sync.halt();
    assert_eq!(bench.sync.take_forgotten().len(), 9);
    for n in 0..100 {
        bench.sync.claimed(id(1), 100 + n, U256::from(100 + n));
        let Asked { headers, bodies, faults } = bench.tick();
        assert!(headers.is_empty() && bodies.is_empty() && faults.is_empty());
        bench.now = bench.now + Duration::from_secs(1);
    }
    assert_eq!(bench.sync.progress(bench.ours()), None);
}

#[test]
fn who_makes_up_parents_does_not_keep_a_node_asking() {
    let mut bench = Bench::new();
    bench.sync = Sync::new().proposing(true);
    bench.head = 5;
    bench.sync.claimed(id(1), 5, U256::from(5));
    let mut asked = 0;
    for salt in 0..100 {
        bench.sync.missing_parent(id(1), &chain(7, salt)[6], U256::from(5));
        for (peer, request) in bench.tick().headers {
            bench.sync.headers(bench.now, peer, request, Vec::new());
            asked += 1;
        }
        bench.now = bench.now + Duration::from_millis(100);
    }
    assert_eq!(asked, 5, "once in two seconds");
    // One that has something comes first.
    bench.sync.missing_parent(id(1), &chain(7, 200)[6], U256::from(5));
    bench.sync.claimed(id(2), 6, U256::from(6));
    assert_eq!(bench.tick().headers.first().map(|(peer, _)| *peer), Some(id(2)));
}
