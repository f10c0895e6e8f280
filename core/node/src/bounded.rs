//! A set that forgets its oldest members: for what peers tell us and we need to remember for a while.

use std::collections::{BTreeSet, VecDeque};

/// At most `max` members; inserting another one forgets the oldest.
#[derive(Clone, Debug)]
pub(crate) struct BoundedSet<T> {
    members: BTreeSet<T>,
    order: VecDeque<T>,
    max: usize,
}

impl<T: Ord + Copy> BoundedSet<T> {
    pub(crate) const fn new(max: usize) -> Self {
        Self { members: BTreeSet::new(), order: VecDeque::new(), max }
    }

    /// Inserts; tells whether it was new.
    pub(crate) fn insert(&mut self, item: T) -> bool {
        if !self.members.insert(item) {
            return false;
        }
        self.order.push_back(item);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len().max(self.members.len())
    }

    pub(crate) fn contains(&self, item: &T) -> bool {
        self.members.contains(item)
    }
}
