//! Where trials come from, and who evaluates them.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::Look;
use crate::tui::groups::{Group, groups};
use crate::tui::palette::{Palette, Role};
use crate::tui::setup::{heading, text};
use crate::tui::state::{State, Worker};
use crate::tui::view::{Panel, View};
use crate::units;

/// Width from which the two lists stand side by side.
const SIDE_BY_SIDE: u16 = 76;

/// Width from which there is room for the trial that a worker did last.
const WITH_TRIAL: u16 = 44;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let [left, right] = if area.width >= SIDE_BY_SIDE {
        Layout::horizontal([Constraint::Percentage(58), Constraint::Min(1)]).areas(area)
    } else {
        let workers =
            (worker_count(state, look) + look.setup.models.len() + 3).min(usize::from(area.height) / 2);
        Layout::vertical([Constraint::Min(1), Constraint::Length(workers as u16)]).areas(area)
    };
    draw_groups(frame, left, state, view, look);
    draw_workers(frame, right, state, view, look);
}

fn draw_groups(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let groups = groups(state);
    let clusters = groups.iter().any(|group| group.cluster.is_some());
    let title = if clusters {
        " 4 clusters: enter lists the trials "
    } else {
        " 4 operators: enter lists the trials "
    };
    let focused = view.focus == Panel::Groups;
    let block = look.block(Line::from(title), focused);
    if groups.is_empty() {
        return frame.render_widget(Paragraph::new(" no trial yet").block(block), area);
    }
    let most = groups.iter().map(|group| group.trials).max().unwrap_or(1).max(1);
    let height = usize::from(area.height.saturating_sub(3)).max(1);
    let selected = view.group.min(groups.len() - 1);
    let first = selected.saturating_sub(height / 2).min(groups.len().saturating_sub(height));
    let bar = usize::from(area.width.saturating_sub(45)).clamp(4, 30);
    let rows = groups.iter().enumerate().skip(first).take(height).map(|(index, group)| {
        let row = group_row(group, most, bar, look);
        if index == selected && focused { row.style(Palette::selected()) } else { row }
    });
    let best = look.setup.objectives.first().map(|name| format!("{:>12}", heading(name))).unwrap_or_default();
    let headings = ["from".to_owned(), "trials".to_owned(), String::new(), "front".to_owned(), best];
    let widths = [10, 6, bar as u16, 5, 12].map(Constraint::Length);
    let table = Table::new(rows, widths).header(Row::new(headings).style(Modifier::BOLD)).block(block);
    frame.render_widget(table, area);
}

fn group_row<'a>(group: &Group, most: u64, bar: usize, look: &Look<'_>) -> Row<'a> {
    let full = (bar as u64 * group.trials).div_ceil(most) as usize;
    let best = match (look.setup.objectives.first(), group.best) {
        (Some(name), Some(best)) => text(name, best),
        _ => "-".to_owned(),
    };
    Row::new([
        Cell::from(group.name.clone()),
        Cell::from(format!("{:>6}", group.trials)),
        Cell::from(look.span(Role::Front, "▪".repeat(full))),
        Cell::from(format!("{:>5}", group.front)),
        Cell::from(format!("{best:>12}")),
    ])
}

/// Workers that are there or have been.
fn worker_count(state: &State, look: &Look<'_>) -> usize {
    state.workers.keys().last().map_or(0, |last| last + 1).max(look.setup.workers)
}

fn draw_workers(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let block = look.block(Line::from(" workers "), view.focus == Panel::Groups);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let mut lines = vec![Line::styled("worker trials seconds  last", Modifier::BOLD)];
    for index in 0..worker_count(state, look) {
        lines.push(worker_line(index, state.workers.get(&index), inner.width, look));
    }
    for model in &look.setup.models {
        lines.push(Line::from(vec![look.span(Role::Dim, "costs by "), Span::raw(model.clone())]));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn worker_line<'a>(index: usize, worker: Option<&Worker>, width: u16, look: &Look<'_>) -> Line<'a> {
    let Some(worker) = worker else {
        return Line::from(format!("{index:>6} {:>6}", 0));
    };
    let seconds = units::significant(worker.mean_s());
    let last = worker.last.map_or_else(String::new, |(trial, at)| {
        let ago = whole(look.now.saturating_sub(at));
        if width < WITH_TRIAL { format!("{ago} ago") } else { format!("trial {trial}, {ago} ago") }
    });
    Line::from(format!("{index:>6} {:>6} {seconds:>7}  {last}", worker.trials))
}

/// A time in whole seconds or more.
fn whole(time: Duration) -> String {
    if time.as_secs() < 10 { format!("{} s", time.as_secs()) } else { units::duration(time) }
}
