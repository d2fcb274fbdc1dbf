//! About how long a study will take and how much memory, from one forward pass timed on this machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kiln_evaluator::data::{DataSet, Split};
use kiln_evaluator::{Effort, predict};
use kiln_export::{
    Array, Grid, ModelCard, Prediction, Preprocessing, QuantizationPlan, TrainedModel, expected_arrays,
};
use kiln_space::{Architecture, ParameterKind, ParameterSpec};

use crate::assembly::Assembly;
use crate::survey::Survey;

/// Examples of the timed passes.
const EXAMPLES: u32 = 256;
/// Timed passes; the fastest counts, after one to warm up.
const PASSES: usize = 3;
/// A training step costs about as much as this many forward passes: the pass itself, two of the same size back, and the
/// optimizer with what is kept for it.
const TRAINING: f64 = 4.0;
/// Copies of the shared weights while they train: values, gradients, momentum, and a checkpoint that is written.
const WEIGHT_COPIES: u64 = 4;
/// Activations are kept for the way back, where each has a gradient.
const ACTIVATION_COPIES: u64 = 2;

/// What a study will take, within a factor of two or three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Before the search.
    pub prepare: Duration,
    /// All trials.
    pub search: Duration,
    /// All networks that are finished.
    pub finish: Duration,
    /// Bytes of data, weights and activations.
    pub memory_bytes: u64,
}

impl Estimate {
    /// The estimate for this study with so many workers; `None` where nothing is computed (a table of results) or nothing
    /// is known about the networks.
    #[must_use]
    pub fn new(assembly: &Assembly, survey: &Survey, workers: usize) -> Option<Self> {
        let (data, workload) = (assembly.data.as_deref()?, &assembly.workload);
        let (typical, largest) = (survey.typical.as_ref()?, survey.largest.as_ref()?);
        let seconds_per_example = time_forward(typical, data)?;
        let time = |effort: &Effort, times: u64| {
            let passes = TRAINING * effort.trained as f64 + effort.judged as f64;
            Duration::from_secs_f64(seconds_per_example * passes * times as f64)
        };
        let search = &assembly.config.search;
        let networks = assembly.config.finish.as_ref().map_or(0, |finish| finish.networks as u64);
        let parameters: u64 = assembly.space.parameters().iter().map(values).sum();
        let activations = largest.counts().activation_bytes * ACTIVATION_COPIES;
        let (at_once, side_by_side) =
            (workload.examples_in_memory as u64, workers.min(search.in_flight) as u64);
        Some(Self {
            prepare: time(&workload.prepare, 1),
            search: time(&workload.trial, search.trials),
            finish: time(&workload.network, networks),
            memory_bytes: data_bytes(data)
                + WEIGHT_COPIES * 4 * parameters
                + activations * at_once.max(u64::from(EXAMPLES) * side_by_side),
        })
    }

    /// All stages together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.prepare + self.search + self.finish
    }
}

/// Seconds for each example of a forward pass on all cores.
fn time_forward(architecture: &Architecture, data: &DataSet) -> Option<f64> {
    let model = untrained(architecture, data);
    let chosen: Vec<u32> = data.split(Split::Train).iter().copied().take(EXAMPLES as usize).collect();
    let raw: Vec<f32> = chosen.iter().flat_map(|index| data.example(*index)).copied().collect();
    let pass = || {
        let began = Instant::now();
        std::hint::black_box(predict(&model, &raw));
        began.elapsed()
    };
    pass();
    let fastest = (0..PASSES).map(|_| pass()).min()?;
    Some(fastest.as_secs_f64() / chosen.len().max(1) as f64)
}

/// A network whose arrays have the right shapes and no meaning.
fn untrained(architecture: &Architecture, data: &DataSet) -> TrainedModel {
    let arrays: BTreeMap<String, Array> = expected_arrays(architecture)
        .into_iter()
        .map(|(name, shape)| {
            let values = shape.iter().product();
            (name, Array { shape, data: vec![0.5; values] })
        })
        .collect();
    let (mean, deviation) = data.normalization();
    let card = ModelCard {
        name: "untrained".to_owned(),
        decisions: BTreeMap::new(),
        genotype: String::new(),
        parameters: 0,
        macs: 0,
        predicts: Prediction::Classes,
        classes: data.targets().names().to_vec(),
        data: String::new(),
        training: String::new(),
        preprocessing: Preprocessing {
            input: data.input().to_owned(),
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
            inputs: data.inputs().to_vec(),
            target_offsets: data.target_offsets().to_vec(),
            reading_rules: data.reading_rules().number(),
        },
        metrics: Vec::new(),
        seed: 0,
        versions: BTreeMap::new(),
    };
    let plan = QuantizationPlan::new(architecture);
    let grid = Grid { scale: 1.0, zero_point: 0 };
    let quantization = plan.owners().map(|owner| (architecture.layer(owner).name.clone(), grid)).collect();
    TrainedModel { architecture: architecture.clone(), arrays, quantization, card }
}

fn data_bytes(data: &DataSet) -> u64 {
    let examples: usize =
        [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split).len()).iter().sum();
    4 * (examples * data.shape().elements()) as u64
}

fn values(parameter: &ParameterSpec) -> u64 {
    let bias = |has: bool, outputs: usize| if has { outputs } else { 0 };
    let values = match &parameter.kind {
        ParameterKind::Conv2d { outputs, inputs, kernel, bias: has } => {
            outputs * inputs * kernel[0] * kernel[1] + bias(*has, *outputs)
        }
        ParameterKind::Linear { outputs, inputs, bias: has } => outputs * inputs + bias(*has, *outputs),
        ParameterKind::BatchNorm { channels } => 2 * channels,
    };
    values as u64
}
