//! Draws the first lines of the terminal UI: study, stage, progress, remaining time, best value.

use std::time::Duration;

use kiln_search::TrialId;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::{Look, fit};
use crate::headline;
use crate::tui::palette::Role;
use crate::tui::setup::{self, heading, text};
use crate::tui::state::State;
use crate::units;

/// If the last event of a study is older than this, the study may have been stopped.
const SILENCE: Duration = Duration::from_mins(2);

/// On a terminal of at least this width, the header abbreviates nothing.
const ROOMY: u16 = 110;
/// Minimum width of an objective's name.
const NAME_MIN: usize = 10;
/// Minimum width of the bar together with the texts around the bar.
const BAR_MIN: usize = 14;
/// Text before the study's name.
const NAME: &str = " kiln ";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, look: &Look<'_>) {
    let [title, stages, bar, facts] = Layout::vertical([Constraint::Length(1); 4]).areas(area);
    let situation = Line::from(situation(state, look));
    let room = usize::from(title.width).saturating_sub(situation.width() + NAME.len() + 1);
    let study = fit::shortened(&look.setup.study, room);
    frame.render_widget(Line::from(vec![look.span(Role::Focus, NAME), Span::raw(study)]), title);
    frame.render_widget(situation.alignment(Alignment::Right), title);
    frame.render_widget(stage_line(state, look, stages.width), stages);
    frame.render_widget(bar_line(state, look, bar.width), bar);
    frame.render_widget(fact_line(state, look, facts.width), facts);
}

/// Describes the state of the study and its elapsed time.
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

/// Lists the stages so far, each with its duration. If there is little room, the list omits the first stages.
fn stage_line<'a>(state: &'a State, look: &Look<'_>, width: u16) -> Line<'a> {
    let mut stages: Vec<Vec<Span<'a>>> = Vec::new();
    for passed in &state.stages {
        let stage = &passed.stage;
        stages.push(match passed.ended {
            Some(ended) => {
                let sign = if stage.is_done() { "✓" } else { "-" };
                let took = units::duration(stage.elapsed(ended));
                vec![
                    look.span(Role::Curve, format!("{sign} {} ", stage.name())),
                    look.span(Role::Dim, format!("{took}   ")),
                ]
            }
            None => vec![look.span(Role::Focus, format!("▸ {}   ", stage.name()))],
        });
    }
    if state.stages.is_empty() {
        stages.push(vec![look.span(Role::Dim, "waiting for the study to begin")]);
    } else if !state.ended && state.stages.iter().all(|passed| !passed.stage.covers("search")) {
        stages.push(vec![look.span(Role::Dim, "· search")]);
    }
    let line = |stages: &[Vec<Span<'a>>], left_out: bool| {
        let first = if left_out { format!(" {} ", fit::MORE) } else { " ".to_owned() };
        std::iter::once(Span::raw(first)).chain(stages.concat()).collect::<Line<'a>>()
    };
    let fits = |first: &usize| line(&stages[*first..], *first > 0).width() <= usize::from(width);
    let first = (0..stages.len()).find(fits).unwrap_or(stages.len() - 1);
    line(&stages[first..], first > 0)
}

/// Returns the bar of the current stage with the stage's note.
fn bar_line<'a>(state: &State, look: &Look<'_>, width: u16) -> Line<'a> {
    let Some(stage) = state.stage() else {
        return Line::from("");
    };
    let percent = (stage.total() > 0).then(|| format!("{:>3} %", stage.percent()));
    let mut parts: Vec<String> = percent.into_iter().collect();
    if stage.covers("search") {
        parts.push(stage.trials());
    }
    parts.extend(stage.left(look.now).map(|left| format!("{} left", units::duration(left))));
    if !stage.covers("search") && !stage.note().is_empty() {
        // The note precedes the remaining time and takes the rest of the line.
        let others: usize = parts.iter().map(|part| fit::width(part) + 2).sum();
        let note = fit::cut(stage.note(), usize::from(width).saturating_sub(others + BAR_MIN));
        parts.insert(parts.len().min(1), note);
    }
    let said = parts.join(", ");
    let room = usize::from(width).saturating_sub(fit::width(&said) + 4);
    let full = (room as u64 * stage.percent().min(100) / 100) as usize;
    Line::from(vec![
        Span::raw(" "),
        look.span(Role::Focus, "━".repeat(full)),
        look.span(Role::Dim, "╌".repeat(room - full)),
        Span::raw(format!(" {said}")),
    ])
}

/// Returns the best value so far, and the numbers of rejected and failed trials.
fn fact_line<'a>(state: &State, look: &Look<'_>, width: u16) -> Line<'a> {
    let mut parts: Vec<(String, Option<Role>)> = Vec::new();
    let mut say = |text: String, role| parts.push((text, role));
    say(format!("front {}", state.front.len()), None);
    if state.is_unhealthy {
        say("! estimates may mislead".to_owned(), Some(Role::Limit));
    }
    if state.failed > 0 {
        say(format!("{} failed", state.failed), Some(Role::Limit));
    }
    if let Some((candidates, rejected)) = state.rejections.filter(|(candidates, _)| *candidates > 0) {
        let percent = 100.0 * rejected as f64 / candidates as f64;
        let refused = if width < ROOMY {
            format!("{percent:.0} % refused")
        } else {
            format!("{percent:.0} % of {candidates} candidates refused: over a limit")
        };
        say(refused, None);
    }
    if !state.finished.is_empty() {
        say(format!("{} finished", state.finished.len()), None);
    }
    let mut spans = vec![Span::raw(" ")];
    let mut room = usize::from(width).saturating_sub(1);
    if let Some(Best { what, value, trial, qualifier, role }) = best(state, look) {
        let trial = format!(" (trial {trial}), ");
        let others: usize = parts.iter().map(|(text, _)| fit::width(text) + 2).sum();
        let taken = [value.as_str(), &qualifier, &trial, " "].map(fit::width).iter().sum::<usize>();
        // If there is little room, the name is shortened, but not below its minimum width. The numbers after
        // the name are not shortened.
        let name = fit::shortened(&what, room.saturating_sub(taken + others).max(NAME_MIN));
        room = room.saturating_sub(taken + fit::width(&name));
        spans.push(Span::raw(format!("{name} ")));
        spans.push(look.span(role, value));
        spans.push(look.span(Role::Limit, qualifier));
        spans.push(Span::raw(trial));
    }
    for (index, (text, role)) in parts.iter().enumerate() {
        let between = if index == 0 { "" } else { ", " };
        let more = if index + 1 < parts.len() { 2 + fit::width(fit::MORE) } else { 0 };
        let taken = fit::width(text) + between.len();
        if taken + more > room {
            spans.push(Span::raw(if room > 1 { " …" } else { "…" }));
            break;
        }
        room -= taken;
        spans.push(Span::raw(between));
        spans.push(role.map_or_else(|| Span::raw(text.clone()), |role| look.span(role, text.clone())));
    }
    Line::from(spans)
}

/// The best value so far, with its label.
struct Best {
    what: String,
    value: String,
    trial: TrialId,
    /// Qualifier for a value that was measured with less than full effort.
    qualifier: String,
    role: Role,
}

/// Returns the test result of the best finished network. If no network is finished, returns the best value
/// found in the search.
fn best(state: &State, look: &Look<'_>) -> Option<Best> {
    let finished = state.finished.iter().map(|(id, (finished, _))| (*id, &finished.metrics));
    if let Some(tested) = headline::best(finished, &look.setup.objectives) {
        let (what, value) = (heading(tested.metric), text(tested.metric, tested.value));
        return Some(Best {
            what,
            value,
            trial: tested.trial,
            qualifier: String::new(),
            role: Role::Finished,
        });
    }
    let ((value, trial), name) = state.best.zip(look.setup.objectives.first())?;
    let qualifier = state.qualifier().map_or_else(String::new, |qualifier| format!(" {qualifier}"));
    let (what, value) = (format!("best {}", look.setup.heading(name)), text(name, value));
    Some(Best { what, value, trial, qualifier, role: Role::Front })
}
