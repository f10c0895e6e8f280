//! Who signed a transaction. The only place of the core that recovers signatures; hosts split the work over
//! threads.

use alloy_consensus::transaction::SignerRecoverable;
use kette_types::{Address, Transaction};

/// Recovers who signed each transaction; `None` where no key did. A high `s` is refused (EIP-2), also in
/// legacy transactions: every chain that starts here has had Homestead from block 0.
pub fn recover(transactions: &[Transaction]) -> Vec<Option<Address>> {
    transactions.iter().map(|transaction| transaction.recover_signer().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, legacy, sign, transfer, who};
    use std::any::type_name_of_val;

    /// The C library recovers 4.6 times as many signatures per second as the pure Rust default. Which one is
    /// compiled in shows in the path of the function that both have.
    #[test]
    fn the_c_library_recovers() {
        let transactions =
            type_name_of_val(&alloy_consensus::crypto::secp256k1::public_key_to_address);
        assert_eq!(transactions, "alloy_consensus::crypto::impl_secp256k1::public_key_to_address");
        let precompile = type_name_of_val(&revm::precompile::secp256k1::ecrecover);
        assert!(precompile.contains("bitcoin_secp256k1"), "{precompile}");
    }

    #[test]
    fn one_answer_per_transaction() {
        let good = transfer(1, 0, who(0), 1);
        let Transaction::Eip1559(signed) = good.clone() else { panic!("dynamic fee") };
        let zero = alloy_primitives::Signature::new(
            alloy_primitives::U256::ZERO,
            alloy_primitives::U256::ZERO,
            false,
        );
        let bad: Transaction =
            alloy_consensus::Signed::new_unhashed(signed.tx().clone(), zero).into();
        let old = sign(&key(2), legacy(0, None));
        assert_eq!(recover(&[good, bad, old]), [Some(who(1)), None, Some(who(2))]);
        assert_eq!(recover(&[]), []);
    }
}
