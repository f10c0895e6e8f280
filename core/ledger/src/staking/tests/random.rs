//! Whatever happens, what must hold does: [`Net::mine`] checks supply, sets and weights after every block, and
//! that building and executing agree.

use super::*;
use crate::testing::MINER;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Register { n: u8, key: u8, ether: u128 },
    Bond { n: u8, ether: u128 },
    Unbond { n: u8, percent: u8 },
    Withdraw { n: u8 },
    Unjail { n: u8 },
    Rotate { n: u8, key: u8 },
    Absent { mask: u8 },
    Evidence { key: u8, back: u64 },
    Blocks(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..4_u8;
    let key = 0..8_u8;
    prop_oneof![
        (n.clone(), key.clone(), 0..40_u128).prop_map(|(n, key, ether)| Step::Register {
            n,
            key,
            ether
        }),
        (n.clone(), 0..40_u128).prop_map(|(n, ether)| Step::Bond { n, ether }),
        (n.clone(), 1..=120_u8).prop_map(|(n, percent)| Step::Unbond { n, percent }),
        n.clone().prop_map(|n| Step::Withdraw { n }),
        n.clone().prop_map(|n| Step::Unjail { n }),
        (n, key.clone()).prop_map(|(n, key)| Step::Rotate { n, key }),
        (0..15_u8).prop_map(|mask| Step::Absent { mask }),
        (key, 1..9_u64).prop_map(|(key, back)| Step::Evidence { key, back }),
        (1..5_u8).prop_map(Step::Blocks),
    ]
}

fn run(steps: Vec<Step>) {
    let bft = json!({
        "producerShare": 300_000, "weightMin": 3, "unbondingBlocks": 6,
        "slashing": {
            "downtimeWindow": 6, "downtimeMissed": 3, "jailBlocks": 3, "downtimeShare": 20_000,
            "doubleSignShare": 300_001, "evidenceAge": 6,
        },
    });
    let mut net = Net::with(&[20, 20, 20], &bft);
    let owners = [0, 1, 2, 3].map(who);
    for step in steps {
        let owner = |n| who(n);
        let transaction = match step {
            Step::Register { n, key, ether } => {
                Some(net.act(n, ether * ETHER + 7, &net.registration(owner(n), key)))
            }
            Step::Bond { n, ether } => Some(net.act(n, ether * ETHER / 3, &Staking::bondCall {})),
            Step::Unbond { n, percent } => {
                let amount = net.info(owner(n)).stake * U256::from(percent) / U256::from(100);
                Some(net.act(n, 0, &Staking::unbondCall { amount }))
            }
            Step::Withdraw { n } => Some(net.act(n, 0, &Staking::withdrawCall {})),
            Step::Unjail { n } => Some(net.act(n, 0, &Staking::unjailCall {})),
            Step::Rotate { n, key } => Some(net.act(n, 0, &net.rotation(owner(n), key))),
            Step::Absent { mask } => {
                net.absent = (0..4).filter(|n| mask & (1 << n) != 0).map(who).collect();
                None
            }
            Step::Evidence { key, back } => {
                let height = net.number().saturating_sub(back);
                let (number, pool) = (net.number() + 1, [net.double_vote(key, height)]);
                let Chain { rules, state, .. } = &net.chain;
                net.evidence = choose_evidence(rules, state, number, &pool, 4).unwrap();
                None
            }
            Step::Blocks(count) => {
                for _ in 0..count {
                    somebody_signs(&mut net);
                    net.mine([]);
                }
                None
            }
        };
        somebody_signs(&mut net);
        let issued = net.chain.issued;
        let wealth = |net: &Net| -> U256 {
            owners.iter().chain([&MINER]).map(|who| net.chain.balance(*who)).sum()
        };
        let before = wealth(&net) + net.chain.balance(STAKING_ADDRESS) + net.chain.burned;
        net.mine(transaction);
        // The subsidy is all that came, and what is burned all that went.
        let after = wealth(&net) + net.chain.balance(STAKING_ADDRESS) + net.chain.burned;
        assert_eq!(after - before, net.chain.issued - issued);
        assert_eq!(net.chain.issued - issued, wei(ETHER));
        assert_eq!(net.held(owners), net.chain.balance(STAKING_ADDRESS));
        // Nobody has more absences than there are blocks in the window, or than are jailed for.
        for info in net.infos() {
            assert!(info.missed < 3, "{info:?}");
        }
    }
}

/// A certificate has at least one signature.
fn somebody_signs(net: &mut Net) {
    if net.number() > 0 {
        let before = net.set(net.number());
        if before.validators().iter().all(|it| net.absent.contains(&it.address)) {
            let first = before.validators()[0].address;
            net.absent.retain(|owner| *owner != first);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn nothing_breaks(steps in prop::collection::vec(step(), 1..60)) {
        run(steps);
    }
}
