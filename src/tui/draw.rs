//! Draws frames of the terminal UI. A frame is a pure function of the state and the view.

mod charts;
mod details;
mod fit;
mod groups;
mod header;
mod help;
mod log;
mod trials;

use std::time::Duration;

use kiln_export::steers;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::palette::{Palette, Role};
use super::setup::Setup;
use super::state::State;
use super::view::{Panel, View};

/// Smallest terminal size, as columns and rows. On a smaller terminal, the UI is not drawn.
const SMALLEST: (u16, u16) = (60, 16);
/// On a terminal of at least this size, all panels are shown together.
const WIDE: (u16, u16) = (110, 32);
/// Indentation of the second and later lines of the response to a key.
const MARK: &str = "   ";
/// Maximum number of lines in the response to a key.
const MESSAGE_LINES: usize = 6;
/// On a terminal of at least this width, the right panel has more columns.
const VERY_WIDE: u16 = 160;

/// All inputs of a frame besides the state and the view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) setup: &'a Setup,
    pub(super) palette: Palette,
    /// The current time on the events' clock.
    pub(super) now: Duration,
    /// Whether the user has requested that the study stops.
    pub(super) stopping: bool,
}

impl Look<'_> {
    fn span<'b>(&self, role: Role, text: impl Into<std::borrow::Cow<'b, str>>) -> Span<'b> {
        Span::styled(text, self.palette.style(role))
    }

    /// Returns the border of a panel. The panel that has the focus has a thick border.
    fn block<'b>(&self, title: Line<'b>, focused: bool) -> Block<'b> {
        use ratatui::widgets::BorderType;
        let (kind, role) =
            if focused { (BorderType::Thick, Role::Focus) } else { (BorderType::Plain, Role::Dim) };
        Block::bordered().border_type(kind).border_style(self.palette.style(role)).title(title)
    }
}

/// Draws a whole frame.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, view: &View, look: &Look<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return too_small(frame, area, look);
    }
    let message = view.message.as_deref().map(|message| said(message, area.width, look));
    let lines = message.as_ref().map_or(1, |lines| lines.len().min(MESSAGE_LINES)) as u16;
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(4), Constraint::Min(1), Constraint::Length(lines)]).areas(area);
    header::draw(frame, head, state, look);
    if let Some(opened) = &view.opened {
        details::draw(frame, body, state, opened, look);
    } else {
        for (panel, area) in panels(body, view) {
            draw_panel(frame, area, panel, state, view, look);
        }
    }
    match message {
        Some(message) => frame.render_widget(Paragraph::new(message), foot),
        None => footer(frame, foot, view, look),
    }
    if view.help {
        help::draw(frame, body, look);
    }
    make_plain(frame.buffer_mut());
}

/// Replaces control characters in every cell, because names in a run folder may contain control characters. A
/// control character has no width and shares the cell of another character. Both characters are replaced, so
/// that the user sees that the name is unusual.
fn make_plain(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().contains(steers) {
            cell.set_symbol("\u{fffd}");
        }
    }
}

fn draw_panel(frame: &mut Frame<'_>, area: Rect, panel: Panel, state: &State, view: &View, look: &Look<'_>) {
    match panel {
        Panel::Front => charts::front(frame, area, state, view, look),
        Panel::Volume => charts::volume(frame, area, state, view, look),
        Panel::Trials => trials::draw(frame, area, state, view, look),
        Panel::Groups => groups::draw(frame, area, state, view, look),
        Panel::Log => log::draw(frame, area, state, view, look),
    }
}

/// Returns the visible panels with their areas.
fn panels(area: Rect, view: &View) -> Vec<(Panel, Rect)> {
    if view.zoomed {
        return vec![(view.focus, area)];
    }
    let halves =
        |area, left| Layout::horizontal([Constraint::Percentage(left), Constraint::Min(1)]).areas::<2>(area);
    if area.width < WIDE.0 || area.height + 5 < WIDE.1 {
        // The charts are above the list.
        let [top, bottom] = Layout::vertical([Constraint::Percentage(53), Constraint::Min(1)]).areas(area);
        let [front, volume] = halves(top, 58);
        let list = match view.focus {
            Panel::Groups | Panel::Log => view.focus,
            Panel::Front | Panel::Volume | Panel::Trials => Panel::Trials,
        };
        return vec![(Panel::Front, front), (Panel::Volume, volume), (list, bottom)];
    }
    let log = if area.height >= 40 { 9 } else { 6 };
    let [top, middle, log] =
        Layout::vertical([Constraint::Percentage(45), Constraint::Min(1), Constraint::Length(log)])
            .areas(area);
    let [front, volume] = halves(top, 58);
    let [trials, groups] = halves(middle, if area.width >= VERY_WIDE { 64 } else { 58 });
    vec![
        (Panel::Front, front),
        (Panel::Volume, volume),
        (Panel::Trials, trials),
        (Panel::Groups, groups),
        (Panel::Log, log),
    ]
}

/// Splits the response to a key into as many lines as necessary.
fn said<'a>(message: &str, width: u16, look: &Look<'_>) -> Vec<Line<'a>> {
    let room = usize::from(width).saturating_sub(MARK.len());
    // A word that is longer than a line, such as a path, is split.
    let pieces = |word: &str| -> Vec<String> {
        let characters: Vec<char> = word.chars().collect();
        characters.chunks(room.max(1)).map(|piece| piece.iter().collect()).collect()
    };
    let words: Vec<String> = message.split_whitespace().flat_map(pieces).collect();
    let mut lines = fit::lines(&words, " ", room);
    if lines.len() > MESSAGE_LINES {
        lines.truncate(MESSAGE_LINES);
        let last = lines.last_mut().expect("there are several");
        *last = fit::cut(&format!("{last} {}", fit::MORE.repeat(room)), room);
    }
    let marked = |(index, line)| {
        let mark = if index == 0 { look.span(Role::Focus, " ▸ ") } else { Span::raw(MARK) };
        Line::from(vec![mark, Span::raw(line)])
    };
    lines.into_iter().enumerate().map(marked).collect()
}

fn footer(frame: &mut Frame<'_>, area: Rect, view: &View, look: &Look<'_>) {
    let keys: &[(&str, &str)] = if view.opened.is_some() {
        &[
            ("esc", "back"),
            ("↑↓", "scroll"),
            ("n p", "next, previous"),
            ("e", "export"),
            ("q", "quit"),
            ("?", "keys"),
        ]
    } else {
        &[
            ("q", "quit"),
            ("?", "keys"),
            ("tab", "panel"),
            ("↑↓", "move"),
            ("enter", "details"),
            ("s", "sort"),
            ("f", "filter"),
            ("e", "export"),
            ("z", "zoom"),
        ]
    };
    let mut spans = Vec::new();
    let mut room = usize::from(area.width);
    for (key, meaning) in keys {
        let width = key.chars().count() + meaning.chars().count() + 3;
        if width > room {
            break;
        }
        room -= width;
        spans.push(Span::styled(format!(" {key}"), Modifier::BOLD));
        spans.push(look.span(Role::Dim, format!(" {meaning} ")));
    }
    frame.render_widget(Line::from(spans), area);
}

fn too_small(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let (width, height) = SMALLEST;
    let text = format!(
        "{} goes on.\nThe screen needs {width} x {height} characters, and has {} x {}.",
        look.setup.study, area.width, area.height
    );
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Center).wrap(Wrap { trim: true }), area);
}
