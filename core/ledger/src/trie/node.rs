//! Nodes of the trie, and the links to them: new, loaded, or not loaded yet.

use super::Trie;
use crate::{NodeKey, NodeReader, ReadError};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};
use std::{
    mem::size_of,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Where nodes are loaded from, and how many bytes were.
#[derive(Clone)]
pub(crate) struct Source {
    reader: Arc<dyn NodeReader>,
    loaded: Arc<AtomicUsize>,
}

impl Source {
    pub(crate) fn new(reader: Arc<dyn NodeReader>) -> Self {
        Self { reader, loaded: Arc::default() }
    }
    pub(crate) fn reader(&self) -> &Arc<dyn NodeReader> {
        &self.reader
    }
    /// Bytes of all nodes loaded through this source.
    pub(crate) fn loaded_bytes(&self) -> usize {
        self.loaded.load(Ordering::Relaxed)
    }
}

/// One trie among those of a source: the account trie, or the storage trie of `owner`.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) source: &'a Source,
    pub(crate) owner: Option<B256>,
}

/// What a leaf holds: the RLP and, if it is an account's, its storage trie once somebody asked.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) rlp: Box<[u8]>,
    storage: OnceLock<Trie>,
}

impl Value {
    pub(crate) fn new(rlp: impl Into<Box<[u8]>>) -> Self {
        Self { rlp: rlp.into(), storage: OnceLock::new() }
    }
    /// An account whose storage trie is at hand.
    pub(crate) fn with_storage(rlp: impl Into<Box<[u8]>>, storage: Trie) -> Self {
        Self { rlp: rlp.into(), storage: storage.into() }
    }
    /// The account's storage trie, opened at `root` the first time.
    pub(crate) fn storage(&self, root: B256) -> &Trie {
        self.storage.get_or_init(|| Trie::open(root))
    }
    /// The storage trie if anybody has asked for it.
    pub(crate) fn opened_storage(&self) -> Option<&Trie> {
        self.storage.get()
    }
}

/// A node. Keys are what is left of the path below the node's own place.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Nibbles, Arc<Value>),
    Extension(Nibbles, Link),
    Branch(Box<[Option<Link>; 16]>),
}

impl Node {
    /// About how many bytes of memory the node takes, without its children.
    pub(super) fn bytes(&self) -> usize {
        let inner = match self {
            Self::Leaf(_, value) => ARC_BYTES + size_of::<Value>() + value.rlp.len(),
            Self::Extension(..) => 0,
            Self::Branch(_) => size_of::<[Option<Link>; 16]>(),
        };
        LINK_BYTES + inner
    }

    /// Returns the RLP, which is left in `buffer` until its next use.
    pub(super) fn encode<'a>(&self, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        // Children first: hashing them uses the buffer as well.
        match self {
            Self::Leaf(key, value) => {
                buffer.clear();
                LeafNodeRef::new(key, &value.rlp).encode(buffer);
            }
            Self::Extension(key, child) => {
                let child = child.reference(buffer).clone();
                buffer.clear();
                ExtensionNodeRef::new(key, &child).encode(buffer);
            }
            Self::Branch(children) => {
                let mut references: [RlpNode; 16] = std::array::from_fn(|_| RlpNode::default());
                let mut count = 0;
                let mut mask = TrieMask::default();
                for (nibble, child) in (0..).zip(children.iter()) {
                    if let Some(child) = child {
                        references[count] = child.reference(buffer).clone();
                        count += 1;
                        mask.set_bit(nibble);
                    }
                }
                buffer.clear();
                BranchNodeRef::new(&references[..count], mask).encode(buffer);
            }
        }
        buffer
    }

    /// Decodes a node at `depth`. `None` if it is no node or reaches below a key's last nibble.
    fn decode(mut rlp: &[u8], depth: usize) -> Option<Self> {
        let node = TrieNode::decode(&mut rlp).ok()?;
        if !rlp.is_empty() {
            return None;
        }
        match node {
            TrieNode::EmptyRoot => None,
            TrieNode::Leaf(leaf) => (depth + leaf.key.len() <= KEY_NIBBLES_MAX)
                .then(|| Self::Leaf(leaf.key, Arc::new(Value::new(leaf.value)))),
            TrieNode::Extension(node) => (!node.key.is_empty()
                && depth + node.key.len() < KEY_NIBBLES_MAX)
                .then(|| Self::Extension(node.key, Link::stub(node.child))),
            TrieNode::Branch(node) => (depth < KEY_NIBBLES_MAX).then(|| {
                let mut stubs = node.stack.into_iter().map(Link::stub);
                let mut children = Box::<[Option<Link>; 16]>::default();
                for (nibble, child) in (0..).zip(children.iter_mut()) {
                    if node.state_mask.is_bit_set(nibble) {
                        *child = stubs.next();
                    }
                }
                Self::Branch(children)
            }),
        }
    }

    /// How many bytes loading the node takes: itself in a link that is there, and new links below.
    fn loading_bytes(&self) -> usize {
        let links = match self {
            Self::Leaf(..) => 0,
            Self::Extension(..) => 1,
            Self::Branch(children) => children.iter().flatten().count(),
        };
        self.bytes() - LINK_BYTES + links * LINK_BYTES
    }
}

/// A shared pointer to a node, which all versions of a trie that have the node use together:
/// whoever loads it or computes its hash first does so for all.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Slot>);

/// At least one of the two is set: a node not loaded is known by its reference only, a new node has
/// its reference computed when somebody asks.
///
/// The layout is fixed so that the `Arc`'s counters and the reference are neighbours: copying and
/// hashing a branch touches these of all its children, and little else of them.
#[derive(Debug)]
#[repr(C)]
struct Slot {
    reference: OnceLock<RlpNode>,
    node: OnceLock<Node>,
}

impl Link {
    pub(super) fn new(node: Node) -> Self {
        Self(Arc::new(Slot { reference: OnceLock::new(), node: node.into() }))
    }

    /// A node that its parent (or the root) names: by hash, or whole if it is short.
    pub(super) fn stub(reference: RlpNode) -> Self {
        Self(Arc::new(Slot { reference: reference.into(), node: OnceLock::new() }))
    }

    /// How a parent names the node: its hash, or the whole node if its RLP is shorter than that.
    pub(super) fn reference(&self, buffer: &mut Vec<u8>) -> &RlpNode {
        if let Some(reference) = self.0.reference.get() {
            return reference;
        }
        let node = self.0.node.get().expect("a link without reference holds its node");
        let reference = RlpNode::from_rlp(node.encode(buffer));
        self.0.reference.get_or_init(|| reference)
    }

    /// Whether both are one pointer.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether both lead to the same subtree. Cheap if hashes are computed.
    pub(super) fn same(&self, other: &Self, buffer: &mut Vec<u8>) -> bool {
        if self.is(other) {
            return true;
        }
        let one = self.reference(buffer);
        one == other.reference(buffer)
    }

    /// Returns the node, and keeps it if it had to be loaded.
    pub(super) fn load(
        &self,
        place: Place<'_>,
        path: impl FnOnce() -> Nibbles,
    ) -> Result<&Node, ReadError> {
        if let Some(node) = self.0.node.get() {
            return Ok(node);
        }
        let node = self.read(place, path())?;
        let bytes = node.loading_bytes();
        if self.0.node.set(node).is_ok() {
            place.source.loaded.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(self.0.node.get().expect("it was set above, here or by another thread"))
    }

    /// Returns the node without keeping it, for walks over more than should stay in memory.
    pub(super) fn peek(&self, place: Place<'_>, path: Nibbles) -> Result<Peek<'_>, ReadError> {
        match self.0.node.get() {
            Some(node) => Ok(Peek::Held(node)),
            None => Ok(Peek::Passing(self.read(place, path)?)),
        }
    }

    fn read(&self, place: Place<'_>, path: Nibbles) -> Result<Node, ReadError> {
        let reference = self.0.reference.get().expect("a link without node holds its reference");
        let depth = path.len();
        let Some(hash) = reference.as_hash() else {
            return Node::decode(reference, depth)
                .ok_or_else(|| ReadError::Damaged(keccak256(reference)));
        };
        let key = NodeKey { owner: place.owner, path, hash };
        let rlp: Bytes = place.source.reader.node(&key)?.ok_or(ReadError::MissingNode(hash))?;
        if keccak256(&rlp) != hash {
            return Err(ReadError::Damaged(hash));
        }
        Node::decode(&rlp, depth).ok_or(ReadError::Damaged(hash))
    }
}

/// A node that is in memory anyway, or only while this lives.
pub(super) enum Peek<'a> {
    Held(&'a Node),
    Passing(Node),
}

impl Deref for Peek<'_> {
    type Target = Node;
    fn deref(&self) -> &Node {
        match self {
            Self::Held(node) => node,
            Self::Passing(node) => node,
        }
    }
}

/// Keys are hashes: 64 nibbles.
pub(super) const KEY_NIBBLES_MAX: usize = 64;
/// The two counters before what an `Arc` holds.
const ARC_BYTES: usize = 2 * size_of::<usize>();
const LINK_BYTES: usize = ARC_BYTES + size_of::<Slot>();
