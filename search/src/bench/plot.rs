//! Plots curves of regret against budget.

use std::fmt::Write;

use super::comparison::Comparison;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
/// Margins around the axes: left, top, right, bottom.
const MARGIN: [f64; 4] = [72.0, 40.0, 20.0, 52.0];
/// Colors that color-blind people can distinguish.
///
/// Source: Okabe, Ito, Color universal design, 2008.
const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/// Dash patterns of the lines. Strategies that share a color have different dash patterns.
const DASHES: [&str; 3] = ["none", "6 3", "2 2"];
/// Approximate width of a letter in the legend.
const LETTER: f64 = 6.3;
/// Number of decades drawn below the largest regret.
const DECADES: f64 = 4.0;

/// A comment that identifies plots written by Kiln.
const MARK: &str = "<!-- written by Kiln -->";

/// Whether a file that starts with these bytes is a plot by [`svg`].
#[must_use]
pub fn is_svg(beginning: &[u8]) -> bool {
    beginning.starts_with(b"<svg ") && String::from_utf8_lossy(beginning).contains(MARK)
}

/// Draws the curves of a comparison as an SVG file. The plot shows mean regret with its 95 % confidence
/// interval on a logarithmic scale, against the budget. Values more than four decades below the largest
/// regret are drawn at the lower edge.
#[must_use]
pub fn svg(comparison: &Comparison) -> String {
    let scale = Scale::of(comparison);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n{MARK}\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let title = format!("{}, {} seeds", comparison.problem, comparison.seeds);
    text(&mut out, WIDTH / 2.0, 18.0, "middle", &title);
    axes(&mut out, &scale, &comparison.unit);
    let longest = comparison.strategies.iter().map(|found| found.strategy.chars().count()).max().unwrap_or(0);
    let x = (WIDTH - MARGIN[2] - 40.0 - LETTER * longest as f64).max(MARGIN[0] + 8.0);
    for (index, strategy) in comparison.strategies.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let dash = DASHES[(index / COLORS.len()) % DASHES.len()];
        let curve = &strategy.curve;
        let points = |shift: f64| {
            let places = curve.spent.iter().zip(&curve.regret).zip(&curve.confidence_95);
            places
                .map(|((spent, regret), half)| {
                    format!("{:.1},{:.1}", scale.x(*spent), scale.y(regret + shift * half))
                })
                .collect::<Vec<_>>()
        };
        let mut band = points(1.0);
        band.extend(points(-1.0).into_iter().rev());
        let _ = writeln!(
            out,
            "<polygon points=\"{}\" fill=\"{color}\" fill-opacity=\"0.15\"/>\n<polyline points=\"{}\" \
             fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" stroke-dasharray=\"{dash}\"/>",
            band.join(" "),
            points(0.0).join(" ")
        );
        let y = MARGIN[1] + 8.0 + 16.0 * index as f64;
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/>",
            x + 24.0
        );
        text(&mut out, x + 30.0, y + 4.0, "start", &strategy.strategy);
    }
    out.push_str("</svg>\n");
    out
}

/// Converts values to positions on the plot.
struct Scale {
    begin: f64,
    end: f64,
    /// Decimal logarithms of the regret at the lower and the upper edge.
    low: f64,
    high: f64,
}

impl Scale {
    fn of(comparison: &Comparison) -> Self {
        let regrets = comparison.strategies.iter().flat_map(|strategy| &strategy.curve.regret);
        let positive = || regrets.clone().copied().filter(|regret| *regret > 0.0);
        let (least, most) = (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        let high = if most > 0.0 { most.log10().ceil() } else { 0.0 };
        let low = if least.is_finite() { least.log10().floor().max(high - DECADES) } else { high - 1.0 };
        Self { begin: 0.0, end: comparison.budget, low: low.min(high - 1.0), high }
    }

    fn x(&self, spent: f64) -> f64 {
        let share = (spent - self.begin) / (self.end - self.begin);
        MARGIN[0] + share * (WIDTH - MARGIN[0] - MARGIN[2])
    }

    fn y(&self, regret: f64) -> f64 {
        let logarithm = if regret > 0.0 { regret.log10() } else { self.low };
        let share = (logarithm.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        HEIGHT - MARGIN[3] - share * (HEIGHT - MARGIN[1] - MARGIN[3])
    }
}

fn axes(out: &mut String, scale: &Scale, unit: &str) {
    let (left, right) = (MARGIN[0], WIDTH - MARGIN[2]);
    let (top, bottom) = (MARGIN[1], HEIGHT - MARGIN[3]);
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64, color: &str| {
        let _ = writeln!(
            out,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>"
        );
    };
    for decade in scale.low as i32..=scale.high as i32 {
        let y = scale.y(10_f64.powi(decade));
        line(left, y, right, y, "#dddddd");
    }
    line(left, bottom, right, bottom, "black");
    line(left, top, left, bottom, "black");
    for decade in scale.low as i32..=scale.high as i32 {
        let value = 10_f64.powi(decade);
        text(out, left - 6.0, scale.y(value) + 4.0, "end", &format!("{value}"));
    }
    for step in 0..=4 {
        let spent = scale.begin + (scale.end - scale.begin) * f64::from(step) / 4.0;
        text(out, scale.x(spent), bottom + 18.0, "middle", &format!("{spent:.0}"));
    }
    text(out, f64::midpoint(left, right), HEIGHT - 14.0, "middle", &format!("budget ({unit})"));
    let (x, y) = (18.0, f64::midpoint(top, bottom));
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">mean \
         regret</text>"
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}
