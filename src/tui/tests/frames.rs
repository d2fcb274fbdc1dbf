//! Compares frames with snapshots. `INSTA_UPDATE=always cargo test --bin kiln frames` rewrites the snapshots.

use std::time::Duration;

use kiln_search::{Event, Fidelity};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Small, best, searching, setup, state, whole};
use crate::inspection::Inspect;
use crate::tui::draw::{Look, draw};
use crate::tui::keys::Key;
use crate::tui::palette::{Depth, Palette};
use crate::tui::setup::Role;
use crate::tui::state::State;
use crate::tui::view::{Opened, Panel, Unseen, View};

fn render(width: u16, height: u16, state: &State, view: &View, depth: Depth, now: Duration) -> String {
    let setup = setup(Role::Runs);
    let look = Look { setup: &setup, palette: Palette::new(depth), now, stopping: false };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, view, &look)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| {
        let cells: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        cells.trim_end().to_owned() + "\n"
    };
    (0..height).map(row).collect()
}

fn check(name: &str, (width, height): (u16, u16), state: &State, view: &View) {
    let now = state.last_event.max(Duration::from_secs(67));
    let found = render(width, height, state, view, Depth::True, now);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, found));
}

fn opened() -> View {
    let trial = best(150);
    let inspection = Small.inspect(&super::trial(trial)).map_err(Unseen::from);
    View { opened: Some(Opened { trial, inspection, scrolled: 0 }), selected: Some(trial), ..View::default() }
}

#[test]
fn search_frames_match_snapshots() {
    let state = state(&searching());
    check("search-80x24", (80, 24), &state, &View::default());
    check("search-120x40", (120, 40), &state, &View::default());
    check("search-200x50", (200, 50), &state, &View::default());
}

#[test]
fn end_frames_match_snapshots() {
    let state = state(&whole());
    let view = View { selected: Some(best(150)), ..View::default() };
    check("end-80x24", (80, 24), &state, &view);
    check("end-120x40", (120, 40), &state, &view);
    check("end-200x50", (200, 50), &state, &view);
}

#[test]
fn small_terminal_frames_match_snapshots() {
    let state = state(&searching());
    check("groups-80x24", (80, 24), &state, &View { focus: Panel::Groups, ..View::default() });
    check("log-80x24", (80, 24), &state, &View { focus: Panel::Log, ..View::default() });
    check(
        "front-zoomed-80x24",
        (80, 24),
        &state,
        &View { focus: Panel::Front, zoomed: true, ..View::default() },
    );
}

#[test]
fn details_and_help_frames_match_snapshots() {
    let state = state(&whole());
    check("details-80x24", (80, 24), &state, &opened());
    check("details-120x40", (120, 40), &state, &opened());
    check("help-80x24", (80, 24), &state, &View { help: true, ..View::default() });
}

#[test]
fn answer_frame_matches_snapshot() {
    let state = state(&searching());
    let mut view = View { selected: Some(88), ..View::default() };
    view.press(Key::Char('e'), &state, &setup(Role::Runs), &Small);
    check("answer-80x24", (80, 24), &state, &view);
}

#[test]
fn early_and_tiny_frames_match_snapshots() {
    let begun = state(&searching()[..8]);
    check("supernet-80x24", (80, 24), &begun, &View::default());
    check("nothing-80x24", (80, 24), &state(&[]), &View::default());
    check("tiny-40x8", (40, 8), &begun, &View::default());
}

#[test]
fn every_terminal_size_can_be_drawn() {
    let states = [state(&[]), state(&searching()[..25]), state(&whole())];
    let mut views = vec![View { help: true, ..View::default() }, opened(), View::default()];
    views.extend(Panel::ALL.map(|focus| View { focus, zoomed: true, ..View::default() }));
    for state in &states {
        for view in &views {
            for (width, height) in (1..=200).step_by(11).zip((1..=60).cycle().step_by(7)) {
                render(width, height, state, view, Depth::True, Duration::from_secs(67));
            }
        }
    }
}

#[test]
fn frames_without_color_have_same_text() {
    let state = state(&whole());
    let now = Duration::from_secs(67);
    let colored = render(120, 40, &state, &opened(), Depth::True, now);
    assert_eq!(render(120, 40, &state, &opened(), Depth::None, now), colored);
    let log = View { focus: Panel::Log, zoomed: true, ..View::default() };
    let frame = render(120, 40, &state, &View::default(), Depth::None, now)
        + &render(120, 40, &state, &log, Depth::None, now);
    for sign in ["●", "·", "★", "┊", "×", "✓"] {
        assert!(frame.contains(sign), "{sign}\n{frame}");
    }
}

#[test]
fn single_objective_without_limit_has_no_scatter() {
    let mut setup = setup(Role::Runs);
    setup.objectives.truncate(1);
    setup.constraints.clear();
    let mut state = State::new(&setup);
    for (mut event, at) in searching() {
        if let kiln_search::Event::Trial { trial, .. } = &mut event {
            trial.objectives.0.truncate(1);
        }
        state.apply(&event, at);
    }
    let look =
        Look { setup: &setup, palette: Palette::new(Depth::None), now: Duration::ZERO, stopping: true };
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    terminal.draw(|frame| draw(frame, &state, &View::default(), &look)).unwrap();
    let text = terminal.backend().to_string();
    assert!(text.contains("nothing to trade off") && text.contains("stopping"), "{text}");
    assert_eq!(state.front.len(), 1);
    let mut view = View::default();
    view.press(Key::Char('s'), &state, &setup, &Small);
    assert_eq!(view.rows(&state)[0].trial.id, state.best.unwrap().1);
}

#[test]
fn frames_state_fidelity_of_values() {
    let mut events = searching();
    for (event, _) in &mut events {
        match event {
            Event::Prepared { full_epochs, .. } => *full_epochs = 20,
            Event::Trial { trial, .. } => {
                trial.proposal.fidelity =
                    if trial.id % 4 == 3 { Fidelity::Epochs(3) } else { Fidelity::Epochs(1) };
            }
            _ => {}
        }
    }
    let state = state(&events);
    let shown = |view: &View| render(120, 40, &state, view, Depth::True, Duration::from_secs(67));
    let frame = shown(&View::default());
    for part in ["after 3 of 20 epochs (trial", " effort ", " 1 epoch ", " 3 epochs "] {
        assert!(frame.contains(part), "`{part}` is not in\n{frame}");
    }
    let inspection = Small.inspect(&super::trial(4)).map_err(Unseen::from);
    let opened = Opened { trial: 4, inspection, scrolled: 0 };
    let frame = shown(&View { opened: Some(opened), selected: Some(4), ..View::default() });
    assert!(frame.contains(" trial 4, after 1 of 20 epochs, "), "{frame}");
}
