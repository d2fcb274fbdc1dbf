//! Trains the shared weights. Each step averages the gradients of several subnets.

use std::path::PathBuf;

use kiln_search::{EvalError, Progress};
use kiln_space::{Architecture, SpaceError};

use super::gradients::StepGradients;
use super::sampling::Sampler;
use super::saved::Saved;
use super::settings::SupernetSettings;
use super::trained::Trained;
use crate::data::{Batcher, Split};
use crate::deploy::inference;
use crate::devices::pool::Devices;
use crate::evaluators::context::Context;
use crate::evaluators::fingerprint;
use crate::network::weights::Weights;
use crate::training::checkpoint::{self, Checkpoints};
use crate::training::learner::Learner;

/// Name of the stage in reports of progress.
const STAGE: &str = "supernet";

/// Returns the folder of a run's supernet.
pub(super) fn folder(context: &Context) -> PathBuf {
    context.folder.join("supernet")
}

fn checkpoints(settings: &SupernetSettings, devices: &Devices, context: &Context) -> Checkpoints {
    let conditions = fingerprint::conditions(&settings.identity(), devices, context);
    Checkpoints::new(folder(context), &conditions)
}

/// Returns the hash of everything that the training depends on.
pub(super) fn identity(settings: &SupernetSettings, devices: &Devices, context: &Context) -> String {
    let identity = checkpoints(settings, devices, context).identity();
    blake3::Hash::from(identity).to_hex().to_string()
}

/// Reads the result of the training from the run folder. `None` if it is not there or cannot be used: then
/// the training continues from the newest intact checkpoint. No lock is needed, because the files of a result
/// do not change.
pub(super) fn load(settings: &SupernetSettings, devices: &Devices, context: &Context) -> Option<Trained> {
    let checkpoints = checkpoints(settings, devices, context);
    let saved = Saved::of(&folder(context), &checkpoints)?;
    match saved.load(&folder(context), context, devices.main()) {
        Ok(trained) => Some(trained),
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    }
}

/// Trains the supernet. The training resumes from the newest intact checkpoint if there is one.
pub(super) fn train(
    settings: &SupernetSettings,
    devices: &Devices,
    context: &Context,
    progress: &dyn Progress,
) -> Result<Trained, EvalError> {
    let checkpoints = checkpoints(settings, devices, context);
    let examples = context.data.split(Split::Train);
    let training = settings.training();
    let (per_epoch, of_step) = (training.steps_per_epoch(examples.len()), training.step_examples());
    let steps = training.schedule(examples.len()).steps;
    let sampler = Sampler::new(context.space.as_ref(), settings, context.seed);
    let watched = sampler.watched().map_err(broken)?;
    let batcher = Batcher::new(&context.data, devices.main().clone().autodiff(), context.seed);

    let held = checkpoint::hold(&folder(context))?;
    let (mut learner, mut saved) = start(settings, devices, context, &checkpoints, steps)?;
    let mut order = (u64::MAX, Vec::new());
    let mut last = None;
    while !learner.is_over() {
        if progress.stop_requested() {
            checkpoints.save(&learner.checkpoint())?;
            return Err(EvalError::Interrupted);
        }
        let (epoch, index) = (learner.step / per_epoch, (learner.step % per_epoch) as usize);
        if order.0 != epoch {
            order = (epoch, batcher.shuffled(examples, epoch));
        }
        let from = index * of_step;
        let chosen = &order.1[from..(from + of_step).min(order.1.len())];
        let subnets = sampler.subnets(learner.step).map_err(broken)?;
        let mut gradients = StepGradients::new(devices);
        for (piece, part) in training.batches(chosen).zip(0..) {
            let batch = batcher.training(piece, learner.step * training.accumulate as u64 + part);
            let share = piece.len() as f64 / chosen.len() as f64;
            gradients.add(settings, devices, &subnets, &learner.weights, (&batch, share));
        }
        let (gradients, value) = gradients.finish(devices, &learner.weights);
        if !value.is_finite() {
            return Err(EvalError::Diverged { what: "supernet", step: learner.step, loss: value });
        }
        last = Some(value);
        let rate = learner.rate();
        learner = learner.advance(gradients);
        if learner.watches() && learner.step.is_multiple_of(per_epoch) {
            learner.look(validation_loss(&watched, &learner.current(), settings, devices, context));
        }
        if learner.step.is_multiple_of(settings.checkpoint_steps) {
            checkpoints.save(&learner.checkpoint())?;
            saved = Some(learner.step);
        }
        if learner.step.is_multiple_of(10) {
            progress.report(STAGE, learner.step, steps, &format!("loss {value:.4}"));
            progress.number(STAGE, learner.step, "learning_rate", rate);
        }
    }
    if saved != Some(learner.step) {
        checkpoints.save(&learner.checkpoint())?;
    }
    // A resumed study may find the training complete. Then no loss is known.
    let note = last.map(|loss| format!("loss {loss:.4}")).unwrap_or_default();
    progress.report(STAGE, steps, steps, &note);
    let trained = Trained::new(learner.result());
    Saved::new(&trained, learner.step, &checkpoints, context).write(&folder(context))?;
    drop(held);
    Ok(trained)
}

/// Reports a training that ended before.
pub(super) fn report_end(settings: &SupernetSettings, context: &Context, progress: &dyn Progress) {
    let examples = context.data.split(Split::Train).len();
    let steps = settings.training().schedule(examples).steps;
    progress.report(STAGE, steps, steps, "");
}

/// Mean validation loss of the subnets in `watched`. Returns `None` if an output is not finite.
fn validation_loss(
    watched: &[Architecture],
    weights: &Weights,
    settings: &SupernetSettings,
    devices: &Devices,
    context: &Context,
) -> Option<f64> {
    let (data, count) = (&context.data, settings.calibration);
    let losses = watched
        .iter()
        .map(|subnet| inference::validation_loss(subnet, weights, data, count, devices.main()))
        .collect::<Option<Vec<f64>>>()?;
    Some(losses.iter().sum::<f64>() / losses.len() as f64)
}

fn broken(source: SpaceError) -> EvalError {
    EvalError::Space { what: "a subnet of the supernet", source }
}

/// Returns the state from which training resumes, and the step of the checkpoint that contains this state.
fn start(
    settings: &SupernetSettings,
    devices: &Devices,
    context: &Context,
    checkpoints: &Checkpoints,
    steps: u64,
) -> Result<(Learner, Option<u64>), EvalError> {
    let autodiff = devices.main().clone().autodiff();
    let weights = Weights::initialize(&context.space.parameters(), context.seed, &autodiff);
    let weights = if settings.affine { weights } else { weights.with_fixed_affine() };
    let examples = context.data.split(Split::Train).len();
    let learner = Learner::new(weights, &settings.training(), examples, devices.main());
    let path = folder(context);
    let found = checkpoints.latest(steps).map_err(|source| EvalError::File {
        path: path.clone(),
        action: "read checkpoints",
        source,
    })?;
    let Some(checkpoint) = found else { return Ok((learner, None)) };
    let step = checkpoint.step;
    let learner =
        learner.restored(checkpoint).map_err(|error| EvalError::Data { path, problem: error.to_string() })?;
    tracing::info!("supernet: going on from step {step}");
    Ok((learner, Some(step)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use kiln_export::ExporterRegistry;
    use kiln_space::{Genotype, Settings, SpaceRegistry};
    use serde_json::{Value, json};

    use super::*;
    use crate::data::{DataRegistry, Opening};
    use kiln_search::Silent;

    fn table(path: &str, value: &Value) -> Settings {
        Settings::new(path, value.as_object().unwrap().clone())
    }

    /// Trains briefly. Returns the largest change of any scale or shift, and the largest change of any other
    /// weight.
    fn moved(affine: bool, optimizer: &Value) -> [f32; 2] {
        let folder = tempfile::tempdir().unwrap();
        let limited = table("data", &json!({ "limit": 200 }));
        let data = DataRegistry::builtin().open("digits", &Opening::new(&limited, None)).unwrap();
        let space = table("space", &json!({ "stages": [{ "blocks": ["conv", "mbconv"], "width": 8 }] }));
        let space = SpaceRegistry::builtin().build("stages", &space, Some(data.task())).unwrap();
        let context = Context {
            study: "test".to_owned(),
            seed: 1,
            space: Arc::clone(&space),
            space_settings: String::new(),
            data,
            objectives: Vec::new(),
            cost_origins: BTreeMap::new(),
            costs: kiln_search::CostSet::default(),
            exporters: ExporterRegistry::builtin(),
            folder: folder.path().to_owned(),
        };
        let settings = json!({ "epochs": 1, "batch": 32, "affine": affine, "optimizer": optimizer });
        let settings = table("evaluator", &settings);
        let read = SupernetSettings::read(&settings).unwrap();
        let devices = Devices::read(None, &[], &settings).unwrap();
        let trained = train(&read, &devices, &context, &Silent).unwrap();
        let before = Weights::initialize(&space.parameters(), context.seed, devices.main());
        let mut most = [0.0_f32; 2];
        for gene in [0, 1] {
            let genes = vec![gene; space.decisions().len()];
            let network = space.decode(&Genotype::new(genes)).unwrap();
            for ((name, now), (_, then)) in
                trained.weights.arrays(&network).into_iter().zip(before.arrays(&network))
            {
                let is_affine = matches!(name.rsplit_once('.'), Some((_, "scale" | "shift")));
                let most = &mut most[usize::from(!is_affine)];
                for (now, then) in now.data.iter().zip(&then.data) {
                    *most = most.max((now - then).abs());
                }
            }
        }
        most
    }

    #[test]
    fn without_affine_only_scales_and_shifts_stay_unchanged() {
        for optimizer in [
            json!({ "kind": "sgd", "learning_rate": 0.1, "weight_decay": 0.01 }),
            json!({ "kind": "adamw", "learning_rate": 0.01, "weight_decay": 0.01 }),
        ] {
            let [affine, others] = moved(false, &optimizer);
            assert!(affine == 0.0 && others > 0.01, "{affine}, {others}");
            let [affine, others] = moved(true, &optimizer);
            assert!(affine > 0.01 && others > 0.01, "{affine}, {others}");
        }
    }
}
