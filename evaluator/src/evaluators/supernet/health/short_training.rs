//! Trains one network on its own for a short time. The health check compares shared weights with the result.

use burn::tensor::Device;
use kiln_search::{EvalError, Progress};
use kiln_space::Architecture;

use crate::data::{Batcher, Split};
use crate::deploy::frozen::Frozen;
use crate::evaluators::context::Context;
use crate::evaluators::supernet::SupernetSettings;
use crate::network::stand_alone::stand_alone;
use crate::network::weights::Weights;
use crate::training::form::How;
use crate::training::learner::Learner;
use crate::training::one_network::Training;
use crate::training::optimizer_settings::{OptimizerKind, OptimizerSettings};
use crate::training::settings::TrainingSettings;

/// Number of optimizer steps.
pub(super) const STEPS: usize = 50;
/// Maximum batch size.
const BATCH: usize = 64;
/// Always `AdamW`, whatever the config states, because a wrong learning rate of the supernet must not make
/// the comparison easier.
const OPTIMIZER: OptimizerSettings =
    OptimizerSettings { kind: OptimizerKind::AdamW, learning_rate: 0.01, momentum: 0.9, weight_decay: 1e-4 };

/// Trains a network from new weights and freezes it. Returns `None` if the training diverges.
pub(super) fn train(
    network: &Architecture,
    supernet: &SupernetSettings,
    context: &Context,
    device: &Device,
    progress: &dyn Progress,
) -> Result<Option<Frozen>, EvalError> {
    let data = &context.data;
    let split = data.split(Split::Train);
    let batch = supernet.batch.min(BATCH).min(split.len().max(2));
    // The examples are spread evenly over the split. Their number is chosen so that a whole number of epochs
    // has the wanted number of steps.
    let epochs = (STEPS * batch).div_ceil(split.len()).max(1);
    let count = (STEPS * batch / epochs).clamp(1, split.len());
    let examples: Vec<u32> = (0..count).map(|i| split[i * split.len() / count]).collect();
    let settings = TrainingSettings {
        class_weights: supernet.class_weights.clone(),
        ..TrainingSettings::plain(epochs as u32, batch, OPTIMIZER)
    };
    let (network, specs) = stand_alone(network);
    let seed = kiln_search::seed::derive(context.seed, "health", &[]);
    let weights = Weights::initialize(&specs, seed, &device.clone().autodiff());
    let training = Training {
        architecture: &network,
        data,
        examples: &examples,
        settings: &settings,
        seed,
        calibration: supernet.calibration,
        device,
        how: How::default(),
    };
    let batcher = Batcher::new(data, device.clone().autodiff(), seed);
    let per_epoch = settings.steps_per_epoch(examples.len());
    let mut learner = Learner::new(weights, &settings, examples.len(), device);
    let mut order = Vec::new();
    while !learner.is_over() {
        if progress.stop_requested() {
            return Err(EvalError::Interrupted);
        }
        let (epoch, index) = (learner.step / per_epoch, (learner.step % per_epoch) as usize);
        if index == 0 {
            order = batcher.shuffled(&examples, epoch);
        }
        let of_step = &order[index * batch..((index + 1) * batch).min(order.len())];
        let (gradients, loss) = training.gradients(&learner, &batcher, of_step);
        if !loss.is_finite() {
            return Ok(None);
        }
        learner = learner.advance(gradients);
    }
    Ok(Frozen::new(&network, &learner.result(), data, supernet.calibration, device))
}
