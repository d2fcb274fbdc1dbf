//! Tests the health check of shared weights. The check must run only once, must be recorded in the journal,
//! and must not affect any trial.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kiln_search::{
    CheckChain, EvalError, Evaluator, Event, Fidelities, HealthCheck, HealthQuestion, JournalEntry,
    JournalReader, Outcome, Progress, Request, Status, StudyError, Summary, SupernetHealth,
};

use crate::parts::{Analytic, Seen, facts, folder, record, run, study};

/// An evaluator like [`Analytic`] that also reports the health of shared weights.
struct Checked {
    analytic: Analytic,
    healthy: bool,
    asked: AtomicUsize,
}

impl Checked {
    fn new(healthy: bool) -> Arc<Self> {
        Arc::new(Self { analytic: Analytic::new(), healthy, asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Evaluator for Checked {
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        self.analytic.prepare(progress)
    }

    fn fingerprint(&self) -> String {
        self.analytic.fingerprint()
    }

    fn fidelities(&self) -> Fidelities {
        self.analytic.fidelities()
    }

    fn health(&self, _: &dyn Progress) -> Result<Option<SupernetHealth>, EvalError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let check = HealthCheck {
            question: HealthQuestion::LargestBeatsSmallest,
            passed: self.healthy,
            numbers: [("largest_error_percent".to_owned(), 40.0)].into(),
            answer: "the largest subnet has 40 % errors".to_owned(),
        };
        Ok(Some(SupernetHealth::new(vec![check], "train 10 times as many epochs".to_owned())))
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.analytic.evaluate(request)
    }
}

fn run_checked(
    evaluator: &Arc<Checked>,
    strict: bool,
    paths: &kiln_search::RunPaths,
) -> (Seen, Result<Summary, StudyError>) {
    let seen = Seen::default();
    let mut study = study(&Arc::new(Analytic::new()), &seen);
    study.evaluator = Arc::clone(evaluator) as Arc<dyn Evaluator>;
    study.settings.strict = strict;
    let ended = run(study, paths);
    (seen, ended)
}

fn health_events(seen: &Seen) -> usize {
    seen.events.lock().unwrap().iter().filter(|event| matches!(event, Event::Health { .. })).count()
}

#[test]
fn health_is_asked_once_journaled_and_no_fact_of_the_study() {
    let (_plain, plain) = folder();
    run(study(&Arc::new(Analytic::new()), &Seen::default()), &plain).unwrap();
    let (_checked, paths) = folder();
    let evaluator = Checked::new(false);
    let (seen, ended) = run_checked(&evaluator, false, &paths);
    let health = ended.unwrap().health.unwrap();
    assert!(!health.healthy && health.message().contains("train 10 times as many epochs"));
    assert_eq!((health_events(&seen), evaluator.asked()), (1, 1));
    assert_eq!(facts(&paths), facts(&plain), "the trajectory is the same");
    assert_eq!(record(&paths).health, Some(health.clone()));
    let events = JournalReader::open(&paths.journal()).unwrap().entries().unwrap();
    let place = |wanted: fn(&Event) -> bool| events.iter().position(|entry| wanted(&entry.event)).unwrap();
    let prepared = place(|event| matches!(event, Event::Prepared { .. }));
    let checked = place(|event| matches!(event, Event::Health { .. }));
    assert!(prepared < checked && checked < place(|event| matches!(event, Event::Trial { .. })));

    let (seen, ended) = run_checked(&evaluator, false, &paths);
    assert_eq!(ended.unwrap().health, Some(health));
    assert_eq!((health_events(&seen), evaluator.asked()), (1, 1), "shown from the journal, not asked again");
}

#[test]
fn strict_study_stops_before_the_search_and_resumes_without_strict() {
    let (_folder, paths) = folder();
    let evaluator = Checked::new(false);
    for _ in 0..2 {
        let (seen, ended) = run_checked(&evaluator, true, &paths);
        let error = ended.unwrap_err();
        assert!(matches!(error, StudyError::Unhealthy { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("40 % errors") && message.contains("train 10 times"), "{message}");
        assert!(message.contains("--strict") && message.contains("the same command goes on"), "{message}");
        assert!(seen.told().is_empty() && record(&paths).trials.is_empty());
        assert_eq!((health_events(&seen), evaluator.asked()), (1, 1));
    }
    let (_, ended) = run_checked(&evaluator, false, &paths);
    assert_eq!((ended.unwrap().status, record(&paths).trials.len()), (Status::Completed, 40));
    assert_eq!(evaluator.asked(), 1);
    let (_folder, paths) = folder();
    let (_, ended) = run_checked(&Checked::new(true), true, &paths);
    assert_eq!(ended.unwrap().status, Status::Completed, "a healthy one is searched");
}

#[test]
fn ended_study_from_before_the_check_is_not_checked_and_an_open_one_is() {
    let (_folder, paths) = folder();
    run_checked(&Checked::new(true), false, &paths).1.unwrap();
    // The test creates the journal of a build without this check.
    let entries = JournalReader::open(&paths.journal()).unwrap().entries().unwrap();
    let old: Vec<JournalEntry> =
        entries.into_iter().filter(|entry| !matches!(entry.event, Event::Health { .. })).collect();
    let write = |entries: &[JournalEntry]| {
        let mut chain = CheckChain::default();
        let lines: String = entries.iter().map(|entry| chain.line(entry)).collect();
        fs::write(paths.journal(), lines).unwrap();
    };
    write(&old);
    let evaluator = Checked::new(true);
    let (_, ended) = run_checked(&evaluator, false, &paths);
    assert_eq!((ended.unwrap().health, evaluator.asked()), (None, 0));
    let end = old.iter().position(|entry| matches!(entry.event, Event::Searched { .. })).unwrap();
    write(&old[..end]);
    let (_, ended) = run_checked(&evaluator, false, &paths);
    assert!(ended.unwrap().health.is_some() && evaluator.asked() == 1);
}
