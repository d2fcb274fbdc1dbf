//! Settings of the trainings that the audit compares with estimates, and a function that runs several
//! trainings at the same time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kiln_search::seed;
use kiln_space::{Genotype, Settings};
use serde_json::{Map, Value};

use super::{AuditError, AuditPlan};

/// Keys of `[evaluator]` and `[finish]` that define how a network is trained.
const TRAINING_KEYS: [&str; 9] = [
    "epochs",
    "batch",
    "optimizer",
    "warmup_epochs",
    "label_smoothing",
    "accumulate",
    "clip_norm",
    "ema",
    "patience",
];
/// Keys of `[evaluator]` that also apply when a network is trained on its own.
const EVALUATOR_KEYS: [&str; 3] = ["device", "devices", "checkpoint_steps"];
/// Keys that the settings of `[finish]` do not inherit from the supernet's settings.
const NOT_INHERITED: [&str; 2] = ["warmup_epochs", "patience"];

/// Returns the settings for training a network on its own. These are the settings of `[finish]`, except that
/// the weights are newly initialized and the training does not include the validation split. The supernet's
/// learning rate is not used, because it is chosen for gradients that are averaged over several subnets.
pub(super) fn training(
    supernet: &Settings,
    finish: Option<&Settings>,
    epochs: Option<u32>,
) -> Map<String, Value> {
    let chosen = |settings: &Settings, keys: &[&str]| {
        let chosen = settings.table().iter().filter(|(key, _)| keys.contains(&key.as_str()));
        chosen.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<String, Value>>()
    };
    let mut table = chosen(supernet, &TRAINING_KEYS);
    table.extend(chosen(supernet, &EVALUATOR_KEYS));
    if let Some(finish) = finish {
        table.retain(|key, _| !NOT_INHERITED.contains(&key.as_str()));
        table.extend(chosen(finish, &TRAINING_KEYS));
    }
    if let Some(epochs) = epochs {
        table.insert("epochs".to_owned(), epochs.into());
        let warmup = table.get("warmup_epochs").and_then(Value::as_u64).unwrap_or(0);
        table.insert("warmup_epochs".to_owned(), warmup.min(u64::from(epochs.saturating_sub(1))).into());
    }
    table
}

/// Repeat number of short trainings. Short trainings therefore have different seeds than full trainings, and
/// no full training continues a short training.
pub(super) const SHORT: u32 = u32::MAX;

/// Returns the seed of a training. The first training of a network uses the trial's seed.
pub(super) fn seed(study_seed: u64, repeat: u32, genotype: &Genotype) -> u64 {
    let seed = match repeat {
        0 => study_seed,
        _ => seed::derive(study_seed, "audit repeat", &[&repeat.to_le_bytes()]),
    };
    seed::trial_seed(seed, genotype)
}

/// Processes the items on this many threads until all items are processed, one item fails, or the user stops
/// the audit.
pub(super) fn side_by_side<T: Copy + Sync>(
    items: &[T],
    plan: AuditPlan<'_>,
    work: impl Fn(T) -> Result<(), AuditError> + Sync,
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
