//! Who keeps what away: several steps may hold one thing, and it is free when the last one lets go.

use std::collections::{BTreeMap, BTreeSet};

/// Things held by steps, each counted once per step.
#[derive(Clone, Debug)]
pub struct Holds<K> {
    steps: BTreeMap<usize, BTreeSet<K>>,
    counts: BTreeMap<K, u32>,
}

impl<K> Default for Holds<K> {
    fn default() -> Self {
        Self { steps: BTreeMap::new(), counts: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Holds<K> {
    /// Lets a step hold a thing; tells whether nobody held it before.
    pub fn hold(&mut self, step: usize, key: K) -> bool {
        if !self.steps.entry(step).or_default().insert(key) {
            return false;
        }
        let count = self.counts.entry(key).or_insert(0);
        *count += 1;
        *count == 1
    }

    /// Lets a step let go of a thing; tells whether it held it and nobody else does.
    pub fn release(&mut self, step: usize, key: K) -> bool {
        let Some(held) = self.steps.get_mut(&step) else { return false };
        if !held.remove(&key) {
            return false;
        }
        if held.is_empty() {
            self.steps.remove(&step);
        }
        self.drop_one(key)
    }

    /// Lets a step let go of everything; returns what nobody holds any more.
    pub fn release_step(&mut self, step: usize) -> Vec<K> {
        let held = self.steps.remove(&step).unwrap_or_default();
        held.into_iter().filter(|key| self.drop_one(*key)).collect()
    }

    /// Frees a thing, whoever holds it; tells whether somebody did.
    pub fn free(&mut self, key: K) -> bool {
        for held in self.steps.values_mut() {
            held.remove(&key);
        }
        self.steps.retain(|_, held| !held.is_empty());
        self.counts.remove(&key).is_some()
    }

    /// Frees everything; returns what was held.
    pub fn clear(&mut self) -> Vec<K> {
        self.steps.clear();
        std::mem::take(&mut self.counts).into_keys().collect()
    }

    /// Tells whether some step holds a thing.
    pub fn is_held(&self, key: K) -> bool {
        self.counts.contains_key(&key)
    }

    fn drop_one(&mut self, key: K) -> bool {
        let Some(count) = self.counts.get_mut(&key) else { return false };
        *count -= 1;
        let free = *count == 0;
        if free {
            self.counts.remove(&key);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the plain definition: a thing is held while any running step's set contains it.
        #[test]
        fn overlapping_steps_do_not_heal_each_other(
            moves in prop::collection::vec(
                (0usize..5, any::<bool>(), prop::collection::btree_set(0u8..8, 0..6)),
                0..40,
            ),
        ) {
            let mut holds = Holds::default();
            let mut model: BTreeMap<usize, BTreeSet<u8>> = BTreeMap::new();
            let mut cut: BTreeSet<u8> = BTreeSet::new();
            for (step, begins, keys) in moves {
                if begins {
                    for key in keys {
                        if holds.hold(step, key) {
                            prop_assert!(cut.insert(key));
                        }
                        model.entry(step).or_default().insert(key);
                    }
                } else {
                    for key in holds.release_step(step) {
                        prop_assert!(cut.remove(&key));
                    }
                    model.remove(&step);
                }
                let expected: BTreeSet<u8> = model.values().flatten().copied().collect();
                prop_assert_eq!(&cut, &expected);
                for key in 0..8 {
                    prop_assert_eq!(holds.is_held(key), expected.contains(&key));
                }
            }
            for step in 0..5 {
                for key in holds.release_step(step) {
                    cut.remove(&key);
                }
            }
            prop_assert!(cut.is_empty() && holds.counts.is_empty() && holds.steps.is_empty());
        }
    }

    #[test]
    fn one_thing_can_be_let_go_or_freed_alone() {
        let mut holds = Holds::default();
        assert!(holds.hold(1, 'a') && !holds.hold(1, 'a') && !holds.hold(2, 'a'));
        assert!(holds.hold(2, 'b'));
        assert!(!holds.release(1, 'a') && !holds.release(1, 'a'), "step 2 still holds it");
        assert!(holds.release(2, 'a') && !holds.is_held('a'));
        assert!(holds.free('b') && !holds.free('b'));
        assert!(holds.clear().is_empty() && holds.steps.is_empty());
    }
}
