//! Regions: latency, jitter and bandwidth between places, as data with its source.
//!
//! `aws-2025`: median round-trip times between cloud regions, measured by cloudping.co, as saved on 2025-07-17 in
//! the estimator example of commonwarexyz/monorepo (`examples/estimator/src/p50.json`, MIT or Apache-2.0). Here:
//! the mean of both directions, rounded to milliseconds. Both are to be named wherever the table is shown.
//!
//! `simblock-2019`: mean one-way delays and home bandwidths of six regions from SimBlock's network configuration
//! for 2019 (Aoki et al., "SimBlock: a blockchain network simulator", 2019; dsg-titech/simblock, Apache-2.0).

use super::Profile;
use std::time::Duration;

/// Names of the regions, in the order of the table. The first [`TEN`] are the project's own.
///
/// In Amazon's names: us-east-1, us-east-2, us-west-2, eu-west-1, eu-central-1, eu-north-1, ap-northeast-1,
/// ap-south-1, sa-east-1, af-south-1, ap-east-1, ap-southeast-1, ap-southeast-2.
pub const NAMES: [&str; 13] = [
    "US-EAST",
    "US-CENTRAL",
    "US-WEST",
    "EU-WEST",
    "EU-CENTRAL",
    "EU-NORTH",
    "ASIA-EAST",
    "ASIA-SOUTH",
    "SA-EAST",
    "AFRICA",
    "HONG-KONG",
    "SINGAPORE",
    "SYDNEY",
];

/// How many regions a network of ten nodes in ten regions goes through.
pub const TEN: usize = 10;

/// Round-trip times in milliseconds, median; see the file's head. Inside a region on the diagonal.
const RTT_MS: [[u16; 13]; 13] = [
    [6, 16, 64, 70, 93, 112, 150, 191, 115, 227, 199, 219, 200],
    [16, 5, 51, 80, 104, 123, 136, 202, 126, 238, 187, 204, 188],
    [64, 51, 3, 118, 143, 155, 98, 222, 175, 274, 145, 161, 141],
    [70, 80, 118, 3, 27, 40, 202, 126, 178, 159, 242, 179, 256],
    [93, 104, 143, 27, 4, 23, 227, 129, 205, 155, 194, 161, 251],
    [112, 123, 155, 40, 23, 3, 247, 149, 223, 174, 213, 181, 271],
    [150, 136, 98, 202, 227, 247, 3, 134, 259, 357, 52, 71, 106],
    [191, 202, 222, 126, 129, 149, 134, 3, 301, 273, 98, 64, 155],
    [115, 126, 175, 178, 205, 223, 259, 301, 3, 338, 312, 328, 312],
    [227, 238, 274, 159, 155, 174, 357, 273, 338, 4, 350, 315, 409],
    [199, 187, 145, 242, 194, 213, 52, 98, 312, 350, 3, 38, 128],
    [219, 204, 161, 179, 161, 181, 71, 64, 328, 315, 38, 4, 95],
    [200, 188, 141, 256, 251, 271, 106, 155, 312, 409, 128, 95, 4],
];

/// A part of the world whose links spread alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Area {
    America,
    Europe,
    AsiaEast,
    AsiaSouth,
    Africa,
}

const AREAS: [Area; 13] = [
    Area::America,
    Area::America,
    Area::America,
    Area::Europe,
    Area::Europe,
    Area::Europe,
    Area::AsiaEast,
    Area::AsiaSouth,
    Area::America,
    Area::Africa,
    // Not in the source's spread: taken as East Asia's.
    Area::AsiaEast,
    Area::AsiaEast,
    Area::AsiaEast,
];

/// 90th less 50th percentile of the round-trip time, in tenths of a millisecond: mean over the measured pairs of
/// two areas (the source's p90 table).
const fn spread_tenths(a: Area, b: Area) -> u64 {
    match (a, b) {
        (Area::America, Area::AsiaEast) | (Area::AsiaEast, Area::America) => 53,
        (Area::America, Area::AsiaSouth) | (Area::AsiaSouth, Area::America) => 100,
        (Area::Europe, Area::AsiaEast) | (Area::AsiaEast, Area::Europe) => 47,
        (Area::Europe, Area::AsiaSouth) | (Area::AsiaSouth, Area::Europe) => 52,
        (Area::AsiaEast, Area::AsiaSouth) | (Area::AsiaSouth, Area::AsiaEast) => 115,
        (Area::Africa, Area::AsiaEast) | (Area::AsiaEast, Area::Africa) => 338,
        (Area::Africa, Area::AsiaSouth) | (Area::AsiaSouth, Area::Africa) => 287,
        (Area::Africa, Area::America | Area::Europe)
        | (Area::America | Area::Europe, Area::Africa) => 54,
        _ => 40,
    }
}

/// Share of packets lost between data centres; no pair-by-pair measurement is published.
const DATA_CENTRE_LOSS: f64 = 0.0001;
/// Bits per second of a server's port.
const SERVER_RATE: u64 = 1_000_000_000;

/// SimBlock's six regions: North America, Europe, South America, Asia-Pacific, Japan, Australia. Mean one-way delay
/// in milliseconds.
const SIMBLOCK_MS: [[u16; 6]; 6] = [
    [32, 124, 184, 198, 151, 189],
    [124, 11, 227, 237, 252, 294],
    [184, 227, 88, 325, 301, 322],
    [198, 237, 325, 85, 58, 198],
    [151, 252, 301, 58, 12, 126],
    [189, 294, 322, 198, 126, 16],
];
/// Bits per second that a home receives.
const SIMBLOCK_DOWN: [u64; 6] =
    [52_000_000, 40_000_000, 18_000_000, 22_800_000, 22_800_000, 29_900_000];
/// Bits per second that a home sends.
const SIMBLOCK_UP: [u64; 6] =
    [19_200_000, 20_700_000, 5_800_000, 15_700_000, 10_200_000, 11_300_000];
/// Bits per second of a stream between two regions.
const SIMBLOCK_BETWEEN: u64 = 6_000_000;
/// SimBlock draws a Pareto delay whose least value is 5 ms below its mean.
const SIMBLOCK_SPREAD: Duration = Duration::from_millis(5);
/// Where each region lies in SimBlock's. Africa has no figures there and counts as South America.
const SIMBLOCK_OF: [usize; 13] = [0, 0, 0, 1, 1, 1, 4, 3, 2, 2, 3, 3, 5];

/// Returns a region's place in the table.
pub fn index(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// Tells whether a profile needs to know where nodes are.
pub const fn is_regional(profile: Profile) -> bool {
    matches!(profile, Profile::Aws2025 | Profile::Simblock2019)
}

/// Returns of a link between two regions: least one-way latency, mean of the (exponential) extra delay, share of
/// packets lost, bits per second of one stream if that is less than what its ends can do.
///
/// A node without a region is where the first region is.
pub fn link(
    profile: Profile,
    from: Option<usize>,
    to: Option<usize>,
) -> (Duration, Duration, f64, Option<u64>) {
    let place = |region: Option<usize>| region.filter(|r| *r < NAMES.len()).unwrap_or(0);
    let (from, to) = (place(from), place(to));
    match profile {
        Profile::Loopback => (Duration::from_micros(50), Duration::ZERO, 0.0, None),
        Profile::Lan => (Duration::from_micros(250), Duration::ZERO, 0.0, None),
        Profile::Aws2025 => {
            let latency = Duration::from_micros(u64::from(RTT_MS[from][to]) * 500);
            // Half of the spread is the mean of the one-way extra delay, as the source's estimator has it.
            let jitter = Duration::from_micros(spread_tenths(AREAS[from], AREAS[to]) * 50);
            (latency, jitter, DATA_CENTRE_LOSS, None)
        }
        Profile::Simblock2019 => {
            let (from, to) = (SIMBLOCK_OF[from], SIMBLOCK_OF[to]);
            let mean = Duration::from_millis(u64::from(SIMBLOCK_MS[from][to]));
            let down = SIMBLOCK_DOWN[to];
            let rate = if from == to { down } else { down.min(SIMBLOCK_BETWEEN) };
            (mean.saturating_sub(SIMBLOCK_SPREAD), SIMBLOCK_SPREAD, 0.0, Some(rate))
        }
    }
}

/// Returns bits per second that a node in this region sends; `None` without a bound.
pub fn uplink(profile: Profile, region: Option<usize>) -> Option<u64> {
    match profile {
        Profile::Loopback => None,
        Profile::Lan | Profile::Aws2025 => Some(SERVER_RATE),
        Profile::Simblock2019 => {
            let place = region.filter(|r| *r < NAMES.len()).unwrap_or(0);
            Some(SIMBLOCK_UP[SIMBLOCK_OF[place]])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_the_same_both_ways() {
        for profile in [Profile::Loopback, Profile::Lan, Profile::Aws2025] {
            for (a, b) in pairs(NAMES.len()) {
                assert_eq!(link(profile, Some(a), Some(b)), link(profile, Some(b), Some(a)));
            }
        }
        for (a, b) in pairs(SIMBLOCK_MS.len()) {
            assert_eq!(SIMBLOCK_MS[a][b], SIMBLOCK_MS[b][a]);
        }
    }

    /// The figures that were published with the table of ten: mean 160, median 150, largest 357.
    #[test]
    fn the_ten_regions_have_the_published_figures() {
        let mut rtt: Vec<u64> =
            pairs(TEN).filter(|(a, b)| a < b).map(|(a, b)| u64::from(RTT_MS[a][b])).collect();
        rtt.sort_unstable();
        let mean = rtt.iter().sum::<u64>() as f64 / rtt.len() as f64;
        assert_eq!((mean.round(), rtt[rtt.len() / 2], rtt[rtt.len() - 1]), (160.0, 150, 357));
        let inside: Vec<u16> = (0..TEN).map(|i| RTT_MS[i][i]).collect();
        assert_eq!(inside, [6, 5, 3, 3, 4, 3, 3, 3, 3, 4]);
    }

    #[test]
    fn latency_is_half_of_the_round_trip() {
        let (latency, jitter, loss, _) =
            link(Profile::Aws2025, index("AFRICA"), index("ASIA-EAST"));
        assert_eq!((latency.as_micros(), jitter.as_micros(), loss), (178_500, 16_900, 0.0001));
        let (mean, spread, _, rate) =
            link(Profile::Simblock2019, index("US-EAST"), index("EU-WEST"));
        assert_eq!((mean + spread, rate), (Duration::from_millis(124), Some(6_000_000)));
        assert_eq!(uplink(Profile::Simblock2019, index("ASIA-EAST")), Some(10_200_000));
    }

    fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..count).flat_map(move |a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b)
    }
}
