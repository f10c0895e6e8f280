//! Walks a state from its root, as the Yellow Paper's appendix D defines the trie: every node is hashed,
//! every account's code and storage must be there.

use crate::{
    codec::{blob, one},
    error::Failure,
};
use alloy_primitives::{KECCAK256_EMPTY, keccak256};
use alloy_rlp::{Decodable, Header, PayloadView};
use kette_ledger::Account;
use kette_types::{B256, U256};
use rusqlite::Connection;

/// What a walk saw.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) nodes: u64,
    pub(super) accounts: u64,
    pub(super) supply: U256,
}

/// Walks the state with this root and all its storage.
pub(super) fn walk(conn: &Connection, root: B256) -> Result<Walked, Failure> {
    let mut walk = Walk { conn, owner: None, path: Vec::new(), seen: Walked::default() };
    walk.root(root)?;
    Ok(walk.seen)
}

struct Walk<'a> {
    conn: &'a Connection,
    owner: Option<B256>,
    /// Nibbles from the root.
    path: Vec<u8>,
    seen: Walked,
}

impl Walk<'_> {
    fn root(&mut self, root: B256) -> Result<(), Failure> {
        // The root of a trie without leaves: keccak256 of RLP's empty string.
        if root == keccak256([alloy_rlp::EMPTY_STRING_CODE]) { Ok(()) } else { self.stored(root) }
    }

    /// A node with a row of its own.
    fn stored(&mut self, hash: B256) -> Result<(), Failure> {
        let sql = "SELECT node FROM trie_nodes WHERE key = ?1";
        let node = one(self.conn, sql, [self.key(hash)], |row| Ok(blob(row, 0)?.to_vec()))?;
        let node = node.ok_or_else(|| self.damaged(hash, "is missing"))?;
        if keccak256(&node) != hash {
            return Err(self.damaged(hash, "has other content"));
        }
        self.seen.nodes += 1;
        self.node(&node).map_err(|fault| match fault {
            Fault::Shape => self.damaged(hash, "is not a trie node"),
            Fault::Below(failure) => failure,
        })
    }

    fn node(&mut self, rlp: &[u8]) -> Result<(), Fault> {
        let PayloadView::List(items) = Header::decode_raw(&mut &*rlp)? else {
            return Err(Fault::Shape);
        };
        match items.as_slice() {
            [path, rest] => {
                let (leaf, nibbles) = prefix(Header::decode_bytes(&mut &**path, false)?)?;
                let depth = self.path.len();
                self.path.extend(nibbles);
                if self.path.len() > PATH_MAX {
                    return Err(Fault::Shape);
                }
                if leaf {
                    self.leaf(rest)?
                } else {
                    self.child(rest)?
                }
                self.path.truncate(depth);
                Ok(())
            }
            children if children.len() == 17 => {
                if self.path.len() >= PATH_MAX {
                    return Err(Fault::Shape);
                }
                for (nibble, child) in (0..16).zip(children) {
                    if *child == [alloy_rlp::EMPTY_STRING_CODE] {
                        continue;
                    }
                    self.path.push(nibble);
                    self.child(child)?;
                    self.path.pop();
                }
                Ok(())
            }
            _ => Err(Fault::Shape),
        }
    }

    /// A reference: the hash of a node, or the node itself if it is shorter than that.
    fn child(&mut self, reference: &[u8]) -> Result<(), Fault> {
        if reference.first().is_some_and(|first| *first >= alloy_rlp::EMPTY_LIST_CODE) {
            return self.node(reference);
        }
        let hash = B256::decode(&mut &*reference)?;
        self.stored(hash).map_err(Fault::Below)
    }

    fn leaf(&mut self, item: &[u8]) -> Result<(), Fault> {
        if self.path.len() != PATH_MAX {
            return Err(Fault::Shape);
        }
        if self.owner.is_some() {
            return Ok(());
        }
        let value = Header::decode_bytes(&mut &*item, false)?;
        let account: Account = alloy_rlp::decode_exact(value)?;
        self.seen.accounts += 1;
        self.seen.supply = self.seen.supply.saturating_add(account.balance);
        if account.code_hash != KECCAK256_EMPTY {
            self.code(account.code_hash).map_err(Fault::Below)?;
        }
        let path = std::mem::take(&mut self.path);
        self.owner = Some(B256::from_slice(&pack(&path)));
        let walked = self.root(account.storage_root);
        self.owner = None;
        self.path = path;
        walked.map_err(Fault::Below)
    }

    fn code(&self, hash: B256) -> Result<(), Failure> {
        let sql = "SELECT code FROM codes WHERE hash = ?1";
        let found = one(self.conn, sql, [hash.as_slice()], |row| Ok(keccak256(blob(row, 0)?)))?;
        match found {
            Some(found) if found == hash => Ok(()),
            Some(_) => Err(Failure::Damaged(format!("code {hash} has other content"))),
            None => Err(Failure::Damaged(format!("code {hash} is missing"))),
        }
    }

    /// The same bytes as `NodeKey::to_bytes`.
    fn key(&self, hash: B256) -> Vec<u8> {
        let mut key = Vec::new();
        match self.owner {
            None => key.push(0),
            Some(owner) => {
                key.push(1);
                key.extend_from_slice(owner.as_slice());
            }
        }
        key.push(u8::try_from(self.path.len()).expect("checked against PATH_MAX"));
        key.extend(pack(&self.path));
        key.extend_from_slice(hash.as_slice());
        key
    }

    fn damaged(&self, hash: B256, what: &str) -> Failure {
        let whose = self.owner.map_or_else(String::new, |owner| format!(" of account {owner}"));
        Failure::Damaged(format!("trie node {hash}{whose} {what}"))
    }
}

enum Fault {
    /// The bytes are no node.
    Shape,
    /// Something further down is wrong.
    Below(Failure),
}

impl From<alloy_rlp::Error> for Fault {
    fn from(_: alloy_rlp::Error) -> Self {
        Self::Shape
    }
}

/// Reads the compact path of a leaf or extension: two flag bits, then nibbles (Yellow Paper, appendix C).
fn prefix(bytes: &[u8]) -> Result<(bool, Vec<u8>), Fault> {
    let (first, rest) = bytes.split_first().ok_or(Fault::Shape)?;
    let odd = (first & 0x10 != 0).then_some(first & 0x0f);
    let nibbles = odd.into_iter().chain(rest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]));
    Ok((first & 0x20 != 0, nibbles.collect()))
}

/// Two nibbles per byte; a last single one is the high half.
fn pack(nibbles: &[u8]) -> Vec<u8> {
    nibbles.chunks(2).map(|pair| (pair[0] << 4) | pair.get(1).copied().unwrap_or(0)).collect()
}

/// Nibbles of a hashed key.
const PATH_MAX: usize = 64;
