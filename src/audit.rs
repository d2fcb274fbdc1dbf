//! Measures how well a supernet ranks networks. The audit compares the supernet's estimates for some
//! architectures with the results of training each architecture on its own. It also compares predictors that
//! need no supernet.

mod error;
mod predictors;
mod records;
mod reference;
mod result;
mod rivals;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use kiln_engines::Pool;
use kiln_evaluator::{Built, Context};
use kiln_search::{EvalError, FailureKind, Fidelity, Outcome, Progress, Request, RunPaths};
use kiln_space::{Architecture, Genotype, SearchSpace, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::error::{AuditDamage, AuditError};
pub use self::predictors::Predictor;
use self::records::{Record, Records};
use self::rivals::RivalSources;
pub use self::rivals::Rivals;
use crate::assembly::{Assembly, Registries};

/// Name of the evaluator that the audit examines.
const SUPERNET: &str = "supernet";
/// Name of the evaluator that trains networks on their own.
const SCRATCH: &str = "scratch";

/// Settings of an audit.
#[derive(Clone, Copy, Debug)]
pub struct AuditPlan<'a> {
    /// Number of architectures to train.
    pub networks: NonZeroUsize,
    /// Number of epochs of each training. `None` means the epochs in `[finish]`.
    pub epochs: Option<u32>,
    /// Number of trainings of each architecture. Each training has different initial weights and a different
    /// order of the examples. Predictors are compared with the mean result of these trainings.
    pub repeats: NonZeroU32,
    /// Epochs of additional, shorter trainings. The results of these trainings are predictors too.
    pub short: &'a [u32],
    /// Number of networks to train at the same time. This number changes the duration and no result.
    pub workers: usize,
    /// The caller sets this flag to stop the audit. Trainings in progress are completed, and their results
    /// are kept.
    pub stop: &'a AtomicBool,
    /// The jobs that train the networks. `None` to train in this process.
    pub pool: Option<&'a Pool>,
}

/// An audited architecture with its measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedNetwork {
    /// The architecture.
    pub genotype: Genotype,
    /// Outcomes of training the network on its own, one for each training.
    pub trained: Vec<Outcome>,
    /// Outcomes of shorter trainings, by number of epochs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub short: BTreeMap<u32, Outcome>,
    /// The supernet's estimate.
    pub estimated: Outcome,
    /// Alternatives to the corrected estimate. `None` if no anchors correct the supernet's estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rivals: Option<Rivals>,
    /// The outcome of the zero-cost proxy.
    pub proxy: Outcome,
    /// Number of trained parameters.
    pub parameters: u64,
    /// Multiply-accumulates for one example.
    pub macs: u64,
}

impl AuditedNetwork {
    /// Returns the mean of a metric over the trainings. Returns `None` if the metric is missing for one of
    /// the trainings.
    #[must_use]
    pub fn trained(&self, metric: &str) -> Option<f64> {
        predictors::mean(&self.trained, metric)
    }

    /// Returns the network's first failed evaluation.
    #[must_use]
    pub fn failure(&self) -> Option<AuditFailure<'_>> {
        let trained = self.trained.iter().map(|outcome| ("training", outcome));
        let short = self.short.values().map(|outcome| ("a short training", outcome));
        let judged = [("the supernet's estimate", &self.estimated), ("naswot", &self.proxy)];
        trained.chain(short).chain(judged).find_map(|(what, outcome)| match outcome {
            Outcome::Failed { kind, reason } => Some(AuditFailure { what, kind: *kind, reason }),
            Outcome::Measured(_) => None,
        })
    }
}

/// A failed evaluation of an audited network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditFailure<'a> {
    /// Name of the evaluation, such as `training` or `naswot`.
    pub what: &'static str,
    /// Kind of the failure.
    pub kind: FailureKind,
    /// Reason of the failure, as a sentence.
    pub reason: &'a str,
}

/// Result of an audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Name of the metric that orders the networks.
    pub metric: String,
    /// The networks, in the order in which they were drawn.
    pub networks: Vec<AuditedNetwork>,
    /// The predictors. The supernet's estimates are the first predictor. If each network was trained several
    /// times, the last predictor compares the network's first training with the mean of the other trainings.
    /// This predictor shows how much of the ranking of trained networks is due to chance.
    pub predictors: Vec<Predictor>,
}

impl Audit {
    /// Draws feasible architectures from a run's space, trains those architectures that no earlier audit has
    /// trained, and compares the results with the supernet's estimates. The run folder keeps the training
    /// results in `audit.jsonl` and the audit's result in `audit.json`. During the trainings,
    /// `audit/training/` contains checkpoints. If anchors of the supernet are missing or unusable, the audit
    /// trains the anchors and writes their file again. It writes nothing else to the run folder.
    ///
    /// # Errors
    /// [`AuditError`] if the run has no trained supernet, if there are too few feasible architectures, or if
    /// a file cannot be read or written. If the audit was stopped, the error contains
    /// [`kiln_search::EvalError::Interrupted`].
    pub fn run(
        registries: &Registries,
        assembly: &Assembly,
        paths: &RunPaths,
        plan: AuditPlan<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, AuditError> {
        let (kind, settings) = (&assembly.config.evaluator.kind, &assembly.config.evaluator.settings);
        let (SUPERNET, Some(context)) = (kind.as_str(), &assembly.context) else {
            return Err(AuditError::Evaluator { kind: kind.clone() });
        };
        let own = own_folder(paths);
        let build = |kind: &str, table: Map<String, Value>| {
            let table = Settings::new("evaluator", table);
            let context = Context { folder: paths.root().to_owned(), ..context.clone() };
            registries.evaluators.build(kind, &table, None, context).map_err(AuditError::Settings)
        };
        let supernet = build(SUPERNET, estimating(settings, paths.root()))?;
        let trained = |epochs| Training::new(registries, assembly, epochs);
        let long = trained(plan.epochs)?;
        let epochs: BTreeSet<u32> = plan.short.iter().copied().collect();
        let short = epochs.into_iter().map(|epochs| Ok((epochs, trained(Some(epochs))?)));
        let short = short.collect::<Result<Vec<(u32, Training)>, AuditError>>()?;
        let proxy = build("naswot", Map::new())?;
        let progress = &Stoppable { progress, stop: plan.stop };
        supernet.evaluator.prepare(progress)?;
        let estimating = estimating(settings, paths.root());
        let anchors = rivals::correcting(&estimating, paths.root())?;
        // The networks that corrected the estimates cannot also test the estimates.
        let drawn: Vec<Genotype> = anchors.iter().map(|anchor| anchor.genotype.clone()).collect();
        let genotypes = sample::draw(assembly, plan.networks, &drawn)?;
        let space = assembly.space.as_ref();
        let architectures = decoded(space, &genotypes)?;
        let rivals = RivalSources::prepared(
            estimating,
            |settings| build(SUPERNET, settings),
            (space, &context.data),
            &anchors,
            progress,
        )?;
        let study_seed = assembly.config.study.seed;
        let judge = |built: &Built, index: usize, repeat: u32| {
            let (genotype, architecture) = (&genotypes[index], &architectures[index]);
            let seed = reference::seed(study_seed, repeat, genotype);
            built.evaluator.evaluate(&Request { genotype, architecture, fidelity: Fidelity::Full, seed })
        };

        let records = Records::open(&paths.root().join("audit.jsonl"), progress)?;
        let known = |training: &Training, index: usize, repeat: u32| {
            records.get(&training.reference, &genotypes[index], repeat)
        };
        let repeats = plan.repeats.get();
        // The audit runs all short trainings first, then one full training of each network, then the repeated
        // full trainings.
        let passes = short.iter().map(|(_, training)| (training, reference::SHORT));
        let passes = passes.chain((0..repeats).map(|repeat| (&long, repeat)));
        let trainings: Vec<(&Training, u32, usize)> = passes
            .flat_map(|(training, repeat)| (0..genotypes.len()).map(move |index| (training, repeat, index)))
            .collect();
        let total = trainings.len() as u64;
        let is_open =
            |(training, repeat, index): &(&Training, u32, usize)| known(training, *index, *repeat).is_none();
        let open: Vec<(&Training, u32, usize)> = trainings.into_iter().filter(is_open).collect();
        let done = AtomicU64::new(total - open.len() as u64);
        progress.report("audit", done.load(Ordering::Relaxed), total, "");
        reference::side_by_side(&open, plan, |(training, repeat, index)| {
            let began = Instant::now();
            let seed = reference::seed(study_seed, repeat, &genotypes[index]);
            let outcome = match plan.pool {
                Some(pool) => training.in_a_job(pool, &genotypes[index], seed)?,
                None => judge(&training.built, index, repeat)?,
            };
            let seconds = began.elapsed().as_secs_f64();
            let (reference, genotype) = (training.reference.clone(), genotypes[index].clone());
            records.append(Record { reference, genotype, repeat, outcome, seconds })?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.report("audit", done, total, &format!("{seconds:.1} s"));
            Ok(())
        })?;

        let mut networks = Vec::new();
        for (index, genotype) in genotypes.iter().enumerate() {
            let counts = architectures[index].counts();
            networks.push(AuditedNetwork {
                genotype: genotype.clone(),
                // All networks have been trained at this point.
                trained: (0..repeats).filter_map(|repeat| known(&long, index, repeat)).collect(),
                short: short
                    .iter()
                    .filter_map(|(epochs, training)| {
                        Some((*epochs, known(training, index, reference::SHORT)?))
                    })
                    .collect(),
                estimated: judge(&supernet, index, 0)?,
                rivals: rivals
                    .as_ref()
                    .map(|sources| {
                        let network = (genotype, &architectures[index]);
                        sources.of(space, network, |built| judge(built, index, 0).map_err(AuditError::from))
                    })
                    .transpose()?,
                proxy: judge(&proxy, index, 0)?,
                parameters: counts.parameters,
                macs: counts.macs,
            });
        }
        let predictors = predictors::compare(&networks, &supernet.metrics, &proxy.metrics[0], study_seed);
        let audit = Self { metric: supernet.metrics[0].clone(), networks, predictors };
        audit.save(paths, plan.epochs)?;
        leave([own.trainings(), own.root().to_owned(), paths.trainings()]);
        Ok(audit)
    }
}

/// An audit's trainings have their own folder, because the study removes its own training folder when the
/// search ends.
fn own_folder(paths: &RunPaths) -> RunPaths {
    RunPaths::new(paths.root().join("audit"))
}

/// Builds what trains the networks of an audit of a run, each on its own. `epochs` replaces the epochs of
/// `[finish]`.
pub(crate) fn trainer(
    registries: &Registries,
    assembly: &Assembly,
    epochs: Option<u32>,
) -> Result<Built, AuditError> {
    let evaluator = &assembly.config.evaluator;
    let Some(context) = &assembly.context else {
        return Err(AuditError::Evaluator { kind: evaluator.kind.clone() });
    };
    let finish = assembly.config.finish.as_ref().map(|finish| &finish.settings);
    let table = reference::training(&evaluator.settings, finish, epochs);
    let context = Context { folder: own_folder(&assembly.paths).root().to_owned(), ..context.clone() };
    let table = Settings::new("evaluator", table);
    registries.evaluators.build(SCRATCH, &table, None, context).map_err(AuditError::Settings)
}

fn decoded(space: &dyn SearchSpace, genotypes: &[Genotype]) -> Result<Vec<Architecture>, AuditError> {
    let decoded = genotypes.iter().map(|genotype| space.decode(genotype));
    decoded.collect::<Result<_, _>>().map_err(AuditError::Space)
}

/// Removes each of these training folders that is empty. A training folder is not empty while the study or
/// another audit uses it.
fn leave(folders: [PathBuf; 3]) {
    for folder in folders {
        let _ = fs::remove_dir(folder);
    }
}

/// Stops the audit's preparation when the user requests a stop.
struct Stoppable<'a> {
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl Progress for Stoppable<'_> {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        self.progress.report(stage, done, total, note);
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn warn(&self, message: &str) {
        self.progress.warn(message);
    }
}

/// Settings for training networks on their own, with the fingerprint that identifies the records of these
/// trainings.
struct Training {
    built: Built,
    reference: String,
    /// Number of epochs, if it replaces that of `[finish]`.
    epochs: Option<u32>,
}

impl Training {
    fn new(registries: &Registries, assembly: &Assembly, epochs: Option<u32>) -> Result<Self, AuditError> {
        let built = trainer(registries, assembly, epochs)?;
        Ok(Self { reference: built.evaluator.fingerprint(), built, epochs })
    }

    fn in_a_job(&self, pool: &Pool, genotype: &Genotype, seed: u64) -> Result<Outcome, EvalError> {
        pool.audit(genotype.clone(), self.epochs, seed, &self.reference)
    }
}

/// Changes the settings of the run's evaluator so that the evaluator reuses the run's trained supernet.
fn estimating(settings: &Settings, run: &Path) -> Map<String, Value> {
    let mut table = settings.table().clone();
    table.entry(SUPERNET).or_insert_with(|| run.to_string_lossy().into_owned().into());
    table
}

#[cfg(test)]
mod tests;
