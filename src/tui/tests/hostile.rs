//! Shows hostile names from a run folder in every panel.

use std::time::Duration;

use kiln_export::steers;
use kiln_search::{Costs, Event, FailureKind, FinishedFile, NamedValues, Outcome};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Small, best, setup, whole};
use crate::inspection::Inspect;
use crate::report::PredictedFor;
use crate::tui::draw::{Look, draw};
use crate::tui::palette::{Depth, Palette};
use crate::tui::setup::{Role, Setup};
use crate::tui::state::State;
use crate::tui::view::{Opened, Panel, View};

/// A name with escape sequences and with characters that reverse the direction of a line.
const HOSTILE: &str = "a\u{1b}]0;owned\u{7}\u{9b}31m\nb\u{202e}c\u{2066}d\u{200b}e\u{feff}f\u{61c}";

/// Returns these values and one additional value with a hostile name.
fn with(values: &NamedValues, value: f64) -> NamedValues {
    let all = values.into_iter().map(|(name, value)| (name.clone(), *value));
    all.chain([(HOSTILE.to_owned(), value)]).collect()
}

#[test]
fn control_characters_in_names_never_reach_terminal() {
    let mut events = whole();
    for (event, _) in &mut events {
        match event {
            Event::Started { study, .. } => *study = HOSTILE.to_owned(),
            Event::Progress { stage, note, .. } => {
                note.push_str(HOSTILE);
                if stage != "search" {
                    stage.push_str(HOSTILE);
                }
            }
            Event::Warning { message } => *message = HOSTILE.to_owned(),
            Event::Trial { trial, .. } => {
                trial.proposal.origin.operator = HOSTILE.to_owned();
                trial.costs = Costs(with(&trial.costs.0, 1.0));
                match &mut trial.outcome {
                    Outcome::Failed { reason, .. } => *reason = HOSTILE.to_owned(),
                    Outcome::Measured(measured) => {
                        trial.outcome = Outcome::from_metrics(with(measured.metrics(), 2.0).into());
                    }
                }
            }
            Event::Finished { finished, .. } => {
                finished.files.push(FinishedFile { name: HOSTILE.to_owned(), content: None });
                finished.metrics.insert(HOSTILE.to_owned(), 3.0);
            }
            _ => {}
        }
    }
    let setup = Setup {
        study: HOSTILE.to_owned(),
        paths: kiln_search::RunPaths::new(HOSTILE),
        models: vec![PredictedFor {
            device: HOSTILE.to_owned(),
            model: HOSTILE.to_owned(),
            conditions: None,
        }],
        ..setup(Role::Watches)
    };
    let mut state = State::new(&setup);
    for (event, at) in &events {
        state.apply(event, *at);
    }
    let is_failed = |kind: &Outcome| matches!(kind, Outcome::Failed { kind: FailureKind::Diverged, .. });
    let failed = state.trials.values().find(|told| is_failed(&told.trial.outcome)).unwrap().trial.id;
    let mut inspection = Small.inspect(&super::trial(0)).unwrap();
    inspection.decisions.push((HOSTILE.to_owned(), HOSTILE.to_owned()));
    inspection.devices = vec![HOSTILE.to_owned(); inspection.devices.len()];
    for layer in &mut inspection.layers {
        layer.name = HOSTILE.to_owned();
    }
    let mut views: Vec<View> = [Panel::Front, Panel::Volume, Panel::Trials, Panel::Groups, Panel::Log]
        .into_iter()
        .flat_map(|focus| [true, false].map(|zoomed| View { focus, zoomed, ..View::default() }))
        .collect();
    views.extend([best(150), failed].map(|trial| View {
        opened: Some(Opened { trial, inspection: Ok(inspection.clone()), scrolled: 0 }),
        message: Some(HOSTILE.to_owned()),
        ..View::default()
    }));
    let opened = Opened { trial: failed, inspection: Err(anyhow::anyhow!(HOSTILE).into()), scrolled: 0 };
    views.push(View { opened: Some(opened), ..View::default() });
    for view in &views {
        for (width, height) in [(60, 16), (120, 40), (200, 50)] {
            let look = Look {
                setup: &setup,
                palette: Palette::new(Depth::True),
                now: Duration::from_mins(5),
                stopping: false,
            };
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &state, view, &look)).unwrap();
            for cell in &terminal.backend().buffer().content {
                assert!(!cell.symbol().contains(steers), "{:?} in {view:?}", cell.symbol());
            }
        }
    }
}
