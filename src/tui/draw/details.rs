//! Draws the details of one trial: its results, its decisions, and its layers with the cost of each layer.

use kiln_search::Outcome;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{Look, fit};
use crate::inspection::{Inspection, LayerView};
use crate::text_table::Align;
use crate::tui::palette::Role;
use crate::tui::setup::text;
use crate::tui::state::{State, Told};
use crate::tui::view::Opened;
use crate::units;

/// In a panel of at least this width, decisions and layers are next to each other.
const SIDE_BY_SIDE: u16 = 110;
/// Length of a layer's bar, in characters.
const BAR: usize = 10;
/// Minimum height of the list of layers if the list scrolls below the trial's results.
const LAYERS_MIN: usize = 6;
/// Minimum width of a name next to numbers.
const NAME_MIN: usize = 6;
/// Maximum width of a device name above its latencies.
const DEVICE_MAX: usize = 18;
/// Gap between two values.
const GAP: &str = "   ";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, opened: &Opened, look: &Look<'_>) {
    let Some(told) = state.trials.get(&opened.trial) else {
        let block = look.block(Line::from(format!(" trial {} ", opened.trial)), true);
        return frame.render_widget(Paragraph::new(" it is told anew").block(block), area);
    };
    let title = fit::cut(&title(told, state), usize::from(area.width.saturating_sub(4)));
    let block = look.block(Line::from(format!(" {title} ")), true);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let facts = facts(told, state, usize::from(inner.width), look);
    let inspection = match &opened.inspection {
        Ok(inspection) => inspection,
        Err(error) => {
            let [top, rest] = halves(inner, facts.len());
            frame.render_widget(Paragraph::new(facts), top);
            let error = look.span(Role::Limit, format!(" × {error}"));
            return frame.render_widget(Paragraph::new(Line::from(error)).wrap(Wrap { trim: false }), rest);
        }
    };
    if facts.len() + LAYERS_MIN > usize::from(inner.height) {
        // The results do not fit in the panel, so they scroll together with the layers.
        let lines = facts.into_iter().chain([Line::from("")]);
        let lines = lines.chain(one_below_the_other(inspection, inner.width, look)).collect();
        return scroll(frame, inner, lines, opened.scrolled);
    }
    let [top, rest] = halves(inner, facts.len());
    frame.render_widget(Paragraph::new(facts), top);
    architecture(frame, rest, inspection, opened.scrolled, look);
}

/// Splits the area. The upper part contains the results and one empty line, and the lower part contains the
/// rest.
fn halves(area: Rect, facts: usize) -> [Rect; 2] {
    Layout::vertical([Constraint::Length(facts as u16 + 1), Constraint::Min(1)]).areas(area)
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
    parts.join(", ")
}

/// Returns a trial's results, costs and files on as many lines as necessary.
fn facts<'a>(told: &Told, state: &State, width: usize, look: &Look<'_>) -> Vec<Line<'a>> {
    let shown = |(name, value): (&String, &f64)| {
        // If there is little room, the name is shortened but not the number.
        let value = text(name, *value);
        let room = width.saturating_sub(fit::width(&value) + 2);
        format!("{} {value}", fit::shortened(&look.setup.heading(name), room))
    };
    let set = |items: Vec<String>, gap: &str, role: Option<Role>| -> Vec<Line<'a>> {
        let lines =
            fit::lines(&items, gap, width.saturating_sub(1)).into_iter().map(|line| format!(" {line}"));
        lines
            .map(|line| {
                role.map_or_else(
                    || Line::from(line.clone()),
                    |role| Line::from(look.span(role, line.clone())),
                )
            })
            .collect()
    };
    let mut lines = match &told.trial.outcome {
        Outcome::Measured(measured) => set(measured.metrics().iter().map(shown).collect(), GAP, None),
        Outcome::Failed { reason, .. } => {
            let words = format!("× failed: {reason}").split_whitespace().map(str::to_owned).collect();
            set(words, " ", Some(Role::Limit))
        }
    };
    lines.extend(set(told.trial.costs.0.iter().map(shown).collect(), GAP, None));
    if let Some((finished, seconds)) = state.finished.get(&told.trial.id) {
        let first = format!("★ finished in {} s:", units::significant(seconds.get()));
        let metrics = std::iter::once(first).chain(finished.metrics.iter().map(shown)).collect();
        lines.extend(set(metrics, GAP, Some(Role::Finished)));
        let folder = format!("{}:", look.setup.paths.model(told.trial.id).display());
        let files =
            std::iter::once(folder).chain(finished.files.iter().map(|file| format!("{},", file.name)));
        let mut files: Vec<String> =
            files.map(|name| fit::shortened(&name, width.saturating_sub(3))).collect();
        if let Some(last) = files.last_mut().filter(|last| last.ends_with(',')) {
            last.pop();
        }
        let files = fit::lines(&files, " ", width.saturating_sub(3));
        lines.extend(files.into_iter().map(|line| Line::from(format!("   {line}"))));
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
    if area.width < SIDE_BY_SIDE {
        return scroll(frame, area, one_below_the_other(inspection, area.width, look), scrolled);
    }
    let decisions = decision_lines(inspection, area.width / 2);
    let longest = decisions.iter().map(Line::width).max().unwrap_or(0) as u16;
    let [left, right] =
        Layout::horizontal([Constraint::Length(longest.max(20) + 2), Constraint::Min(1)]).areas(area);
    scroll(frame, left, decisions, scrolled);
    scroll(frame, right, layer_lines(inspection, right.width, look), scrolled);
}

fn one_below_the_other<'a>(inspection: &Inspection, width: u16, look: &Look<'_>) -> Vec<Line<'a>> {
    let lines = layer_lines(inspection, width, look).into_iter().chain([Line::from("")]);
    lines.chain(decision_lines(inspection, width)).collect()
}

/// Draws the lines, starting at index `scrolled`. If too few lines would follow, it draws the last lines.
fn scroll(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, scrolled: usize) {
    let first = scrolled.min(lines.len().saturating_sub(usize::from(area.height)));
    frame.render_widget(Paragraph::new(lines.into_iter().skip(first).collect::<Vec<_>>()), area);
}

/// Returns the decisions with the chosen options, on lines of at most this width. If there is little room,
/// the names are shortened but not the options.
fn decision_lines<'a>(inspection: &Inspection, width: u16) -> Vec<Line<'a>> {
    let width_of = |part: fn(&(String, String)) -> &String| {
        inspection.decisions.iter().map(|decision| fit::width(part(decision))).max().unwrap_or(0)
    };
    let options = width_of(|(_, option)| option).max(6);
    let room = usize::from(width).saturating_sub(options + 3).max(NAME_MIN);
    let longest = width_of(|(name, _)| name).max(8).min(room);
    let line = |name: &str, option: &str| {
        let name = padded(&fit::shortened(name, longest), longest, Align::Left);
        format!(" {name}  {}", fit::cut(option, usize::from(width).saturating_sub(longest + 3)))
    };
    let mut lines = vec![Line::styled(line("decision", "option"), Modifier::BOLD)];
    lines.extend(inspection.decisions.iter().map(|(name, option)| Line::from(line(name, option))));
    lines
}

/// Returns the layers as a table. A bar shows each layer's share of the latency on the first device. If there
/// is little room, the table first shortens names. If the table is still too wide, it omits the last columns
/// and its heading states this.
fn layer_lines<'a>(inspection: &Inspection, width: u16, look: &Look<'_>) -> Vec<Line<'a>> {
    let first = |layer: &LayerView| layer.latency_us.first().copied().unwrap_or(layer.macs as f64);
    let most = inspection.layers.iter().map(first).fold(0.0, f64::max);
    let rows = layer_table(inspection, usize::from(width).saturating_sub(1));
    let taken = rows.first().map_or(0, |row| fit::width(row) + 3);
    let bar = usize::from(width).saturating_sub(taken).min(BAR);
    let bars = inspection.layers.iter().map(|layer| {
        let share = if most > 0.0 { first(layer) / most } else { 0.0 };
        "▪".repeat((share * bar as f64).round() as usize)
    });
    let bars = std::iter::once(String::new()).chain(bars);
    let lines = rows.into_iter().zip(bars).enumerate().map(|(index, (row, bar))| {
        let style = if index == 0 { Modifier::BOLD } else { Modifier::empty() };
        Line::from(vec![Span::styled(format!(" {row}  "), style), look.span(Role::Front, bar)])
    });
    lines.collect()
}

/// Returns the table's rows, which all have the same width. The first row contains the headings.
fn layer_table(inspection: &Inspection, room: usize) -> Vec<String> {
    let mut names = vec![["layer", "operation"].map(str::to_owned)];
    names.extend(inspection.layers.iter().map(|layer| [layer.name.clone(), layer.operation.clone()]));
    // Latencies come first, because the table omits columns from the end.
    let devices = inspection.devices.iter().map(|device| fit::shortened(&format!("µs {device}"), DEVICE_MAX));
    let headings = std::iter::once("output".to_owned()).chain(devices);
    let mut numbers: Vec<Vec<String>> = vec![headings.chain(["params", "MACs"].map(str::to_owned)).collect()];
    numbers.extend(inspection.layers.iter().map(|layer| {
        let counts = [layer.parameters, layer.macs].map(|count| units::count(count as f64));
        let latencies = layer.latency_us.iter().map(|us| units::significant(*us));
        std::iter::once(layer.output.clone()).chain(latencies).chain(counts).collect()
    }));
    let width =
        |cells: &mut dyn Iterator<Item = &String>| cells.map(|cell| fit::width(cell)).max().unwrap_or(0);
    let mut left = [0, 1].map(|column| width(&mut names.iter().map(|row| &row[column])));
    let columns = numbers[0].len();
    let right: Vec<usize> =
        (0..columns).map(|column| width(&mut numbers.iter().filter_map(|row| row.get(column)))).collect();
    let taken = |widths: &[usize]| widths.iter().map(|width| width + 2).sum::<usize>();
    // Two characters at the end of a row are reserved for the ellipsis that marks omitted columns.
    let fits = |count: usize| {
        let more = if count < columns { 2 } else { 0 };
        taken(&right[..count]) + left.len() * NAME_MIN + 2 + more <= room
    };
    let shown = (1..=columns).rev().find(|count| fits(*count)).unwrap_or(1);
    let more = if shown < columns { " …" } else { "" };
    let for_names = room.saturating_sub(taken(&right[..shown]) + 2 + fit::width(more));
    while left.iter().sum::<usize>() > for_names {
        let widest = usize::from(left[1] > left[0]);
        if left[widest] <= NAME_MIN {
            break;
        }
        left[widest] -= 1;
    }
    let row = |index: usize| {
        let [name, operation] = &names[index];
        let mut cells = vec![
            padded(&fit::shortened(name, left[0]), left[0], Align::Left),
            padded(&operation_in(operation, left[1]), left[1], Align::Left),
        ];
        let values = numbers[index].iter().zip(&right[..shown]).enumerate();
        cells.extend(values.map(|(column, (text, width))| {
            padded(text, *width, if column == 0 { Align::Left } else { Align::Right })
        }));
        cells.join("  ") + if index == 0 { more } else { "" }
    };
    let rows: Vec<String> = (0..names.len()).map(row).collect();
    let width = rows.iter().map(|row| fit::width(row)).max().unwrap_or(0);
    rows.iter().map(|row| padded(row, width, Align::Left)).collect()
}

/// Returns a layer's operation as text. If there is little room, the text omits the kernel size.
fn operation_in(operation: &str, room: usize) -> String {
    let cut = fit::cut(operation, room);
    if cut == fit::MORE { fit::shortened(operation, room) } else { cut }
}

fn padded(text: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(fit::width(text)));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}
