//! A block's state: all accounts after it, as one value that is cheap to clone and never changes.
//!
//! It is a persistent trie: applying a block's changes makes another state that shares what did not
//! change. Forks, reorganisations, historical reads and proofs are then only other roots. Parts
//! that were not touched since the state was opened are read from the host when needed, and kept.

#[cfg(test)]
mod tests;

use crate::{
    Account, AccountProof, NodeKey, NodeReader, ReadError, StateChanges, StorageProof,
    account::AccountChange,
    trie::{Change, Diff, Place, Source, Trie, Value},
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::Nibbles;
use imbl::OrdMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// All accounts after one block.
#[derive(Clone)]
pub struct State {
    source: Source,
    accounts: Trie,
    /// Code that may not be durable yet.
    codes: OrdMap<B256, Bytes>,
    /// Bytes of the storage tries and codes made by updates, as the account trie counts its own.
    bytes: isize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({})", self.root())
    }
}

/// What must be written to make one state durable, given that another one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateCommit {
    /// The root that becomes durable.
    pub root: B256,
    /// New nodes with their RLP.
    pub nodes: Vec<(NodeKey, Bytes)>,
    /// Nodes that the new state does not have any more.
    pub stale: Vec<NodeKey>,
    /// New contract code.
    pub codes: Vec<(B256, Bytes)>,
    /// Accounts that changed, for the flat table that people read.
    pub accounts: Vec<(Address, Option<Account>)>,
}

impl State {
    /// Opens the state with this root; nothing is read before it is needed.
    pub fn open(reader: Arc<dyn NodeReader>, root: B256) -> Self {
        Self {
            source: Source::new(reader),
            accounts: Trie::open(root),
            codes: OrdMap::new(),
            bytes: 0,
        }
    }
    /// Returns the state without accounts, over an empty [`MemoryNodes`](crate::MemoryNodes).
    pub fn empty() -> Self {
        Self::open(Arc::new(crate::MemoryNodes::default()), alloy_trie::EMPTY_ROOT_HASH)
    }
    /// Returns the state root.
    pub fn root(&self) -> B256 {
        self.accounts.root()
    }
    /// Returns an account.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn account(&self, address: Address) -> Result<Option<Account>, ReadError> {
        Ok(self.entry(keccak256(address))?.map(|(account, _)| account))
    }
    /// Returns a storage slot; zero if absent.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, ReadError> {
        let owner = keccak256(address);
        let Some((account, value)) = self.entry(owner)? else { return Ok(U256::ZERO) };
        let storage = value.storage(account.storage_root);
        storage
            .get(self.place(Some(owner)), &slot_key(slot))?
            .map_or(Ok(U256::ZERO), |value| decode(value))
    }
    /// Returns contract code by hash; empty for the hash of nothing.
    ///
    /// # Errors
    /// If the store fails or the code is missing.
    pub fn code(&self, hash: B256) -> Result<Bytes, ReadError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        let code = self.source.reader().code(hash)?.ok_or(ReadError::MissingCode(hash))?;
        if keccak256(&code) != hash {
            return Err(ReadError::Damaged(hash));
        }
        Ok(code)
    }
    /// Proves an account and some of its slots (EIP-1186).
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn prove(&self, address: Address, slots: &[U256]) -> Result<AccountProof, ReadError> {
        let owner = keccak256(address);
        let proof = self.accounts.prove(self.place(None), &key(owner))?;
        let entry = self.entry(owner)?;
        let account = entry.as_ref().map_or_else(Account::default, |(account, _)| *account);
        let mut storage = Vec::with_capacity(slots.len());
        for &slot in slots {
            let proof = match &entry {
                None => Vec::new(),
                Some((account, value)) => value
                    .storage(account.storage_root)
                    .prove(self.place(Some(owner)), &slot_key(slot))?,
            };
            storage.push(StorageProof { slot, value: self.storage(address, slot)?, proof });
        }
        Ok(AccountProof { address, account, proof, storage })
    }
    /// Returns the state after these changes. `self` stays as it is.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn apply(&self, changes: &StateChanges) -> Result<Self, ReadError> {
        let mut next = self.clone();
        let mut batch = Vec::with_capacity(changes.accounts.len());
        for (owner, change) in sorted(&changes.accounts, |address| keccak256(address)) {
            let old = self.entry(owner)?;
            let old_storage = old.as_ref().and_then(|(_, value)| value.opened_storage());
            next.bytes -= old_storage.map_or(0, Trie::bytes);
            let value = match change {
                None => None,
                Some(change) => Some(self.changed(owner, old, change)?),
            };
            let new_storage = value.as_ref().and_then(Value::opened_storage);
            next.bytes += new_storage.map_or(0, Trie::bytes);
            batch.push(Change { key: key(owner), value: value.map(Arc::new) });
        }
        next.accounts = self.accounts.update(self.place(None), &batch)?;
        for (hash, code) in &changes.codes {
            if next.codes.insert(*hash, code.clone()).is_none() {
                next.bytes += code.len().cast_signed();
            }
        }
        Ok(next)
    }
    /// Returns what must be written to make `self` durable where `base` is. `changed` names all
    /// addresses that may differ.
    ///
    /// The base may be any state whose nodes can be read. A key that one commit calls stale may be
    /// written again by a later one, if content returns to what it was: rows are dropped in the
    /// order of the commits, or a late drop first looks whether the row has come back.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn commit(
        &self,
        base: &Self,
        changed: &mut dyn Iterator<Item = Address>,
    ) -> Result<StateCommit, ReadError> {
        let mut diff = Diff::default();
        let mut accounts = Vec::new();
        for address in changed.collect::<BTreeSet<_>>() {
            let owner = keccak256(address);
            let (new, old) = (self.entry(owner)?, base.entry(owner)?);
            let storage = |entry: &Option<(Account, &Value)>| {
                entry.as_ref().map_or_else(Trie::default, |(account, value)| {
                    value.storage(account.storage_root).clone()
                })
            };
            let (new_storage, old_storage) = (storage(&new), storage(&old));
            let (new_place, old_place) = (self.place(Some(owner)), base.place(Some(owner)));
            diff.add((new_place, &new_storage), (old_place, &old_storage))?;
            accounts.push((address, new.map(|(account, _)| account)));
        }
        diff.add((self.place(None), &self.accounts), (base.place(None), &base.accounts))?;
        let codes = self.codes.iter().filter(|(hash, _)| !base.codes.contains_key(*hash));
        Ok(StateCommit {
            root: self.root(),
            nodes: diff.nodes,
            stale: diff.stale,
            codes: codes.map(|(hash, code)| (*hash, code.clone())).collect(),
            accounts,
        })
    }
    /// Returns the same state with nothing held in memory. Valid once a commit of it is durable.
    pub fn unload(&self) -> Self {
        Self::open(self.source.reader().clone(), self.root())
    }
    /// Returns about how many bytes the loaded part holds.
    ///
    /// An estimate from counters: it takes older states as dropped, and counts what was loaded as
    /// held, also if the account has gone since.
    pub fn loaded_bytes(&self) -> usize {
        let made = self.accounts.bytes() + self.bytes;
        self.source.loaded_bytes().saturating_add_signed(made)
    }
    /// Adds up all balances: the supply. Reads the whole state, without keeping it.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn supply(&self) -> Result<U256, ReadError> {
        let mut supply = U256::ZERO;
        self.accounts.walk(self.place(None), &key(B256::ZERO), &mut |_, value| {
            supply = supply.saturating_add(decode::<Account>(value)?.balance);
            Ok(true)
        })?;
        Ok(supply)
    }
    /// Returns up to `limit` accounts in order of keccak256(address), from `start` on.
    ///
    /// # Errors
    /// If the store fails or the state was pruned.
    pub fn accounts(&self, start: B256, limit: usize) -> Result<Vec<(B256, Account)>, ReadError> {
        let mut accounts = Vec::new();
        if limit == 0 {
            return Ok(accounts);
        }
        self.accounts.walk(self.place(None), &key(start), &mut |key, value| {
            accounts.push((B256::from_slice(&key.pack()), decode(value)?));
            Ok(accounts.len() < limit)
        })?;
        Ok(accounts)
    }

    fn place(&self, owner: Option<B256>) -> Place<'_> {
        Place { source: &self.source, owner }
    }

    fn entry(&self, owner: B256) -> Result<Option<(Account, &Value)>, ReadError> {
        self.accounts
            .get(self.place(None), &key(owner))?
            .map(|value| Ok((decode(value)?, &**value)))
            .transpose()
    }

    /// Makes an account's new leaf of the old one.
    fn changed(
        &self,
        owner: B256,
        old: Option<(Account, &Value)>,
        change: &AccountChange,
    ) -> Result<Value, ReadError> {
        let storage = match old {
            Some((account, value)) if !change.storage_wiped => {
                value.storage(account.storage_root).clone()
            }
            _ => Trie::default(),
        };
        let slots = sorted(&change.storage, |slot| keccak256(B256::from(*slot)));
        let slots = slots.into_iter().map(|(slot, value)| Change {
            key: key(slot),
            value: (!value.is_zero())
                .then(|| Arc::new(Value::new(alloy_rlp::encode_fixed_size(value).as_slice()))),
        });
        let storage = storage.update(self.place(Some(owner)), &slots.collect::<Vec<_>>())?;
        let account = Account::new(change.nonce, change.balance, storage.root(), change.code_hash);
        Ok(Value::with_storage(alloy_rlp::encode(account), storage))
    }
}

fn key(hash: B256) -> Nibbles {
    Nibbles::unpack_array(&hash)
}

fn slot_key(slot: U256) -> Nibbles {
    key(keccak256(B256::from(slot)))
}

/// The entries in order of hashed keys, which is how a trie wants them.
fn sorted<K, V>(entries: &BTreeMap<K, V>, hash: impl Fn(&K) -> B256) -> Vec<(B256, &V)> {
    let mut sorted: Vec<_> = entries.iter().map(|(key, value)| (hash(key), value)).collect();
    sorted.sort_unstable_by_key(|(hash, _)| *hash);
    sorted
}

fn decode<T: Decodable>(value: &Value) -> Result<T, ReadError> {
    alloy_rlp::decode_exact(&value.rlp).map_err(|_| ReadError::Damaged(keccak256(&value.rlp)))
}
