//! Training the shared weights: several subnets a step, their gradients averaged.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device, Tensor};
use kiln_search::{EvalError, Progress};
use kiln_space::Architecture;

use super::sampling::Sampler;
use super::settings::{Sampling, SupernetSettings};
use crate::Context;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::data::{Batch, Batcher, Split};
use crate::executor::{self, Normalization};
use crate::loss;
use crate::parallel;
use crate::schedule::Schedule;
use crate::weights::{Parameters, Weights};

/// Trained shared weights, outside any autodiff graph.
pub(super) struct Trained {
    pub(super) weights: Weights,
    pub(super) hash: String,
}

struct State {
    step: u64,
    weights: Weights,
    optimizer: ModuleOptimizer,
}

/// Trains, going on from the newest whole checkpoint.
pub(super) fn train(
    settings: &SupernetSettings,
    device: &Device,
    context: &Context,
    progress: &dyn Progress,
) -> Result<Trained, EvalError> {
    let identity = identity(settings, context);
    let checkpoints = Checkpoints::new(context.folder.join("supernet"), &identity);
    let examples = context.data.split(Split::Train);
    let training = settings.training();
    let schedule = training.schedule(examples.len());
    let per_epoch = training.steps_per_epoch(examples.len());
    let sampler = Sampler::new(context.space.as_ref(), settings, context.seed);
    let batcher = Batcher::new(&context.data, device.clone().autodiff(), context.seed);

    let mut state = start(settings, device, context, &checkpoints)?;
    let mut order = (u64::MAX, Vec::new());
    let mut last = 0.0;
    while state.step < schedule.steps {
        if progress.stop_requested() {
            save(&checkpoints, &state, context)?;
            return Err(EvalError::Interrupted);
        }
        let epoch = state.step / per_epoch;
        if order.0 != epoch {
            order = (epoch, batcher.shuffled(examples, epoch));
        }
        let from = ((state.step % per_epoch) as usize) * settings.batch;
        let chunk = &order.1[from..(from + settings.batch).min(order.1.len())];
        let batch = batcher.training(chunk, state.step);
        let subnets = sampler
            .subnets(state.step)
            .map_err(|source| EvalError::Space { what: "a subnet of the supernet", source })?;
        let (gradients, value) = gradients(settings, &subnets, &state.weights, &batch);
        if !value.is_finite() {
            return Err(EvalError::Diverged { what: "supernet", step: state.step, loss: value });
        }
        last = value;
        state = advance(state, &schedule, gradients);
        if state.step.is_multiple_of(settings.checkpoint_steps) {
            save(&checkpoints, &state, context)?;
        }
        if state.step.is_multiple_of(10) {
            progress.report("supernet", state.step, schedule.steps, &format!("loss {value:.4}"));
        }
    }
    save(&checkpoints, &state, context)?;
    progress.report("supernet", schedule.steps, schedule.steps, &format!("loss {last:.4}"));
    let weights = state.weights.detached();
    let hash = blake3::hash(&bytes_of(&weights.parameters)).to_hex().to_string();
    Ok(Trained { weights, hash })
}

fn advance(state: State, schedule: &Schedule, gradients: GradientsParams) -> State {
    let State { step, mut weights, mut optimizer } = state;
    weights.parameters = optimizer.step(schedule.rate(step), weights.parameters, gradients);
    State { step: step + 1, weights, optimizer }
}

/// Gradients averaged over the subnets, and the mean loss. The subnets run in parallel; their gradients are added in order.
fn gradients(
    settings: &SupernetSettings,
    subnets: &[Architecture],
    weights: &Weights,
    batch: &Batch,
) -> (GradientsParams, f64) {
    let share = 1.0 / subnets.len() as f64;
    let device = batch.images.device();
    let leaves: Vec<Weights> = subnets.iter().map(|_| weights.forked(&device)).collect();
    let forward = |index: usize| {
        executor::forward(&subnets[index], &leaves[index], batch.images.clone(), Normalization::Batch(None))
    };
    let on_targets =
        |outputs: Tensor<2>| loss::against_targets(outputs, &batch.targets, settings.label_smoothing);
    let backward = |index: usize, loss: Tensor<1>| {
        let value = loss::value(&loss);
        let gradients = GradientsParams::from_grads((loss * share).backward(), &leaves[index].parameters);
        (gradients, value)
    };
    let teaches = settings.sampling == Sampling::Sandwich && settings.distillation;
    let results = if teaches {
        let teacher = forward(0);
        let outputs = teacher.clone().detach();
        let first = std::sync::Mutex::new(Some(teacher));
        parallel::map(subnets, |index, _| {
            if index == 0 {
                let taken = first.lock().expect("no holder panics").take();
                backward(index, on_targets(taken.expect("taken once, by the first subnet")))
            } else {
                backward(index, loss::against_teacher(forward(index), outputs.clone(), &batch.targets))
            }
        })
    } else {
        parallel::map(subnets, |index, _| backward(index, on_targets(forward(index))))
    };
    let mut accumulator = GradientsAccumulator::new();
    let mut sum = 0.0;
    for (gradients, value) in results {
        accumulator.accumulate(&weights.parameters, gradients);
        sum += value;
    }
    (accumulator.grads(), sum * share)
}

fn start(
    settings: &SupernetSettings,
    device: &Device,
    context: &Context,
    checkpoints: &Checkpoints,
) -> Result<State, EvalError> {
    let autodiff = device.clone().autodiff();
    let mut weights = Weights::initialize(&context.space.parameters(), context.seed, &autodiff);
    let mut optimizer = settings.optimizer.build(&weights.parameters);
    let found = checkpoints.latest().map_err(|source| EvalError::File {
        path: context.folder.join("supernet"),
        action: "read checkpoints",
        source,
    })?;
    let Some(checkpoint) = found else {
        return Ok(State { step: 0, weights, optimizer });
    };
    let damaged = |problem: String| EvalError::Data { path: context.folder.join("supernet"), problem };
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(checkpoint.weights));
    let record = record.map_err(|error| damaged(error.to_string()))?;
    weights.parameters =
        weights.parameters.try_load_record(record).map_err(|error| damaged(error.to_string()))?;
    optimizer = optimizer
        .from_bytes(Bytes::from_bytes_vec(checkpoint.optimizer))
        .map_err(|error| damaged(error.to_string()))?;
    tracing::info!("supernet: going on from step {}", checkpoint.step);
    Ok(State { step: checkpoint.step, weights, optimizer })
}

fn save(checkpoints: &Checkpoints, state: &State, context: &Context) -> Result<(), EvalError> {
    let optimizer = state.optimizer.into_bytes().expect("optimizer state is serializable").to_vec();
    let weights = bytes_of(&state.weights.parameters);
    checkpoints.save(&Checkpoint { step: state.step, weights, optimizer }).map_err(|source| EvalError::File {
        path: context.folder.join("supernet"),
        action: "write a checkpoint",
        source,
    })
}

fn bytes_of(parameters: &Parameters) -> Vec<u8> {
    parameters.clone().into_record().into_bytes().expect("weights are serializable").to_vec()
}

fn identity(settings: &SupernetSettings, context: &Context) -> String {
    let parts = [
        settings.identity(),
        context.space_settings.clone(),
        context.data.hash().to_owned(),
        format!("{:?}", context.data.augmentation()),
        context.seed.to_string(),
        crate::device::class(&settings.device),
        env!("CARGO_PKG_VERSION").to_owned(),
    ];
    parts.join("\n")
}
