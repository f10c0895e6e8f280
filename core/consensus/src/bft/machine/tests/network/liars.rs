//! Validators that do not keep to the rules. They follow the rounds with a machine of their own.

use super::*;

/// How a validator lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Says nothing.
    Silent,
    /// Votes for nil, always, and proposes nothing.
    Nil,
    /// Tells everybody something else.
    Equivocates,
    /// Forgets its lock in every round, and that it decided; never contradicts itself in one round.
    Forgets,
    /// Says anything for any round, and proposes what is invalid.
    Raves,
}

pub(super) const ROLES: [Role; 5] =
    [Role::Silent, Role::Nil, Role::Equivocates, Role::Forgets, Role::Raves];

impl World {
    /// Carries out an order of a liar's machine, or does not.
    pub(super) fn lie(&mut self, me: usize, effect: Effect, effects: &mut Vec<Effect>) {
        let Some(role) = self.nodes[me].role else { return };
        if role == Role::Raves {
            self.rave(me);
        }
        match effect {
            Effect::Round(..) if role == Role::Forgets => {
                self.nodes[me].rig.restore_nothing();
            }
            Effect::Build(round) if role == Role::Forgets => {
                let said = Said::Proposal(round, self.block(true), None);
                self.propose(me, said, effects);
            }
            Effect::Build(round) | Effect::Propose { round, .. } if role.proposes() => {
                self.propose_many(me, round, effects);
            }
            Effect::Vote(kind, round, block) => {
                let block = if role == Role::Nil { NIL } else { block };
                let machine = &mut self.nodes[me].rig;
                machine.vote(kind, round, me, block, Signature::ZERO, effects);
                match role {
                    Role::Silent => {}
                    Role::Equivocates => self.vote_apart(me, kind, round, block),
                    _ => self.tell(me, Said::Vote(kind, round, block)),
                }
            }
            Effect::Decide(round, _) if role == Role::Forgets => {
                let (set, quorum) = (self.set.clone(), self.plan.quorum);
                let mut machine = Machine::new(set, quorum, Some(me), self.seed);
                machine.start(round + 1, None, effects);
                let node = &mut self.nodes[me];
                node.rig = machine;
                node.life += 1;
                for block in self.blocks.keys().copied().collect::<Vec<_>>() {
                    self.judge(me, block);
                }
            }
            _ => {}
        }
    }

    /// Three blocks for one round, each shown to some.
    fn propose_many(&mut self, me: usize, round: u32, effects: &mut Vec<Effect>) {
        let blocks: Vec<_> = (0..3).map(|n| self.block(n < 2)).collect();
        for other in 0..self.nodes.len() {
            for _ in 0..self.rng.random_range(0..=2) {
                let block = blocks[self.rng.random_range(0..blocks.len())];
                let valid_round = self.rng.random_ratio(1, 4);
                let valid_round = valid_round.then(|| self.rng.random_range(0..=round));
                if other != me {
                    self.send(me, other, me, Said::Proposal(round, block, valid_round));
                }
            }
        }
        self.judge(me, blocks[0]);
        let proposed = Proposed { block: blocks[0], valid_round: None };
        self.nodes[me].rig.propose(round, proposed, effects);
    }

    /// Another vote for everybody.
    fn vote_apart(&mut self, me: usize, kind: VoteKind, round: u32, block: B256) {
        let mut blocks = vec![block, NIL];
        blocks.extend(self.nodes[me].heard.iter().filter_map(|(_, said)| match said {
            Said::Proposal(proposed, block, _) | Said::Vote(_, proposed, block)
                if *proposed == round =>
            {
                Some(*block)
            }
            _ => None,
        }));
        for other in 0..self.nodes.len() {
            let block = blocks[self.rng.random_range(0..blocks.len())];
            if other != me && self.rng.random_ratio(9, 10) {
                self.send(me, other, me, Said::Vote(kind, round, block));
            }
        }
    }

    fn rave(&mut self, me: usize) {
        let known: Vec<_> =
            self.blocks.keys().copied().chain([NIL, B256::repeat_byte(7)]).collect();
        let other = self.rng.random_range(0..self.nodes.len());
        let block = known[self.rng.random_range(0..known.len())];
        let round = self.nodes[me].rig.round();
        let round = match self.rng.random_range(0..10) {
            0 => round + 1_000 + self.rng.random_range(0..1_000),
            1..4 => round + self.rng.random_range(0..12),
            _ => self.rng.random_range(0..=round),
        };
        let kinds = [VoteKind::Prepare, VoteKind::Precommit];
        let kind = kinds[self.rng.random_range(0..2)];
        if other != me {
            self.send(me, other, me, Said::Vote(kind, round, block));
        }
    }
}

impl Role {
    const fn proposes(self) -> bool {
        matches!(self, Self::Equivocates | Self::Raves)
    }
}

impl Machine {
    /// What only a liar does.
    const fn restore_nothing(&mut self) {
        self.locked = None;
        self.valid = None;
    }
}
