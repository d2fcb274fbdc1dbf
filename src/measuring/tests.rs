#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;

/// Requests a stop after some reports of visits.
#[derive(Default)]
struct Watched {
    reports: AtomicUsize,
    stop_after: Option<usize>,
    warnings: Mutex<Vec<String>>,
}

impl Progress for Watched {
    fn report(&self, _: &str, _: u64, _: u64, _: &str) {
        self.reports.fetch_add(1, Ordering::SeqCst);
    }

    fn stop_requested(&self) -> bool {
        self.stop_after.is_some_and(|most| self.reports.load(Ordering::SeqCst) > most)
    }

    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
}

/// A board that counts its runs in the file `runs` of a folder.
fn board(folder: &Path, script: &str) -> DeviceMeasurer {
    let runs = folder.join("runs");
    let script = format!("echo run >> '{}'; {script}", runs.display());
    let command = ["sh", "-c", script.as_str(), "sh", "{model}", "{threads}"].map(str::to_owned).to_vec();
    let command = MeasureCommand { command, copy: Vec::new(), unit: Some(TimeUnit::Us), time_out_s: 60 };
    DeviceMeasurer {
        device: "board".to_owned(),
        runs_on: RunsOn::Command(command),
        batch: 1,
        threads: 2,
        minutes: 5,
    }
}

fn networks(folder: &Path, trials: &[TrialId]) -> Vec<NetworkToMeasure> {
    let network = |trial: &TrialId| {
        let folder = folder.join(trial.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(MODEL), trial.to_string()).unwrap();
        fs::write(folder.join("model.onnx"), "any").unwrap();
        NetworkToMeasure { trial: *trial, folder, files: vec!["model.onnx".to_owned()] }
    };
    trials.iter().map(network).collect()
}

fn runs(folder: &Path) -> usize {
    fs::read_to_string(folder.join("runs")).unwrap_or_default().lines().count()
}

const LATENCIES: &str = "case \"$1\" in */4/model.onnx) echo $((100 * $2));; *) echo 50;; esac";

#[test]
fn networks_are_measured_by_a_command_and_interrupted_measuring_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (state, board) = (folder.path().join("state"), board(folder.path(), LATENCIES));
    fs::create_dir_all(&state).unwrap();
    let networks = networks(folder.path(), &[4, 9]);
    // One report is that of the start, then there is one for each visit.
    let watched = Watched { stop_after: Some(3), ..Watched::default() };
    assert!(matches!(board.measure(&networks, &state, &watched), Err(EvalError::Interrupted)));
    assert_eq!(runs(folder.path()), 30, "three visits of ten runs");
    let found = board.measure(&networks, &state, &Watched::default()).unwrap();
    let latency = |trial: TrialId| match found[&trial] {
        LatencyOutcome::Measured { latency_us, low_us, high_us, runs } => {
            assert_eq!([low_us.to_bits(), high_us.to_bits()], [latency_us.to_bits(); 2]);
            assert!(runs >= 30, "{runs}");
            latency_us
        }
        LatencyOutcome::Failed { .. } => 0.0,
    };
    assert_eq!([latency(4).to_bits(), latency(9).to_bits()], [200.0_f64, 50.0].map(f64::to_bits));
    // Three rounds of two networks and the reference network.
    assert_eq!(runs(folder.path()), 90);
    let conditions = board.conditions().unwrap();
    assert_eq!((conditions.runtime.as_str(), conditions.threads), ("command", 2));
    assert!(conditions.command.is_some());
}

#[test]
fn network_that_fails_is_a_result_and_board_that_fails_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir_all(&state).unwrap();
    let networks = networks(folder.path(), &[4, 9]);
    let failing = "case \"$1\" in */4/model.onnx) echo 'out of memory' >&2; exit 3;; *) echo 50;; esac";
    let found = board(folder.path(), failing).measure(&networks, &state, &Watched::default()).unwrap();
    assert!(
        matches!(&found[&4], LatencyOutcome::Failed { reason } if reason.contains("out of memory")),
        "{found:?}"
    );
    assert!(matches!(found[&9], LatencyOutcome::Measured { .. }));

    let (state, watched) = (folder.path().join("other"), Watched::default());
    fs::create_dir_all(&state).unwrap();
    let gone = board(folder.path(), "echo 'no route to host' >&2; exit 255");
    assert!(gone.measure(&networks, &state, &watched).unwrap().is_empty());
    let warnings = watched.warnings.lock().unwrap();
    assert!(
        warnings[0].contains("no network ran") && warnings[0].contains("no route to host"),
        "{warnings:?}"
    );
}

#[test]
fn measurements_of_other_networks_or_conditions_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir_all(&state).unwrap();
    let board = board(folder.path(), LATENCIES);
    let first = networks(folder.path(), &[4]);
    let under = board.conditions().unwrap();
    let mut kept = Kept::open(&state, &under, &first).unwrap();
    kept.visits.push(Visit {
        network: 0,
        round: 0,
        place: kiln_hw_models::measuring::Place::Planned,
        took_s: 0.5,
        outcome: VisitOutcome::Measured { median_us: 1.0, low_us: 1.0, high_us: 1.0, runs: 10 },
    });
    kept.write(&state).unwrap();
    // Another network joins: the visits stay.
    let both = networks(folder.path(), &[9, 4]);
    let opened = Kept::open(&state, &under, &both).unwrap();
    assert_eq!((opened.visits.len(), opened.trials()), (1, vec![4, 9]));
    let other = MeasuredUnder { threads: 7, ..under.clone() };
    assert!(Kept::open(&state, &other, &both).unwrap().visits.is_empty());
    fs::write(first[0].folder.join(MODEL), "finished again").unwrap();
    assert!(Kept::open(&state, &under, &both).unwrap().visits.is_empty());
    fs::write(state.join("measuring.json"), "damaged").unwrap();
    assert!(Kept::open(&state, &under, &both).unwrap().visits.is_empty());
}
