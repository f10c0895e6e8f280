//! Which links steps have cut, counted so that overlapping steps do not heal each other; pure.

use kette_sim::faults::Holds;
use std::collections::BTreeSet;

/// Cut links.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    held: Holds<(usize, usize)>,
    now: BTreeSet<(usize, usize)>,
}

impl Cuts {
    /// Cuts the ways that a step closes.
    pub fn begin(&mut self, step: usize, ways: Vec<(usize, usize)>) {
        for way in ways {
            if self.held.hold(step, way) {
                self.now.insert(way);
            }
        }
    }

    /// Heals what no other step cuts.
    pub fn end(&mut self, step: usize) {
        for way in self.held.release_step(step) {
            self.now.remove(&way);
        }
    }

    /// Heals everything.
    pub fn heal(&mut self) {
        self.held.clear();
        self.now.clear();
    }

    /// Returns from whom a node is cut off both ways.
    pub fn of(&self, node: usize) -> BTreeSet<usize> {
        self.from(node, true)
    }

    /// Returns whom a node does not reach, although they reach it.
    pub fn one_way(&self, node: usize) -> BTreeSet<usize> {
        self.from(node, false)
    }

    fn from(&self, node: usize, both: bool) -> BTreeSet<usize> {
        let ways = self.now.iter().filter(|(from, _)| *from == node);
        ways.map(|(_, to)| *to).filter(|to| self.now.contains(&(*to, node)) == both).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_whole_when_the_last_step_lets_go() {
        let both = |a, b| vec![(a, b), (b, a)];
        let mut cuts = Cuts::default();
        cuts.begin(0, [both(0, 1), both(0, 2)].concat());
        cuts.begin(1, both(0, 1));
        assert_eq!(cuts.of(0), BTreeSet::from([1, 2]));
        cuts.end(0);
        assert_eq!((cuts.of(0), cuts.of(2)), (BTreeSet::from([1]), BTreeSet::new()));
        cuts.end(1);
        assert!(cuts.of(0).is_empty() && cuts.of(1).is_empty());
        cuts.begin(2, both(1, 2));
        cuts.heal();
        assert!(cuts.of(1).is_empty());
        cuts.begin(2, vec![(0, 1)]);
        assert_eq!((cuts.of(0), cuts.one_way(0)), (BTreeSet::new(), BTreeSet::from([1])));
        assert!(cuts.of(1).is_empty() && cuts.one_way(1).is_empty());
        cuts.heal();
        // A step that was healed ends without effect.
        cuts.begin(3, both(1, 2));
        cuts.end(2);
        assert_eq!(cuts.of(2), BTreeSet::from([1]));
    }
}
