//! Votes that were judged before: a certificate in a block is of votes that most nodes checked one by one.
//!
//! With 100 validators a certificate is 100 signatures, checked inside the loop; those that came as votes cost a hash
//! each. Not batch verification: that accepts signatures which single verification refuses (Chalkias et al., "Taming
//! the many EdDSAs", section 4), and nodes that check differently may disagree about a block. What is remembered was
//! judged by the one strict rule.

use alloy_primitives::{B256, keccak256};
use kette_consensus::bft::SignatureMemo;
use kette_types::bft::{PublicKey, Signature};
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// Good signatures, the newest of them. Bad ones are not kept: whoever sends them would fill it.
#[derive(Debug, Default)]
pub(super) struct Signatures(Mutex<Generations>);

/// Two generations: when the new one is full it becomes the old one, and what was in that is forgotten.
#[derive(Debug, Default)]
struct Generations {
    new: HashSet<B256>,
    old: HashSet<B256>,
}

/// Signatures of one generation: some hundred votes of each of the largest sets' last heights, half a megabyte in all.
const GENERATION: usize = 4_096;

impl SignatureMemo for Signatures {
    fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
        judge: &dyn Fn() -> bool,
    ) -> bool {
        // Key and signature have fixed lengths, so no two questions share a name.
        let name = keccak256([key.0.as_slice(), signature.as_slice(), message].concat());
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).knows(name) {
            return true;
        }
        let good = judge();
        if good {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(name);
        }
        good
    }
}

impl Generations {
    fn knows(&self, name: B256) -> bool {
        self.new.contains(&name) || self.old.contains(&name)
    }

    fn keep(&mut self, name: B256) {
        if self.new.len() >= GENERATION {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_types::bft::SecretKey;
    use std::cell::Cell;

    #[test]
    fn each_good_signature_is_judged_once_and_each_bad_one_always() {
        let memo = Signatures::default();
        let key = SecretKey::from_seed(&B256::repeat_byte(7));
        let signature = key.sign(b"vote");
        let judged = Cell::new(0);
        let ask = |message: &[u8]| {
            memo.verify(&key.public(), message, &signature, &|| {
                judged.set(judged.get() + 1);
                key.public().verify(message, &signature)
            })
        };
        assert!(ask(b"vote") && ask(b"vote"));
        assert_eq!(judged.get(), 1);
        // The same signature for another message is another question.
        assert!(!ask(b"veto") && !ask(b"veto"));
        assert_eq!(judged.get(), 3);
    }

    #[test]
    fn it_is_bounded_and_keeps_the_newest() {
        let memo = Signatures::default();
        let key = SecretKey::from_seed(&B256::repeat_byte(7)).public();
        let ask = |number: usize, judge: bool| {
            memo.verify(&key, &number.to_be_bytes(), &Signature::default(), &|| judge)
        };
        for number in 0..3 * GENERATION {
            assert!(ask(number, true));
        }
        let inner = memo.0.lock().unwrap();
        assert!(inner.new.len() + inner.old.len() <= 2 * GENERATION);
        drop(inner);
        assert!(ask(3 * GENERATION - 1, false), "remembered");
        assert!(!ask(0, false), "forgotten, so judged anew");
    }
}
