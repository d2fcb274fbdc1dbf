//! Trains a network on the grids on which it will run: 8-bit activations, and weights of 8 or 4 bits. The steps
//! of weights and the scales of activations are trained too.

use std::collections::BTreeMap;

use kiln_export::{
    Calibration, Calibrator, Grid, ModelCard, QuantizationPlan, QuantizedNetwork, TrainedModel, WeightCode,
    best_steps, stated_limit,
};
use kiln_space::{Architecture, LayerId, NumberFormat, Op, Precision};

use super::error::CompressionError;
use super::observation;
use super::retraining::trainable;
use super::workshop::Workshop;
use crate::deploy::arrays;
use crate::network::fake_quantization::FakeQuantization;
use crate::network::plan::Plan;
use crate::network::stand_alone::stand_alone;
use crate::network::statistics::Statistics;
use crate::network::straight_through::{LearnedGrid, WeightBounds};
use crate::network::weights::{Values, Weights};
use crate::training::form::Form;

/// The name of a layer's trained parameter: the logarithm of its output's scale.
fn scale_of(layer: &str) -> String {
    format!("{layer}.log_scale")
}

/// The name of a layer's trained parameter: the logarithms of its weights' steps.
fn steps_of(layer: &str) -> String {
    format!("{layer}.log_step")
}

/// How a quantization-aware training runs a network. Batch normalizations keep the statistics that the network
/// had before.
///
/// The share of rounded layers grows from epoch to epoch in the first half of the training, from the first
/// layer to the last, so that the layers after a rounded layer adapt to it before they are rounded.
/// Source: A. Zhou et al., "Incremental Network Quantization", ICLR 2017, section 3. Differs: whole layers
/// instead of weights, and rounded layers are trained on.
pub(super) struct QuantizationAware {
    /// For each number of rounded layers, from 1 to all, the architecture with the number formats of its
    /// layers, and its plan.
    steps: Vec<(Architecture, QuantizationPlan)>,
    statistics: Statistics,
    /// Zero points of the grids, by layer name.
    zero_points: BTreeMap<String, i8>,
    /// Number of epochs until all layers are rounded.
    ramp: u32,
}

impl QuantizationAware {
    /// Prepares a training of `model`, a network in single precision, with weights in this format and
    /// activations of 8 bits. Returns the weights to train. The first scales cover the values of calibration
    /// examples. The first steps have the smallest mean squared error. `ramp` is the number of epochs until
    /// all layers are rounded.
    ///
    /// # Errors
    /// [`CompressionError::Export`] when a layer has no range, [`CompressionError::Unfit`] when no layer can be
    /// rounded.
    pub(super) fn new(
        workshop: &Workshop<'_>,
        model: &TrainedModel,
        format: NumberFormat,
        calibrator: Calibrator,
        ramp: u32,
    ) -> Result<(Self, Weights), CompressionError> {
        let autodiff = workshop.device.clone().autodiff();
        let (architecture, _) = stand_alone(&model.architecture);
        let layers = architecture.layers.iter().filter(|layer| has_kernel(&layer.op)).count();
        let steps: Vec<(Architecture, QuantizationPlan)> = (1..=layers)
            .map(|count| {
                let rounded = with_rounded_layers(&architecture, count, format);
                let plan = QuantizationPlan::new(&rounded);
                (rounded, plan)
            })
            .collect();
        let Some((target, _)) = steps.last().filter(|(_, plan)| plan.kernels().count() > 0) else {
            let problem = "the network has no layer with weights that could be rounded".to_owned();
            return Err(CompressionError::Unfit { recipe: workshop.recipe.to_owned(), problem });
        };
        let mut observed: Vec<LayerId> =
            steps.iter().flat_map(|(stage, _)| Calibration::layers(stage)).collect();
        observed.sort();
        observed.dedup();
        let calibration =
            observation::calibration(model, &observed, workshop.data, workshop.calibration, workshop.device);
        let mut grids: BTreeMap<String, Grid> = BTreeMap::new();
        for (stage, _) in &steps {
            grids.extend(calibration.grids(stage, calibrator, false)?);
        }
        let codes = best_steps(&TrainedModel { architecture: target.clone(), ..model.clone() }, format);
        let scales = grids.iter().map(|(layer, grid)| (scale_of(layer), vector(vec![grid.scale.ln()])));
        let logs = |steps: &[f32]| steps.iter().map(|step| step.max(f32::MIN_POSITIVE).ln()).collect();
        let weight_steps = codes.iter().filter_map(|(layer, code)| match code {
            WeightCode::Steps(steps) => Some((steps_of(layer), vector(logs(steps)))),
            WeightCode::Codebook(_) => None,
        });
        let weights = Weights::from_values(trainable(model).chain(scales).chain(weight_steps), &autodiff);
        let arrays::Parts { statistics, .. } = arrays::parts(model, &autodiff);
        let zero_points = grids.iter().map(|(layer, grid)| (layer.clone(), grid.zero_point)).collect();
        Ok((Self { steps, statistics, zero_points, ramp: ramp.max(1) }, weights))
    }

    /// The architecture with the number formats of the compressed network.
    pub(super) fn target(&self) -> &Architecture {
        let (target, _) = self.steps.last().expect("a network with weights has a step");
        target
    }

    /// Returns the trained network with its grids and steps.
    pub(super) fn result(&self, weights: &Weights, card: ModelCard) -> TrainedModel {
        self.rounded(self.target(), &QuantizationPlan::new(self.target()), weights, card)
    }

    /// Returns the present network as it would be exported with the number formats of `architecture`.
    fn rounded(
        &self,
        architecture: &Architecture,
        plan: &QuantizationPlan,
        weights: &Weights,
        card: ModelCard,
    ) -> TrainedModel {
        let grid = |owner: LayerId| {
            let layer = &architecture.layer(owner).name;
            let scale = exponentials(weights, &scale_of(layer))[0];
            (layer.clone(), Grid { scale, zero_point: self.zero_points[layer] })
        };
        let code = |(id, _): (LayerId, Option<LayerId>)| {
            let layer = &architecture.layer(id).name;
            (layer.clone(), WeightCode::Steps(exponentials(weights, &steps_of(layer))))
        };
        TrainedModel {
            architecture: architecture.clone(),
            arrays: arrays::arrays(architecture, weights, &self.statistics),
            quantization: plan.owners().map(grid).collect(),
            weight_codes: plan.kernels().map(code).collect(),
            card,
        }
    }
}

impl Form for QuantizationAware {
    fn plan(&self, epoch: u32, weights: &Weights) -> Plan {
        let rounded = (epoch as usize + 1).saturating_mul(self.steps.len()).div_ceil(self.ramp as usize);
        let (architecture, plan) = &self.steps[rounded.clamp(1, self.steps.len()) - 1];
        let model = self.rounded(architecture, plan, weights, ModelCard::default());
        let network = QuantizedNetwork::of(&model);
        let parameter = |name: &str| weights.named_vector(name).expect("the training made this parameter");
        let grids = plan.owners().map(|owner| {
            let layer = &architecture.layer(owner).name;
            let grid = model.quantization[layer];
            (owner, LearnedGrid { grid, log_scale: parameter(&scale_of(layer)) })
        });
        let grids = grids.collect();
        let bounds = network.kernels.iter().map(|(id, kernel)| {
            let layer = architecture.layer(*id);
            let largest = stated_limit(layer.precision.weights);
            let bounds = kernel.scales.iter().map(|scale| scale * largest).collect();
            (*id, WeightBounds { log_steps: parameter(&steps_of(&layer.name)), bounds, largest })
        });
        let bounds = bounds.collect();
        let fake =
            FakeQuantization::new(architecture, weights, &self.statistics, network, grids, &bounds);
        Plan::fake_quantized(architecture, weights, &self.statistics, &fake)
    }
}

/// Returns the architecture with the first `count` layers with weights rounded, and all layers up to the next
/// one. The others are in single precision.
fn with_rounded_layers(architecture: &Architecture, count: usize, format: NumberFormat) -> Architecture {
    let mut rounded = architecture.clone();
    let mut seen = 0;
    for layer in &mut rounded.layers {
        let has_kernel = has_kernel(&layer.op);
        seen += usize::from(has_kernel);
        layer.precision = match seen <= count {
            true if has_kernel => Precision { weights: format, activations: NumberFormat::Int8 },
            true => Precision::uniform(NumberFormat::Int8),
            false => Precision::uniform(NumberFormat::F32),
        };
    }
    rounded
}

const fn has_kernel(op: &Op) -> bool {
    matches!(op, Op::Conv2d { .. } | Op::Linear { .. })
}

fn vector(data: Vec<f32>) -> Values {
    Values { shape: vec![data.len()], data }
}

/// The scale or the steps whose logarithms are trained.
fn exponentials(weights: &Weights, name: &str) -> Vec<f32> {
    let logs = weights.named_vector(name).expect("the training made this parameter");
    let logs = logs.into_data().try_to_vec::<f32>().expect("parameters are single precision");
    logs.into_iter().map(|log| log.exp().clamp(f32::MIN_POSITIVE, f32::MAX)).collect()
}
