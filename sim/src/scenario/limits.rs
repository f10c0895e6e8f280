//! How far the figures of a network file may go. Beyond, a network does not work as nobody's does, or its run never
//! ends on a small machine; what came out would be a verdict about nothing.

use super::units::{format_duration, format_rate};
use std::time::Duration;

/// Most transfers per second of all users together: three times what blocks of 30 million gas every five seconds hold.
pub(crate) const TRANSFERS_MAX: f64 = 1_000.0;
/// Most hashes per second of one node: nonces are really searched, so a second of a block time costs so many.
pub(super) const HASHES_MAX: u64 = 1_000_000;
/// Most packets lost. With more, retransmissions take longer than nodes wait for a hello (5 s).
pub(super) const LOSS_MAX: f64 = 0.5;
/// Slowest uplink or link: a telephone modem. Below, announcements of one block fill it until the next.
pub(super) const BANDWIDTH_MIN: u64 = 56_000;
/// Longest latency and mean jitter of all links: a hello must arrive within 5 s.
pub(super) const LATENCY_MAX: Duration = Duration::from_secs(2);
/// The same of single links, on which sessions may break.
pub const LINK_LATENCY_MAX: Duration = Duration::from_secs(10);
/// Slowest durable write: nobody says hello before the first one is done.
pub(super) const FSYNC_MAX: Duration = Duration::from_secs(1);
/// How many times slower than measured a processor may be, all factors together: 5 ms per message, 150 ms per block.
pub(super) const SLOWNESS_MAX: f64 = 1_000.0;
/// How many times faster one node's processor may be than the others': it finds so many times more blocks, too.
pub(super) const SLOWNESS_MIN: f64 = 0.1;
/// Furthest that a clock is off or jumps, milliseconds: a day, which holds every wrong time zone.
pub(super) const CLOCK_MAX_MS: i64 = 86_400_000;
/// Most by which a clock runs faster or slower, parts per million: half.
pub(super) const DRIFT_MAX_PPM: i64 = 500_000;

pub(super) fn positive(name: &str, value: Option<Duration>) -> Result<(), String> {
    match value {
        Some(Duration::ZERO) => Err(format!("{name} = \"0s\": must be longer")),
        _ => Ok(()),
    }
}

pub(super) fn longest(name: &str, value: Option<Duration>, most: Duration) -> Result<(), String> {
    match value.filter(|value| *value > most) {
        Some(value) => {
            let (value, most) = (format_duration(value), format_duration(most));
            Err(format!("{name} = \"{value}\": at most {most}"))
        }
        None => Ok(()),
    }
}

pub(super) fn probability(name: &str, value: Option<f64>) -> Result<(), String> {
    match value {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(format!("{name} = {value}: a share is 0 to 1; 0.01 is one percent"))
        }
        _ => Ok(()),
    }
}

pub(super) fn loss(value: Option<f64>) -> Result<(), String> {
    probability("loss", value)?;
    match value.filter(|value| *value > LOSS_MAX) {
        Some(value) => Err(format!(
            "loss = {value}: at most {LOSS_MAX}; nothing passes at all with a step that makes a cut"
        )),
        None => Ok(()),
    }
}

pub(super) fn bandwidth(value: Option<u64>) -> Result<(), String> {
    match value.filter(|value| *value < BANDWIDTH_MIN) {
        Some(value) => {
            let (value, least) = (format_rate(value), format_rate(BANDWIDTH_MIN));
            Err(format!("bandwidth = \"{value}\": at least {least}, a telephone modem's"))
        }
        None => Ok(()),
    }
}

pub(super) fn transfers(name: &str, value: f64) -> Result<(), String> {
    match value.is_finite() && (0.0..=TRANSFERS_MAX).contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "{name} = {value}: 0 to {TRANSFERS_MAX} transfers per second in the whole network"
        )),
    }
}

/// Checks a factor on the cost of everything.
pub(super) fn cost(name: &str, value: f64) -> Result<(), String> {
    match value.is_finite() && (0.0..=SLOWNESS_MAX).contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "{name} = {value}: 0 to {SLOWNESS_MAX}; 1 is the measured cost, 0 charges nothing"
        )),
    }
}

/// Checks a factor on some nodes, and what it comes to with the others on them.
pub(super) fn slowness(name: &str, value: f64, others: f64) -> Result<(), String> {
    if !(value.is_finite() && (SLOWNESS_MIN..=SLOWNESS_MAX).contains(&value)) {
        return Err(format!(
            "{name} = {value}: {SLOWNESS_MIN} to {SLOWNESS_MAX} times slower; 2 is half as fast"
        ));
    }
    match value * others > SLOWNESS_MAX {
        true => Err(format!(
            "{name} = {value}: with [shape] cpu and the nodes' own slow this is {} times slower: at most \
             {SLOWNESS_MAX}",
            value * others
        )),
        false => Ok(()),
    }
}

pub(super) fn hash_rate(name: &str, value: Option<u64>) -> Result<(), String> {
    match value.filter(|value| *value > HASHES_MAX) {
        Some(value) => Err(format!(
            "{name} = {value}: at most {HASHES_MAX} hashes per second; a lower difficulty does as well"
        )),
        None => Ok(()),
    }
}

pub(super) fn clock(name: &str, millis: i64) -> Result<(), String> {
    match (-CLOCK_MAX_MS..=CLOCK_MAX_MS).contains(&millis) {
        true => Ok(()),
        false => Err(format!("{name} = {millis}: at most {CLOCK_MAX_MS} either way, a day")),
    }
}

pub(super) fn drift(name: &str, ppm: i64) -> Result<(), String> {
    match (-DRIFT_MAX_PPM..=DRIFT_MAX_PPM).contains(&ppm) {
        true => Ok(()),
        false => Err(format!("{name} = {ppm}: at most {DRIFT_MAX_PPM} either way, half")),
    }
}
