//! Eviction as a pure function: who is protected, and who goes.

use super::*;
use crate::peers::eviction::*;
use proptest::prelude::*;

fn candidate(n: u8, group: u8, since: u64) -> Candidate {
    let socket = format!("{}.{group}.1.1:20000", 1 + group / 200).parse().expect("a socket");
    Candidate {
        peer: id(n),
        group: Group::of(NetworkKind::Public, socket),
        since: T0 + Duration::from_secs(since),
        rtt_min_ms: None,
        useful_transaction: None,
        useful_block: None,
    }
}

const KEY: (u64, u64) = (1, 2);

#[test]
fn evicts_nobody_while_all_are_protected() {
    assert_eq!(select(KEY, &[]), None);
    let few: Vec<_> = (0..4).map(|n| candidate(n, n, 0)).collect();
    assert_eq!(select(KEY, &few), None, "four are protected by their group");
}

#[test]
fn evicts_the_youngest_of_the_largest_group() {
    let mut all: Vec<_> = (0..40).map(|n| candidate(n, n, 0)).collect();
    all.extend((100..150).map(|n| candidate(n, 99, u64::from(n))));
    assert_eq!(select(KEY, &all), Some(id(149)), "the newest of the fifty of one network");
}

#[test]
fn useful_and_near_peers_stay() {
    // All are of one group and equally young, so that only the traits decide.
    let mut all: Vec<_> = (0..60).map(|n| candidate(n, 9, 5)).collect();
    for n in 0..8usize {
        all[n].rtt_min_ms = Some(1 + n as u64);
        all[n + 8].useful_transaction = Some(T0 + Duration::from_secs(n as u64));
        all[n + 16].useful_block = Some(T0 + Duration::from_secs(n as u64));
    }
    let mut evicted = Vec::new();
    while let Some(victim) = select(KEY, &all) {
        evicted.push(victim);
        all.retain(|c| c.peer != victim);
    }
    for n in (0..8).chain(12..16).chain(20..24) {
        assert!(!evicted.contains(&id(n)), "peer {n} has one of the best eight or four values");
    }
    assert!(evicted.len() >= 30, "the others go, one by one: {}", evicted.len());
}

prop_compose! {
    fn any_candidate()(
        n in any::<u8>(), group in 0u8..12, since in 0u64..1_000, rtt in any::<Option<u8>>(),
        transaction in any::<Option<u8>>(), block in any::<Option<u8>>(),
    ) -> Candidate {
        let at = |secs: u8| T0 + Duration::from_secs(secs.into());
        Candidate {
            rtt_min_ms: rtt.map(u64::from),
            useful_transaction: transaction.map(at),
            useful_block: block.map(at),
            ..candidate(n, group, since)
        }
    }
}

proptest! {
    #[test]
    fn holds_its_rules(key in any::<(u64, u64)>(), mut all in prop::collection::vec(any_candidate(), 0..80)) {
        all.sort_by_key(|c| c.peer);
        all.dedup_by_key(|c| c.peer);
        let victim = select(key, &all);
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(select(key, &reversed), victim, "the order of candidates does not matter");
        // 20 traits, and half of the rest: from 22 on somebody is unprotected.
        if all.len() >= 22 {
            prop_assert!(victim.is_some());
        }
        if all.len() <= PROTECT_GROUP {
            prop_assert!(victim.is_none());
        }
        if let Some(victim) = victim {
            let of = all.iter().find(|c| c.peer == victim).expect("one of the candidates");
            let nearer = all.iter().filter(|c| c.rtt_min_ms.is_some() && c.rtt_min_ms < of.rtt_min_ms);
            if of.rtt_min_ms.is_some() {
                prop_assert!(nearer.count() + PROTECT_GROUP >= PROTECT_RTT);
            }
            let older = all.iter().filter(|c| c.since <= of.since && c.peer != victim).count();
            prop_assert!(older > 0 || all.len() < 22, "the oldest is not evicted among many");
        }
    }

    /// An attacker with one network cannot push out peers of four others: each eviction it causes, once
    /// it is the largest group among the unprotected, hits itself.
    #[test]
    fn one_large_group_evicts_itself(key in any::<(u64, u64)>(), attackers in 60u8..120) {
        let mut all: Vec<_> = (0..20).map(|n| candidate(n, n, 0)).collect();
        all.extend((100..100 + attackers).map(|n| candidate(n, 99, 10)));
        let victim = select(key, &all).expect("most are unprotected");
        prop_assert!(victim >= id(100));
    }
}
