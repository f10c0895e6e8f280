//! Who votes, and with what weight: scenarios 18, 21, and messages of another chain (22).

use super::{decided, file, holds, scenario, started};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Signature, TxKind, b256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_consensus::bft;
use kette_ledger::staking::{self, STAKING_ADDRESS};
use kette_node::Input;
use kette_sim::{Moment, disk::Loss, run::Run};
use kette_types::{
    Address, B256, Bytes, Message, Recovered, Transaction, U256,
    bft::{Domain, Quorum, ValidatorSet, Vote, VoteKind},
};
use std::time::Duration;

const FOUR: &str = r#"
schema = 1
[network]
name = "four"
chain = "bft4"
topology = "mesh"
duration = "60s"
[genesis.config.kette.engine.bft]
unbondingBlocks = 10
slashing = { doubleSignShare = 50000, downtimeShare = 0, downtimeWindow = 0, downtimeMissed = 0, jailBlocks = 100, evidenceAge = 10 }
[[group]]
name = "v"
count = 4
stake = 100
"#;

/// Keys of the first accounts of the well-known mnemonic: owners of the validators.
const OWNERS: [B256; 4] = [
    b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    b256!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
    b256!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
];

fn coins(count: u64) -> U256 {
    U256::from(count) * U256::from(1_000_000_000_000_000_000_u64)
}

/// A transaction of a validator's owner to the registry.
fn call(
    run: &Run,
    owner: usize,
    nonce: u64,
    call: &str,
    words: &[U256],
    value: U256,
) -> Recovered<Transaction> {
    let signer = PrivateKeySigner::from_bytes(&OWNERS[owner]).unwrap();
    let mut input = keccak256(call)[..4].to_vec();
    words.iter().for_each(|word| input.extend_from_slice(&word.to_be_bytes::<32>()));
    let transaction = TxEip1559 {
        chain_id: run.world.spec.chain_id(),
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(STAKING_ADDRESS),
        value,
        input: input.into(),
        ..TxEip1559::default()
    };
    let signature: Signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let address: Address = signer.address();
    Recovered::new_unchecked(transaction.into_signed(signature).into(), address)
}

fn pass(run: &mut Run, seconds: u64) {
    let until: Moment = run.world.now() + Duration::from_secs(seconds);
    run.world.run_until(until);
    assert_eq!(run.world.violations(), &[]);
}

/// Who votes next, as a host has it.
fn validators(run: &Run, host: usize) -> ValidatorSet {
    let tree = run.world.hosts[host].node().unwrap().tree();
    let head = tree.executed(tree.head().hash()).unwrap();
    staking::validators(&head.state, head.number() + 1).unwrap().unwrap()
}

fn height(run: &Run, host: usize) -> u64 {
    run.world.hosts[host].node().unwrap().tree().head().number
}

#[test]
fn scenario_18_validators_change_while_one_is_down_until_one_is_left() {
    for seed in 0..2 {
        let (mut run, _notes) = started(FOUR, seed);
        run.world.faulty = true;
        pass(&mut run, 5);
        run.world.crash(3, Loss::Unsynced);
        let unbond = "unbond(uint256)";
        let steps: [Step<'_>; 5] = [
            (0, 0, unbond, coins(50), U256::ZERO, &[50, 100, 100, 100]),
            (1, 0, "bond()", U256::ZERO, coins(25), &[50, 100, 100, 125]),
            // The one that is down leaves.
            (3, 0, unbond, coins(100), U256::ZERO, &[50, 100, 125]),
            (2, 0, unbond, coins(100), U256::ZERO, &[50, 125]),
            (0, 1, unbond, coins(50), U256::ZERO, &[125]),
        ];
        for (owner, nonce, signature, amount, value, weights) in steps {
            let words: &[U256] = if amount.is_zero() { &[] } else { &[amount] };
            let transaction = call(&run, owner, nonce, signature, words, value);
            run.world.submit(1, transaction);
            pass(&mut run, 8);
            let set = validators(&run, 1);
            let mut got: Vec<u64> = set.validators().iter().map(|v| v.weight).collect();
            got.sort_unstable();
            assert_eq!(got, weights, "seed {seed}, after {signature} of {owner}");
            let before = height(&run, 1);
            pass(&mut run, 8);
            assert!(height(&run, 1) > before, "seed {seed}: it goes on with {weights:?}");
        }
        let before = height(&run, 1);
        for host in [0, 2] {
            run.world.crash(host, Loss::Unsynced);
        }
        pass(&mut run, 10);
        assert!(height(&run, 1) > before + 5, "one validator alone");
        run.world.start(3);
        pass(&mut run, 30);
        assert!(height(&run, 3) + 2 > height(&run, 1), "who was removed meanwhile follows");
    }
}

#[test]
fn scenario_21_it_halts_exactly_when_the_weights_say() {
    holds(file!("bft-weights"), 0..2, |ran| {
        let notes = ran.notes();
        assert!(decided(&notes, 12, 30) > 10, "70 of 100");
        assert_eq!(decided(&notes, 46, 65), 0, "60 of 100");
        assert!(decided(&notes, 65, 75) > 0);
    });
}

/// Every set of four validators with these weights, with one or two of them down: it goes on if the rule says so.
#[test]
fn scenario_21_the_rule_decides_with_any_weights() {
    let near = u64::MAX / 2;
    let weights: [[u64; 4]; 3] = [[40, 30, 20, 10], [1, 1, 1, 3], [near, near, near, near]];
    for (case, weights) in weights.into_iter().enumerate() {
        for (rule, quorum) in [("2/3", Quorum::TwoThirds), ("2/3+", Quorum::MoreThanTwoThirds)] {
            let groups: Vec<String> = weights
                .iter()
                .enumerate()
                .map(|(i, weight)| format!("[[group]]\nnames = [\"v{i}\"]\nstake = {weight}\n"))
                .collect();
            let text = format!(
                "schema = 1\n[network]\nname = \"weights\"\nchain = \"bft4\"\ntopology = \"mesh\"\n\
                 [genesis.config.kette.engine.bft]\nquorum = \"{rule}\"\nweightUnit = \"0x1\"\n{}",
                groups.concat()
            );
            for down in [0b0001_usize, 0b0010, 0b1100, 0b0110] {
                let (mut run, _notes) = started(&text, case as u64);
                run.world.faulty = true;
                pass(&mut run, 4);
                let gone: Vec<usize> = (0..4).filter(|host| down >> host & 1 == 1).collect();
                for host in &gone {
                    run.world.crash(*host, Loss::Unsynced);
                }
                pass(&mut run, 2);
                let up = (0..4).find(|host| !gone.contains(host)).unwrap();
                let before = height(&run, up);
                pass(&mut run, 8);
                let sum = |hosts: &mut dyn Iterator<Item = usize>| -> u128 {
                    hosts.map(|host| u128::from(weights[host])).sum()
                };
                let alive = sum(&mut (0..4).filter(|host| !gone.contains(host)));
                let live = quorum.is_met(alive, sum(&mut (0..4)));
                let went_on = height(&run, up) > before;
                assert_eq!(went_on, live, "{weights:?} {rule} without {gone:?}");
            }
        }
    }
}

/// A vote of another chain, by the right key, is nobody's vote here.
#[test]
fn scenario_22_a_vote_of_another_chain_is_refused() {
    let (mut run, notes) = started(FOUR, 1);
    run.world.faulty = true;
    pass(&mut run, 5);
    let identity = run.world.hosts[1].config.local.validator.clone().unwrap();
    let other = Domain(B256::repeat_byte(7));
    assert_ne!(other, scenario(FOUR).spec.domain());
    let next = height(&run, 0) + 1;
    let vote = Vote::sign(other, &identity.secret, VoteKind::Prepare, next, 0, B256::ZERO);
    let bytes: Bytes = bft::Message::Vote(vote).encode();
    // Said by host 1: who passes such a thing on is to blame.
    run.world.hosts[1].byzantine = Some(kette_sim::scenario::Misbehaviour::FutureVersion);
    let from = run.world.hosts[1].id;
    run.world.give(0, Input::Message(from, Message::Engine(bytes)));
    pass(&mut run, 5);
    assert_eq!(notes.borrow().faults.get(&1), Some(&1));
    assert!(height(&run, 0) > next);
}

/// Who, when (seconds), what, how much, with how much, and the weights afterwards.
type Step<'a> = (usize, u64, &'a str, U256, U256, &'a [u64]);
