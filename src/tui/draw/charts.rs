//! Draws two charts: the scatter plot of the trials, and the hypervolume as a function of the number of
//! trials.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph};

use super::{Look, fit};
use crate::tui::palette::Role;
use crate::tui::setup::{Setup, abbreviated, displayed, is_error, text, value};
use crate::tui::state::{State, Told};
use crate::tui::view::{Panel, View};
use crate::units;

/// Share of the worst trials that the scatter plot omits, so that a few outliers do not compress the other
/// points.
const LEFT_OUT: f64 = 0.1;

/// Minimum width of a name next to numbers.
const NAME_MIN: usize = 6;

/// The points of the scatter plot, grouped by kind.
#[derive(Default)]
struct Points {
    others: Vec<(f64, f64)>,
    front: Vec<(f64, f64)>,
    finished: Vec<(f64, f64)>,
    selected: Vec<(f64, f64)>,
}

/// Draws the scatter plot with the Pareto front.
pub(super) fn front(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let focused = view.focus == Panel::Front;
    let Some(names) = axes(look.setup) else {
        let block = look.block(Line::from(" 1 front "), focused);
        let text = " nothing to trade off: one objective, no limit";
        return frame.render_widget(Paragraph::new(text).block(block), area);
    };
    let points = points(state, view, names);
    let block = look.block(legend(&points, names.1, area.width, look), focused);
    // A zoomed scatter plot shows every trial.
    let left_out = if view.zoomed { 0.0 } else { LEFT_OUT };
    let Some(((left, right), (bottom, top))) = bounds(&points, names, left_out) else {
        return frame.render_widget(Paragraph::new(" no trial was measured yet").block(block), area);
    };
    let limit = look.setup.limit(names.0).unwrap_or(f64::INFINITY);
    // If the limit is far from the trials, a line at the limit would compress the trials. The chart then
    // states the limit as text.
    let far = limit > right + 2.0 * (right - left);
    let right = if far { right } else { right.max(limit) + 0.03 * (right.max(limit) - left) };
    // The line at the limit has more points than the chart has rows, so the line has no gaps.
    let line: Vec<(f64, f64)> =
        (0..=400).map(|i| (limit, bottom + (top - bottom) * f64::from(i) / 400.0)).collect();
    let set = |points, sign, role| {
        let style = look.palette.style(role);
        Dataset::default()
            .data(points)
            .marker(Marker::Custom(sign))
            .graph_type(GraphType::Scatter)
            .style(style)
    };
    let mut sets = Vec::new();
    if !far {
        sets.push(set(&line, '┊', Role::Limit));
    }
    sets.push(set(&points.others, '·', Role::Dim));
    sets.push(set(&points.front, '●', Role::Front));
    sets.push(set(&points.finished, '★', Role::Finished));
    sets.push(set(&points.selected, '◆', Role::Focus));
    let said = if limit.is_finite() {
        format!(" limit {}{}", text(names.0, limit), if far { " →" } else { " ┊" })
    } else {
        String::new()
    };
    let outside = match points.others.iter().filter(|point| !(bottom..=top).contains(&point.1)).count() {
        0 => String::new(),
        count => format!(" {count} {} ", if is_error(names.1) { "lie lower" } else { "lie higher" }),
    };
    // If there is little room, the chart shortens the name but not the numbers.
    let taken = fit::width(&said) + fit::width(&outside) + fit::width("  → ") + 2;
    let across = fit::shortened(
        &look.setup.heading(names.0),
        usize::from(area.width).saturating_sub(taken).max(NAME_MIN),
    );
    let mut block = block.title_bottom(Line::from(format!(" {across} →{said} ")).right_aligned());
    if !outside.is_empty() {
        block = block.title_bottom(Line::from(look.span(Role::Dim, outside)).left_aligned());
    }
    let ends = |name: &str, low: f64, high: f64| [low, high].map(|end| label(name, end));
    let chart = Chart::new(sets)
        .block(block)
        .legend_position(None)
        .x_axis(Axis::default().bounds([left, right]).labels(ends(names.0, left, right)))
        .y_axis(Axis::default().bounds([bottom, top]).labels(ends(names.1, bottom, top)));
    frame.render_widget(chart, area);
}

/// Returns the names of the quantities on the horizontal and the vertical axis of the scatter plot.
fn axes(setup: &Setup) -> Option<(&str, &str)> {
    let up = setup.objectives.first()?;
    let limited = setup.constraints.iter().map(|constraint| &constraint.cost).find(|cost| *cost != up);
    let across = setup.objectives.get(1).or(limited)?;
    Some((across, up))
}

/// Returns the position of a trial in the scatter plot.
fn position(told: &Told, (across, up): (&str, &str)) -> Option<(f64, f64)> {
    told.trial.outcome.measurement()?;
    Some((value(&told.trial, across)?, displayed(up, value(&told.trial, up)?)))
}

/// Formats a number at an axis. An error is formatted as an accuracy, because the chart shows accuracies.
fn label(name: &str, drawn: f64) -> String {
    text(name, displayed(name, drawn))
}

fn points(state: &State, view: &View, names: (&str, &str)) -> Points {
    let mut points = Points::default();
    for told in state.trials.values() {
        let Some(point) = position(told, names) else { continue };
        let id = told.trial.id;
        if view.selected == Some(id) {
            points.selected.push(point);
        }
        let set = if state.finished.contains_key(&id) {
            &mut points.finished
        } else if state.front.contains(id) {
            &mut points.front
        } else {
            &mut points.others
        };
        set.push(point);
    }
    points
}

/// Returns the legend, which is also the title of the scatter plot. If there is little room, the legend omits
/// the signs that the list of trials also explains.
fn legend<'a>(points: &Points, up: &str, width: u16, look: &Look<'_>) -> Line<'a> {
    let mut room = usize::from(width).saturating_sub(2);
    let signs = [
        (true, Role::Front, "● front "),
        (true, Role::Dim, "· others "),
        (!points.finished.is_empty(), Role::Finished, "★ finished "),
        (!points.selected.is_empty(), Role::Focus, "◆ selected "),
    ];
    let always: usize = signs[..2].iter().map(|(_, _, text)| fit::width(text)).sum();
    let name = abbreviated(&look.setup.heading(up));
    let name = fit::shortened(&name, room.saturating_sub(always + fit::width(" 1  ↑ ")).max(NAME_MIN));
    let mut spans = vec![Span::raw(format!(" 1 {name} ↑ "))];
    room = room.saturating_sub(spans[0].width());
    for (_, role, text) in signs.into_iter().filter(|(is_there, ..)| *is_there) {
        if fit::width(text) <= room {
            room -= fit::width(text);
            spans.push(look.span(role, text));
        }
    }
    Line::from(spans)
}

type Range = (f64, f64);

/// Returns the ranges of the two axes. The vertical range ignores the worst trials that are not on the front.
/// `left_out` is the share of trials to ignore.
fn bounds(points: &Points, (_, up): (&str, &str), left_out: f64) -> Option<(Range, Range)> {
    let front = || points.front.iter().chain(&points.finished).chain(&points.selected);
    let all = || front().chain(&points.others);
    let (left, right) = range(all().map(|point| point.0))?;
    let mut heights: Vec<f64> = all().map(|point| point.1).collect();
    heights.sort_by(f64::total_cmp);
    let left_out = (heights.len() as f64 * left_out) as usize;
    // Accuracy is maximized. All other quantities are minimized.
    let most = if is_error(up) { &heights[left_out..] } else { &heights[..heights.len() - left_out] };
    let (bottom, top) = range(most.iter().copied().chain(front().map(|point| point.1)))?;
    Some(((left, right), (bottom, top)))
}

/// Returns the range from the smallest to the largest value. The range has a minimum length.
fn range(values: impl Iterator<Item = f64>) -> Option<Range> {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return None;
    }
    // The minimum length is relative to the values, because all values may be tiny.
    let size = high.abs().max(low.abs());
    let least = if size > 0.0 { 1e-3 * size } else { 1e-6 };
    Some(if high - low < least { (low - least, high + least) } else { (low, high) })
}

/// Draws the hypervolume as a function of the number of trials.
pub(super) fn volume(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let mut curve = stairs(state.volume.curve());
    let last = curve.last().map(|point| point.1);
    let growth = state.volume.growth();
    let about = if growth.standard_error.is_some() { "≈ " } else { "" };
    let now = last.map_or_else(String::new, |last| format!("{about}{last:.2} % "));
    let mut title = vec![Span::raw(" 2 "), look.span(Role::Curve, "hypervolume "), Span::raw(now)];
    let over = "over trials ";
    let width: usize = title.iter().map(Span::width).sum();
    if width + over.len() + 2 <= usize::from(area.width) {
        title.push(Span::raw(over));
    }
    let mut block = look.block(Line::from(title), view.focus == Panel::Volume);
    let trials = state.trials.len() as f64;
    let Some(last) = last else {
        return frame.render_widget(Paragraph::new(" no front yet").block(block), area);
    };
    curve.push((trials, last));
    let first = curve.first().map_or(0.0, |point| point.0);
    let Some((bottom, top)) = range(curve.iter().map(|point| point.1)) else { return };
    let reference = state.volume.scale().map_or(&[][..], |scale| &scale.reference);
    let reference = look.setup.objectives.iter().zip(reference);
    let reference: Vec<String> = reference
        .map(|(name, value)| format!("{} {}", look.setup.heading(name), text(name, *value)))
        .collect();
    let reference = format!(" from {} ", reference.join(", "));
    // The note on precision comes first, so that the note is never cut.
    let remark = growth.remark().map(|remark| format!(" {remark} "));
    let mut room = usize::from(area.width).saturating_sub(2);
    if let Some(remark) = remark.filter(|remark| fit::width(remark) <= room) {
        room -= fit::width(&remark);
        block = block.title_bottom(Line::from(look.span(Role::Dim, remark)).left_aligned());
    }
    if fit::width(&reference) <= room {
        block = block.title_bottom(Line::from(reference).right_aligned());
    }
    let style = look.palette.style(Role::Curve);
    let line =
        Dataset::default().data(&curve).marker(Marker::Braille).graph_type(GraphType::Line).style(style);
    let chart = Chart::new(vec![line])
        .block(block)
        .legend_position(None)
        .hidden_legend_constraints((Constraint::Length(0), Constraint::Length(0)))
        .x_axis(
            Axis::default()
                .bounds([first, trials.max(first + 1.0)])
                .labels([first, trials].map(units::count)),
        )
        .y_axis(
            Axis::default().bounds([bottom, top]).labels([bottom, top].map(|share| format!("{share:.1}"))),
        );
    frame.render_widget(chart, area);
}

/// Returns the corners of a step curve through these points.
fn stairs(points: &[(usize, f64)]) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = Vec::with_capacity(2 * points.len() + 1);
    for &(number, value) in points {
        let number = number as f64;
        corners.extend(corners.last().map(|&(_, before)| (number, before)));
        corners.push((number, value));
    }
    corners
}
