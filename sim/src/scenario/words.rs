//! Checks in words, as verdicts have them.

use super::{Check, units::format_duration};
use std::time::Duration;

/// A check as one would say it.
pub(super) fn words(check: &Check) -> String {
    let within = |within: Option<Duration>| {
        within.map_or_else(String::new, |time| format!(" within {}", format_duration(time)))
    };
    let moment = |after: &Option<String>, time: Option<Duration>| match after {
        None => " at the end".to_owned(),
        Some(after) => format!(" after {after}{}", within(time)),
    };
    match check {
        Check::Agreement(it) => format!("agreement{}", moment(&it.after, it.within)),
        Check::Height(it) => format!("height at least {}{}", it.min, within(it.within)),
        Check::Connected(it) => format!("peers at least {}{}", it.min_peers, within(it.within)),
        Check::Reorg(it) => {
            let min = it.min_depth.map(|depth| format!("at least {depth}"));
            let max = it.max_depth.map(|depth| format!("at most {depth}"));
            let both: Vec<String> = min.into_iter().chain(max).collect();
            format!("deepest reorganization {}", both.join(", "))
        }
        Check::StaleRate(it) => format!("stale rate at most {} %", it.max * 100.0),
        Check::Running(it) => match it.min {
            None => format!("all nodes running{}", within(it.within)),
            Some(min) => format!("nodes running at least {min}{}", within(it.within)),
        },
        Check::Components(it) => format!("components {}{}", it.is, moment(&it.after, it.within)),
        Check::Bootstrap(it) => {
            let min = it.min.map_or_else(|| "all".to_owned(), |min| format!("at least {min}"));
            format!("bootstrap links {min}{}", within(it.within))
        }
        Check::Handshakes(it) => {
            format!("handshakes at least {}, {} % successful", it.min, it.min_success * 100.0)
        }
        Check::Steady(it) => format!(
            "after {} sessions lost at most {}, failed dials at most {}",
            format_duration(it.after),
            it.max_lost,
            it.max_failed_dials
        ),
        Check::Errors(it) => format!("network errors at most {}", it.max),
        Check::Growth(it) => {
            format!(
                "{} more blocks after {}{}",
                it.blocks,
                format_duration(it.after),
                within(it.within)
            )
        }
        Check::Transactions(it) => {
            let over =
                it.over.map(format_duration).map_or_else(String::new, |it| format!(" for {it}"));
            format!(
                "transactions at least {}, {} % included, {} per second{over}",
                it.min,
                it.min_included * 100.0,
                it.min_per_second
            )
        }
        Check::Pools(it) => format!(
            "{} % of transactions reach all pools within {}",
            it.min_share * 100.0,
            format_duration(it.max)
        ),
        Check::Conflicts(it) => {
            format!(
                "of at least {} pairs with one nonce one is committed, no pool has both",
                it.min
            )
        }
        Check::Propagation(it) => {
            let of = it.of_blocks.map_or_else(String::new, |of| format!(", {of} % of blocks"));
            let after = match it.after {
                Duration::ZERO => String::new(),
                after => format!(" after {}", format_duration(after)),
            };
            let max = format_duration(it.max);
            format!("{} % of nodes have a block within {max}{of}{after}", it.percent)
        }
    }
}
