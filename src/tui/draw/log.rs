//! Draws the log panel.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Look, fit};
use crate::tui::palette::Role;
use crate::tui::state::{self, Level, State};
use crate::tui::view::{Panel, View};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, view: &View, look: &Look<'_>) {
    let height = usize::from(area.height.saturating_sub(2));
    let count = state.lines.iter().len();
    let back = view.log_back.min(count.saturating_sub(height));
    let title = if back > 0 { format!(" 5 log: {back} lines back ") } else { " 5 log ".to_owned() };
    let shown = state.lines.iter().skip(count.saturating_sub(height + back)).take(height);
    let width = usize::from(area.width.saturating_sub(2));
    let lines: Vec<Line<'_>> = shown.map(|line| one(line, width, look)).collect();
    let block = look.block(Line::from(title), view.focus == Panel::Log);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn one<'a>(line: &state::Line, width: usize, look: &Look<'_>) -> Line<'a> {
    let role = match line.level {
        Level::Info => Role::Dim,
        Level::Good | Level::Exported => Role::Curve,
        Level::Warning | Level::Failure => Role::Limit,
    };
    let seconds = line.at.as_secs();
    let time = format!(" {:>2}:{:02}:{:02} ", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let sign = format!("{} ", line.level.sign());
    let room = width.saturating_sub(fit::width(&time) + fit::width(&sign));
    Line::from(vec![
        look.span(Role::Dim, time),
        look.span(role, sign),
        Span::raw(fit::cut(&line.message, room)),
    ])
}
