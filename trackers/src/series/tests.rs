use kiln_search::{Costs, FailureKind, Measurement, Objectives, Origin, Proposal, SearchEnd};
use kiln_space::Genotype;

use super::*;

/// Counts trials in place of a hypervolume.
struct Counted(usize);

impl Gauge for Counted {
    fn see(&mut self, number: usize, _: &Trial) {
        self.0 = number;
    }
    fn percent(&mut self) -> Option<f64> {
        (self.0 > 0).then_some(self.0 as f64 / 2.0)
    }
    fn clear(&mut self) {
        self.0 = 0;
    }
}

fn series() -> Series {
    Series::new(&["error_percent".to_owned()], Box::new(Counted(0)))
}

pub(crate) fn trial(id: TrialId, error: Option<f64>, fidelity: Fidelity) -> Event {
    let outcome = error.map_or_else(
        || Outcome::Failed { kind: FailureKind::Diverged, reason: "NaN".to_owned() },
        |error| Outcome::Measured(Measurement::new([("error_percent".to_owned(), error)].into()).unwrap()),
    );
    let trial = Trial {
        id,
        proposal: Proposal { genotype: Genotype::new([0]), fidelity, origin: Origin::default() },
        outcome,
        costs: Costs::default(),
        objectives: Objectives(error.into_iter().collect()),
        violation: 0.0,
    };
    Event::Trial { trial, known: false, seconds: Seconds::default(), worker: 0 }
}

fn at(second: f64) -> Moment {
    Moment { unix_s: 1000.0 + second, elapsed: Seconds::saturating(second) }
}

fn progress(stage: &str, done: u64, total: u64, note: &str) -> Event {
    Event::Progress { stage: stage.to_owned(), done, total, note: note.to_owned() }
}

fn finished(trial: TrialId, error: f64) -> Event {
    let metrics = [("test_error_percent".to_owned(), error)].into();
    let finished = Finished { trial, metrics, files: Vec::new() };
    Event::Finished { finished, seconds: Seconds::default() }
}

fn started() -> Event {
    Event::Started { study: "a".to_owned(), resumed: 0, trials: None }
}

/// Returns the series, steps and values of points.
fn plain(points: &[Point]) -> Vec<(&str, u64, f64)> {
    points.iter().map(|point| (point.series.as_str(), point.step, point.value)).collect()
}

fn run(series: &mut Series, events: &[(f64, Event)], source: Source) -> Vec<Point> {
    events.iter().flat_map(|(second, event)| series.see(event, at(*second), source)).collect()
}

fn study() -> Vec<(f64, Event)> {
    vec![
        (0.0, started()),
        (1.0, progress("supernet", 10, 30, "loss 2.5")),
        (2.0, progress("supernet", 30, 30, "loss 1.25")),
        (2.0, progress("supernet", 30, 30, "loss 1.25")),
        (3.0, Event::Prepared { fingerprint: "f".to_owned(), full_epochs: 3 }),
        (4.0, trial(0, Some(9.0), Fidelity::Epochs(1))),
        (5.0, trial(1, Some(12.0), Fidelity::Full)),
        (6.0, trial(2, None, Fidelity::Full)),
        (6.0, Event::Rejections { candidates: 8, rejected: 5 }),
        (7.0, trial(3, Some(4.0), Fidelity::Full)),
        (7.5, Event::SearchEnd { end: SearchEnd::Strategy { left: None, why: None } }),
        (8.0, Event::Searched { trials: 4, front: vec![3] }),
        (8.0, progress("finish", 0, 1, "trial 3")),
        (9.0, progress("network", 20, 40, "loss 0.5")),
        (9.5, progress("network", 40, 40, "trained")),
        (10.0, finished(3, 3.5)),
        (11.0, Event::Ended),
    ]
}

#[test]
fn points_follow_from_events() {
    let points = run(&mut series(), &study(), Source::Study);
    let expected = [
        ("supernet/loss", 10, 2.5),
        ("supernet/loss", 30, 1.25),
        ("seconds/prepare", 1, 3.0),
        ("search/best_error_percent", 1, 9.0),
        ("search/failed_trials", 1, 0.0),
        ("search/hypervolume_percent", 1, 0.5),
        // A trial with more effort replaces the best value, though it is worse.
        ("search/best_error_percent", 2, 12.0),
        ("search/failed_trials", 2, 0.0),
        ("search/hypervolume_percent", 2, 1.0),
        ("search/best_error_percent", 3, 12.0),
        ("search/failed_trials", 3, 1.0),
        ("search/hypervolume_percent", 3, 1.5),
        ("search/candidates", 3, 8.0),
        ("search/rejected", 3, 5.0),
        ("search/best_error_percent", 4, 4.0),
        ("search/failed_trials", 4, 1.0),
        ("search/hypervolume_percent", 4, 2.0),
        ("seconds/search", 1, 5.0),
        ("network-3/loss", 20, 0.5),
        ("finished/trial", 1, 3.0),
        ("finished/test_error_percent", 1, 3.5),
        ("seconds/finish", 1, 3.0),
    ];
    assert_eq!(plain(&points), expected);
    assert!((points[3].unix_s - 1004.0).abs() < 1e-9);
}

#[test]
fn resumed_study_repeats_no_point_and_keeps_times() {
    let mut series = series();
    let first = study();
    let journaled = run(&mut series, &first[..8], Source::Journal);
    assert_eq!(journaled.len(), 3, "losses and time of preparation; trials wait until they are reported");
    let again: Vec<(f64, Event)> = std::iter::once((20.0, started()))
        .chain(first[5..].iter().map(|(second, event)| {
            let mut event = event.clone();
            if let Event::Trial { trial, known, .. } = &mut event {
                *known = trial.id < 3;
            }
            (second + 20.0, event)
        }))
        .collect();
    let resumed = run(&mut series, &again, Source::Study);
    let all = [journaled, resumed].concat();
    let direct = run(&mut self::series(), &study(), Source::Study);
    let of = |points: &[Point], name: &str| {
        points.iter().filter(|point| point.series == name).map(|point| (point.step, point.value)).collect()
    };
    for name in ["supernet/loss", "search/best_error_percent", "search/hypervolume_percent", "network-3/loss"]
    {
        let (found, expected): (Vec<_>, Vec<_>) = (of(&all, name), of(&direct, name));
        assert_eq!(found, expected, "{name}");
    }
    let best: Vec<f64> = all
        .iter()
        .filter(|point| point.series == "search/best_error_percent")
        .map(|point| point.unix_s)
        .collect();
    assert_eq!(best.len(), 4);
    assert!((best[0] - 1004.0).abs() < 1e-9 && (best[3] - 1027.0).abs() < 1e-9, "{best:?}");
}

#[test]
fn networks_are_counted_once_however_often_they_are_reported() {
    let mut series = series();
    let events = [(1.0, finished(7, 2.0)), (2.0, finished(7, 2.0)), (3.0, finished(2, 1.0))];
    let points = run(&mut series, &events, Source::Study);
    let expected = [
        ("finished/trial", 1, 7.0),
        ("finished/test_error_percent", 1, 2.0),
        ("finished/trial", 2, 2.0),
        ("finished/test_error_percent", 2, 1.0),
    ];
    assert_eq!(plain(&points), expected);
}

#[test]
fn numbers_of_trainings_become_points_beside_their_losses() {
    let mut series = series();
    let points = series.number("supernet", 10, ("learning_rate", 0.1), 5.0);
    assert_eq!(plain(&points), [("supernet/learning_rate", 10, 0.1)]);
    assert!(series.number("supernet", 20, ("learning_rate", f64::NAN), 5.0).is_empty());
    assert!(series.number("network", 20, ("learning_rate", 0.1), 5.0).is_empty(), "of no known network");
    assert!(series.number("other", 20, ("learning_rate", 0.1), 5.0).is_empty());
}
