//! Tests long names and long numbers on terminals of many sizes. Names may be shortened, but numbers are
//! never cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kiln_hw_models::Conditions;
use kiln_search::{Event, Finished, Objectives, Outcome, RunPaths, Trial};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::inspection::{Inspect, Inspection, LayerView};
use crate::report::PredictedFor;
use crate::tui::draw::{Look, draw};
use crate::tui::palette::{Depth, Palette};
use crate::tui::setup::{Role, Setup};
use crate::tui::state::State;
use crate::tui::view::{Opened, Panel, Unseen, View};

const OBJECTIVES: [&str; 5] = [
    "mean_corpus_error_percent",
    "latency_us@raspberry-pi-4-model-b",
    "energy_uj@nvidia-jetson-orin-nano",
    "peak_memory_bytes@raspberry-pi-4-model-b",
    "parameters",
];
const SIZES: [(u16, u16); 8] =
    [(60, 16), (80, 24), (100, 30), (110, 34), (120, 40), (150, 40), (160, 45), (200, 50)];

fn setup() -> Setup {
    let model = PredictedFor {
        device: "raspberry-pi-4-model-b".to_owned(),
        model: "raspberry-pi-4-model-b/roofline/fitted-measured.csv-pi_us-120".to_owned(),
        conditions: Some(Conditions { batch: 65_536, threads: 128 }),
    };
    Setup {
        study: "a study with a name that goes on and on, as those do that are made by scripts".to_owned(),
        paths: RunPaths::new("/home/somebody/experiments/2026/november/runs/a-study-with-a-long-name"),
        objectives: OBJECTIVES.map(str::to_owned).to_vec(),
        models: vec![model; 2],
        ..super::setup(Role::Runs)
    }
}

fn trial(id: u64) -> Trial {
    let mut trial = super::trial(id);
    let noise = super::noise(id);
    let values = [12.34 + noise, 123_456.7 + noise, 9.876e-7 * (1.0 + noise), 1.152e6 + noise, 3.456e9];
    let pairs = OBJECTIVES.map(str::to_owned).into_iter().zip(values);
    let (metrics, mut costs): (BTreeMap<String, f64>, BTreeMap<String, f64>) =
        pairs.partition(|(name, _)| name.contains("error"));
    trial.id = 1_234_000 + id;
    costs.extend([("macs".to_owned(), 1.234e15), ("model_bytes".to_owned(), 7.891e12)]);
    trial.costs.0 = costs.into();
    if trial.outcome.measurement().is_some() {
        let mut metrics = metrics;
        metrics.insert("negative_logarithm_of_synflow".to_owned(), -1.5e-9);
        trial.outcome = Outcome::from_metrics(metrics);
        trial.objectives = Objectives(values.to_vec());
    }
    trial
}

fn state() -> State {
    let mut state = State::new(&setup());
    for (event, at) in super::searching() {
        let event = match event {
            Event::Trial { trial: told, known, worker, .. } => {
                let mut trial = trial(told.id);
                trial.proposal.origin.operator = "crossover_of_two_clusters".to_owned();
                Event::Trial { trial, known, seconds: kiln_search::Seconds::saturating(123_456.7), worker }
            }
            Event::Progress { stage, done, total, .. } if stage == "supernet" => super::progress(
                &stage,
                done,
                total,
                "loss 0.3127, rate 0.0125, 12345.7 examples a second, step 1234567",
            ),
            other => other,
        };
        state.apply(&event, at);
    }
    let finished = Finished {
        trial: 1_234_001,
        metrics: BTreeMap::from([
            ("test_accuracy_percent".to_owned(), 98.61),
            ("mean_squared_error".to_owned(), 1.234e12),
        ]),
        ..example_of_finished()
    };
    state.apply(
        &Event::Finished { finished, seconds: kiln_search::Seconds::saturating(86_399.5) },
        Duration::from_secs(67),
    );
    state
}

fn example_of_finished() -> Finished {
    super::whole()
        .into_iter()
        .find_map(|(event, _)| match event {
            Event::Finished { finished, .. } => Some(finished),
            _ => None,
        })
        .expect("a network of the study is finished")
}

struct Long;

impl Inspect for Long {
    fn inspect(&self, _: &Trial) -> anyhow::Result<Inspection> {
        let layer = |index: u64| LayerView {
            name: format!("stage3.block{index}.branch_depthwise_separable.expansion.convolution"),
            operation: "depthwise conv2d 7x7 with stride 2 in 8 bits".to_owned(),
            output: "[1280, 224, 224]".to_owned(),
            parameters: 1152 + index,
            macs: 987_654_321 + index,
            latency_us: vec![123_456.7, 1.234e-6],
        };
        let decision = |index: u64| {
            (format!("stages.3.blocks.{index}.branch.expansion.width_multiplier"), format!("{index}0240.125"))
        };
        Ok(Inspection {
            decisions: (10..40).map(decision).collect(),
            devices: vec!["raspberry-pi-4-model-b".to_owned(), "nvidia-jetson-orin-nano".to_owned()],
            layers: (10..40).map(layer).collect(),
        })
    }
}

fn rows((width, height): (u16, u16), state: &State, view: &View) -> Vec<String> {
    let setup = setup();
    let now = Duration::from_secs(7_545);
    let look = Look { setup: &setup, palette: Palette::new(Depth::None), now, stopping: false };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, view, &look)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..height).map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect()).collect()
}

/// Returns the numbers in a frame with their units. A text with an ellipsis is not a number.
fn numbers(rows: &[String]) -> BTreeSet<String> {
    const UNITS: [&str; 11] = ["k", "M", "G", "T", "B", "kB", "MB", "GB", "TB", "%", "µs"];
    let mut found = BTreeSet::new();
    for row in rows {
        let is_border = |character: char| "│┃┌┐└┘┏┓┗┛─━═╌┊".contains(character) || character.is_whitespace();
        let words: Vec<&str> = row.split(is_border).filter(|word| !word.is_empty()).collect();
        for (index, word) in words.iter().enumerate() {
            if word.contains('…') || !word.contains(|character: char| character.is_ascii_digit()) {
                continue;
            }
            let unit = words.get(index + 1).map(|next| next.trim_end_matches([',', ')'])).unwrap_or_default();
            let unit = if UNITS.contains(&unit) { format!(" {unit}") } else { String::new() };
            found.insert(format!("{}{unit}", word.trim_matches([',', '(', ')', ':'])));
        }
    }
    found
}

fn views() -> Vec<View> {
    let mut views = vec![View::default()];
    views.extend(Panel::ALL.map(|focus| View { focus, ..View::default() }));
    views.extend(Panel::ALL.map(|focus| View { focus, zoomed: true, ..View::default() }));
    for id in [1_234_001, 1_234_013] {
        let inspection = Long.inspect(&trial(1)).map_err(Unseen::from);
        for scrolled in [0, 25] {
            let inspection = inspection.clone();
            views.push(View { opened: Some(Opened { trial: id, inspection, scrolled }), ..View::default() });
        }
    }
    views
}

#[test]
fn small_terminals_never_cut_numbers() {
    let state = state();
    let large: BTreeSet<String> =
        views().iter().flat_map(|view| numbers(&rows((700, 250), &state, view))).collect();
    for number in ["1.152 MB", "1.162 k", "3.456 G", "123457", "987.7 M", "1.234e-6", "1234 T", "-1.500e-9"] {
        assert!(large.contains(number), "{number}: {large:?}");
    }
    for view in views() {
        for size in SIZES {
            let frame = rows(size, &state, &view);
            for number in numbers(&frame) {
                assert!(large.contains(&number), "`{number}` at {size:?}:\n{}", frame.join("\n"));
            }
        }
    }
}

#[test]
fn details_never_cut_values() {
    let state = state();
    let inspection = Long.inspect(&trial(1)).map_err(Unseen::from);
    let view = View { opened: Some(Opened { trial: 1_234_001, inspection, scrolled: 0 }), ..View::default() };
    for size in SIZES {
        let frame = rows((size.0, 100), &state, &view).join("\n");
        for value in ["1.152 MB", "3.456 G", "123457", "1234 T", "98.61", "-1.500e-9", "100240.125"] {
            assert!(frame.contains(value), "{value} at {size:?}:\n{frame}");
        }
        // The table indicates that it omits columns.
        for column in ["params", "MACs"] {
            let heading =
                frame.lines().find(|line| line.contains("operat") || line.contains("layer")).unwrap();
            assert!(heading.contains(column) || heading.contains('…'), "{column} at {size:?}:\n{frame}");
        }
    }
}

#[test]
fn front_chart_states_number_of_trials_outside() {
    let setup = super::setup(Role::Runs);
    let mut state = State::new(&setup);
    for id in 0..40 {
        let mut trial = super::trial(id);
        // A few trials are outliers with much worse values than the other trials.
        if id % 10 == 5 && trial.outcome.measurement().is_some() {
            let latency = trial.objectives.0[1];
            trial.objectives = Objectives(vec![90.0 + id as f64 / 10.0, latency]);
            trial.outcome =
                Outcome::from_metrics([("error_percent".to_owned(), trial.objectives.0[0])].into());
        }
        let event =
            Event::Trial { trial, known: false, seconds: kiln_search::Seconds::saturating(1.0), worker: 0 };
        state.apply(&event, Duration::from_secs(id));
    }
    let look =
        Look { setup: &setup, palette: Palette::new(Depth::None), now: Duration::ZERO, stopping: false };
    let frame = |view: &View| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &state, view, &look)).unwrap();
        terminal.backend().to_string()
    };
    let text = frame(&View::default());
    assert!(text.contains(" 3 lie lower "), "{text}");
    // The zoomed chart shows all trials.
    let text = frame(&View { focus: Panel::Front, zoomed: true, ..View::default() });
    assert!(!text.contains("lie lower"), "{text}");
}
