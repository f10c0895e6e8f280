//! What one trie has on disk that another has not: both are walked along the same paths, and
//! subtrees with the same hash at the same place are passed over.

use super::{
    Trie,
    node::{Link, Node, Peek, Place},
};
use crate::{NodeKey, ReadError};
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;

/// Collects the rows to write and the rows that became stale, over several tries.
#[derive(Default)]
pub(crate) struct Diff {
    pub(crate) nodes: Vec<(NodeKey, Bytes)>,
    pub(crate) stale: Vec<NodeKey>,
    buffer: Vec<u8>,
}

impl Diff {
    /// Adds the rows in which `new` differs from `base`: the tries of one owner, each with its
    /// place.
    pub(crate) fn add(
        &mut self,
        (new_place, new): (Place<'_>, &Trie),
        (base_place, base): (Place<'_>, &Trie),
    ) -> Result<(), ReadError> {
        let (new_root, base_root) = (new.root(), base.root());
        if new_root == base_root {
            return Ok(());
        }
        // The root has a row even if it is short, hence the hash and not the reference.
        let new = Cursor::root(new, new_root);
        let base = Cursor::root(base, base_root);
        self.descend((new_place, base_place), Nibbles::new(), new, base)
    }

    fn descend(
        &mut self,
        places: (Place<'_>, Place<'_>),
        path: Nibbles,
        new: Cursor<'_>,
        base: Cursor<'_>,
    ) -> Result<(), ReadError> {
        if let (Cursor::At(new, _), Cursor::At(base, _)) = (&new, &base)
            && !path.is_empty()
            && new.same(base, &mut self.buffer)
        {
            return Ok(());
        }
        let owner = places.0.owner;
        let new_node = new.peek(places.0, path)?;
        let base_node = base.peek(places.1, path)?;
        if let (Some(node), Some(hash)) = (&new_node, new.hash(&mut self.buffer)) {
            let rlp = Bytes::copy_from_slice(node.encode(&mut self.buffer));
            self.nodes.push((NodeKey { owner, path, hash }, rlp));
        }
        if let Some(hash) = base.hash(&mut self.buffer) {
            self.stale.push(NodeKey { owner, path, hash });
        }
        for nibble in 0..16 {
            let new = new.next(new_node.as_deref(), nibble);
            let base = base.next(base_node.as_deref(), nibble);
            if matches!((&new, &base), (Cursor::Nothing, Cursor::Nothing)) {
                continue;
            }
            let mut path = path;
            path.push(nibble);
            self.descend(places, path, new, base)?;
        }
        Ok(())
    }
}

/// What one of the two tries has at a path.
enum Cursor<'a> {
    /// No subtree, or only the inside of a leaf's key.
    Nothing,
    /// A node; with its hash if that is forced.
    At(&'a Link, Option<B256>),
    /// The inside of an extension's key; so much is left of it.
    Within(Nibbles, &'a Link),
}

impl<'a> Cursor<'a> {
    fn root(trie: &'a Trie, hash: B256) -> Self {
        trie.root.as_ref().map_or(Self::Nothing, |root| Self::At(root, Some(hash)))
    }

    fn peek(&self, place: Place<'_>, path: Nibbles) -> Result<Option<Peek<'a>>, ReadError> {
        match self {
            Self::At(link, _) => link.peek(place, path).map(Some),
            Self::Nothing | Self::Within(..) => Ok(None),
        }
    }

    /// The key of the row; `None` if the node here is part of its parent's row.
    fn hash(&self, buffer: &mut Vec<u8>) -> Option<B256> {
        match self {
            Self::At(link, forced) => forced.or_else(|| link.reference(buffer).as_hash()),
            Self::Nothing | Self::Within(..) => None,
        }
    }

    /// One nibble further down; `node` is the node here, if there is one.
    fn next<'b>(&'b self, node: Option<&'b Node>, nibble: u8) -> Cursor<'b> {
        let along = |key: &Nibbles, child: &'b Link| {
            if key.first() != Some(nibble) {
                Cursor::Nothing
            } else if key.len() == 1 {
                Cursor::At(child, None)
            } else {
                Cursor::Within(key.slice(1..), child)
            }
        };
        match (self, node) {
            (Self::Within(key, child), _) => along(key, child),
            (_, Some(Node::Extension(key, child))) => along(key, child),
            (_, Some(Node::Branch(children))) => children[usize::from(nibble)]
                .as_ref()
                .map_or(Cursor::Nothing, |child| Cursor::At(child, None)),
            (_, Some(Node::Leaf(..)) | None) => Cursor::Nothing,
        }
    }
}
