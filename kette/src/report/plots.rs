//! The plots of one run. Each is `None` if there is nothing to draw.

use super::chart::{Chart, WIDTH};
use kette_sim::run::{FaultBand, HeightSample, Propagation, RunReport};

/// A run over time.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// How long it took, seconds.
    pub seconds: f64,
    /// Names of the nodes.
    pub names: &'a [String],
    /// Heights.
    pub heights: &'a [HeightSample],
    /// Faults.
    pub faults: &'a [FaultBand],
    /// Mean time between blocks, seconds.
    pub interval_seconds: f64,
}

impl<'a> From<&'a RunReport> for Series<'a> {
    fn from(run: &'a RunReport) -> Self {
        Self {
            seconds: run.virtual_seconds,
            names: &run.names,
            heights: &run.heights,
            faults: &run.faults,
            interval_seconds: run.blocks.interval_seconds,
        }
    }
}

/// Returns the distribution of delays.
///
/// After a fault a few pairs are very late: then the scale is logarithmic, or all others would stand on the axis.
pub fn propagation(reach: &Propagation) -> Option<String> {
    let slowest = reach.cdf.last()?.0.max(1.0);
    let log = slowest > reach.p50_ms.max(1.0) * 20.0;
    let place = |ms: f64| if log { ms.max(LOG_MIN_MS).log10() } else { ms };
    let first =
        reach.cdf.iter().map(|(ms, _)| *ms).find(|ms| *ms > LOG_MIN_MS).unwrap_or(LOG_MIN_MS);
    let start = if log { place(first).floor() } else { 0.0 };
    let end = if log { place(slowest) } else { slowest * 1.05 };
    let mut chart = Chart::new(260.0, (start, end), (0.0, 100.0));
    chart.y_axis("%");
    if log {
        chart.log_axis("ms");
    } else {
        chart.x_axis("ms");
    }
    let marks =
        [("50 %", reach.p50_ms, 4.0), ("90 %", reach.p90_ms, 10.0), ("99 %", reach.p99_ms, 16.0)];
    for (name, ms, height) in marks {
        let at = place(ms).max(start);
        chart.lines("class=\"mark\"", &[vec![(at, 0.0), (at, 100.0)]]);
        let (x, y) = (chart.x(at) + 3.0, chart.y(height));
        chart.text(x, y, "start", name);
    }
    let mut line = vec![(start, 0.0)];
    line.extend(reach.cdf.iter().map(|(ms, share)| (place(*ms).max(start), share * 100.0)));
    chart.lines("class=\"curve\"", &[line]);
    Some(chart.svg("Share of nodes and blocks by propagation time"))
}

/// Left end of a logarithmic scale at the least.
const LOG_MIN_MS: f64 = 0.01;

/// Returns heights over time, a line per node, with fault bands.
pub fn heights(run: &Series<'_>) -> Option<String> {
    let top = run.heights.iter().flat_map(|sample| sample.heights.iter().flatten()).max()?;
    let count = run.names.len();
    let legend = if count <= LEGEND_MAX { count.div_ceil(LEGEND_ROW) } else { 0 };
    // The legend stands above the lines.
    let room = 1.02 + 0.06 * legend as f64;
    let mut chart = Chart::new(300.0, (0.0, run.seconds), (0.0, *top as f64 * room));
    bands(&mut chart, run);
    chart.axes("s", "");
    for (node, name) in run.names.iter().enumerate() {
        let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        for sample in run.heights {
            match sample.heights.get(node).copied().flatten() {
                Some(height) => {
                    if let Some(line) = lines.last_mut() {
                        line.push((sample.at, height as f64));
                    }
                }
                None if lines.last().is_some_and(|line| !line.is_empty()) => lines.push(Vec::new()),
                None => {}
            }
        }
        let hue = node * 360 / count.max(1);
        chart.lines(&format!("class=\"node\" stroke=\"hsl({hue} 60% 50%)\""), &lines);
        if count <= LEGEND_MAX {
            let x = 64.0 + (WIDTH - 80.0) / LEGEND_ROW as f64 * (node % LEGEND_ROW) as f64;
            let y = 22.0 + 14.0 * (node / LEGEND_ROW) as f64;
            let dot = format!("cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\"", y - 4.0);
            chart.push(&format!("<circle {dot} fill=\"hsl({hue} 60% 50%)\"/>"));
            let name: String = name.chars().take(15).collect();
            chart.text(x + 7.0, y, "start", &name);
        }
    }
    Some(chart.svg("Height of each node over time"))
}

/// Nodes that get a name in the legend; more would cover the plot.
const LEGEND_MAX: usize = 10;
/// Names per row of the legend.
const LEGEND_ROW: usize = 5;

fn bands(chart: &mut Chart, run: &Series<'_>) {
    for fault in run.faults {
        let words = format!("{} ({:.1} s to {:.1} s)", fault.what, fault.from, fault.to);
        chart.band("fault", (fault.from, fault.to), &words);
    }
}

/// Returns how far each node is behind the highest, as a strip per node.
pub fn lag(run: &Series<'_>) -> Option<String> {
    let count = run.names.len();
    if count < 2 || run.heights.len() < 2 {
        return None;
    }
    let row = if count > 25 { 9.0 } else { 15.0 };
    let mut chart = Chart::new(36.0 + row * count as f64, (0.0, run.seconds), (0.0, count as f64));
    chart.push(
        "<defs><pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V5\"/></pattern></defs>",
    );
    for (node, name) in run.names.iter().enumerate() {
        // The first node stands on top.
        let y = chart.y((count - node) as f64);
        let height = chart.y((count - node - 1) as f64) - y;
        if row > 10.0 || node % 2 == 0 {
            let name: String = name.chars().take(8).collect();
            chart.text(46.0, y + height - 2.5, "end", &name);
        }
        for (from, to, behind) in strips(run, node) {
            let (left, width) = (chart.x(from), chart.x(to) - chart.x(from));
            let class = match behind {
                Some(_) => "class=\"lag\"",
                None => "class=\"down\"",
            };
            // One block is visible, ten are full.
            let opacity = behind.map_or(1.0, |blocks| (0.15 + blocks as f64 * 0.085).min(1.0));
            chart.push(&format!(
                "<rect {class} x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                 opacity=\"{opacity:.2}\"/>",
                y + 1.0,
                height - 2.0,
            ));
        }
    }
    bands(&mut chart, run);
    chart.x_axis("s");
    Some(chart.svg("Blocks that each node is behind the highest"))
}

/// Returns stretches in which a node is behind by the same number of blocks, or down; not those in which it leads.
fn strips(run: &Series<'_>, node: usize) -> Vec<(f64, f64, Option<u64>)> {
    let mut strips: Vec<(f64, f64, Option<u64>)> = Vec::new();
    for pair in run.heights.windows(2) {
        let [sample, next] = pair else { continue };
        let best = sample.heights.iter().flatten().max().copied().unwrap_or(0);
        let height = sample.heights.get(node).copied().flatten();
        let behind = height.map(|height| best - height);
        if behind == Some(0) {
            continue;
        }
        match strips.last_mut() {
            Some((_, to, last)) if *last == behind && *to >= sample.at => *to = next.at,
            _ => strips.push((sample.at, next.at, behind)),
        }
    }
    strips
}

/// Stretches of the interval plot.
const STRETCHES: usize = 40;

/// Returns the mean time between blocks, over stretches of the run.
pub fn intervals(run: &Series<'_>) -> Option<String> {
    let best: Vec<(f64, u64)> = run
        .heights
        .iter()
        .map(|sample| (sample.at, sample.heights.iter().flatten().max().copied().unwrap_or(0)))
        .collect();
    let per = best.len().div_ceil(STRETCHES).max(2);
    let mut points = Vec::new();
    let mut start = *best.first()?;
    for chunk in best.chunks(per) {
        let Some(end) = chunk.last().copied() else { continue };
        let gained = end.1.saturating_sub(start.1);
        // A stretch without a block goes on: there is no interval yet.
        if gained > 0 && end.0 > start.0 {
            let mean = (end.0 - start.0) / gained as f64;
            points.extend([(start.0, mean), (end.0, mean)]);
            start = end;
        }
    }
    if points.is_empty() {
        return None;
    }
    let top = points.iter().map(|(_, mean)| *mean).fold(run.interval_seconds, f64::max);
    let mut chart = Chart::new(220.0, (0.0, run.seconds), (0.0, top * 1.1));
    bands(&mut chart, run);
    chart.axes("s", "s");
    let mean = run.interval_seconds;
    chart.lines("class=\"mark\"", &[vec![(0.0, mean), (run.seconds, mean)]]);
    chart.lines("class=\"curve\"", &[points]);
    Some(chart.svg("Mean time between blocks over time"))
}

/// Points of a plot over seeds at most.
const SEEDS_MAX: usize = 5_000;

/// Returns a figure of each seed as a dot: seed, value, whether all is well.
pub fn over_seeds(values: &[(u64, f64, bool)]) -> Option<String> {
    let [first, .., last] = values else { return None };
    let top = values.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let mut chart = Chart::new(220.0, (first.0 as f64, last.0 as f64), (0.0, (top * 1.1).max(1.0)));
    chart.axes("", "%");
    for (seed, value, good) in values.iter().take(SEEDS_MAX) {
        let class = if *good { "dot" } else { "dot wrong" };
        let (x, y) = (chart.x(*seed as f64), chart.y(*value));
        chart.push(&format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"><title>seed {seed}: {value:.2} %</title></circle>"
        ));
    }
    Some(chart.svg("Stale blocks of each seed"))
}
