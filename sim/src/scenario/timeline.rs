//! The step engine: which step is due, which ends, as a pure machine that both hosts drive.

use super::{
    Action, At, Facts, NetworkFile, Plan, Step, select,
    step::{Churn, Crash, Nodes},
};
use crate::rng::{ChaCha8Rng, Purpose, exponential, stream};
use rand::RngExt;
use std::{collections::BTreeMap, time::Duration};

/// What a host must do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A step begins.
    Begin {
        /// Its place in the file.
        step: usize,
        /// What happens.
        action: Action,
    },
    /// A step's time is over: undo what it did.
    End {
        /// Its place in the file.
        step: usize,
        /// What happened.
        action: Action,
    },
}

/// Steps on their way.
///
/// What has a duration gets a `Begin` and an `End`. What a step brings about later comes as an order of its own with
/// the step's number: a crashed node's return as `Begin` of a [`Action::Start`], each crash of a churn as `Begin` of
/// a [`Action::Crash`]. `Begin` and `End` of the [`Action::Churn`] itself only tell that it goes on.
#[derive(Clone, Debug)]
pub struct Timeline {
    steps: Vec<Step>,
    plan: Plan,
    churns: BTreeMap<usize, Churning>,
    /// What time alone makes due; the number keeps the order of what is due at the same time.
    agenda: BTreeMap<(Duration, u64), Item>,
    numbered: u64,
    /// Steps that wait for a height.
    heights: Vec<(u64, usize)>,
    /// Steps with an end to come, and whether they are in effect (a flapping partition is so by turns).
    running: BTreeMap<usize, bool>,
    last_fault: Duration,
    /// Steps that had not begun when it ended.
    missed: Vec<usize>,
}

/// A churn's own randomness and nodes.
#[derive(Clone, Debug)]
struct Churning {
    rng: ChaCha8Rng,
    nodes: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Item {
    Begin(usize),
    End(usize),
    /// A flapping partition changes.
    Flap(usize),
    /// A churn strikes.
    Strike(usize),
    /// Crashed nodes return; those that wait for a write to crash are looked at again after `again`.
    Return {
        step: usize,
        nodes: Vec<usize>,
        again: Option<Duration>,
    },
}

/// Apart from the streams that hosts draw from for the same purpose.
const CHURN_STREAM: u64 = 1 << 32;
/// Two crashes of a churn are at least this far apart.
const CHURN_MIN: Duration = Duration::from_millis(1);
/// How often a node that waits for a write to crash is looked at, at most.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(100);

impl Timeline {
    /// Begins with the steps of a file; `seed` decides what the file leaves open.
    pub fn new(file: &NetworkFile, seed: u64) -> Self {
        // A file whose plan fails was refused before; without nodes a churn strikes nobody.
        let plan = Plan::new(file).unwrap_or(Plan {
            nodes: Vec::new(),
            groups: Vec::new(),
            discovery: false,
        });
        let mut timeline = Self {
            steps: file.step.clone(),
            plan,
            churns: BTreeMap::new(),
            agenda: BTreeMap::new(),
            numbered: 0,
            heights: Vec::new(),
            running: BTreeMap::new(),
            last_fault: Duration::ZERO,
            missed: Vec::new(),
        };
        for (index, step) in file.step.iter().enumerate() {
            match step.at {
                At::Time(at) => timeline.plan_at(at, Item::Begin(index)),
                At::Height(height) => timeline.heights.push((height, index)),
            }
            if let Action::Churn(churn) = &step.action {
                let nodes = timeline.select(&churn.nodes);
                let rng = stream(seed, Purpose::Faults, CHURN_STREAM + index as u64);
                timeline.churns.insert(index, Churning { rng, nodes });
            }
        }
        timeline
    }

    /// Returns when to ask again at the latest, if time alone makes a step due.
    pub fn next(&self) -> Option<Duration> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Tells whether some step waits for a height.
    pub const fn waits_for_height(&self) -> bool {
        !self.heights.is_empty()
    }

    /// Returns what is due, in order.
    pub fn due(&mut self, facts: &Facts) -> Vec<Order> {
        let mut orders = Vec::new();
        self.due_by_time(facts, &mut orders);
        if self.waits_for_height() {
            let height = facts.nodes.iter().filter(|n| n.honest).map(|n| n.height).max();
            let (due, wait) = std::mem::take(&mut self.heights)
                .into_iter()
                .partition(|(wanted, _)| height.is_some_and(|height| height >= *wanted));
            self.heights = wait;
            for (_, step) in due {
                self.begin(step, facts.at, &mut orders);
            }
            self.due_by_time(facts, &mut orders);
        }
        orders
    }

    /// Ends whatever runs and forgets what has not begun: the safety phase is over. To start nodes that are down
    /// is the host's.
    pub fn end(&mut self, at: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        if !self.is_healed() {
            self.last_fault = at;
        }
        self.end_running(at, |_| true, &mut orders);
        let waiting = self.heights.drain(..).map(|(_, step)| step);
        let late = std::mem::take(&mut self.agenda).into_values().filter_map(|item| match item {
            Item::Begin(step) => Some(step),
            _ => None,
        });
        self.missed.extend(waiting.chain(late));
        self.missed.sort_unstable();
        orders
    }

    /// Returns the places of the steps that had not begun when it was [`Self::end`]ed, in the order of the file.
    pub fn missed(&self) -> &[usize] {
        &self.missed
    }

    /// Returns when the last fault ended, once all have: none is to come, none goes on, and nobody that is to return
    /// is still away. The start if there is none.
    pub fn healed_at(&self) -> Option<Duration> {
        self.is_healed().then_some(self.last_fault)
    }

    fn is_healed(&self) -> bool {
        let fault = |step: &usize| is_fault(&self.steps[*step].action);
        !self.running.keys().any(fault)
            && !self.heights.iter().any(|(_, step)| fault(step))
            && !self.agenda.values().any(|item| match item {
                Item::Begin(step) => fault(step),
                Item::Return { .. } => true,
                Item::End(_) | Item::Flap(_) | Item::Strike(_) => false,
            })
    }

    /// Patterns that mean nobody were refused before.
    fn select(&self, patterns: &[String]) -> Vec<usize> {
        select::select(&self.plan, patterns).unwrap_or_default()
    }

    fn plan_at(&mut self, at: Duration, item: Item) {
        self.agenda.insert((at, self.numbered), item);
        self.numbered += 1;
    }

    fn due_by_time(&mut self, facts: &Facts, orders: &mut Vec<Order>) {
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= facts.at
        {
            let ((at, _), item) = entry.remove_entry();
            match item {
                Item::Begin(step) => self.begin(step, at, orders),
                Item::End(step) => self.end_running(at, |running| running == step, orders),
                Item::Flap(step) => self.flap(step, at, orders),
                Item::Strike(step) => self.strike(step, at, facts, orders),
                Item::Return { step, nodes, again } => {
                    self.bring_back(step, nodes, again, (at, facts), orders);
                }
            }
        }
    }

    fn begin(&mut self, step: usize, at: Duration, orders: &mut Vec<Order>) {
        let action = self.steps[step].action.clone();
        if is_fault(&action) {
            self.last_fault = self.last_fault.max(at);
        }
        if matches!(action, Action::Heal(_)) {
            let faults: Vec<usize> =
                self.running.keys().copied().filter(|s| is_fault(&self.steps[*s].action)).collect();
            self.end_running(at, |running| faults.contains(&running), orders);
        }
        if let Some(lasts) = action.span() {
            self.running.insert(step, true);
            if let Some(lasts) = lasts {
                self.plan_at(at.saturating_add(lasts), Item::End(step));
            }
        }
        match &action {
            Action::Partition(partition) => {
                if let Some(flap) = partition.flap {
                    self.plan_at(at.saturating_add(flap), Item::Flap(step));
                }
            }
            Action::Churn(churn) => self.plan_strike(step, at, churn.every),
            Action::Crash(Crash { nodes, at_write, restart_after: Some(after) }) => {
                let again = at_write.map(|_| (*after).max(LOOK_AGAIN_MIN));
                let item = Item::Return { step, nodes: self.select(nodes), again };
                self.plan_at(at.saturating_add(*after), item);
            }
            Action::Stop(stop) | Action::Wipe(stop) => {
                // A wiped node returns at once unless the file says when.
                let wiped = matches!(action, Action::Wipe(_)).then_some(Duration::ZERO);
                if let Some(after) = stop.restart_after.or(wiped) {
                    let nodes = self.select(&stop.nodes);
                    let item = Item::Return { step, nodes, again: None };
                    self.plan_at(at.saturating_add(after), item);
                }
            }
            _ => {}
        }
        orders.push(Order::Begin { step, action });
    }

    /// Ends running steps, in the order of the file.
    fn end_running(
        &mut self,
        at: Duration,
        which: impl Fn(usize) -> bool,
        orders: &mut Vec<Order>,
    ) {
        for (step, in_effect) in std::mem::take(&mut self.running) {
            if !which(step) {
                self.running.insert(step, in_effect);
                continue;
            }
            let action = self.steps[step].action.clone();
            if is_fault(&action) {
                self.last_fault = self.last_fault.max(at);
            }
            self.agenda.retain(|_, item| {
                !matches!(item, Item::End(s) | Item::Flap(s) | Item::Strike(s) if *s == step)
            });
            if in_effect {
                orders.push(Order::End { step, action });
            }
        }
    }

    fn flap(&mut self, step: usize, at: Duration, orders: &mut Vec<Order>) {
        let action = self.steps[step].action.clone();
        let Some(in_effect) = self.running.get_mut(&step) else { return };
        *in_effect = !*in_effect;
        orders.push(match *in_effect {
            true => Order::Begin { step, action: action.clone() },
            false => Order::End { step, action: action.clone() },
        });
        if let Action::Partition(partition) = &action
            && let Some(flap) = partition.flap
        {
            self.plan_at(at.saturating_add(flap.max(CHURN_MIN)), Item::Flap(step));
        }
    }

    fn plan_strike(&mut self, step: usize, at: Duration, every: Duration) {
        let Some(churning) = self.churns.get_mut(&step) else { return };
        let wait = exponential(&mut churning.rng, every).max(CHURN_MIN);
        self.plan_at(at.saturating_add(wait), Item::Strike(step));
    }

    /// Crashes one of a churn's nodes that run, if any does.
    fn strike(&mut self, step: usize, at: Duration, facts: &Facts, orders: &mut Vec<Order>) {
        let Action::Churn(Churn { every, down, .. }) = self.steps[step].action else { return };
        let away: Vec<usize> = self
            .agenda
            .values()
            .filter_map(|item| match item {
                Item::Return { nodes, .. } => Some(nodes),
                _ => None,
            })
            .flatten()
            .copied()
            .collect();
        let Some(churning) = self.churns.get_mut(&step) else { return };
        let up: Vec<usize> = churning
            .nodes
            .iter()
            .copied()
            .filter(|node| is_up(facts, *node) && !away.contains(node))
            .collect();
        if !up.is_empty() {
            let victim = up[churning.rng.random_range(0..up.len())];
            let after = exponential(&mut churning.rng, down).max(CHURN_MIN);
            let nodes = vec![self.plan.nodes[victim].name.clone()];
            let crash = Crash { nodes, at_write: None, restart_after: Some(after) };
            orders.push(Order::Begin { step, action: Action::Crash(crash) });
            let item = Item::Return { step, nodes: vec![victim], again: None };
            self.plan_at(at.saturating_add(after), item);
        }
        self.plan_strike(step, at, every);
    }

    fn bring_back(
        &mut self,
        step: usize,
        nodes: Vec<usize>,
        again: Option<Duration>,
        (at, facts): (Duration, &Facts),
        orders: &mut Vec<Order>,
    ) {
        self.last_fault = self.last_fault.max(at);
        let (wait, back): (Vec<usize>, Vec<usize>) =
            nodes.into_iter().partition(|node| again.is_some() && is_up(facts, *node));
        if let Some(after) = again.filter(|_| !wait.is_empty()) {
            self.plan_at(at.saturating_add(after), Item::Return { step, nodes: wait, again });
        }
        if !back.is_empty() {
            let nodes = back.iter().map(|node| self.plan.nodes[*node].name.clone()).collect();
            orders.push(Order::Begin { step, action: Action::Start(Nodes { nodes }) });
        }
    }
}

fn is_up(facts: &Facts, node: usize) -> bool {
    facts.nodes.get(node).is_some_and(|node| node.up)
}

/// Tells whether an action disturbs the network, so that it must settle again afterwards.
const fn is_fault(action: &Action) -> bool {
    !matches!(action, Action::Mine(_) | Action::Load(_))
}
