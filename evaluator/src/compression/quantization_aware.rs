//! Trains a network on the grids on which it will run: 8-bit activations, and weights of 8 or 4 bits. The
//! steps of weights and the scales of activations are trained too.

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

/// Smallest first step of a layer whose weights are all zero.
const LEAST_STEP: f32 = 1e-6;
/// Smallest first step of a channel, as a share of the layer's largest. A channel of zeros has it.
const LEAST_SHARE: f32 = 1e-3;

/// How far training may move the logarithm of a scale or a step: to half or twice the first value, which
/// covers the observed values or has the smallest error. The gradients of a scale that many values share are
/// large where few channels are left, and would let it run away.
const FARTHEST: f32 = std::f32::consts::LN_2;

/// The name of a layer's trained parameter: the logarithm of its output's scale.
fn scale_of(layer: &str) -> String {
    format!("{layer}.log_scale")
}

/// The name of a layer's trained parameter: the logarithms of its weights' steps.
fn steps_of(layer: &str) -> String {
    format!("{layer}.log_step")
}

/// How a quantization-aware training runs a network. Batch normalizations keep the statistics that the
/// network had before.
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
    /// The first logarithms of scales and steps, by parameter. Training moves them by `FARTHEST` at most.
    first: Vec<(String, Vec<f32>)>,
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
    /// [`CompressionError::Export`] when a layer has no range, [`CompressionError::Unfit`] when no layer can
    /// be rounded.
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
        let scales = grids.iter().map(|(layer, grid)| (scale_of(layer), vec![grid.scale.ln()]));
        let logs = |steps: &[f32]| -> Vec<f32> {
            let most = steps.iter().copied().fold(LEAST_STEP, f32::max);
            steps.iter().map(|step| step.max(LEAST_SHARE * most).ln()).collect()
        };
        let weight_steps = codes.iter().filter_map(|(layer, code)| match code {
            WeightCode::Steps(steps) => Some((steps_of(layer), logs(steps))),
            WeightCode::Codebook(_) => None,
        });
        let first: Vec<(String, Vec<f32>)> = scales.chain(weight_steps).collect();
        let added = first.iter().map(|(name, logs)| (name.clone(), vector(logs.clone())));
        let weights = Weights::from_values(trainable(model).chain(added), &autodiff);
        let arrays::Parts { statistics, .. } = arrays::parts(model, &autodiff);
        let zero_points = grids.iter().map(|(layer, grid)| (layer.clone(), grid.zero_point)).collect();
        Ok((Self { steps, statistics, zero_points, first, ramp: ramp.max(1) }, weights))
    }

    /// The architecture with the number formats of the compressed network.
    pub(super) fn target(&self) -> &Architecture {
        let (target, _) = self.steps.last().expect("a network with weights has a step");
        target
    }

    /// Number of layers with weights that are rounded in an epoch.
    fn rounded_layers(&self, epoch: u32) -> usize {
        let share = (epoch as usize + 1).saturating_mul(self.steps.len()).div_ceil(self.ramp as usize);
        share.clamp(1, self.steps.len())
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
    fn hold(&self, weights: &mut Weights) {
        for (name, logs) in &self.first {
            weights.keep_near(name, logs, FARTHEST);
        }
    }

    fn plan(&self, epoch: u32, weights: &Weights) -> Plan {
        let (architecture, plan) = &self.steps[self.rounded_layers(epoch) - 1];
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
        let fake = FakeQuantization::new(architecture, weights, &self.statistics, network, grids, &bounds);
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
        layer.precision = if seen > count {
            Precision::uniform(NumberFormat::F32)
        } else {
            let weights = if has_kernel { format } else { NumberFormat::Int8 };
            Precision { weights, activations: NumberFormat::Int8 }
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

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::Device;
    use kiln_search::{CostSet, Progress};
    use kiln_space::{ActivationKind, ArchitectureBuilder, Settings, Shape};

    use super::*;
    use crate::data::{Batcher, DataRegistry, Opening, Split};
    use crate::deploy::frozen::Frozen;
    use crate::deploy::random::with_random_weights;
    use crate::network::executor;
    use crate::training::loss;
    use crate::training::optimizer_settings::OptimizerSettings;
    use crate::training::settings::TrainingSettings;

    struct Quiet;

    impl Progress for Quiet {
        fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

        fn stop_requested(&self) -> bool {
            false
        }
    }

    /// A residual network with a depthwise layer for the embedded digits.
    fn architecture() -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(1, 8, 8));
        let x = b.conv("stem", b.input(), 8, 3, 1, 1).unwrap();
        let x = b.batch_norm("stem.bn", x).unwrap();
        let x = b.activation("stem.act", x, ActivationKind::Relu).unwrap();
        let y = b.conv("depthwise", x, 8, 3, 1, 8).unwrap();
        let y = b.batch_norm("depthwise.bn", y).unwrap();
        let y = b.activation("depthwise.act", y, ActivationKind::HardSwish).unwrap();
        let x = b.add("sum", Op::Add, &[x, y], None).unwrap();
        let x = b.global_pool("pool", x).unwrap();
        b.linear("head", x, 10).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn trained_network_computes_what_the_exported_integers_compute() {
        let device = Device::flex();
        let model = with_random_weights(&architecture(), "probe", 5).unwrap();
        let table = serde_json::Map::from_iter([("limit".to_owned(), 200.into())]);
        let settings = Settings::new("data", table);
        let data = DataRegistry::builtin().open("digits", &Opening::new(&settings, None)).unwrap();
        let (training, costs) =
            (TrainingSettings::plain(2, 16, OptimizerSettings::default()), CostSet::default());
        let workshop = Workshop {
            recipe: "qat",
            data: &data,
            examples: data.split(Split::Train).to_vec(),
            training: &training,
            calibration: 64,
            device: &device,
            costs: &costs,
            seed: 1,
            identity: "",
            folder: std::path::PathBuf::new(),
            teacher: None,
            others_train: false,
            progress: &Quiet,
        };
        let batcher = Batcher::new(&data, device.clone().autodiff(), 1);
        let batch = batcher.plain(&data.split(Split::Validation)[..32]);
        for format in [NumberFormat::Int8, NumberFormat::Int4] {
            let (form, weights) =
                QuantizationAware::new(&workshop, &model, format, Calibrator::MinMax, 2).unwrap();
            // In the first of two epochs of the ramp, two of the three layers are rounded.
            assert_eq!([0, 1, 9].map(|epoch| form.rounded_layers(epoch)), [2, 3, 3]);
            let kernels: Vec<usize> = form.steps.iter().map(|(_, plan)| plan.kernels().count()).collect();
            assert_eq!(kernels, [1, 2, 3]);
            let mut far = weights.clone();
            for (name, logs) in &form.first {
                far.keep_near(name, &vec![100.0; logs.len()], 0.0);
            }
            form.hold(&mut far);
            for (name, logs) in &form.first {
                for (found, first) in exponentials(&far, name).into_iter().zip(logs) {
                    assert!((found / (2.0 * first.exp()) - 1.0).abs() < 1e-5, "{name}: {found}");
                }
            }
            let plan = form.plan(1, &weights);
            let images = batch.images.clone();
            let outputs = executor::forward(&plan, form.target(), &weights, images, &mut ());
            let loss = loss::against_targets(outputs.clone(), &batch.targets, 0.0, &training.class_weights);
            let gradients = GradientsParams::from_grads(loss.backward(), &weights.parameters);
            let vectors = weights.parameters.vectors.iter();
            let trained = vectors.filter(|vector| gradients.get::<1>(vector.id).is_some()).count();
            // Two scales and shifts, the bias of the head, three vectors of steps, and one scale for each
            // grid.
            let (_, target) = form.steps.last().unwrap();
            assert_eq!(trained, 4 + 1 + 3 + target.owners().count());
            let found = outputs.into_data().try_to_vec::<f32>().unwrap();
            let exported = form.result(&weights.detached(), ModelCard::default());
            let expected =
                Frozen::of(&exported, &device).outputs(std::iter::once(batch.images.clone().inner()));
            let size = expected.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
            // A value that lies between two integers may round to the other one, because sums are in another
            // order. That changes an output by a small part of its range.
            let far = found.iter().zip(&expected).filter(|(a, b)| (**a - **b).abs() > 1e-4 * size).count();
            assert!(far * 20 <= found.len(), "{format}: {far} of {} outputs differ", found.len());
        }
    }
}
