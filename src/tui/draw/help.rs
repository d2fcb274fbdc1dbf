//! Draws the list of keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::Look;
use crate::tui::view::quit_means;

/// Keys, each with its effect.
const KEYS: [(&str, &str); 11] = [
    ("tab, 1 to 5", "another panel"),
    ("↑ ↓, j k", "move; page up, page down, home, end too"),
    ("enter", "front and trials: details; clusters: their trials; log: zoom"),
    ("n p", "in details: the next, the previous trial"),
    ("s, S", "order the trials by another column; reverse"),
    ("f", "list other trials: all, front, finished, failed"),
    ("e", "export the selected network into the current folder"),
    ("z", "the panel in focus alone"),
    ("esc", "back; list all trials"),
    ("?", "these keys"),
    ("", "● front  ★ finished  · other  × failed  ┊ limit"),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let mut lines = vec![line("q, ctrl-c", quit_means(look.setup.role))];
    lines.extend(KEYS.map(|(key, meaning)| line(key, meaning)));
    let height = lines.len() as u16 + 2;
    let [across] = Layout::horizontal([Constraint::Max(80)]).flex(Flex::Center).areas(area);
    let [place] = Layout::vertical([Constraint::Max(height)]).flex(Flex::Center).areas(across);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(look.block(Line::from(" keys "), true)), place);
}

fn line<'a>(key: &'a str, meaning: &'a str) -> Line<'a> {
    Line::from(vec![Span::styled(format!(" {key:<12} "), Modifier::BOLD), Span::raw(meaning)])
}
