//! Tests the terminal UI with synthetic studies: comparisons of frames with snapshots, keys, and slow
//! terminals.

mod frames;
mod hostile;
mod pressed;
mod room;
mod shown;
mod told;

use std::time::Duration;

use kiln_hw_models::Conditions;
use kiln_search::{
    Constraint, Costs, Event, FailureKind, Fidelity, Finished, NamedValues, Objectives, Origin, Outcome,
    Proposal, RunPaths, Seconds, Trial,
};
use kiln_space::Genotype;

use super::setup::{Role, Setup};
use super::state::State;
use crate::inspection::{Inspect, Inspection, LayerView};
use crate::report::PredictedFor;
use crate::units::Numbers;

pub(in crate::tui) fn setup(role: Role) -> Setup {
    Setup {
        study: "digits".to_owned(),
        paths: RunPaths::new("runs/digits"),
        objectives: vec!["error_percent".to_owned(), "latency_us".to_owned()],
        constraints: vec![Constraint::new("latency_us", 200.0)],
        models: vec![PredictedFor {
            device: "cortex-a72".to_owned(),
            model: "cortex-a72/roofline/datasheet".to_owned(),
            conditions: Some(Conditions { batch: 1, threads: 4 }),
        }],
        workers: 2,
        networks: 1,
        metrics: Numbers::Estimated,
        role,
        jobs: None,
    }
}

/// Returns pseudo-random numbers derived from a trial's number.
fn noise(id: u64) -> f64 {
    let mixed = (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64
}

/// A trial whose accuracy increases with the network's latency and with the trial's number. Every twentieth
/// trial diverges.
fn trial(id: u64) -> Trial {
    let latency = 40.0 + 155.0 * noise(id);
    let error = 1.5 + 300.0 / latency + 20.0 * noise(id + 1000) / (1.0 + id as f64 / 10.0);
    let failed = id % 20 == 13;
    let outcome = if failed {
        let reason = "training diverged at step 40".to_owned();
        Outcome::Failed { kind: FailureKind::Diverged, reason }
    } else {
        Outcome::from_metrics([("error_percent".to_owned(), error)].into())
    };
    let (operator, cluster) = if id < 10 { ("random", None) } else { ("mutation", Some((id % 4) as usize)) };
    let parents = if id < 10 { Vec::new() } else { vec![id / 2] };
    Trial {
        id,
        proposal: Proposal {
            genotype: Genotype::new(vec![(id % 250) as u8, (id / 250) as u8, 1]),
            fidelity: Fidelity::Full,
            origin: Origin { operator: operator.to_owned(), parents, cluster },
        },
        outcome,
        costs: Costs(NamedValues::from([
            ("latency_us".to_owned(), latency),
            ("macs".to_owned(), 1e4 * latency),
            ("model_bytes".to_owned(), 200.0 * latency),
            ("parameters".to_owned(), 50.0 * latency),
        ])),
        objectives: Objectives(if failed { Vec::new() } else { vec![error, latency] }),
        violation: 0.0,
    }
}

fn told(id: u64) -> Event {
    Event::Trial {
        trial: trial(id),
        known: false,
        seconds: Seconds::saturating(0.5 + noise(id)),
        worker: (id % 2) as usize,
    }
}

fn progress(stage: &str, done: u64, total: u64, note: &str) -> Event {
    Event::Progress { stage: stage.to_owned(), done, total, note: note.to_owned() }
}

/// Returns the events of a study in the middle of its search.
fn searching() -> Vec<(Event, Duration)> {
    let mut events = vec![(
        Event::Started { study: "digits".to_owned(), resumed: 0, trials: Some(150) },
        Duration::from_millis(200),
    )];
    for second in 1..=20 {
        events.push((progress("supernet", 50 * second, 1000, "loss 0.3127"), Duration::from_secs(second)));
    }
    events.push((Event::Prepared { fingerprint: "f".to_owned(), full_epochs: 0 }, Duration::from_secs(20)));
    for id in 0..90 {
        let at = Duration::from_millis(20_500 + 500 * id);
        events.push((told(id), at));
        events.push((progress("search", id + 1, 150, ""), at));
    }
    events.push((Event::Rejections { candidates: 1043, rejected: 367 }, Duration::from_secs(66)));
    events
}

/// Returns all events of the same study, up to the study's end.
fn whole() -> Vec<(Event, Duration)> {
    let mut events = searching();
    events.extend((90..150).map(|id| (told(id), Duration::from_millis(20_500 + 500 * id))));
    let message = "the search ended early: nothing left".to_owned();
    let finished = Finished {
        trial: best(150),
        metrics: [("test_accuracy_percent".to_owned(), 98.61)].into(),
        files: vec!["model.kiln".into(), "model.onnx".into(), "card.json".into()],
    };
    let seconds = Duration::from_secs;
    events.extend([
        (Event::Warning { message }, seconds(96)),
        (Event::Searched { trials: 150, front: vec![1, 2] }, seconds(96)),
        (progress("finish", 0, 1, "trial 7"), seconds(96)),
        (progress("network", 500, 1000, "loss 0.1"), seconds(106)),
        (progress("network", 1000, 1000, "trained"), seconds(116)),
        (Event::Finished { finished, seconds: Seconds::saturating(20.0) }, seconds(116)),
        (progress("finish", 1, 1, ""), seconds(116)),
        (Event::Ended, seconds(117)),
    ]);
    events
}

/// Returns the number of the most accurate trial among the first `count` trials.
fn best(count: u64) -> u64 {
    let error = |id: &u64| trial(*id).objectives.0.first().copied().unwrap_or(f64::INFINITY);
    (0..count).min_by(|a, b| error(a).total_cmp(&error(b))).unwrap()
}

fn state(events: &[(Event, Duration)]) -> State {
    let mut state = State::new(&setup(Role::Runs));
    for (event, at) in events {
        state.apply(event, *at);
    }
    state
}

/// An inspector that returns two layers and three decisions for every trial.
struct Small;

impl Inspect for Small {
    fn inspect(&self, _: &Trial) -> anyhow::Result<Inspection> {
        let decision = |name: &str, option: &str| (name.to_owned(), option.to_owned());
        let layer = |name: &str, operation: &str, macs, us| LayerView {
            name: name.to_owned(),
            operation: operation.to_owned(),
            output: "[16, 8, 8]".to_owned(),
            parameters: macs / 64,
            macs,
            latency_us: vec![us],
        };
        Ok(Inspection {
            decisions: vec![
                decision("stem.width", "16"),
                decision("stage0.kernel", "3"),
                decision("head.width", "64"),
            ],
            devices: vec!["cortex-a72".to_owned()],
            layers: vec![layer("stem.conv", "conv2d 3x3", 9216, 12.5), layer("head", "linear", 640, 1.25)],
        })
    }
}
