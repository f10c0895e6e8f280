//! A chart as SVG: a frame with two scales, grid lines and labels, into which marks are drawn.

use std::fmt::Write as _;

/// Width of all charts, in the units of their `viewBox`.
pub const WIDTH: f64 = 640.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// Writes text so that it is text and nothing else, in an element or an attribute.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A chart on its way.
pub struct Chart {
    svg: String,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Chart {
    /// Begins a chart; scales that hold no distance are widened.
    pub fn new(height: f64, x: (f64, f64), y: (f64, f64)) -> Self {
        Self { svg: String::new(), height, x: widened(x), y: widened(y) }
    }

    /// Returns where a value stands.
    pub fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Returns where a value stands.
    pub fn y(&self, value: f64) -> f64 {
        let base = self.height - BOTTOM;
        base - (value - self.y.0) / (self.y.1 - self.y.0) * (base - TOP)
    }

    /// Draws grid lines and labels of both scales; the last label of a scale has its unit.
    pub fn axes(&mut self, x_unit: &str, y_unit: &str) {
        self.y_axis(y_unit);
        self.x_axis(x_unit);
    }

    /// Draws grid lines and their labels.
    pub fn y_axis(&mut self, unit: &str) {
        for (value, label) in labelled(ticks(self.y), unit) {
            let y = self.y(value);
            let right = WIDTH - RIGHT;
            self.push(&format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>"));
            self.text(LEFT - 6.0, y + 4.0, "end", &label);
        }
    }

    /// Draws the line below and its labels.
    pub fn x_axis(&mut self, unit: &str) {
        self.x_labels(labelled(ticks(self.x), unit));
    }

    /// Draws the line below for a scale of decimal logarithms.
    pub fn log_axis(&mut self, unit: &str) {
        let powers = self.x.0.ceil() as i32..=self.x.1.floor() as i32;
        let label =
            |power: i32| (f64::from(power), format!("{} {unit}", number(10_f64.powi(power))));
        self.x_labels(powers.map(label).collect());
    }

    fn x_labels(&mut self, labels: Vec<(f64, String)>) {
        let (base, right) = (self.height - BOTTOM, WIDTH - RIGHT);
        for (value, label) in labels {
            let x = self.x(value);
            self.push(&format!("<path class=\"axis\" d=\"M{x:.1} {base}v4\"/>"));
            self.text(x, base + 17.0, "middle", &label);
        }
        self.push(&format!("<path class=\"axis\" d=\"M{LEFT} {base}H{right}\"/>"));
    }

    /// Draws lines between points; each list is a line of its own.
    pub fn lines(&mut self, attributes: &str, lines: &[Vec<(f64, f64)>]) {
        let mut path = String::new();
        for line in lines {
            for (index, (x, y)) in line.iter().enumerate() {
                let verb = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{verb}{:.1} {:.1}", self.x(*x), self.y(*y));
            }
        }
        if !path.is_empty() {
            self.push(&format!("<path {attributes} d=\"{path}\"/>"));
        }
    }

    /// Draws a rectangle over the whole height, with words that a pointer shows.
    pub fn band(&mut self, class: &str, (from, to): (f64, f64), words: &str) {
        let (left, right) = (self.x(from.max(self.x.0)), self.x(to.min(self.x.1)));
        let (width, height) = ((right - left).max(1.0), self.height - BOTTOM - TOP);
        self.push(&format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\">\
             <title>{}</title></rect>",
            escape(words)
        ));
    }

    /// Draws words.
    pub fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = escape(text);
        self.push(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// Adds a piece of SVG.
    pub fn push(&mut self, svg: &str) {
        self.svg.push_str(svg);
        self.svg.push('\n');
    }

    /// Returns the chart.
    pub fn svg(self, label: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n{}</svg>",
            self.height,
            escape(label),
            self.svg
        )
    }
}

fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if high > low { (low, high) } else { (low, low + 1.0) }
}

/// Returns round values between two others: steps of 1, 2 or 5 times a power of ten.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    const WANTED: f64 = 6.0;
    let rough = (high - low) / WANTED;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(power);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).take(20).map(|index| index as f64 * step).collect()
}

fn labelled(values: Vec<f64>, unit: &str) -> Vec<(f64, String)> {
    let mut labels: Vec<(f64, String)> =
        values.into_iter().map(|value| (value, number(value))).collect();
    if let Some((_, last)) = labels.last_mut() {
        *last = format!("{last} {unit}").trim_end().to_owned();
    }
    labels
}

/// A label: as many digits as it needs.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks((0.0, 600.0)), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
        assert_eq!(ticks((0.0, 1.0)), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        for (low, high) in [(3.0, 4.0), (0.001, 0.002), (0.0, 1e12), (-5.0, 5.0)] {
            let found = ticks((low, high));
            assert!((3..=12).contains(&found.len()), "{low} {high} {found:?}");
            assert!(found.iter().all(|tick| (low..=high).contains(tick)), "{found:?}");
        }
        assert_eq!((number(0.6000000000000001), number(100.0)), ("0.6".into(), "100".into()));
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<a href='x'>&\"\u{7}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}");
    }
}
