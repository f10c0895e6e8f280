//! The monitor without a terminal: a line per sample.

use super::{model::Model, view::words};

/// Returns one line.
pub fn line(model: &Model) -> String {
    let status = &model.status;
    let agreed = if status.hash_equal { "same chain" } else { "DIFFERENT CHAINS" };
    let charts = &model.charts;
    format!(
        "{} {} score {} {:?} running {}/{} components {} sessions {} height {} final {} {agreed} block {} tps {:.1} \
         spread p95 {} errors {}",
        words::clock(model.at_ms),
        status.name,
        status.score,
        status.band,
        status.running,
        status.nodes,
        status.components,
        status.sessions,
        status.height,
        status.finalized,
        words::millis(charts.block_ms_mean),
        charts.tps_mean,
        words::millis(charts.spread_p95),
        status.errors,
    )
}
