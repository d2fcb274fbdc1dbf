//! Draws the groups of trials by origin, and the workers.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::{Look, fit};
use crate::tui::groups::{Group, groups};
use crate::tui::jobs::Running;
use crate::tui::palette::{Palette, Role};
use crate::tui::setup::{abbreviated, text};
use crate::tui::state::{State, Worker};
use crate::tui::view::{Panel, View};
use crate::units;

/// In a panel of at least this width, the two lists are next to each other.
const SIDE_BY_SIDE: u16 = 76;

/// Widths of the columns with names and with best values.
const NAME: u16 = 10;
const BEST: u16 = 12;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let [left, right] = if area.width >= SIDE_BY_SIDE {
        Layout::horizontal([Constraint::Percentage(58), Constraint::Min(1)]).areas(area)
    } else {
        let lines =
            if look.setup.jobs.is_some() { state.jobs.len().max(1) } else { worker_count(state, look) };
        let workers = (lines + 2 * look.setup.models.len() + 3).min(usize::from(area.height) / 2);
        Layout::vertical([Constraint::Min(1), Constraint::Length(workers as u16)]).areas(area)
    };
    draw_groups(frame, left, state, view, look);
    if look.setup.jobs.is_some() {
        draw_jobs(frame, right, state, view, look);
    } else {
        draw_workers(frame, right, state, view, look);
    }
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
    let digits = |largest: u64, least: u16| least.max(largest.to_string().len() as u16);
    let counts = [digits(most, 6), digits(groups.iter().map(|group| group.front).max().unwrap_or(0), 5)];
    // The bar uses the columns that remain next to the numbers. There may be none.
    let others = NAME + counts[0] + counts[1] + BEST + 4 + 2;
    let bar = usize::from(area.width.saturating_sub(others)).min(30);
    let rows = groups.iter().enumerate().skip(first).take(height).map(|(index, group)| {
        let row = group_row(group, most, counts, bar, look);
        if index == selected && focused { row.style(Palette::selected()) } else { row }
    });
    let best = look.setup.objectives.first().map(|name| abbreviated(&look.setup.heading(name)));
    let best = best.map(|name| fit::shortened(&name, BEST.into()));
    let right = |text: &str, width: u16| format!("{text:>width$}", width = usize::from(width));
    let headings = [
        "from".to_owned(),
        right("trials", counts[0]),
        String::new(),
        right("front", counts[1]),
        right(&best.unwrap_or_default(), BEST),
    ];
    let widths = [NAME, counts[0], bar as u16, counts[1], BEST].map(Constraint::Length);
    let table = Table::new(rows, widths).header(Row::new(headings).style(Modifier::BOLD)).block(block);
    frame.render_widget(table, area);
}

fn group_row<'a>(group: &Group, most: u64, counts: [u16; 2], bar: usize, look: &Look<'_>) -> Row<'a> {
    let full = (bar as u64 * group.trials).div_ceil(most) as usize;
    let best = match (look.setup.objectives.first(), group.best) {
        (Some(name), Some(best)) => text(name, best),
        _ => "-".to_owned(),
    };
    let [trials, front] = counts.map(usize::from);
    Row::new([
        Cell::from(fit::shortened(&group.name, NAME.into())),
        Cell::from(format!("{:>trials$}", group.trials)),
        Cell::from(look.span(Role::Front, "▪".repeat(full))),
        Cell::from(format!("{:>front$}", group.front)),
        Cell::from(format!("{best:>width$}", width = usize::from(BEST))),
    ])
}

/// Lists the jobs that run: the process, what it works on and for how long, the share that is done, and the
/// attempt if it is not the first.
fn draw_jobs(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let block = look.block(Line::from(" jobs "), view.focus == Panel::Groups);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let room = usize::from(inner.height).saturating_sub(1);
    let mut lines = vec![Line::styled(format!("{:>5} {:>7}  works on", "job", "process"), Modifier::BOLD)];
    let shown = if state.jobs.len() > room { room.saturating_sub(1) } else { room };
    lines.extend(state.jobs.iter().take(shown).map(|job| job_line(job, inner.width, look)));
    if state.jobs.is_empty() {
        lines.push(Line::from(look.span(Role::Dim, "no job runs")));
    } else if state.jobs.len() > shown {
        lines.push(Line::from(format!("and {} more: `kiln jobs` lists them", state.jobs.len() - shown)));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn job_line<'a>(running: &Running, width: u16, look: &Look<'_>) -> Line<'a> {
    let first = format!("{:>5} {:>7}  {}", running.job, fit::shortened(&running.place, 7), running.work);
    let mut more: Vec<String> = running.since.map(whole).into_iter().collect();
    more.extend(running.percent.map(|percent| format!("{percent} %")));
    let attempt = (running.attempt > 1).then(|| format!("attempt {}", running.attempt));
    more.insert(0, String::new());
    let said = more.join(", ");
    let taken = fit::width(&said) + attempt.as_ref().map_or(0, |text| fit::width(text) + 2);
    let first = fit::cut(&first, usize::from(width).saturating_sub(taken));
    let mut spans = vec![Span::raw(first), Span::raw(said)];
    if let Some(text) = attempt {
        spans.push(look.span(Role::Limit, format!(", {text}")));
    }
    Line::from(spans)
}

/// Returns the number of workers to show: the workers that have evaluated something, and the workers that
/// will.
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
        let by = "costs by ";
        let name = fit::shortened(&model.model, usize::from(inner.width).saturating_sub(by.len()));
        lines.push(Line::from(vec![look.span(Role::Dim, by), Span::raw(name)]));
        let conditions = model.conditions.map(|conditions| format!("  for {conditions}"));
        lines.extend(conditions.map(|text| Line::from(fit::cut(&text, usize::from(inner.width)))));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn worker_line<'a>(index: usize, worker: Option<&Worker>, width: u16, look: &Look<'_>) -> Line<'a> {
    let Some(worker) = worker else {
        return Line::from(format!("{index:>6} {:>6}", 0));
    };
    let seconds = units::significant(worker.mean_s());
    let line = format!("{index:>6} {:>6} {seconds:>7}  ", worker.trials);
    let room = usize::from(width).saturating_sub(fit::width(&line));
    let last = worker.last.map_or_else(String::new, |(trial, at)| {
        let since = look.now.saturating_sub(at);
        let ago = format!("{} ago", whole(since));
        let said = [format!("trial {trial}, {ago}"), ago, format!("{} ago", roughly(since))];
        said.into_iter().find(|said| fit::width(said) <= room).unwrap_or_else(|| fit::MORE.to_owned())
    });
    Line::from(line + &last)
}

/// Formats a duration with its largest unit only.
fn roughly(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Formats a duration without fractions of seconds.
fn whole(time: Duration) -> String {
    if time.as_secs() < 10 { format!("{} s", time.as_secs()) } else { units::duration(time) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::palette::Depth;

    fn text(running: &Running, width: u16) -> String {
        let setup = crate::tui::tests::setup(crate::tui::setup::Role::Runs);
        let palette = Palette::new(Depth::True);
        let look = Look { setup: &setup, palette, now: Duration::ZERO, stopping: false };
        job_line(running, width, &look).spans.iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn job_is_shown_with_its_work_and_how_far_it_is() {
        let running = Running {
            job: "0012".to_owned(),
            place: "4711".to_owned(),
            work: "trial 5, 3 epochs".to_owned(),
            since: Some(Duration::from_secs(75)),
            percent: Some(40),
            attempt: 1,
        };
        assert_eq!(text(&running, 80), " 0012    4711  trial 5, 3 epochs, 1 min 15 s, 40 %");
        let again = Running { attempt: 2, ..running.clone() };
        assert_eq!(text(&again, 80), " 0012    4711  trial 5, 3 epochs, 1 min 15 s, 40 %, attempt 2");
        let idle = Running { work: "idle".to_owned(), since: None, percent: None, ..running };
        assert_eq!(text(&idle, 80), " 0012    4711  idle");
        assert!(fit::width(&text(&again, 40)) <= 45, "the numbers stay");
    }
}
