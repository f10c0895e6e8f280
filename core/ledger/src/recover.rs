//! Who signed a transaction. The only place of the core that recovers signatures; hosts split the work over
//! threads.

use alloy_consensus::transaction::SignerRecoverable;
use kette_types::{Address, Transaction};

/// Recovers who signed each transaction; `None` where no key did. A high `s` is refused (EIP-2), also in
/// legacy transactions: every chain that starts here has had Homestead from block 0.
pub fn recover(transactions: &[Transaction]) -> Vec<Option<Address>> {
    transactions.iter().map(|transaction| transaction.recover_signer().ok()).collect()
}
