//! Tests of the registry, on a small chain whose blocks are built and executed.

mod contract;
mod punish;
mod random;
mod reads;
mod rewards;
mod sets;
mod transact;

use super::{abi::Staking, *};
use crate::{
    BlockError, Built,
    call::{CallOutcome, EvmOverrides, TransactionRequest},
    testing::{Chain, ETHER, dynamic, key, sign, wei, who},
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Bytes, Log, U256};
use alloy_rpc_types_eth::TransactionInput;
use alloy_sol_types::{SolCall, SolError, SolEvent};
use kette_types::{
    Block, SealedHeader, Transaction,
    bft::{
        Certificate, Evidence, PublicKey, Seal, SecretKey, Signature, Validator, Vote, VoteKind,
    },
};
use serde_json::json;
use std::collections::BTreeMap;

/// A bft chain whose n-th validator is owned by the n-th funded key.
struct Net {
    chain: Chain,
    /// Owners that do not sign the next certificate.
    absent: Vec<Address>,
    /// Goes into the next block.
    evidence: Vec<Evidence>,
    /// Every set as it was first known.
    known: BTreeMap<u64, ValidatorSet>,
}

/// The n-th validator key.
fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed(&B256::with_last_byte(n + 1))
}

fn public(n: u8) -> B256 {
    secret(n).public().0
}

/// Any usable point will do.
fn vrf(n: u8) -> B256 {
    SecretKey::from_seed(&B256::repeat_byte(n + 1)).public().0
}

impl Net {
    /// Validators with these weights; the unit is an ether.
    fn new(weights: &[u64]) -> Self {
        Self::with(weights, &json!({}))
    }

    fn with(weights: &[u64], bft: &serde_json::Value) -> Self {
        let reward = json!({ "policy": "constant", "amount": wei(ETHER) });
        Self::with_reward(weights, bft, &reward, &json!({}))
    }

    fn with_reward(
        weights: &[u64],
        bft: &serde_json::Value,
        reward: &serde_json::Value,
        extra: &serde_json::Value,
    ) -> Self {
        let validators = (0..).zip(weights).map(|(n, weight)| Validator {
            address: who(n),
            key: PublicKey(public(n)),
            vrf_key: vrf(n),
            weight: *weight,
        });
        Self::of(&validators.collect::<Vec<_>>(), bft, reward, extra)
    }

    fn of(
        validators: &[Validator],
        bft: &serde_json::Value,
        reward: &serde_json::Value,
        extra: &serde_json::Value,
    ) -> Self {
        let mut engine = json!({
            "slotMs": 1_000, "validators": validators,
            "unbondingBlocks": 10, "slashing": { "evidenceAge": 10 },
        });
        for (key, value) in bft.as_object().unwrap() {
            engine[key] = value.clone();
        }
        let kette = json!({ "engine": { "pow": null, "bft": engine }, "reward": reward });
        let chain = Chain::with(&kette, extra);
        let mut net =
            Self { chain, absent: Vec::new(), evidence: Vec::new(), known: BTreeMap::new() };
        net.check();
        net
    }

    fn number(&self) -> u64 {
        self.chain.head.number
    }

    fn set(&self, height: u64) -> ValidatorSet {
        validators(&self.chain.state, height).unwrap().unwrap()
    }

    /// Weights of a height's set by owner.
    fn weights(&self, height: u64) -> BTreeMap<Address, u64> {
        self.set(height).validators().iter().map(|it| (it.address, it.weight)).collect()
    }

    /// The seal of the next block, as an honest engine fills it.
    fn seal(&self) -> Seal {
        let number = self.number() + 1;
        let (current, next) = (self.set(number), self.set(number + 1));
        let mut last_commit = Certificate::default();
        if number > 1 {
            let before = self.set(number - 1);
            let signers: Vec<u16> = (0..)
                .zip(before.validators())
                .filter(|(_, validator)| !self.absent.contains(&validator.address))
                .map(|(index, _)| index)
                .collect();
            let signatures = vec![Signature::ZERO; signers.len()];
            let block = self.chain.head.hash();
            last_commit = Certificate { height: number - 1, round: 0, block, signers, signatures };
        }
        let changes = next.hash() != current.hash();
        Seal {
            next_hash: next.hash(),
            next: if changes { next.validators().to_vec() } else { Vec::new() },
            last_commit,
            evidence: self.evidence.clone(),
            ..Seal::default()
        }
    }

    /// Makes and executes a block, and checks what must hold after every block.
    fn mine(&mut self, transactions: impl IntoIterator<Item = Transaction>) -> Built {
        self.chain.seal = self.seal().encoded();
        self.evidence.clear();
        let built = self.chain.mine(transactions);
        assert_eq!(built.skipped, []);
        self.check();
        built
    }

    fn mine_until(&mut self, number: u64) {
        while self.number() < number {
            self.mine([]);
        }
    }

    /// Executes the next block under a seal that was changed.
    fn refused(&self, change: impl FnOnce(&mut Seal)) -> BlockError {
        let mut seal = self.seal();
        let mut chain = Chain { seal: seal.encoded(), ..self.copy() };
        let built = chain.build([]);
        change(&mut seal);
        chain.seal = seal.encoded();
        let header = SealedHeader::new(built.header, chain.seal.clone());
        chain.execute(&Block { header, body: built.body }).unwrap_err()
    }

    fn copy(&self) -> Chain {
        Chain {
            rules: self.chain.rules.clone(),
            head: self.chain.head.clone(),
            state: self.chain.state.clone(),
            hashes: self.chain.hashes.clone(),
            genesis: self.chain.genesis.clone(),
            issued: self.chain.issued,
            burned: self.chain.burned,
            seal: self.chain.seal.clone(),
        }
    }

    fn check(&mut self) {
        self.chain.assert_supply();
        let number = self.number();
        // What was once known of a height never changes.
        for height in number..=number + 2 {
            let set = self.set(height);
            assert_eq!(validators_hash(&self.chain.state, height), Ok(Some(set.hash())));
            assert_eq!(*self.known.entry(height).or_insert_with(|| set.clone()), set, "{height}");
        }
        // The newest set is the records', and the balance is the stake of all.
        let infos = self.infos();
        let mut expected: Vec<_> = infos.iter().filter(|info| info.weight > 0).collect();
        expected.sort_by_key(|info| (std::cmp::Reverse(info.weight), info.key));
        expected.truncate(kette_types::bft::VALIDATORS_MAX);
        let expected: BTreeMap<_, _> =
            expected.iter().map(|info| (info.owner, info.weight)).collect();
        if !expected.is_empty() {
            assert_eq!(self.weights(number + 2), expected);
        }
        let least = self.chain.rules.bft().unwrap().weight_min;
        for info in &infos {
            let weight = (info.stake / wei(ETHER)).to::<u64>();
            let out = info.jailed || weight < least;
            assert_eq!(info.weight, if out { 0 } else { weight });
        }
    }

    /// Stake and unbonding stake of these owners.
    fn held(&self, owners: impl IntoIterator<Item = Address>) -> U256 {
        owners
            .into_iter()
            .map(|owner| {
                let unbonding = self.read(Staking::unbondingCall { owner });
                self.info(owner).stake + unbonding.iter().map(|it| it.amount).sum::<U256>()
            })
            .sum()
    }

    /// A view, as a client reads it.
    fn read<C: SolCall>(&self, call: C) -> C::Return {
        let output = self.try_read(&call.abi_encode()).unwrap();
        C::abi_decode_returns_validate(&output).unwrap()
    }

    fn try_read(&self, input: &[u8]) -> Result<Bytes, Bytes> {
        let request = TransactionRequest {
            from: Some(who(0)),
            to: Some(STAKING_ADDRESS.into()),
            input: TransactionInput::new(Bytes::copy_from_slice(input)),
            ..Default::default()
        };
        self.simulate(&request)
    }

    fn simulate(&self, request: &TransactionRequest) -> Result<Bytes, Bytes> {
        match self.chain.call(request, &EvmOverrides::default(), 30_000_000).run().unwrap() {
            CallOutcome::Success { output, .. } => Ok(output),
            CallOutcome::Revert { output, .. } => Err(output),
            CallOutcome::Halt { reason, .. } => panic!("{reason}"),
        }
    }

    fn infos(&self) -> Vec<Staking::Info> {
        self.read(Staking::validatorsCall {})
    }

    fn info(&self, owner: Address) -> Staking::Info {
        self.read(Staking::validatorCall { owner })
    }

    /// A transaction of the n-th key to the registry.
    fn act(&self, n: u8, value: u128, input: &impl SolCall) -> Transaction {
        let nonce = self.chain.account(who(n)).nonce;
        let input = input.abi_encode();
        let transaction = TxEip1559 {
            gas_limit: 5_000_000,
            ..dynamic(nonce, STAKING_ADDRESS.into(), value, input)
        };
        sign(&key(n), transaction)
    }

    /// Mines a block with one transaction that must succeed, and returns what it logged.
    fn does(&mut self, n: u8, value: u128, input: &impl SolCall) -> Vec<Log> {
        let transaction = self.act(n, value, input);
        let built = self.mine([transaction]);
        let receipt = &built.executed.receipts[0];
        assert!(receipt.success, "{:?}", self.why(n, value, input));
        receipt.logs.clone()
    }

    /// Mines a block with one transaction that must fail with this error and change nothing.
    fn fails<E: SolError + PartialEq + std::fmt::Debug>(
        &mut self,
        n: u8,
        value: u128,
        input: &impl SolCall,
        error: &E,
    ) {
        assert_eq!(self.why(n, value, input), Err(error.abi_encode().into()), "{error:?}");
        let transaction = self.act(n, value, input);
        let mut idle = self.copy();
        idle.seal = self.seal().encoded();
        let idle = idle.build([]).executed.state;
        let built = self.mine([transaction]);
        assert!(!built.executed.receipts[0].success);
        assert_eq!(self.chain.state.account(STAKING_ADDRESS), idle.account(STAKING_ADDRESS));
    }

    fn why(&self, n: u8, value: u128, input: &impl SolCall) -> Result<Bytes, Bytes> {
        self.simulate(&TransactionRequest {
            from: Some(who(n)),
            to: Some(STAKING_ADDRESS.into()),
            value: Some(wei(value)),
            input: TransactionInput::new(input.abi_encode().into()),
            ..Default::default()
        })
    }

    fn registration(&self, owner: Address, n: u8) -> Staking::registerCall {
        let message = proof_message(self.chain.rules.domain(), owner, vrf(n));
        let proof = Bytes::copy_from_slice(secret(n).sign(&message).as_slice());
        Staking::registerCall { key: public(n), vrfKey: vrf(n), proof }
    }

    fn rotation(&self, owner: Address, n: u8) -> Staking::rotateCall {
        let Staking::registerCall { key, vrfKey, proof } = self.registration(owner, n);
        Staking::rotateCall { key, vrfKey, proof }
    }

    /// Evidence of two precommits of the n-th validator key.
    fn double_vote(&self, n: u8, height: u64) -> Evidence {
        let domain = self.chain.rules.domain();
        let vote = |block: u8| {
            let block = B256::repeat_byte(block);
            Vote::sign(domain, &secret(n), VoteKind::Precommit, height, 0, block)
        };
        Evidence::of_votes(vote(1), vote(2))
    }
}

/// Decodes the only event.
fn event<E: SolEvent>(logs: &[Log]) -> E {
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert_eq!(logs[0].address, STAKING_ADDRESS);
    E::decode_log_data(&logs[0].data).unwrap()
}
