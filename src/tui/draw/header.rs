//! The first lines: which study, which stage, how far, how long still, how good.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::Look;
use crate::tui::palette::Role;
use crate::tui::setup::{self, heading, text};
use crate::tui::state::State;
use crate::units;

/// A study from which nothing is heard for so long may have been stopped.
const SILENCE: Duration = Duration::from_mins(2);

/// Width from which everything is said in full.
const ROOMY: u16 = 110;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, look: &Look<'_>) {
    let [title, stages, bar, facts] = Layout::vertical([Constraint::Length(1); 4]).areas(area);
    frame.render_widget(
        Line::from(vec![look.span(Role::Focus, " kiln "), Span::raw(&look.setup.study)]),
        title,
    );
    frame.render_widget(Line::from(situation(state, look)).alignment(Alignment::Right), title);
    frame.render_widget(stage_line(state, look), stages);
    frame.render_widget(bar_line(state, look, bar.width), bar);
    frame.render_widget(fact_line(state, look, facts.width), facts);
}

/// What the study does at large, and since when.
fn situation<'a>(state: &State, look: &Look<'_>) -> Vec<Span<'a>> {
    let watching = look.setup.role == setup::Role::Watches;
    let silent = look.now.saturating_sub(state.last_event);
    let mut spans = Vec::new();
    if state.ended {
        spans.push(look.span(Role::Curve, "✓ done  "));
    } else if look.stopping {
        spans.push(
            look.span(Role::Limit, "! stopping: running work is finished and kept; q again: at once  "),
        );
    } else if watching && silent >= SILENCE {
        let silent = units::duration(silent);
        spans.push(look.span(Role::Limit, format!("! nothing for {silent}; was it stopped?  ")));
    }
    let clock = units::duration(if state.ended { state.last_event } else { look.now });
    spans.push(Span::raw(if watching { format!("watching, {clock} ") } else { format!("{clock} ") }));
    spans
}

/// The stages so far, with the time that each took.
fn stage_line<'a>(state: &'a State, look: &Look<'_>) -> Line<'a> {
    let mut spans = vec![Span::raw(" ")];
    for passed in &state.stages {
        let stage = &passed.stage;
        match passed.ended {
            Some(ended) => {
                let sign = if stage.is_done() { "✓" } else { "-" };
                spans.push(look.span(Role::Curve, format!("{sign} {} ", stage.name())));
                spans.push(look.span(Role::Dim, format!("{}   ", units::duration(stage.elapsed(ended)))));
            }
            None => spans.push(look.span(Role::Focus, format!("▸ {}   ", stage.name()))),
        }
    }
    if state.stages.is_empty() {
        spans.push(look.span(Role::Dim, "waiting for the study to begin"));
    } else if !state.ended && state.stages.iter().all(|passed| !passed.stage.covers("search")) {
        spans.push(look.span(Role::Dim, "· search"));
    }
    Line::from(spans)
}

/// A bar for the stage at hand, and what it says of itself.
fn bar_line<'a>(state: &State, look: &Look<'_>, width: u16) -> Line<'a> {
    let Some(stage) = state.stage() else {
        return Line::from("");
    };
    let mut parts = vec![format!("{:>3} %", stage.percent())];
    if stage.covers("search") {
        parts.push(format!("{} of {} trials", stage.done(), stage.total()));
    } else if !stage.note().is_empty() {
        parts.push(stage.note().to_owned());
    }
    parts.extend(stage.left(look.now).map(|left| format!("{} left", units::duration(left))));
    let said = parts.join(", ");
    let room = usize::from(width).saturating_sub(said.chars().count() + 4);
    let full = (room as u64 * stage.percent().min(100) / 100) as usize;
    Line::from(vec![
        Span::raw(" "),
        look.span(Role::Focus, "━".repeat(full)),
        look.span(Role::Dim, "╌".repeat(room - full)),
        Span::raw(format!(" {said}")),
    ])
}

/// How good it is so far, and what was refused or failed.
fn fact_line<'a>(state: &State, look: &Look<'_>, width: u16) -> Line<'a> {
    let mut spans = vec![Span::raw(" ")];
    if let (Some((value, id)), Some(name)) = (state.best, look.setup.objectives.first()) {
        spans.push(Span::raw(format!("best {} ", heading(name))));
        spans.push(look.span(Role::Front, text(name, value)));
        if let Some(qualifier) = state.qualifier() {
            spans.push(look.span(Role::Limit, format!(" {qualifier}")));
        }
        spans.push(Span::raw(format!(" (trial {id}), ")));
    }
    spans.push(Span::raw(format!("front {}", state.front.len())));
    if state.failed > 0 {
        spans.push(Span::raw(", "));
        spans.push(look.span(Role::Limit, format!("{} failed", state.failed)));
    }
    if let Some((candidates, rejected)) = state.rejections.filter(|(candidates, _)| *candidates > 0) {
        let percent = 100.0 * rejected as f64 / candidates as f64;
        spans.push(Span::raw(if width < ROOMY {
            format!(", {percent:.0} % refused")
        } else {
            format!(", {percent:.0} % of {candidates} candidates refused: over a limit")
        }));
    }
    if !state.finished.is_empty() {
        spans.push(Span::raw(format!(", {} finished", state.finished.len())));
    }
    Line::from(spans)
}
