//! Whether a supernet ranks: its estimates of some architectures against the same architectures trained on their own, beside
//! what needs no supernet at all.

mod error;
mod records;
mod result;
mod sample;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kiln_evaluator::{Built, Context};
use kiln_search::{Fidelity, Outcome, Progress, RankCorrelation, Request, RunPaths, rank_correlation, seed};
use kiln_space::{Genotype, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::error::AuditError;
use self::records::{Record, Records};
use crate::assembly::{Assembly, Registries};

/// The evaluator that is audited.
const SUPERNET: &str = "supernet";
/// Settings of a supernet that say how a network of its own is trained.
const SHARED_KEYS: [&str; 12] = [
    "device",
    "devices",
    "epochs",
    "batch",
    "optimizer",
    "warmup_epochs",
    "label_smoothing",
    "accumulate",
    "clip_norm",
    "ema",
    "patience",
    "checkpoint_steps",
];

/// How much is audited.
#[derive(Clone, Copy, Debug)]
pub struct AuditPlan<'a> {
    /// Architectures to train.
    pub networks: NonZeroUsize,
    /// Epochs of each, instead of the supernet's.
    pub epochs: Option<u32>,
    /// Networks that are trained at one time. It changes the time taken and nothing else.
    pub workers: usize,
    /// Set from outside to stop: networks that are being trained are finished and kept.
    pub stop: &'a AtomicBool,
}

/// An architecture with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedNetwork {
    /// Which.
    pub genotype: Genotype,
    /// Measured after it was trained on its own.
    pub trained: Outcome,
    /// Measured with the supernet's weights.
    pub estimated: Outcome,
    /// Its zero-cost proxy.
    pub proxy: Outcome,
    /// Trained numbers.
    pub parameters: u64,
    /// Multiply-accumulates for one example.
    pub macs: u64,
}

/// How well one number orders the networks as training them does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictor {
    /// Name of the number.
    pub name: String,
    /// Kendall's tau-b, 1 for the same order; `None` where all values are the same, or too few networks could be measured.
    pub correlation: Option<RankCorrelation>,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Name of the metric by which networks are ordered.
    pub metric: String,
    /// The networks, in the order in which they were drawn.
    pub networks: Vec<AuditedNetwork>,
    /// The supernet's estimates first.
    pub predictors: Vec<Predictor>,
}

impl Audit {
    /// Draws feasible architectures of a run's space, trains those that have not been trained before, and compares. What is
    /// trained is kept in `audit.jsonl` of the run folder, what came of it in `audit.json`; checkpoints of trainings stand in
    /// `training/` while they go on. Nothing else there is written.
    ///
    /// # Errors
    /// [`AuditError`] for a run without a trained supernet, too few feasible architectures, and files that cannot be read or
    /// written; [`kiln_search::EvalError::Interrupted`] in it when stopped.
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
        let context = Context { folder: paths.root().to_owned(), ..context.clone() };
        let build = |kind: &str, table: Map<String, Value>| {
            let table = Settings::new("evaluator", table);
            registries.evaluators.build(kind, &table, None, context.clone()).map_err(AuditError::Settings)
        };
        let supernet = build(SUPERNET, estimating(settings, paths.root()))?;
        let scratch = build("scratch", training(settings, plan.epochs))?;
        let proxy = build("naswot", Map::new())?;
        let genotypes = sample::draw(assembly, plan.networks)?;
        let mut architectures = Vec::new();
        for genotype in &genotypes {
            architectures.push(assembly.space.decode(genotype).map_err(AuditError::Space)?);
        }
        supernet.evaluator.prepare(progress)?;
        let study_seed = assembly.config.study.seed;
        let judge = |built: &Built, index: usize| {
            let (genotype, architecture) = (&genotypes[index], &architectures[index]);
            let seed = seed::trial_seed(study_seed, genotype);
            built.evaluator.evaluate(&Request { genotype, architecture, fidelity: Fidelity::Full, seed })
        };

        let records = Records::open(&paths.root().join("audit.jsonl"))?;
        let reference = scratch.evaluator.fingerprint();
        let known = |index: usize| records.get(&reference, &genotypes[index]);
        let open: Vec<usize> = (0..genotypes.len()).filter(|index| known(*index).is_none()).collect();
        let total = genotypes.len() as u64;
        let done = AtomicUsize::new(genotypes.len() - open.len());
        progress.report("audit", done.load(Ordering::Relaxed) as u64, total, "");
        side_by_side(&open, plan, |index| {
            let began = Instant::now();
            let outcome = judge(&scratch, index)?;
            let seconds = began.elapsed().as_secs_f64();
            let genotype = genotypes[index].clone();
            records.append(Record { reference: reference.clone(), genotype, outcome, seconds })?;
            let done = done.fetch_add(1, Ordering::Relaxed) as u64 + 1;
            progress.report("audit", done, total, &format!("{seconds:.1} s"));
            Ok(())
        })?;

        let mut networks = Vec::new();
        for (index, genotype) in genotypes.iter().enumerate() {
            // Every one of them has been trained by now.
            let Some(trained) = records.get(&reference, genotype) else { continue };
            let counts = architectures[index].counts();
            networks.push(AuditedNetwork {
                genotype: genotype.clone(),
                trained,
                estimated: judge(&supernet, index)?,
                proxy: judge(&proxy, index)?,
                parameters: counts.parameters,
                macs: counts.macs,
            });
        }
        let audit = Self::compare(networks, &supernet.metrics, &proxy.metrics[0], study_seed);
        audit.save(paths, plan.epochs)?;
        // The folder stays where the study has something in it.
        let _ = fs::remove_dir(paths.trainings());
        Ok(audit)
    }

    /// Correlations over the networks for which every number is known. `metrics` are the evaluator's; the first orders.
    fn compare(networks: Vec<AuditedNetwork>, metrics: &[String], proxy: &str, seed: u64) -> Self {
        let get = |outcome: &Outcome, name: &str| outcome.measurement().and_then(|found| found.get(name));
        let metric = metrics[0].clone();
        let mut names: Vec<String> = metrics.iter().map(|name| format!("supernet {name}")).collect();
        names.extend(["parameters", "macs", proxy].map(str::to_owned));
        let rows: Vec<(f64, Vec<f64>)> = networks
            .iter()
            .filter_map(|network| {
                let trained = get(&network.trained, &metric)?;
                let mut row =
                    metrics.iter().map(|name| get(&network.estimated, name)).collect::<Option<Vec<f64>>>()?;
                // More of them should mean less error.
                row.extend([-(network.parameters as f64), -(network.macs as f64)]);
                row.push(get(&network.proxy, proxy)?);
                Some((trained, row))
            })
            .collect();
        let trained: Vec<f64> = rows.iter().map(|(trained, _)| *trained).collect();
        let predictors = names
            .into_iter()
            .enumerate()
            .map(|(column, name)| {
                let values: Vec<f64> = rows.iter().map(|(_, row)| row[column]).collect();
                Predictor { name, correlation: rank_correlation(&values, &trained, seed) }
            })
            .collect();
        Self { metric, networks, predictors }
    }
}

/// Settings of the run's evaluator that take its own trained supernet over.
fn estimating(settings: &Settings, run: &Path) -> Map<String, Value> {
    let mut table = settings.table().clone();
    table.entry(SUPERNET).or_insert_with(|| run.to_string_lossy().into_owned().into());
    table
}

/// Settings with which a network is trained on its own as the supernet was.
fn training(settings: &Settings, epochs: Option<u32>) -> Map<String, Value> {
    let shared = settings.table().iter().filter(|(key, _)| SHARED_KEYS.contains(&key.as_str()));
    let mut table: Map<String, Value> = shared.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(epochs) = epochs {
        table.insert("epochs".to_owned(), epochs.into());
        let warmup = table.get("warmup_epochs").and_then(Value::as_u64).unwrap_or(0);
        table.insert("warmup_epochs".to_owned(), warmup.min(u64::from(epochs.saturating_sub(1))).into());
    }
    table
}

/// Works on the items with so many threads until all are done, one fails or the user stops.
fn side_by_side(
    items: &[usize],
    plan: AuditPlan<'_>,
    work: impl Fn(usize) -> Result<(), AuditError> + Sync,
) -> Result<(), AuditError> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stopped = plan.stop.load(Ordering::Relaxed);
            let done = if stopped { Err(AuditError::interrupted()) } else { work(*item) };
            if let Err(error) = done {
                next.store(items.len(), Ordering::Relaxed);
                failed.lock().expect("no holder panics").get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..plan.workers.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    failed.into_inner().expect("no holder panics").map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
