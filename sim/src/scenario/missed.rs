//! Steps that never happened: a run that was to show what follows from them shows nothing.

use super::{At, Facts, NetworkFile, Verdict, units::format_duration};

/// What a host tells of steps when their time is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Whether every step happened that must. `None` if all are certain to.
    pub verdict: Option<Verdict>,
    /// Optional steps that did not.
    pub notes: Vec<String>,
}

/// Steps named in one verdict or in the notes at most.
const NAMED_MAX: usize = 5;

impl Missed {
    /// Judges the steps that had not begun when the network looked like this ([`super::Timeline::missed`]).
    pub fn new(file: &NetworkFile, missed: &[usize], facts: &Facts) -> Self {
        let honest = facts.nodes.iter().filter(|node| node.honest);
        let height = honest.map(|node| node.height).max().unwrap_or(0);
        let after = format_duration(file.network.duration);
        let words = |index: usize| {
            let step = &file.step[index];
            let number = index + 1;
            let why = match step.at {
                At::Height(_) => format!("the highest block in {after} was {height}"),
                At::Time(_) => format!("the run ended at {after}"),
            };
            format!("step {number} (at {}, {}) never: {why}", step.at, step.action.describe())
        };
        let (optional, due): (Vec<usize>, Vec<usize>) =
            missed.iter().copied().partition(|index| file.step[*index].optional);
        let must = file.step.iter().filter(|step| !step.optional);
        let is_uncertain = must.clone().any(|step| matches!(step.at, At::Height(_)));
        let verdict = (is_uncertain || !due.is_empty()).then(|| Verdict {
            check: "every step happens".to_owned(),
            ok: due.is_empty(),
            seen: match due.is_empty() {
                true => format!("all {}", must.count()),
                false => listed(due.into_iter().map(words).collect()).join("; "),
            },
            nodes: Vec::new(),
        });
        Self { verdict, notes: listed(optional.into_iter().map(words).collect()) }
    }
}

/// Cuts a list that is too long to read.
fn listed(mut words: Vec<String>) -> Vec<String> {
    if words.len() > NAMED_MAX {
        let more = words.len() - NAMED_MAX;
        words.truncate(NAMED_MAX);
        words.push(format!("and {more} more"));
    }
    words
}
