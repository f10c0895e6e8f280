//! How long validators may take to decide: what liveness means for `bft`.

use crate::{World, world::Host};
use kette_consensus::{Status, bft::BftStatus};
use kette_types::bft::BftSpec;
use std::time::Duration;

/// Rounds that may come to nothing after the heal, for each block: leaders that lie or lag. With a third of the weight in
/// their hands, twelve in a row happen twice in a million.
const LOST_ROUNDS: u32 = 12;
/// Own messages are repeated at least this often; what was lost meanwhile is there after two of them.
const RESEND: Duration = Duration::from_secs(8);

/// Tells whether the honest validators that forgot nothing have a quorum among them.
pub(super) fn can_decide(world: &World) -> bool {
    let statuses: Vec<(&Host, BftStatus)> =
        world.honest().filter_map(|host| Some((host, status(world, host)?))).collect();
    let Some((_, newest)) = statuses.iter().max_by_key(|(_, status)| status.height) else {
        return false;
    };
    let sound = statuses.iter().filter(|(host, _)| is_sound(host));
    let weight: u128 = sound.map(|(_, status)| u128::from(status.own_weight)).sum();
    weight >= newest.quorum
}

/// Tells whether a validator remembers what it signed.
pub(super) fn is_sound(host: &Host) -> bool {
    host.is_honest() && !host.disk.is_excused() && host.disk.wipes() == 0
}

/// Returns the longest time that this many blocks may take, from the rounds that nodes are in now.
pub(super) fn blocks(world: &World, count: u64) -> Duration {
    let Some(bft) = world.spec.bft() else { return Duration::ZERO };
    let rounds = world.honest().filter_map(|host| Some(status(world, host)?.round));
    let round = rounds.max().unwrap_or(0);
    // The height that is open goes on from the round in which it is; later ones begin with round 0.
    let open = lost(bft, round);
    let later = lost(bft, 0) * u32::try_from(count).unwrap_or(u32::MAX);
    let idle = Duration::from_millis(bft.slot_ms + bft.empty_after_ms);
    open + later + idle * (u32::try_from(count).unwrap_or(u32::MAX) + 1) + 2 * RESEND
}

/// Returns what lost rounds take from this one on.
fn lost(bft: &BftSpec, first: u32) -> Duration {
    let times = &bft.timeouts;
    let wait = |base: u64, delta: u64, round: u32| {
        base.saturating_add(delta.saturating_mul(u64::from(round))).min(times.max_ms)
    };
    let millis = (first..=first.saturating_add(LOST_ROUNDS)).fold(0_u64, |sum, round| {
        let propose = wait(times.propose_ms, times.propose_delta_ms, round);
        let vote = wait(times.vote_ms, times.vote_delta_ms, round);
        sum.saturating_add(propose).saturating_add(vote.saturating_mul(2))
    });
    Duration::from_millis(millis)
}

fn status(world: &World, host: &Host) -> Option<BftStatus> {
    match host.node()?.status(host.clock.time(world.now())).engine {
        Status::Bft(bft) => Some(*bft),
        Status::Pow(_) => None,
    }
}
