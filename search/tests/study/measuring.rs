//! Tests that finished networks are measured once, and that measuring changes no trial and no front.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use kiln_hw_models::{CostModel, Device, Roofline};
use kiln_search::{
    CostSet, EvalError, Event, JournalReader, LatencyOutcome, MeasuredUnder, Measurer, NetworkToMeasure,
    Progress, Status, Study, StudyError, TrialId, Wanted,
};

use crate::parts::{Analytic, Seen, Writes, folder, record, run, study};

const DEVICE: &str = "cortex-a72";

/// A board on which every network takes 70 us, and which can be lost or interrupted.
#[derive(Default)]
struct Board {
    measured: Mutex<Vec<Vec<TrialId>>>,
    is_interrupted: AtomicBool,
    is_lost: AtomicBool,
    threads: u64,
}

impl Measurer for Board {
    fn device(&self) -> &str {
        DEVICE
    }

    fn conditions(&self) -> Result<MeasuredUnder, EvalError> {
        if self.is_lost.load(Ordering::SeqCst) {
            return Err(EvalError::Device { device: DEVICE.to_owned(), problem: "was lost".to_owned() });
        }
        Ok(MeasuredUnder {
            runtime: "command".to_owned(),
            runtime_version: "1".to_owned(),
            command: None,
            batch: 1,
            threads: self.threads,
        })
    }

    fn measure(
        &self,
        networks: &[NetworkToMeasure],
        state: &Path,
        _: &dyn Progress,
    ) -> Result<BTreeMap<TrialId, LatencyOutcome>, EvalError> {
        assert!(networks.iter().all(|network| network.folder.join(&network.files[0]).is_file()));
        fs::write(state.join("kept"), "measurements so far").unwrap();
        if self.is_interrupted.swap(false, Ordering::SeqCst) {
            return Err(EvalError::Interrupted);
        }
        self.measured.lock().unwrap().push(networks.iter().map(|network| network.trial).collect());
        let outcome = |network: &NetworkToMeasure| {
            let measured =
                LatencyOutcome::Measured { latency_us: 70.0, low_us: 69.0, high_us: 71.0, runs: 30 };
            (network.trial, measured)
        };
        Ok(networks.iter().map(outcome).collect())
    }
}

fn measuring(board: &Arc<Board>, seen: &Seen) -> Study {
    let mut study = study(&Arc::new(Analytic::new()), seen);
    study.settings.networks = 3;
    study.finisher = Some(Arc::new(Writes::default()));
    let model: Arc<dyn CostModel> = Arc::new(Roofline::new(Device::builtin(DEVICE).unwrap(), 1, 1));
    study.costs = CostSet::new(vec![(DEVICE.to_owned(), model)]).unwrap();
    study.measurers = vec![Arc::clone(board) as _];
    study
}

fn board() -> Arc<Board> {
    Arc::new(Board { threads: 1, ..Board::default() })
}

#[test]
fn networks_are_measured_once_and_no_trial_or_front_changes() {
    let (_folder, plain) = folder();
    let mut without = measuring(&board(), &Seen::default());
    without.measurers.clear();
    let without = run(without, &plain).unwrap();
    let (_folder, paths) = folder();
    let board = board();
    let summary = run(measuring(&board, &Seen::default()), &paths).unwrap();
    assert_eq!((&summary.front, &summary.finished), (&without.front, &without.finished));
    assert_eq!(record(&paths).trials.len(), record(&plain).trials.len());
    let mut finished: Vec<TrialId> = summary.finished.iter().map(|finished| finished.trial).collect();
    assert_eq!(*board.measured.lock().unwrap(), [finished.clone()]);
    finished.sort_unstable();
    let mut measured: Vec<TrialId> = summary.measured.iter().map(|measured| measured.trial).collect();
    measured.sort_unstable();
    assert_eq!(measured, finished);
    for one in &summary.measured {
        let entry = summary.front.iter().find(|entry| entry.trial == one.trial).unwrap();
        let latency = entry.costs.0.iter().find(|(name, _)| *name == "latency_us").unwrap().1;
        assert_eq!(one.predicted_us.value.to_bits(), latency.to_bits());
        assert_eq!(one.latency_us().map(f64::to_bits), Some(70.0_f64.to_bits()));
        let beside = fs::read_to_string(paths.model(one.trial).join("latency.json")).unwrap();
        assert!(
            beside.contains("\"latency_us\":70.0") || beside.contains("\"latency_us\": 70.0"),
            "{beside}"
        );
    }
    assert!(!paths.measurings().exists());

    let (before, seen) = (fs::read(paths.journal()).unwrap(), Seen::default());
    let again = run(measuring(&board, &seen), &paths).unwrap();
    assert_eq!(board.measured.lock().unwrap().len(), 1, "nothing is measured twice");
    assert_eq!(again.measured, summary.measured);
    let shown = seen.events.lock().unwrap();
    assert_eq!(shown.iter().filter(|event| matches!(event, Event::Measured { .. })).count(), 3);
    let after = fs::read(paths.journal()).unwrap();
    assert!(after.starts_with(&before));
    let new = String::from_utf8(after[before.len()..].to_vec()).unwrap();
    assert!(!new.contains("\"measured\":{\"trial\""), "{new}");
}

#[test]
fn other_conditions_are_measured_again() {
    let (_folder, paths) = folder();
    run(measuring(&board(), &Seen::default()), &paths).unwrap();
    let two = Arc::new(Board { threads: 2, ..Board::default() });
    let summary = run(measuring(&two, &Seen::default()), &paths).unwrap();
    assert_eq!(two.measured.lock().unwrap().len(), 1);
    assert!(summary.measured.iter().all(|measured| measured.conditions.threads == 2));
    assert_eq!((summary.measured.len(), record(&paths).measured.len()), (3, 3));
}

#[test]
fn interrupted_measuring_keeps_its_state_and_resumes() {
    let (_folder, paths) = folder();
    let board = board();
    board.is_interrupted.store(true, Ordering::SeqCst);
    let stopped = run(measuring(&board, &Seen::default()), &paths).unwrap();
    assert_eq!((stopped.status, stopped.measured.len()), (Status::Interrupted, 0));
    assert!(paths.measuring(DEVICE).join("kept").is_file());
    let whole = run(measuring(&board, &Seen::default()), &paths).unwrap();
    assert_eq!((whole.status, whole.measured.len()), (Status::Completed, 3));
    assert!(!paths.measurings().exists());
}

#[test]
fn lost_device_is_a_warning() {
    let (_folder, paths) = folder();
    let (board, seen) = (board(), Seen::default());
    board.is_lost.store(true, Ordering::SeqCst);
    let summary = run(measuring(&board, &seen), &paths).unwrap();
    assert_eq!((summary.status, summary.measured.len()), (Status::Completed, 0));
    assert_eq!(seen.warnings(), ["device `cortex-a72`: was lost"]);
    board.is_lost.store(false, Ordering::SeqCst);
    let more = measuring(&board, &Seen::default());
    let folder = kiln_search::RunFolder::open(&paths, "", &[]).unwrap();
    let trials = summary.finished.iter().map(|finished| finished.trial).take(1).collect();
    let found = more.finish(&folder, &Wanted::Trials(trials)).unwrap();
    assert_eq!(found.measured.len(), 1);
}

#[test]
fn line_with_an_impossible_latency_is_refused() {
    let (_folder, paths) = folder();
    run(measuring(&board(), &Seen::default()), &paths).unwrap();
    let entries = JournalReader::open(&paths.journal()).unwrap().entries().unwrap();
    let measured = entries.iter().any(|entry| matches!(entry.event, Event::Measured { .. }));
    assert!(measured);
    // The check of the line no longer fits either, so the line is refused in any case.
    let text = fs::read_to_string(paths.journal()).unwrap();
    fs::write(paths.journal(), text.replacen("\"latency_us\":70.0", "\"latency_us\":-7.0", 1)).unwrap();
    let refused = JournalReader::open(&paths.journal()).unwrap().entries();
    assert!(matches!(refused, Err(StudyError::JournalLine { .. })), "{refused:?}");
}
