//! A persistent Merkle Patricia trie (Yellow Paper, appendix D), loaded on demand.
//!
//! A trie is a value: an update returns another one that shares all untouched nodes. It knows
//! nothing of accounts, except that a leaf may carry the storage trie that its account names. All
//! keys of one trie have the same length, so that no key is another's prefix and branches need no
//! value.

mod diff;
mod node;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use diff::Diff;
pub(crate) use node::{Place, Source, Value};
pub(crate) use update::Change;

use crate::ReadError;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};
use node::{Link, Node};
use std::sync::Arc;

/// One version of a trie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trie {
    root: Option<Link>,
    /// Bytes of nodes made by updates, less those they replaced: what this version would free, if
    /// all others were gone and nothing had been loaded. Negative if loaded nodes were replaced.
    bytes: isize,
}

impl Trie {
    /// Opens the trie with this root; nothing is read before it is needed.
    pub(crate) fn open(root: B256) -> Self {
        let root = (root != EMPTY_ROOT_HASH).then(|| Link::stub(RlpNode::word_rlp(&root)));
        Self { root, bytes: 0 }
    }

    /// The root hash, computed for the nodes that changed when first asked.
    pub(crate) fn root(&self) -> B256 {
        let Some(root) = &self.root else { return EMPTY_ROOT_HASH };
        let reference = root.reference(&mut Vec::new());
        // The root is named by its hash even if it is short enough to be named by its content.
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    pub(crate) fn bytes(&self) -> isize {
        self.bytes
    }

    pub(crate) fn get(
        &self,
        place: Place<'_>,
        key: &Nibbles,
    ) -> Result<Option<&Arc<Value>>, ReadError> {
        let mut depth = 0;
        let mut next = self.root.as_ref();
        while let Some(link) = next {
            match link.load(place, || key.slice(..depth))? {
                Node::Leaf(rest, value) => return Ok(ends(key, depth, rest).then_some(value)),
                node => next = step(node, key, &mut depth),
            }
        }
        Ok(None)
    }

    /// Returns the RLP of the nodes from the root towards the key: up to its leaf, or up to the
    /// node that shows its absence. Nodes that their parent contains are not listed again.
    pub(crate) fn prove(&self, place: Place<'_>, key: &Nibbles) -> Result<Vec<Bytes>, ReadError> {
        let mut buffer = Vec::new();
        let mut proof = Vec::new();
        let mut depth = 0;
        let mut next = self.root.as_ref();
        while let Some(link) = next {
            let node = link.load(place, || key.slice(..depth))?;
            if depth == 0 || link.reference(&mut buffer).is_hash() {
                proof.push(Bytes::copy_from_slice(node.encode(&mut buffer)));
            }
            next = step(node, key, &mut depth);
        }
        Ok(proof)
    }

    /// Shows leaves in order of their keys, from `start` on, until `visit` returns false. Loads
    /// nothing for longer than it is looked at.
    pub(crate) fn walk(
        &self,
        place: Place<'_>,
        start: &Nibbles,
        visit: &mut dyn FnMut(Nibbles, &Value) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        if let Some(root) = &self.root {
            walk(place, root, Nibbles::new(), start, visit)?;
        }
        Ok(())
    }
}

/// Whether a leaf at `depth` with `rest` below it is the one of `key`.
fn ends(key: &Nibbles, depth: usize, rest: &Nibbles) -> bool {
    key.slice(depth..) == *rest
}

/// Goes one node down towards `key`.
fn step<'a>(node: &'a Node, key: &Nibbles, depth: &mut usize) -> Option<&'a Link> {
    match node {
        Node::Leaf(..) => None,
        Node::Extension(shared, child) => {
            if !key.slice(*depth..).starts_with(shared) {
                return None;
            }
            *depth += shared.len();
            Some(child)
        }
        Node::Branch(children) => {
            let nibble = key.get(*depth)?;
            *depth += 1;
            children[usize::from(nibble)].as_ref()
        }
    }
}

fn walk(
    place: Place<'_>,
    link: &Link,
    path: Nibbles,
    start: &Nibbles,
    visit: &mut dyn FnMut(Nibbles, &Value) -> Result<bool, ReadError>,
) -> Result<bool, ReadError> {
    if path < start.slice(..path.len().min(start.len())) {
        return Ok(true);
    }
    match &*link.peek(place, path)? {
        Node::Leaf(rest, value) => {
            let key = path.join(rest);
            if key < *start { Ok(true) } else { visit(key, value) }
        }
        Node::Extension(shared, child) => walk(place, child, path.join(shared), start, visit),
        Node::Branch(children) => {
            for (nibble, child) in (0..).zip(children.iter()) {
                let Some(child) = child else { continue };
                let mut path = path;
                path.push(nibble);
                if !walk(place, child, path, start, visit)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}
