//! All accounts after a block, as a flat map; the state root is built from the whole of it.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, keccak256};
use alloy_trie::{TrieAccount, root};
use kette_chain::ExecutedBlock;
use kette_types::{ChainSpec, U256};

/// Accounts by keccak256 of their address. Clones share what is equal.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    map: imbl::OrdMap<B256, TrieAccount>,
}

impl Accounts {
    /// Returns the accounts of a genesis file.
    pub(super) fn genesis(spec: &ChainSpec) -> Self {
        let mut map = imbl::OrdMap::new();
        for (address, account) in &spec.genesis.alloc {
            let mut leaf = TrieAccount {
                nonce: account.nonce.unwrap_or(0),
                balance: account.balance,
                ..TrieAccount::default()
            };
            if let Some(code) = account.code.as_ref().filter(|code| !code.is_empty()) {
                leaf.code_hash = keccak256(code);
            }
            if let Some(storage) = &account.storage {
                let slots = storage.iter().filter(|(_, value)| !value.is_zero());
                let slots = slots.map(|(slot, value)| (*slot, U256::from_be_bytes(value.0)));
                leaf.storage_root = root::storage_root_unhashed(slots);
            }
            map.insert(keccak256(address), leaf);
        }
        Self { map }
    }

    /// Returns the state root: every leaf is hashed again.
    pub(super) fn root(&self) -> B256 {
        root::state_root(self.map.iter().map(|(key, account)| (*key, *account)))
    }

    /// Adds up all balances; `None` if they do not fit 256 bits.
    pub fn supply(&self) -> Option<U256> {
        self.map.values().try_fold(U256::ZERO, |sum, account| sum.checked_add(account.balance))
    }

    /// Returns an account, empty if there is none.
    pub fn get(&self, address: Address) -> TrieAccount {
        self.map.get(&keccak256(address)).copied().unwrap_or_default()
    }

    /// Tells whether there is code at an address.
    pub(super) fn has_code(&self, address: Address) -> bool {
        self.get(address).code_hash != KECCAK256_EMPTY
    }

    /// Writes an account that was touched. An empty one is none (EIP-161).
    pub(super) fn set(&mut self, address: Address, account: TrieAccount) {
        let empty =
            account.nonce == 0 && account.balance.is_zero() && account.code_hash == KECCAK256_EMPTY;
        if empty {
            self.map.remove(&keccak256(address));
        } else {
            self.map.insert(keccak256(address), account);
        }
    }

    /// Takes over what a node says that a block changed. The state root shows whether that was all.
    pub(super) fn adopt(&mut self, given: &ExecutedBlock) -> Result<(), String> {
        for address in &given.changed {
            let account = given
                .state
                .account(*address)
                .map_err(|error| format!("account {address} cannot be read: {error}"))?;
            match account {
                Some(account) => self.map.insert(keccak256(address), account),
                None => self.map.remove(&keccak256(address)),
            };
        }
        Ok(())
    }
}
