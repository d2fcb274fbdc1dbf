//! Training the shared weights: several subnets a step, their gradients averaged.

use std::path::PathBuf;

use kiln_search::{EvalError, Progress};
use kiln_space::{Architecture, SpaceError};

use super::gradients::StepGradients;
use super::sampling::Sampler;
use super::saved::Saved;
use super::settings::SupernetSettings;
use crate::checkpoint::Checkpoints;
use crate::data::{Batcher, Split};
use crate::devices::Devices;
use crate::learner::Learner;
use crate::weights::Weights;
use crate::{Context, inference};

/// Trained shared weights, outside any autodiff graph.
pub(super) struct Trained {
    pub(super) weights: Weights,
    pub(super) hash: String,
}

impl Trained {
    pub(super) fn new(weights: Weights) -> Self {
        let hash = blake3::hash(&weights.parameters.to_bytes()).to_hex().to_string();
        Self { weights, hash }
    }
}

/// Folder of a run's supernet.
pub(super) fn folder(context: &Context) -> PathBuf {
    context.folder.join("supernet")
}

/// Trains, going on from the newest whole checkpoint.
pub(super) fn train(
    settings: &SupernetSettings,
    devices: &Devices,
    context: &Context,
    progress: &dyn Progress,
) -> Result<Trained, EvalError> {
    let checkpoints = Checkpoints::new(folder(context), &identity(settings, devices, context));
    let examples = context.data.split(Split::Train);
    let training = settings.training();
    let (per_epoch, of_step) = (training.steps_per_epoch(examples.len()), training.step_examples());
    let steps = training.schedule(examples.len()).steps;
    let sampler = Sampler::new(context.space.as_ref(), settings, context.seed);
    let watched = sampler.watched().map_err(broken)?;
    let batcher = Batcher::new(&context.data, devices.main().clone().autodiff(), context.seed);

    let (mut learner, mut saved) = start(settings, devices, context, &checkpoints)?;
    let mut order = (u64::MAX, Vec::new());
    let mut last = 0.0;
    while !learner.is_over() {
        if progress.stop_requested() {
            save(&checkpoints, &learner, context)?;
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
        last = value;
        learner = learner.advance(gradients);
        if learner.watches() && learner.step.is_multiple_of(per_epoch) {
            learner.look(validation_loss(&watched, &learner.current(), settings, devices, context));
        }
        if learner.step.is_multiple_of(settings.checkpoint_steps) {
            save(&checkpoints, &learner, context)?;
            saved = Some(learner.step);
        }
        if learner.step.is_multiple_of(10) {
            progress.report("supernet", learner.step, steps, &format!("loss {last:.4}"));
        }
    }
    if saved != Some(learner.step) {
        save(&checkpoints, &learner, context)?;
    }
    progress.report("supernet", steps, steps, &format!("loss {last:.4}"));
    let trained = Trained::new(learner.result());
    Saved::new(&trained, learner.step, &checkpoints, context).write(&folder(context)).map_err(|source| {
        EvalError::File { path: folder(context), action: "say that the supernet is trained", source }
    })?;
    Ok(trained)
}

/// Mean validation loss of the watched subnets; `None` if one gives an output that is not finite.
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

/// The state to train on from, and the step of the checkpoint that it was read from.
fn start(
    settings: &SupernetSettings,
    devices: &Devices,
    context: &Context,
    checkpoints: &Checkpoints,
) -> Result<(Learner, Option<u64>), EvalError> {
    let autodiff = devices.main().clone().autodiff();
    let weights = Weights::initialize(&context.space.parameters(), context.seed, &autodiff);
    let examples = context.data.split(Split::Train).len();
    let learner = Learner::new(weights, &settings.training(), examples, devices.main());
    let path = folder(context);
    let found = checkpoints.latest().map_err(|source| EvalError::File {
        path: path.clone(),
        action: "read checkpoints",
        source,
    })?;
    let Some(checkpoint) = found else { return Ok((learner, None)) };
    let step = checkpoint.step;
    let learner = learner.restored(checkpoint).map_err(|problem| EvalError::Data { path, problem })?;
    tracing::info!("supernet: going on from step {step}");
    Ok((learner, Some(step)))
}

fn save(checkpoints: &Checkpoints, learner: &Learner, context: &Context) -> Result<(), EvalError> {
    checkpoints.save(&learner.checkpoint()).map_err(|source| EvalError::File {
        path: folder(context),
        action: "write a checkpoint",
        source,
    })
}

fn identity(settings: &SupernetSettings, devices: &Devices, context: &Context) -> String {
    let parts = [
        settings.identity(),
        context.space_settings.clone(),
        context.data.hash().to_owned(),
        format!("{:?}", context.data.augmentation()),
        context.seed.to_string(),
        devices.class().to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    ];
    parts.join("\n")
}
