//! Values that steps lay over a base: what counts follows from all that lie there, in the order of their begin.

use std::collections::BTreeMap;

/// Values by key, each laid there by a step.
#[derive(Clone, Debug)]
pub(super) struct Layers<K, V> {
    by: BTreeMap<K, Vec<(usize, V)>>,
}

impl<K, V> Default for Layers<K, V> {
    fn default() -> Self {
        Self { by: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, V> Layers<K, V> {
    /// Lays a value on top; what the same step laid there before is gone.
    pub(super) fn put(&mut self, step: usize, key: K, value: V) {
        let values = self.by.entry(key).or_default();
        values.retain(|(other, _)| *other != step);
        values.push((step, value));
    }

    /// Takes a step's values away; returns where some were.
    pub(super) fn remove(&mut self, step: usize) -> Vec<K> {
        let mut changed = Vec::new();
        self.by.retain(|key, values| {
            let before = values.len();
            values.retain(|(other, _)| *other != step);
            if values.len() < before {
                changed.push(*key);
            }
            !values.is_empty()
        });
        changed
    }

    /// Takes all values away; returns where some were.
    pub(super) fn clear(&mut self) -> Vec<K> {
        std::mem::take(&mut self.by).into_keys().collect()
    }

    /// Returns what lies at a key, lowest first.
    pub(super) fn at(&self, key: K) -> impl Iterator<Item = &V> {
        self.by.get(&key).into_iter().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_shows_again() {
        let mut layers = Layers::default();
        layers.put(1, 'a', 10);
        layers.put(2, 'a', 20);
        layers.put(2, 'b', 21);
        layers.put(1, 'a', 11);
        assert!(layers.at('a').eq(&[20, 11]));
        assert_eq!(layers.remove(2), ['a', 'b']);
        assert!(layers.at('a').eq(&[11]) && layers.at('b').next().is_none());
        assert!(layers.remove(2).is_empty());
        assert_eq!(layers.clear(), ['a']);
    }
}
