//! How long a round waits: longer each round (Tendermint's liveness needs it), and for round 0 as long as
//! proposals and votes took lately. Local knowledge, never agreed on.

use kette_types::bft::TimeoutSpec;
use std::time::Duration;

/// Measured waits.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    spec: TimeoutSpec,
    proposal: Option<u64>,
    votes: Option<u64>,
}

/// A measured time counts this many times: what is usual has room to vary.
const ROOM: u64 = 4;

impl Waits {
    pub(super) const fn new(spec: TimeoutSpec) -> Self {
        Self { spec, proposal: None, votes: None }
    }

    /// Notes how long after the start of a round 0 its proposal was valid here.
    pub(super) fn saw_proposal(&mut self, after: Duration) {
        smooth(&mut self.proposal, after);
    }

    /// Notes that a round 0 ended without its proposal: what is measured is only what came in time, so blocks that
    /// grew slower would be missed for ever.
    pub(super) fn missed_proposal(&mut self) {
        if let Some(measured) = &mut self.proposal {
            let longest = self.spec.propose_ms.div_ceil(ROOM);
            *measured = measured.saturating_mul(2).max(self.spec.min_ms).min(longest);
        }
    }

    /// Notes how long after this node's vote a quorum was there.
    pub(super) fn saw_votes(&mut self, after: Duration) {
        smooth(&mut self.votes, after);
    }

    /// Returns how long a round waits for its proposal.
    pub(super) fn propose(&self, round: u32) -> Duration {
        self.wait(self.base(self.proposal, self.spec.propose_ms), round, self.spec.propose_delta_ms)
    }

    /// Returns how long a round waits for a quorum after two thirds voted.
    pub(super) fn vote(&self, round: u32) -> Duration {
        self.wait(self.base(self.votes, self.spec.vote_ms), round, self.spec.vote_delta_ms)
    }

    fn base(&self, measured: Option<u64>, configured: u64) -> u64 {
        let Some(measured) = measured else { return configured };
        measured.saturating_mul(ROOM).max(self.spec.min_ms).min(configured)
    }

    fn wait(&self, base: u64, round: u32, delta: u64) -> Duration {
        let millis = base.saturating_add(u64::from(round).saturating_mul(delta));
        Duration::from_millis(millis.min(self.spec.max_ms))
    }
}

/// Keeps seven eighths of what was known (as RFC 6298 smooths round trips).
fn smooth(known: &mut Option<u64>, sample: Duration) {
    let sample = u64::try_from(sample.as_millis()).unwrap_or(u64::MAX).min(3_600_000);
    *known = Some(known.map_or(sample, |known| (7 * known + sample).div_ceil(8)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_what_is_measured_and_grow_by_round() {
        let mut waits = Waits::new(TimeoutSpec::default());
        assert_eq!(waits.propose(0), Duration::from_secs(2));
        assert_eq!(waits.propose(2), Duration::from_secs(4));
        assert_eq!(waits.vote(1), Duration::from_millis(1_500));
        assert_eq!(waits.vote(1_000), Duration::from_secs(60));
        waits.saw_proposal(Duration::from_millis(100));
        assert_eq!(waits.propose(0), Duration::from_millis(400));
        assert_eq!(waits.propose(1), Duration::from_millis(1_400));
        waits.missed_proposal();
        assert_eq!(waits.propose(0), Duration::from_millis(800), "what was too short doubles");
        waits.missed_proposal();
        waits.missed_proposal();
        assert_eq!(waits.propose(0), Duration::from_secs(2), "up to the configured one");
        waits.saw_votes(Duration::from_millis(1));
        assert_eq!(waits.vote(0), Duration::from_millis(200), "never below the least");
        for _ in 0..100 {
            waits.saw_proposal(Duration::from_secs(9));
        }
        assert_eq!(waits.propose(0), Duration::from_secs(2), "never beyond the configured one");
    }
}
