//! Checks whether trained shared weights can rank networks. The check takes seconds and runs before the
//! weights evaluate any network.
//!
//! The result depends only on config, seed and data. The check has its own random generator and changes no
//! weights.

mod short_training;
mod verdict;

use burn::tensor::Device;
use kiln_search::{EvalError, Progress, SupernetHealth};
use kiln_space::{Architecture, Genotype, SearchSpace, SpaceError, variation};

use self::verdict::{Measured, Probe, ShortTraining};
use super::extremes::{self, Extreme};
use super::settings::SupernetSettings;
use crate::data::{Batcher, Split};
use crate::deploy::frozen::{BATCH, Frozen};
use crate::devices::pool::Devices;
use crate::evaluators::context::Context;
use crate::judging::{judgement, value_errors};
use crate::network::weights::Weights;
use crate::seed;

/// Number of networks that are drawn besides the two extremes.
const DRAWN: usize = 12;
/// Number of drawn networks that are also trained on their own.
const ALONE: usize = 2;
/// Maximum number of examples on which a network is evaluated. The examples are spread evenly over the split.
const EXAMPLES: usize = 2048;
/// Name of the stage in progress reports.
const STAGE: &str = "health";

/// Runs the health check on the shared weights. Each device has a copy of them.
pub(super) fn check(
    settings: &SupernetSettings,
    devices: &Devices,
    context: &Context,
    weights: &[Weights],
    progress: &dyn Progress,
) -> Result<SupernetHealth, EvalError> {
    let genotypes = probes(context.space.as_ref(), context.seed);
    let networks = genotypes.iter().map(|genotype| context.space.decode(genotype));
    let networks: Vec<Architecture> = networks.collect::<Result<_, _>>().map_err(broken)?;
    let alone: Vec<usize> = middling(&networks[2..]).into_iter().map(|index| index + 2).collect();
    let total = (networks.len() + alone.len()) as u64;
    progress.report(STAGE, 0, total, "");
    let judge = |index: usize, network: &Architecture, device: &Device| {
        let weights = &weights[index % weights.len()];
        let frozen = Frozen::new(network, weights, &context.data, settings.calibration, device)?;
        let of = |split: Split| examples_judged(&frozen, context, split, device);
        Some(Probe { training: of(Split::Train)?, validation: of(Split::Validation)? })
    };
    let judged: Vec<Option<Probe>> = devices.map(&networks, judge);
    progress.report(STAGE, networks.len() as u64, total, "");
    let train = |_: usize, index: &usize, device: &Device| {
        let trained = short_training::train(&networks[*index], settings, context, device, progress)?;
        Ok(trained.and_then(|frozen| examples_judged(&frozen, context, Split::Validation, device)))
    };
    let trained = devices.map_whole(&alone, train).into_iter().collect::<Result<Vec<_>, EvalError>>()?;
    progress.report(STAGE, total, total, "");
    let trained =
        alone.iter().zip(trained).map(|(network, alone)| ShortTraining { network: *network, alone });
    let measured = Measured {
        is_regression: context.data.is_regression(),
        guessing: guessing(context),
        probes: judged,
        steps: short_training::STEPS as u64,
        trained: trained.collect(),
        epochs: settings.epochs,
    };
    Ok(verdict::verdict(&measured))
}

/// Returns the largest network, the smallest one, and distinct drawn networks.
fn probes(space: &dyn SearchSpace, study_seed: u64) -> Vec<Genotype> {
    let mut rng = seed::generator(study_seed, "health", &[]);
    let mut probes =
        [Extreme::Largest, Extreme::Smallest].map(|extreme| extremes::find(space, extreme)).to_vec();
    // A small space may have fewer networks, so the number of draws is bounded.
    for _ in 0..100 * DRAWN {
        if probes.len() == 2 + DRAWN {
            break;
        }
        let genotype = variation::sample(space, &mut rng);
        if !probes.contains(&genotype) {
            probes.push(genotype);
        }
    }
    probes
}

/// Indices of the networks closest to the median of multiply-accumulates. Ties go to the first network.
fn middling(networks: &[Architecture]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..networks.len()).collect();
    order.sort_by_key(|index| networks[*index].counts().macs);
    let from = (order.len() - order.len().min(ALONE)) / 2;
    order[from..].iter().copied().take(ALONE).collect()
}

/// The mean error of guessing on the validation split. In a classification, the guess is the most frequent
/// class of the validation split. In a regression, the guess is the mean of the training split. In a
/// regression, the error is not exactly 1 if the two splits have different means or standard deviations.
fn guessing(context: &Context) -> f64 {
    let (data, validation) = (&context.data, context.data.split(Split::Validation));
    if data.is_regression() {
        return value_errors::of_training_mean(data, validation);
    }
    let mut counts = vec![0_usize; data.targets().names().len()];
    for example in validation {
        counts[data.label(*example) as usize] += 1;
    }
    let most = counts.into_iter().max().unwrap_or(0);
    1.0 - most as f64 / validation.len().max(1) as f64
}

/// Evaluates a network on examples that are spread evenly over a split, and returns the result for each
/// example. Returns `None` if an output is not finite.
fn examples_judged(
    network: &Frozen,
    context: &Context,
    split: Split,
    device: &Device,
) -> Option<Vec<judgement::ExampleJudgement>> {
    let (data, all) = (&context.data, context.data.split(split));
    let count = EXAMPLES.min(all.len());
    let chosen: Vec<u32> = (0..count).map(|i| all[i * all.len() / count]).collect();
    let batcher = Batcher::new(data, device.clone(), 0);
    let outputs = network.outputs(chosen.chunks(BATCH).map(|examples| batcher.plain(examples).images));
    judgement::of_examples(&outputs, data, &chosen)
}

fn broken(source: SpaceError) -> EvalError {
    EvalError::Space { what: "a subnet of the supernet", source }
}
