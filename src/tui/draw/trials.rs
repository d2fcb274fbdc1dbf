//! Draws the table of trials.

use kiln_search::Fidelity;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::{Look, fit};
use crate::tui::groups::group_of;
use crate::tui::palette::{Palette, Role};
use crate::tui::setup::{abbreviated, text, value};
use crate::tui::state::{State, Told};
use crate::tui::view::{Filter, Order, Panel, View};
use crate::units;

/// Width of a numeric column.
const NUMBER: u16 = 13;
/// Widths of the columns with signs, origins and seconds.
const SIGN: u16 = 2;
const FROM: u16 = 10;
const SECONDS: u16 = 10;
/// Minimum width of the column with trial numbers.
const TRIAL: u16 = 6;
/// Minimum width of the column with fidelities, which only studies with several fidelities have.
const EFFORT: u16 = 10;
/// In a panel of at least this width, the table has columns for costs.
const WITH_COSTS: u16 = 100;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let rows = view.rows(state);
    let block = look.block(title(rows.len(), state, view, look), view.focus == Panel::Trials);
    if rows.is_empty() {
        let text =
            if state.trials.is_empty() { " no trial yet" } else { " no trial matches; f changes the filter" };
        return frame.render_widget(Paragraph::new(text).block(block), area);
    }
    let id = state.trials.keys().last().map_or(0, |last| last.to_string().len()) as u16;
    let id = id.max(TRIAL);
    let has_rungs = rows.iter().any(|told| told.trial.proposal.fidelity != Fidelity::Full);
    let longest = rows.iter().map(|told| effort(told.trial.proposal.fidelity).len()).max().unwrap_or(0);
    let effort_width = has_rungs.then(|| EFFORT.max(longest as u16));
    let fixed = 2 + SIGN + id + FROM + SECONDS + 5 + effort_width.map_or(0, |width| width + 1);
    let room = area.width.saturating_sub(fixed) / (NUMBER + 1);
    let (names, left_out) = columns(&rows, look, area.width, usize::from(room));
    let height = usize::from(area.height.saturating_sub(3)).max(1);
    let selected = view.row(&rows);
    let has_keys = !matches!(view.focus, Panel::Groups | Panel::Log);
    // Where possible, the selected row is in the middle of the panel.
    let first = selected.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    let visible = rows.iter().enumerate().skip(first).take(height);
    let lines = visible.map(|(index, told)| {
        let row = row(told, &names, id, has_rungs, state, look);
        if index == selected && has_keys { row.style(Palette::selected()) } else { row }
    });
    let widths = [Constraint::Length(SIGN), Constraint::Length(id)]
        .into_iter()
        .chain(names.iter().map(|_| Constraint::Length(NUMBER)))
        .chain(effort_width.map(Constraint::Length))
        .chain([Constraint::Length(FROM), Constraint::Length(SECONDS), Constraint::Min(0)]);
    // The user can press `enter` to see the objectives that have no column.
    let more = if left_out > 0 { fit::MORE } else { "" };
    let headings = [String::new(), right("trial", id)]
        .into_iter()
        .chain(names.iter().map(|name| right(&short(&look.setup.heading(name)), NUMBER)))
        .chain(has_rungs.then(|| "effort".to_owned()))
        .chain(["from".to_owned(), right("seconds", SECONDS), more.to_owned()]);
    let table = Table::new(lines, widths)
        .header(Row::new(headings).style(Modifier::BOLD))
        .column_spacing(1)
        .block(block);
    frame.render_widget(table, area);
}

fn title<'a>(listed: usize, state: &State, view: &View, look: &Look<'_>) -> Line<'a> {
    let order = match view.order {
        Order::Trial => "newest".to_owned(),
        Order::Objective(index) => {
            look.setup.objectives.get(index).map(|name| look.setup.heading(name)).unwrap_or_default()
        }
        Order::Seconds => "seconds".to_owned(),
    };
    let arrow = if view.reversed { " reversed" } else { "" };
    let filter = match &view.filter {
        Filter::All => "all".to_owned(),
        Filter::Front => "front".to_owned(),
        Filter::Finished => "finished".to_owned(),
        Filter::Failed => "failed".to_owned(),
        Filter::Group(name) => format!("from {name}"),
    };
    let count = if listed == state.trials.len() {
        listed.to_string()
    } else {
        format!("{listed} of {}", state.trials.len())
    };
    Line::from(vec![
        Span::raw(format!(" 3 trials: {count}  ")),
        look.span(Role::Dim, "f "),
        Span::raw(format!("{filter}  ")),
        look.span(Role::Dim, "s "),
        Span::raw(format!("{order} first{arrow} ")),
    ])
}

/// Returns the columns: as many objectives as fit, then costs. Also returns the number of omitted objectives.
fn columns(rows: &[&Told], look: &Look<'_>, width: u16, room: usize) -> (Vec<String>, usize) {
    let objectives = &look.setup.objectives;
    let mut names: Vec<String> = objectives.iter().take(room).cloned().collect();
    let left_out = objectives.len() - names.len();
    let costs = rows.iter().find(|told| !told.trial.costs.0.is_empty()).filter(|_| width >= WITH_COSTS);
    for name in costs.into_iter().flat_map(|told| told.trial.costs.0.keys()) {
        if names.len() < room && !names.contains(name) {
            names.push(name.clone());
        }
    }
    (names, left_out)
}

fn row<'a>(
    told: &Told,
    names: &[String],
    id: u16,
    has_rungs: bool,
    state: &State,
    look: &Look<'_>,
) -> Row<'a> {
    let trial = &told.trial;
    let sign = if state.finished.contains_key(&trial.id) {
        look.span(Role::Finished, "★")
    } else if state.front.contains(trial.id) {
        look.span(Role::Front, "●")
    } else if trial.outcome.measurement().is_none() {
        look.span(Role::Limit, "×")
    } else {
        look.span(Role::Dim, "·")
    };
    let numbers = names.iter().map(|name| {
        let shown = value(trial, name).map_or_else(|| "-".to_owned(), |value| text(name, value));
        Cell::from(right(&shown, NUMBER))
    });
    let seconds = if told.known { "known".to_owned() } else { units::significant(told.seconds.get()) };
    let mut cells = vec![
        Cell::from(Line::from(vec![Span::raw(" "), sign])),
        Cell::from(right(&trial.id.to_string(), id)),
    ];
    cells.extend(numbers);
    cells.extend(has_rungs.then(|| Cell::from(effort(trial.proposal.fidelity))));
    cells.push(Cell::from(fit::shortened(&group_of(told), usize::from(FROM))));
    cells.push(Cell::from(right(&seconds, SECONDS)));
    Row::new(cells)
}

/// Formats a fidelity as a short text for a column.
fn effort(fidelity: Fidelity) -> String {
    match fidelity {
        Fidelity::Proxy => "proxy".to_owned(),
        other => other.to_string(),
    }
}

/// Shortens a heading for a column.
fn short(heading: &str) -> String {
    fit::shortened(&abbreviated(heading), usize::from(NUMBER))
}

fn right(text: &str, width: u16) -> String {
    format!("{text:>width$}", width = usize::from(width))
}
