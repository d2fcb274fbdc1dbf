//! Plots of points and lines in two dimensions, as SVG.

use std::fmt::Write;

use super::axis::Scale;
use super::escape::escape;
use super::mark::{Ink, Shape};

/// Size of a plot in its own units. Browsers scale the plot to the available space.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 380.0;
/// Margins for the text beside the axes.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 62.0;
/// Half the width of a point.
const POINT: f64 = 4.2;

/// A plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plot {
    /// What the plot shows.
    pub title: String,
    /// Describes in words what the reader can see in the plot.
    pub description: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Points and lines. Later series are drawn on top of earlier ones.
    pub series: Vec<Series>,
    /// Limits on values.
    pub limits: Vec<Limit>,
}

/// An axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// What the axis shows, with its unit.
    pub label: String,
    /// Whether the axis may be logarithmic if its values have a wide range.
    pub may_be_logarithmic: bool,
}

/// Points, or a line, with a common meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend. If it is empty, the legend omits the series.
    pub name: String,
    /// Color.
    pub ink: Ink,
    /// Shape of each point; `None` for a line without points.
    pub shape: Option<Shape>,
    /// How the points are connected.
    pub line: Line,
    /// Points, in the order of the line.
    pub points: Vec<Point>,
}

/// How points are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Not connected.
    None,
    /// Straight lines.
    Straight,
    /// A horizontal line to the next point, then a vertical line.
    Steps,
}

/// A point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Position on the horizontal axis.
    pub x: f64,
    /// Position on the vertical axis.
    pub y: f64,
    /// Text that appears when the reader points at the mark.
    pub note: String,
}

/// A maximum on the horizontal axis, or a minimum on the vertical axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Whether the limit is on the horizontal axis.
    pub horizontal: bool,
    /// The value.
    pub at: f64,
    /// What the limit is.
    pub label: String,
}

/// Maps values to coordinates in the drawing.
struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (1.0 - self.y.share(value)) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Axis {
    /// Returns the label. If the axis is logarithmic, the label states it.
    fn called(&self, scale: &Scale) -> String {
        if scale.is_logarithmic() { format!("{} (logarithmic)", self.label) } else { self.label.clone() }
    }
}

impl Plot {
    /// Writes the plot. `number` makes its identifiers unique on the page.
    pub(super) fn write(&self, out: &mut String, number: usize) {
        let points =
            || self.series.iter().flat_map(|series| series.points.iter().filter(|point| is_finite(point)));
        let limits = |horizontal| {
            self.limits.iter().filter(move |limit| limit.horizontal == horizontal).map(|limit| limit.at)
        };
        let frame = Frame {
            x: Scale::new(points().map(|p| p.x).chain(limits(true)), self.x.may_be_logarithmic),
            y: Scale::new(points().map(|p| p.y).chain(limits(false)), self.y.may_be_logarithmic),
        };
        let (title, description) = (escape(&self.title), escape(&self.description));
        let _ = write!(
            out,
            "<figure>\n<h3>{title}</h3>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-labelledby=\"title-{number} about-{number}\">\n\
             <title id=\"title-{number}\">{title}</title>\n\
             <desc id=\"about-{number}\">{description}</desc>\n"
        );
        self.write_axes(out, &frame);
        self.limits.iter().for_each(|limit| write_limit(out, &frame, limit));
        if points().next().is_none() {
            let (x, y) = (f64::midpoint(LEFT, WIDTH - RIGHT), f64::midpoint(TOP, HEIGHT - BOTTOM));
            let _ = writeln!(out, "<text class=\"middle\" x=\"{x}\" y=\"{y}\">nothing to show yet</text>");
        }
        for series in &self.series {
            write_line(out, &frame, series);
            write_points(out, &frame, series);
        }
        out.push_str("</svg>\n<figcaption>\n");
        self.write_legend(out);
        let _ = writeln!(out, "<p>{description}</p>\n</figcaption>\n</figure>");
    }

    fn write_axes(&self, out: &mut String, frame: &Frame) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in frame.x.ticks(6) {
            let x = frame.x(value);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"middle\" x=\"{x:.1}\" \
                 y=\"{:.1}\">{text}</text>",
                bottom + 22.0
            );
        }
        for (value, text) in frame.y.ticks(6) {
            let y = frame.y(value);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"end\" x=\"{:.1}\" \
                 y=\"{:.1}\">{text}</text>",
                LEFT - 8.0,
                y + 5.0
            );
        }
        let (middle_x, middle_y) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n\
             <text class=\"middle label\" x=\"{middle_x}\" y=\"{:.1}\">{}</text>\n\
             <text class=\"middle label\" transform=\"translate(20 {middle_y}) rotate(-90)\">{}</text>",
            HEIGHT - 12.0,
            escape(&self.x.called(&frame.x)),
            escape(&self.y.called(&frame.y))
        );
    }

    fn write_legend(&self, out: &mut String) {
        let named: Vec<&Series> = self.series.iter().filter(|series| !series.name.is_empty()).collect();
        if named.is_empty() && self.limits.is_empty() {
            return;
        }
        out.push_str("<ul class=\"legend\">\n");
        let mut entry = |drawing: &str, name: &str| {
            let _ = writeln!(
                out,
                "<li><svg viewBox=\"0 0 24 14\" aria-hidden=\"true\">{drawing}</svg> {}</li>",
                escape(name)
            );
        };
        for series in named {
            let class = series.ink.class();
            let mut drawing = String::new();
            if series.line != Line::None {
                let _ = write!(drawing, "<path class=\"line {class}\" d=\"M1 7H23\"/>");
            }
            if let Some(shape) = series.shape {
                let _ = write!(drawing, "<path class=\"{class}\" d=\"{}\"/>", shape.path(12.0, 7.0, POINT));
            }
            entry(&drawing, &series.name);
        }
        for limit in &self.limits {
            entry("<path class=\"limit\" d=\"M1 7H23\"/>", &limit.label);
        }
        out.push_str("</ul>\n");
    }
}

const fn is_finite(point: &Point) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

/// Draws the limit as a dashed line and shades the area beyond it.
fn write_limit(out: &mut String, frame: &Frame, limit: &Limit) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let label = escape(&limit.label);
    let (x, y, width, height, line) = if limit.horizontal {
        let x = frame.x(limit.at);
        (x, TOP, right - x, bottom - TOP, format!("M{x:.1} {TOP}V{bottom}"))
    } else {
        let y = frame.y(limit.at);
        (LEFT, y, right - LEFT, bottom - y, format!("M{LEFT} {y:.1}H{right}"))
    };
    let _ = writeln!(
        out,
        "<rect class=\"beyond\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
         <path class=\"limit\" d=\"{line}\"><title>{label}</title></path>",
        width.max(0.0),
        height.max(0.0)
    );
}

fn write_line(out: &mut String, frame: &Frame, series: &Series) {
    if series.line == Line::None {
        return;
    }
    let mut path = String::new();
    let mut before = None;
    for point in series.points.iter().filter(|point| is_finite(point)) {
        let (x, y) = (frame.x(point.x), frame.y(point.y));
        let _ = match (before, series.line) {
            (None, _) => write!(path, "M{x:.1} {y:.1}"),
            (Some(_), Line::Steps) => write!(path, "H{x:.1}V{y:.1}"),
            (Some(_), _) => write!(path, "L{x:.1} {y:.1}"),
        };
        before = Some(point);
    }
    if !path.is_empty() {
        let _ = writeln!(out, "<path class=\"line {}\" d=\"{path}\"/>", series.ink.class());
    }
}

fn write_points(out: &mut String, frame: &Frame, series: &Series) {
    let Some(shape) = series.shape else { return };
    for point in series.points.iter().filter(|point| is_finite(point)) {
        let path = shape.path(frame.x(point.x), frame.y(point.y), POINT);
        let (class, note) = (series.ink.class(), escape(&point.note));
        let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\"><title>{note}</title></path>");
    }
}
