//! One trial in full: what came out, the decisions, the layers with their costs.

use kiln_search::Outcome;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::Look;
use crate::inspection::{Inspection, LayerView};
use crate::text_table::{Align, TextTable};
use crate::tui::palette::Role;
use crate::tui::setup::{heading, text};
use crate::tui::state::{State, Told};
use crate::tui::view::Opened;
use crate::units;

/// Width from which decisions and layers stand side by side.
const SIDE_BY_SIDE: u16 = 110;
/// Characters of the bar behind a layer.
const BAR: usize = 10;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, opened: &Opened, look: &Look<'_>) {
    let Some(told) = state.trials.get(&opened.trial) else {
        let block = look.block(Line::from(format!(" trial {} ", opened.trial)), true);
        return frame.render_widget(Paragraph::new(" it is told anew").block(block), area);
    };
    let block = look.block(Line::from(title(told, state)), true);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let facts = facts(told, state, look);
    let [top, rest] =
        Layout::vertical([Constraint::Length(facts.len() as u16 + 1), Constraint::Min(1)]).areas(inner);
    frame.render_widget(Paragraph::new(facts), top);
    match &opened.inspection {
        Err(error) => {
            let error = look.span(Role::Limit, format!(" × {error}"));
            frame.render_widget(Paragraph::new(Line::from(error)).wrap(Wrap { trim: false }), rest);
        }
        Ok(inspection) => architecture(frame, rest, inspection, opened.scrolled, look),
    }
}

fn title(told: &Told, state: &State) -> String {
    let origin = &told.trial.proposal.origin;
    let mut parts = vec![format!("trial {}", told.trial.id)];
    parts.extend(told.trial.proposal.fidelity.qualifier(state.full_epochs));
    let parents: Vec<String> = origin.parents.iter().map(ToString::to_string).collect();
    if !origin.operator.is_empty() {
        let parents =
            if parents.is_empty() { String::new() } else { format!(" of {}", parents.join(" and ")) };
        parts.push(origin.operator.clone() + &parents);
    }
    parts.extend(origin.cluster.map(|cluster| format!("cluster {cluster}")));
    format!(" {} ", parts.join(", "))
}

/// What came out of it, what it costs, where its files are.
fn facts<'a>(told: &'a Told, state: &'a State, look: &Look<'_>) -> Vec<Line<'a>> {
    let shown = |(name, value): (&String, &f64)| format!("{} {}", heading(name), text(name, *value));
    let list = |values: Vec<String>| Line::from(format!(" {}", values.join("   ")));
    let mut lines = vec![match &told.trial.outcome {
        Outcome::Measured(measured) => list(measured.metrics().iter().map(shown).collect()),
        Outcome::Failed { reason, .. } => Line::from(look.span(Role::Limit, format!(" × failed: {reason}"))),
    }];
    // Two lines of costs: with several devices there are many.
    let costs: Vec<String> = told.trial.costs.0.iter().map(shown).collect();
    lines.extend(costs.chunks(costs.len().div_ceil(2).max(3)).map(|part| list(part.to_vec())));
    if let Some((finished, seconds)) = state.finished.get(&told.trial.id) {
        let metrics: Vec<String> = finished.metrics.iter().map(shown).collect();
        let seconds = units::significant(*seconds);
        let metrics = format!(" ★ finished in {seconds} s: {}", metrics.join("   "));
        lines.push(Line::from(look.span(Role::Finished, metrics)));
        let folder = look.setup.paths.model(told.trial.id);
        lines.push(Line::from(format!("   {}: {}", folder.display(), finished.files.join(", "))));
    }
    lines
}

fn architecture(
    frame: &mut Frame<'_>,
    area: Rect,
    inspection: &Inspection,
    scrolled: usize,
    look: &Look<'_>,
) {
    let (decisions, layers) = (decision_lines(inspection), layer_lines(inspection, look));
    if area.width >= SIDE_BY_SIDE {
        let longest = decisions.iter().map(Line::width).max().unwrap_or(0) as u16;
        let [left, right] = Layout::horizontal([
            Constraint::Length(longest.clamp(20, area.width / 2) + 2),
            Constraint::Min(1),
        ])
        .areas(area);
        scroll(frame, left, decisions, scrolled);
        scroll(frame, right, layers, scrolled);
    } else {
        let lines = layers.into_iter().chain([Line::from("")]).chain(decisions).collect();
        scroll(frame, area, lines, scrolled);
    }
}

/// Draws lines from `scrolled` on, or the last ones.
fn scroll(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, scrolled: usize) {
    let first = scrolled.min(lines.len().saturating_sub(usize::from(area.height)));
    frame.render_widget(Paragraph::new(lines.into_iter().skip(first).collect::<Vec<_>>()), area);
}

fn decision_lines(inspection: &Inspection) -> Vec<Line<'_>> {
    let longest = inspection.decisions.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![Line::styled(format!(" {:<longest$}  option", "decision"), Modifier::BOLD)];
    lines.extend(
        inspection.decisions.iter().map(|(name, option)| Line::from(format!(" {name:<longest$}  {option}"))),
    );
    lines
}

/// The layers as a table, with a bar for the share of the first device's latency.
fn layer_lines<'a>(inspection: &Inspection, look: &Look<'_>) -> Vec<Line<'a>> {
    // Latencies come before counts: a narrow terminal cuts the end off.
    let fixed = ["layer", "operation", "output"].map(|name| (name.to_owned(), Align::Left));
    let devices = inspection.devices.iter().map(|device| (format!("µs {device}"), Align::Right));
    let counts = ["params", "MACs"].map(|name| (name.to_owned(), Align::Right));
    let mut table = TextTable::new(fixed.into_iter().chain(devices).chain(counts));
    for layer in &inspection.layers {
        let LayerView { name, operation, output, parameters, macs, latency_us } = layer;
        let counts = [*parameters, *macs].map(|count| units::count(count as f64));
        let latencies = latency_us.iter().map(|us| units::significant(*us));
        table.row(
            [name.clone(), operation.clone(), output.clone()].into_iter().chain(latencies).chain(counts),
        );
    }
    let first = |layer: &LayerView| layer.latency_us.first().copied().unwrap_or(layer.macs as f64);
    let most = inspection.layers.iter().map(first).fold(0.0, f64::max);
    let text = table.to_string();
    let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let bars = inspection.layers.iter().map(|layer| {
        let share = if most > 0.0 { first(layer) / most } else { 0.0 };
        "▪".repeat((share * BAR as f64).round() as usize)
    });
    let bars = std::iter::once(String::new()).chain(bars);
    let lines = text.lines().zip(bars).enumerate().map(|(index, (line, bar))| {
        let style = if index == 0 { Modifier::BOLD } else { Modifier::empty() };
        Line::from(vec![Span::styled(format!(" {line:<width$}  "), style), look.span(Role::Front, bar)])
    });
    lines.collect()
}
