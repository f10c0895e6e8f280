//! Updating a trie: one descent for a sorted batch of changes, copying each touched node once.

use super::{
    Trie,
    node::{Link, Node, Place, Value},
};
use crate::ReadError;
use alloy_trie::Nibbles;
use std::sync::Arc;

/// The new value of one key; `None` removes it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Nibbles,
    pub(crate) value: Option<Arc<Value>>,
}

impl Trie {
    /// Returns the trie after these changes, given in order of their keys and one per key. What
    /// they leave as it is stays shared, the whole trie if they change nothing.
    pub(crate) fn update(&self, place: Place<'_>, changes: &[Change]) -> Result<Self, ReadError> {
        assert!(changes.is_sorted_by(|a, b| a.key < b.key), "changes come in order of keys");
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let mut update = Update { place, bytes: self.bytes };
        match update.edit(self.root.as_ref(), 0, changes)? {
            Edit::Same => Ok(self.clone()),
            Edit::Gone => Ok(Self::default()),
            Edit::Now(node) => {
                let root = Some(update.link(node));
                Ok(Self { root, bytes: update.bytes })
            }
        }
    }
}

/// What a batch makes of one subtree. The new node is not linked yet, because a parent with no
/// other child absorbs it.
enum Edit {
    Same,
    Gone,
    Now(Node),
}

struct Update<'a> {
    place: Place<'a>,
    bytes: isize,
}

impl Update<'_> {
    /// Applies changes, all of which lie below `link`'s place, which is `depth` nibbles down.
    fn edit(
        &mut self,
        link: Option<&Link>,
        depth: usize,
        changes: &[Change],
    ) -> Result<Edit, ReadError> {
        let Some(link) = link else {
            let leaves: Vec<_> = leaves(changes).collect();
            return Ok(self.build(depth, &leaves).map_or(Edit::Same, Edit::Now));
        };
        let node = link.load(self.place, || changes[0].key.slice(..depth))?;
        let edit = match node {
            Node::Leaf(rest, value) => self.edit_leaf(rest, value, depth, changes),
            Node::Extension(shared, child) => self.edit_extension(shared, child, depth, changes)?,
            Node::Branch(children) => match self.edit_children(children, depth, changes)? {
                None => Edit::Same,
                Some(children) => self.settle(children, depth, &changes[0].key)?,
            },
        };
        if !matches!(edit, Edit::Same) {
            self.bytes -= node.bytes().cast_signed();
        }
        Ok(edit)
    }

    fn edit_leaf(
        &mut self,
        rest: &Nibbles,
        value: &Arc<Value>,
        depth: usize,
        changes: &[Change],
    ) -> Edit {
        let key = changes[0].key.slice(..depth).join(rest);
        let mut leaves: Vec<_> = leaves(changes).collect();
        if let Err(at) = changes.binary_search_by(|change| change.key.cmp(&key)) {
            let at = changes[..at].iter().filter(|change| change.value.is_some()).count();
            leaves.insert(at, (key, value));
        }
        if let [(only, new)] = leaves[..]
            && only == key
            && new.rlp == value.rlp
        {
            return Edit::Same;
        }
        self.build(depth, &leaves).map_or(Edit::Gone, Edit::Now)
    }

    fn edit_extension(
        &mut self,
        shared: &Nibbles,
        child: &Link,
        depth: usize,
        changes: &[Change],
    ) -> Result<Edit, ReadError> {
        let prefix = changes[0].key.slice(..depth);
        let agrees = |change: &Change| change.key.slice(depth..).common_prefix_length(shared);
        let below = |change: &&Change| agrees(change) == shared.len();
        // Removing a key that is not below the child changes nothing; setting one splits.
        let split = leaves(changes)
            .map(|(key, _)| key.slice(depth..).common_prefix_length(shared))
            .min()
            .unwrap_or(shared.len());
        if split == shared.len() {
            let changes: Vec<_> = changes.iter().filter(below).cloned().collect();
            if changes.is_empty() {
                return Ok(Edit::Same);
            }
            return Ok(match self.edit(Some(child), depth + shared.len(), &changes)? {
                Edit::Now(node) => Edit::Now(self.prepend(*shared, node)),
                edit => edit,
            });
        }
        let changes: Vec<_> = changes
            .iter()
            .filter(|change| change.value.is_some() || below(change))
            .cloned()
            .collect();
        let mut children = Box::<[Option<Link>; 16]>::default();
        let rest = shared.slice(split + 1..);
        children[nibble_at(shared, split)] = Some(if rest.is_empty() {
            child.clone()
        } else {
            self.link(Node::Extension(rest, child.clone()))
        });
        let at = depth + split;
        let children = self.edit_children(&children, at, &changes)?.unwrap_or(children);
        Ok(match self.settle(children, at, &prefix.join(&shared.slice(..split)))? {
            Edit::Now(node) => Edit::Now(self.prepend(shared.slice(..split), node)),
            edit => edit,
        })
    }

    /// Applies changes to a branch's children; `None` if they stay as they are.
    fn edit_children(
        &mut self,
        children: &[Option<Link>; 16],
        depth: usize,
        changes: &[Change],
    ) -> Result<Option<Box<[Option<Link>; 16]>>, ReadError> {
        let mut edited: Option<Box<[Option<Link>; 16]>> = None;
        for group in changes.chunk_by(|a, b| nibble_at(&a.key, depth) == nibble_at(&b.key, depth)) {
            let nibble = nibble_at(&group[0].key, depth);
            let child = match self.edit(children[nibble].as_ref(), depth + 1, group)? {
                Edit::Same => continue,
                Edit::Gone => None,
                Edit::Now(node) => Some(self.link(node)),
            };
            edited.get_or_insert_with(|| Box::new(children.clone()))[nibble] = child;
        }
        Ok(edited)
    }

    /// Makes a branch's node of its children; with a single one left, the branch dissolves into it.
    /// `key` begins with the branch's path.
    fn settle(
        &mut self,
        children: Box<[Option<Link>; 16]>,
        depth: usize,
        key: &Nibbles,
    ) -> Result<Edit, ReadError> {
        let mut left = (0u8..).zip(children.iter()).filter_map(|(n, c)| Some((n, c.as_ref()?)));
        let Some((nibble, child)) = left.next() else { return Ok(Edit::Gone) };
        if left.next().is_some() {
            return Ok(Edit::Now(Node::Branch(children)));
        }
        let nibble = Nibbles::from_nibbles([nibble]);
        let node = child.load(self.place, || key.slice(..depth).join(&nibble))?;
        Ok(Edit::Now(match node {
            Node::Branch(_) => Node::Extension(nibble, child.clone()),
            node => {
                self.bytes -= node.bytes().cast_signed();
                self.prepend(nibble, node.clone())
            }
        }))
    }

    /// Makes the subtree of these leaves, given in order of their keys.
    fn build(&mut self, depth: usize, leaves: &[(Nibbles, &Arc<Value>)]) -> Option<Node> {
        let (first, last) = match leaves {
            [] => return None,
            [(key, value)] => return Some(Node::Leaf(key.slice(depth..), Arc::clone(value))),
            [(first, _), .., (last, _)] => (first, last),
        };
        let split = first.common_prefix_length(last);
        let mut children = Box::<[Option<Link>; 16]>::default();
        for group in leaves.chunk_by(|(a, _), (b, _)| nibble_at(a, split) == nibble_at(b, split)) {
            let node = self.build(split + 1, group);
            children[nibble_at(&group[0].0, split)] = node.map(|node| self.link(node));
        }
        Some(self.prepend(first.slice(depth..split), Node::Branch(children)))
    }

    /// Puts nibbles before a node that is not linked yet.
    fn prepend(&mut self, prefix: Nibbles, node: Node) -> Node {
        if prefix.is_empty() {
            return node;
        }
        match node {
            Node::Leaf(rest, value) => Node::Leaf(prefix.join(&rest), value),
            Node::Extension(shared, child) => Node::Extension(prefix.join(&shared), child),
            Node::Branch(_) => Node::Extension(prefix, self.link(node)),
        }
    }

    fn link(&mut self, node: Node) -> Link {
        self.bytes += node.bytes().cast_signed();
        Link::new(node)
    }
}

/// The changes that set a value.
fn leaves(changes: &[Change]) -> impl Iterator<Item = (Nibbles, &Arc<Value>)> {
    changes.iter().filter_map(|change| Some((change.key, change.value.as_ref()?)))
}

fn nibble_at(key: &Nibbles, depth: usize) -> usize {
    usize::from(key.get_unchecked(depth))
}
