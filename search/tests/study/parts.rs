//! Parts that the tests share: a space, an evaluator, strategies, and a study in a temporary folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln_search::{
    Ask, Constraint, CostSet, Domain, EvalError, Evaluator, Event, Fidelities, Fidelity, Finished, Finisher,
    Observer, Origin, Outcome, Progress, Proposal, Request, RunFolder, RunPaths, Strategy, Study, StudyError,
    StudyRecord, StudySettings, Summary, Trial, seed,
};
use kiln_space::{
    Architecture, ArchitectureBuilder, Choice, Decision, Genotype, ParameterSpec, SearchSpace, Shape,
    SpaceError,
};
use rand::{Rng, RngExt};

/// A multi-layer perceptron with four layers of 1 to 4 units each. If `hole` is set, networks whose first
/// layer has 4 units cannot be built.
pub(crate) struct Layers {
    decisions: Vec<Decision>,
    hole: bool,
}

impl Layers {
    pub(crate) fn new(hole: bool) -> Self {
        let decision = |i| Decision {
            name: format!("layer{i}.width"),
            options: (1..=4).map(Choice::Int).collect(),
            active_if: None,
        };
        Self { decisions: (0..4).map(decision).collect(), hole }
    }
}

impl SearchSpace for Layers {
    fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        if self.hole && genotype.genes()[0] == 3 {
            return Err(SpaceError::Layer { layer: "layer0".to_owned(), problem: "too wide" });
        }
        let mut builder = ArchitectureBuilder::new(Shape::vector(4));
        let mut last = builder.input();
        for (i, gene) in genotype.genes().iter().enumerate() {
            last = builder.linear(format!("layer{i}"), last, usize::from(*gene) + 1)?;
        }
        builder.finish()
    }

    fn canonical(&self, genotype: &Genotype) -> Genotype {
        genotype.clone()
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }
}

/// Returns, for some genotypes, the result that an evaluator returns instead of measuring.
pub(crate) type Misfortune = fn(&Genotype) -> Option<Result<Outcome, EvalError>>;

/// An evaluator whose error decreases with the widths of the layers, plus noise from the trial's seed. Some
/// evaluations are slower than others.
pub(crate) struct Analytic {
    pub(crate) misfortune: Misfortune,
    pub(crate) fingerprint: &'static str,
    /// Fidelities that the evaluator supports.
    pub(crate) answered: Fidelities,
    /// Maximum duration of the random sleep in an evaluation.
    pub(crate) jitter_us: u64,
    /// The requested evaluations, in the order in which they arrived.
    pub(crate) evaluated: Mutex<Vec<(Genotype, Fidelity)>>,
    pub(crate) ticks: AtomicU64,
}

impl Analytic {
    pub(crate) fn new() -> Self {
        Self {
            misfortune: |_| None,
            fingerprint: "analytic",
            answered: Fidelities::of_schedule(30).with_proxy(),
            jitter_us: 0,
            evaluated: Mutex::default(),
            ticks: AtomicU64::new(0),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.evaluated.lock().unwrap().len()
    }
}

impl Evaluator for Analytic {
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        progress.report("data", 1, 1, "");
        Ok(())
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.to_owned()
    }

    fn fidelities(&self) -> Fidelities {
        self.answered
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.evaluated.lock().unwrap().push((request.genotype.clone(), request.fidelity));
        if self.jitter_us > 0 {
            // The duration of an evaluation differs between runs, like the duration of a training.
            let tick = self.ticks.fetch_add(1, Ordering::Relaxed);
            let mut moment = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
            moment = seed::derive(moment, "jitter", &[&tick.to_le_bytes()]);
            std::thread::sleep(Duration::from_micros(moment % self.jitter_us));
        }
        if let Some(outcome) = (self.misfortune)(request.genotype) {
            return outcome;
        }
        let width: f64 = request.genotype.genes().iter().map(|&gene| f64::from(gene)).sum();
        let blur = request.seed as f64 / u64::MAX as f64;
        let epochs = match request.fidelity {
            Fidelity::Proxy => 1.0,
            Fidelity::Epochs(epochs) => f64::from(epochs),
            Fidelity::Full => f64::from(self.answered.full_epochs.max(1)),
        };
        let error = 50.0 / (1.0 + width) + 3.0 * blur + 20.0 / epochs;
        Ok(Outcome::from_metrics([("error_percent".to_owned(), error)].into()))
    }
}

/// A strategy that first draws at random, then mutates the best of the latest trials. Some networks are first
/// proposed with low fidelity. The proposals depend on every reported trial and on the order of these trials.
#[derive(Default)]
pub(crate) struct Climb {
    pub(crate) fidelities: bool,
    pub(crate) told: Vec<(Vec<f64>, Genotype)>,
}

impl Strategy for Climb {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let recent = self.told.iter().rev().take(6);
        let best = recent.min_by(|a, b| a.0[0].total_cmp(&b.0[0]));
        let (genotype, operator) = match best {
            Some((_, parent)) if rng.random_range(0..4) > 0 => (domain.mutate(parent, rng), "mutation"),
            _ => (domain.sample(rng), "random"),
        };
        let Some(genotype) = genotype else { return Ask::Done };
        let fidelity = match rng.random_range(0..3) {
            0 if self.fidelities => Fidelity::Proxy,
            1 if self.fidelities => Fidelity::Epochs(3),
            _ => Fidelity::Full,
        };
        let origin = Origin { operator: operator.to_owned(), ..Origin::default() };
        Ask::Propose(Proposal { genotype, fidelity, origin })
    }

    fn fidelities(&self, _: Fidelities) -> Vec<Fidelity> {
        let lower = [Fidelity::Proxy, Fidelity::Epochs(3)].into_iter().filter(|_| self.fidelities);
        lower.chain([Fidelity::Full]).collect()
    }

    fn tell(&mut self, trial: &Trial) {
        if !trial.objectives.0.is_empty() {
            self.told.push((trial.objectives.0.clone(), trial.proposal.genotype.clone()));
        }
    }
}

/// A strategy that returns the listed asks in order.
pub(crate) struct Listed(pub(crate) Vec<Ask>);

impl Listed {
    pub(crate) fn full(genotypes: &[[u8; 4]]) -> Self {
        Self(genotypes.iter().map(|genes| propose(*genes, Fidelity::Full)).collect())
    }
}

impl Strategy for Listed {
    fn ask(&mut self, _: &Domain<'_>, _: &mut dyn Rng) -> Ask {
        if self.0.is_empty() { Ask::Done } else { self.0.remove(0) }
    }

    fn tell(&mut self, _: &Trial) {}
}

pub(crate) fn propose(genes: [u8; 4], fidelity: Fidelity) -> Ask {
    Ask::Propose(Proposal { genotype: Genotype::new(genes), fidelity, origin: Origin::default() })
}

/// An observer that keeps all events. It can stop the study after a number of trials.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) stop_after: Option<usize>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Seen {
    pub(crate) fn told(&self) -> Vec<Trial> {
        let events = self.events.lock().unwrap();
        let told = events.iter().filter_map(|event| match event {
            Event::Trial { trial, .. } => Some(trial.clone()),
            _ => None,
        });
        told.collect()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let warnings = events.iter().filter_map(|event| match event {
            Event::Warning { message } => Some(message.clone()),
            _ => None,
        });
        warnings.collect()
    }
}

impl Observer for Seen {
    fn on_event(&mut self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
        if self.stop_after.is_some_and(|trials| self.told().len() >= trials) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// A finisher that writes one file for each network. The content of the file is the id of the trial.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) finished: Mutex<Vec<u64>>,
    /// Number of networks after which the finisher returns an error.
    pub(crate) fails_after: Option<usize>,
    /// Whether the result lists a file that was not written.
    pub(crate) lies: bool,
}

impl Finisher for Writes {
    fn finish(&self, trial: &Trial, into: &Path, _: &dyn Progress) -> Result<Finished, EvalError> {
        let mut finished = self.finished.lock().unwrap();
        std::fs::write(into.join("network.txt"), format!("{}", trial.proposal.genotype)).unwrap();
        if self.fails_after == Some(finished.len()) {
            return Err(EvalError::Device { device: "gpu".to_owned(), problem: "was lost".to_owned() });
        }
        finished.push(trial.id);
        let mut files = vec!["network.txt".into()];
        files.extend(self.lies.then(|| "card.json".into()));
        let metrics = BTreeMap::from([("test_accuracy_percent".to_owned(), 90.0)]);
        Ok(Finished { trial: trial.id, metrics, files })
    }
}

/// Creates a study of 40 trials with 3 proposals in flight.
pub(crate) fn study(evaluator: &Arc<Analytic>, seen: &Seen) -> Study {
    let evaluator: Arc<dyn Evaluator> = Arc::clone(evaluator) as _;
    Study {
        settings: StudySettings {
            name: "s".to_owned(),
            seed: 7,
            trials: Some(40),
            in_flight: 3,
            ..StudySettings::default()
        },
        space: Arc::new(Layers::new(false)),
        strategy: Box::new(Climb::default()),
        evaluator,
        finisher: None,
        measurers: Vec::new(),
        costs: CostSet::default(),
        constraints: vec![Constraint::new("parameters", 45.0)],
        objectives: vec!["error_percent".to_owned(), "parameters".to_owned()],
        store: None,
        observers: vec![Box::new(seen.clone())],
        stop: Arc::clone(&seen.stop),
    }
}

/// Runs a study in a folder.
pub(crate) fn run(study: Study, paths: &RunPaths) -> Result<Summary, StudyError> {
    study.run(&RunFolder::open(paths, "", &[])?)
}

/// Returns paths of a run folder that does not exist yet, inside a temporary folder that is removed after the
/// test.
pub(crate) fn folder() -> (tempfile::TempDir, RunPaths) {
    let folder = tempfile::tempdir().unwrap();
    let paths = RunPaths::of_study(folder.path(), "s").unwrap();
    (folder, paths)
}

/// Returns the facts in the journal of a run folder.
pub(crate) fn facts(paths: &RunPaths) -> Vec<String> {
    let mut reader = kiln_search::JournalReader::open(&paths.journal()).unwrap();
    kiln_search::facts(reader.entries().unwrap())
}

pub(crate) fn record(paths: &RunPaths) -> StudyRecord {
    StudyRecord::read(paths).unwrap()
}
