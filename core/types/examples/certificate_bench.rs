//! Measures what checking a certificate costs: all signatures anew, and with those of votes that were judged before.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures time and prints it"
)]

use alloy_primitives::{Address, B256, keccak256};
use kette_types::bft::{
    Certificate, Domain, PublicKey, Quorum, SecretKey, Signature, Validator, ValidatorSet, Vote,
    VoteKind,
};
use std::{cell::RefCell, collections::BTreeSet, time::Instant};

const ROUNDS: usize = 20;
const HEIGHT: u64 = 7;

fn main() {
    println!("microseconds per certificate, best of {ROUNDS}");
    println!("validators  bytes  anew  remembered");
    for count in [4, 10, 50, 100, 128] {
        let (set, certificate) = certificate(count);
        let judged = RefCell::new(BTreeSet::new());
        let anew =
            best(&set, &certificate, &|key, message, signature| key.verify(message, signature));
        let remembered = |key: &PublicKey, message: &[u8], signature: &Signature| {
            let name = keccak256([key.0.as_slice(), signature.as_slice(), message].concat());
            if judged.borrow().contains(&name) {
                return true;
            }
            let good = key.verify(message, signature);
            if good {
                judged.borrow_mut().insert(name);
            }
            good
        };
        let again = best(&set, &certificate, &remembered);
        let bytes = alloy_rlp::encode(&certificate).len();
        println!("{count:>10} {bytes:>6} {anew:>5.0} {again:>11.0}");
    }
}

/// A certificate that everybody signed.
fn certificate(count: u64) -> (ValidatorSet, Certificate) {
    let keys: Vec<SecretKey> =
        (0..count).map(|number| SecretKey::from_seed(&keccak256(number.to_be_bytes()))).collect();
    let validator = |key: &SecretKey| Validator {
        address: Address::ZERO,
        key: key.public(),
        vrf_key: B256::ZERO,
        weight: 100,
    };
    let set = ValidatorSet::new(keys.iter().map(validator).collect()).expect("a set");
    let block = keccak256(b"block");
    let message = Vote::message(Domain::default(), VoteKind::Precommit, HEIGHT, 0, block);
    let of = |validator: &Validator| {
        let key = keys.iter().find(|key| key.public() == validator.key).expect("its key");
        key.sign(&message)
    };
    let signatures = set.validators().iter().map(of).collect();
    let signers = (0..count as u16).collect();
    (set, Certificate { height: HEIGHT, round: 0, block, signers, signatures })
}

fn best(
    set: &ValidatorSet,
    certificate: &Certificate,
    verify: &dyn Fn(&PublicKey, &[u8], &Signature) -> bool,
) -> f64 {
    let quorum = Quorum::MoreThanTwoThirds;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        certificate
            .check(Domain::default(), HEIGHT, certificate.block, set, quorum, verify)
            .expect("a good certificate");
        best = best.min(began.elapsed().as_secs_f64() * 1e6);
    }
    best
}
