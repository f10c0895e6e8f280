//! Absence and double signing.

use super::*;
use kette_types::bft::{Proposal, Quorum};

const UNJAIL: Staking::unjailCall = Staking::unjailCall {};

/// Three validators with a stake of 100 each; absent from 4 of 8 blocks is jailed, for 5 blocks.
fn three(slashing: &serde_json::Value) -> Net {
    let mut all = json!({
        "downtimeWindow": 8, "downtimeMissed": 4, "jailBlocks": 5, "evidenceAge": 10,
        "doubleSignShare": 50_000,
    });
    for (key, value) in slashing.as_object().unwrap() {
        all[key] = value.clone();
    }
    Net::with(&[100, 100, 100], &json!({ "quorum": "2/3", "slashing": all }))
}

fn jailed(built: &Built) -> Staking::Jailed {
    event(&built.executed.logs)
}

/// The second seed's "Consensus threshold adjusted to 2/3 (67%) of 200 weight": 200 of 300, then 134 of 200.
#[test]
fn who_is_absent_leaves_the_set() {
    let mut net = three(&json!({}));
    let threshold = |net: &Net, height| Quorum::TwoThirds.threshold(net.set(height).total());
    net.absent = vec![who(2)];
    net.mine_until(4);
    assert_eq!((net.info(who(2)).missed, net.info(who(0)).missed), (3, 0));
    assert!(!net.info(who(2)).jailed);
    assert_eq!(net.read(Staking::quorumCall {}), U256::from(200));
    // Block 5 carries the fourth certificate without it, that of height 4.
    let built = net.mine([]);
    assert_eq!(jailed(&built), Staking::Jailed { owner: who(2), until: 10 });
    assert_eq!(built.executed.receipts, []);
    let info = net.info(who(2));
    assert_eq!((info.jailed, info.jailedUntil, info.weight, info.missed), (true, 10, 0, 0));
    assert_eq!(info.stake, wei(100 * ETHER));
    assert_eq!([6, 7].map(|height| threshold(&net, height)), [200, 134]);
    net.mine([]);
    assert_eq!(net.read(Staking::quorumCall {}), U256::from(134));
    assert_eq!(net.read(Staking::totalWeightCall {}), U256::from(200));

    // It comes back after its time, without anything held against it.
    net.mine_until(8);
    net.fails(2, 0, &UNJAIL, &Staking::StillJailed { until: 10 });
    net.fails(0, 0, &UNJAIL, &Staking::NotJailed {});
    let logs = net.does(2, 0, &UNJAIL);
    assert_eq!(net.number(), 11);
    assert_eq!(event::<Staking::Unjailed>(&logs), Staking::Unjailed { owner: who(2) });
    assert_eq!([12, 13].map(|height| threshold(&net, height)), [134, 200]);
    // Still absent: heights 13 to 16 count, the certificate of 16 is in block 17.
    net.mine_until(16);
    assert_eq!(net.info(who(2)).missed, 3);
    let built = net.mine([]);
    assert_eq!(jailed(&built), Staking::Jailed { owner: who(2), until: 22 });
}

#[test]
fn absence_is_forgotten_after_the_window() {
    let mut net = three(&json!({}));
    net.mine([]);
    // Absent from three of eight, for ever.
    let mut missed = Vec::new();
    for number in 2..60 {
        net.absent = if number % 8 < 3 { vec![who(2)] } else { vec![] };
        net.mine([]);
        missed.push(net.info(who(2)).missed);
        assert!(!net.info(who(2)).jailed);
    }
    assert_eq!(*missed.iter().max().unwrap(), 3);
    net.absent.clear();
    net.mine_until(80);
    assert_eq!(net.info(who(2)).missed, 0);
}

/// A block in which nobody was absent, now and a window ago, does not touch the registry's storage.
#[test]
fn a_quiet_block_writes_nothing() {
    let mut net = three(&json!({}));
    let before = net.chain.account(STAKING_ADDRESS).storage_root;
    net.mine_until(20);
    assert_eq!(net.chain.account(STAKING_ADDRESS).storage_root, before);
    assert!(!net.mine([]).executed.changed.contains(&STAKING_ADDRESS));
}

#[test]
fn a_newcomer_is_not_blamed_for_the_past() {
    let mut net = three(&json!({}));
    // Three blocks without it, then it leaves and comes back.
    net.absent = vec![who(2)];
    net.mine_until(4);
    net.does(2, 0, &Staking::unbondCall { amount: wei(100 * ETHER) });
    assert_eq!(net.info(who(2)).missed, 3);
    let call = net.registration(who(2), 2);
    net.does(2, 50 * ETHER, &call);
    assert_eq!(net.number(), 6);
    // It is in the sets up to height 6 and from 8 on: only those after its return count.
    assert!(!net.weights(7).contains_key(&who(2)));
    net.mine_until(8);
    assert_eq!(net.info(who(2)).missed, 0);
    net.mine_until(11);
    assert_eq!((net.info(who(2)).missed, net.info(who(2)).jailed), (3, false));
    assert!(net.mine([]).executed.logs.len() == 1);
    assert!(net.info(who(2)).jailed);
}

#[test]
fn unjailed_at_once_and_not_blamed_again() {
    let mut net = three(&json!({ "jailBlocks": 0, "downtimeMissed": 1 }));
    net.absent = vec![who(2)];
    net.mine_until(2);
    assert!(net.info(who(2)).jailed);
    // It is in the set of height 2 and 3 still, and absent there.
    net.does(2, 0, &UNJAIL);
    assert!(!net.info(who(2)).jailed);
    net.mine([]);
    assert!(!net.info(who(2)).jailed);
    net.absent.clear();
    net.mine_until(12);
    assert_eq!((net.info(who(2)).jailed, net.info(who(2)).missed), (false, 0));
    assert_eq!(net.weights(13).len(), 3);
}

#[test]
fn absence_can_cost_stake() {
    let mut net = three(&json!({ "downtimeShare": 10_000 }));
    net.absent = vec![who(2)];
    net.mine_until(4);
    let built = net.mine([]);
    let slashed = Staking::Slashed::decode_log_data(&built.executed.logs[0].data).unwrap();
    assert_eq!(slashed, Staking::Slashed { owner: who(2), amount: wei(ETHER) });
    assert_eq!(built.executed.burned, wei(ETHER));
    assert_eq!(net.info(who(2)).stake, wei(99 * ETHER));
    assert_eq!(net.chain.balance(STAKING_ADDRESS), wei(299 * ETHER));

    // All of it: the seat is free, and the sentence stays.
    let mut net = three(&json!({ "downtimeShare": 1_000_000 }));
    net.absent = vec![who(2)];
    net.mine_until(5);
    assert_eq!((net.infos().len(), net.info(who(2)).jailed), (2, true));
    net.fails(2, 0, &UNJAIL, &Staking::NotRegistered {});
    let call = net.registration(who(2), 2);
    net.does(2, 7 * ETHER, &call);
    assert!(net.info(who(2)).jailed);
    assert!(!net.weights(net.number() + 2).contains_key(&who(2)));
    net.mine_until(9);
    net.does(2, 0, &UNJAIL);
    assert_eq!(net.weights(net.number() + 2)[&who(2)], 7);
}

#[test]
fn nobody_is_jailed_without_a_window() {
    let mut net = three(&json!({ "downtimeWindow": 0 }));
    net.absent = vec![who(1), who(2)];
    net.mine_until(30);
    assert_eq!((net.info(who(2)).jailed, net.info(who(2)).missed), (false, 0));
}

#[test]
fn all_absent_but_one() {
    let mut net = three(&json!({}));
    net.absent = vec![who(1), who(2)];
    let mut built = None;
    while net.number() < 5 {
        built = Some(net.mine([]));
    }
    assert_eq!(built.unwrap().executed.logs.len(), 2);
    assert_eq!(net.weights(7), BTreeMap::from([(who(0), 100)]));
}

#[test]
fn double_votes_are_punished() {
    let mut net = three(&json!({}));
    net.does(2, 0, &Staking::unbondCall { amount: wei(40 * ETHER) });
    net.mine_until(4);
    net.evidence = vec![net.double_vote(2, 3)];
    let built = net.mine([]);
    let logs = &built.executed.logs;
    let slashed = Staking::Slashed::decode_log_data(&logs[0].data).unwrap();
    // 5 % of 60 and of 40.
    assert_eq!(slashed, Staking::Slashed { owner: who(2), amount: wei(5 * ETHER) });
    let jailed = Staking::Jailed::decode_log_data(&logs[1].data).unwrap();
    assert_eq!(jailed, Staking::Jailed { owner: who(2), until: u64::MAX });
    assert_eq!(built.executed.burned, wei(5 * ETHER));
    let info = net.info(who(2));
    assert_eq!((info.stake, info.weight, info.jailed), (wei(57 * ETHER), 0, true));
    let unbonding = net.read(Staking::unbondingCall { owner: who(2) });
    assert_eq!(unbonding[0].amount, wei(38 * ETHER));
    assert_eq!(net.held([0, 1, 2].map(who)), net.chain.balance(STAKING_ADDRESS));
    assert_eq!([6, 7].map(|height| net.set(height).len()), [3, 2]);

    // For ever; what is left can be taken out.
    net.mine_until(30);
    for error in [
        net.why(2, 0, &UNJAIL),
        net.why(2, ETHER, &Staking::bondCall {}),
        net.why(2, 0, &net.rotation(who(2), 9)),
    ] {
        assert_eq!(error, Err(Staking::Tombstoned {}.abi_encode().into()));
    }
    net.does(2, 0, &Staking::unbondCall { amount: wei(57 * ETHER) });
    let call = net.registration(who(2), 9);
    net.fails(2, ETHER, &call, &Staking::Tombstoned {});
    net.mine_until(50);
    net.does(2, 0, &Staking::withdrawCall {});
    assert_eq!(net.held([who(2)]), U256::ZERO);
    assert_eq!(net.chain.burned - wei(5 * ETHER), fees(&net));
    assert_eq!(net.chain.balance(STAKING_ADDRESS), wei(200 * ETHER));
}

/// What was burned as base fees: everything but the slash. Read off the supply, which `check` ties to it.
fn fees(net: &Net) -> U256 {
    let supply = |state: &State| state.supply().unwrap();
    supply(&net.chain.genesis) + net.chain.issued - supply(&net.chain.state) - wei(5 * ETHER)
}

#[test]
fn double_proposals_are_punished() {
    let mut net = three(&json!({}));
    net.mine_until(4);
    let domain = net.chain.rules.domain();
    let proposal = |block| Proposal::sign(domain, &secret(1), 2, 0, B256::repeat_byte(block), None);
    net.evidence = vec![Evidence::of_proposals(proposal(1), proposal(2))];
    net.mine([]);
    assert!(net.info(who(1)).jailed);
}

#[test]
fn evidence_against_who_has_left() {
    let mut net = three(&json!({}));
    net.does(2, 0, &Staking::unbondCall { amount: wei(100 * ETHER) });
    net.mine_until(12);
    // It still voted in height 2; block 12 is the last that can punish that, and the stake is still here.
    let late = net.double_vote(2, 2);
    let refusal = EvidenceRefusal::Old { height: 2, number: 13, age: 10 };
    assert_eq!(net.judge(&late), Err(refusal.clone()));
    assert_eq!(net.refused_evidence(late), refusal);

    let mut net = three(&json!({}));
    net.does(2, 0, &Staking::unbondCall { amount: wei(100 * ETHER) });
    net.mine_until(11);
    net.fails(2, 0, &Staking::withdrawCall {}, &Staking::NothingToWithdraw {});
    let mut net = three(&json!({}));
    net.does(2, 0, &Staking::unbondCall { amount: wei(100 * ETHER) });
    net.mine_until(11);
    net.evidence = vec![net.double_vote(2, 2)];
    net.mine([]);
    assert_eq!(net.held([who(2)]), wei(95 * ETHER));
    net.does(2, 0, &Staking::withdrawCall {});
}

#[test]
fn evidence_that_is_refused() {
    let mut net = three(&json!({}));
    net.mine_until(4);
    let good = net.double_vote(2, 3);
    assert_eq!(net.judge(&good), Ok(()));
    assert_eq!(net.judge_at(4, &good), Ok(()));
    assert_eq!(net.judge_at(3, &good), Err(EvidenceRefusal::Future { height: 3, number: 3 }));
    let future = net.double_vote(2, 5);
    let refusal = EvidenceRefusal::Future { height: 5, number: 5 };
    assert_eq!(net.refused_evidence(future), refusal);
    let stranger = net.double_vote(9, 3);
    let refusal = EvidenceRefusal::Unknown(PublicKey(public(9)));
    assert_eq!(net.refused_evidence(stranger), refusal);
    for broken in [
        Evidence { votes: vec![good.votes[0]], proposals: vec![] },
        Evidence { votes: vec![good.votes[0], good.votes[0]], proposals: vec![] },
        Evidence { votes: vec![good.votes[1], good.votes[0]], proposals: vec![] },
        {
            let mut forged = good.clone();
            forged.votes[1].block = B256::repeat_byte(9);
            forged
        },
    ] {
        let refusal = net.refused_evidence(broken);
        assert!(matches!(refusal, EvidenceRefusal::Proof(_)), "{refusal}");
    }
    // Twice in one block, and once more later.
    let error = net.refused(|seal| seal.evidence = vec![good.clone(), good.clone()]);
    let refusal = EvidenceRefusal::Punished { height: 3, punished: 3 };
    assert_eq!(error, BlockError::Evidence { index: 1, refusal: refusal.clone() });
    net.evidence = vec![good.clone()];
    net.mine([]);
    assert_eq!(net.judge(&good), Err(refusal.clone()));
    assert_eq!(net.refused_evidence(good), refusal);
    let earlier = net.double_vote(2, 2);
    assert!(matches!(net.refused_evidence(earlier), EvidenceRefusal::Punished { .. }));
    // Another one after that is another crime.
    net.evidence = vec![net.double_vote(2, 4)];
    net.mine([]);
    assert_eq!(net.info(who(2)).stake, wei(100 * ETHER) * U256::from(9_025) / U256::from(10_000));
}

#[test]
fn evidence_against_a_former_key() {
    let mut net = three(&json!({}));
    net.mine_until(3);
    let call = net.rotation(who(2), 9);
    net.does(2, 0, &call);
    net.mine_until(8);
    // Changed in block 4: the old key votes until height 5.
    let refusal = EvidenceRefusal::Retired { height: 6, retired: 4 };
    assert_eq!(net.judge(&net.double_vote(2, 6)), Err(refusal));
    assert_eq!(net.judge(&net.double_vote(2, 5)), Ok(()));
    assert_eq!(net.judge(&net.double_vote(9, 6)), Ok(()));
    // Also if the change is in the block that carries the evidence.
    let nonce_of = net.rotation(who(2), 10);
    net.evidence = vec![net.double_vote(9, 8)];
    net.does(2, 0, &nonce_of);
    assert!(net.info(who(2)).jailed);
    assert_eq!(net.infos().len(), 3);
}

#[test]
fn one_proof_for_each_validator_is_chosen() {
    let mut net = three(&json!({}));
    net.mine_until(6);
    let pool = [
        net.double_vote(2, 5),
        net.double_vote(2, 3),
        net.double_vote(9, 3),
        net.double_vote(0, 4),
        net.double_vote(1, 4),
    ];
    let Chain { rules, state, .. } = &net.chain;
    let choose = |max| choose_evidence(rules, state, 7, &pool, max).unwrap();
    assert_eq!(choose(9), [pool[0].clone(), pool[3].clone(), pool[4].clone()]);
    assert_eq!(choose(2), [pool[0].clone(), pool[3].clone()]);
    net.evidence = choose(9);
    net.mine([]);
    // All of them are out; so the last set stays.
    assert_eq!(net.weights(9).len(), 3);
    assert!(net.infos().iter().all(|info| info.jailed));
}

impl Net {
    fn judge(&self, evidence: &Evidence) -> Result<(), EvidenceRefusal> {
        self.judge_at(self.number() + 1, evidence)
    }

    fn judge_at(&self, number: u64, evidence: &Evidence) -> Result<(), EvidenceRefusal> {
        evidence_error(&self.chain.rules, &self.chain.state, number, evidence)
    }

    /// Why the next block cannot carry it; the engine's question has the same answer.
    fn refused_evidence(&self, evidence: Evidence) -> EvidenceRefusal {
        let asked = self.judge(&evidence).unwrap_err();
        let mut seal = self.seal();
        seal.evidence = vec![evidence];
        let chain = Chain { seal: seal.encoded(), ..self.copy() };
        let Err(BlockError::Evidence { index: 0, refusal }) = chain.try_build([]) else {
            panic!("it was accepted")
        };
        assert_eq!(refusal, asked);
        refusal
    }
}
