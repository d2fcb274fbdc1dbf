//! Defines frozen networks. In a frozen network, sparse layers are pruned, batch-norm statistics are fixed,
//! and 8-bit values are rounded. Networks are evaluated and exported in this form.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};
use kiln_export::{
    Calibration, Grid, ModelCard, QuantizationPlan, QuantizedNetwork, TrainedModel, stores_narrow_weights,
};
use kiln_kernels::runs_on;
use kiln_space::{Architecture, LayerId};

use super::arrays;
use crate::data::{Batcher, DataSet, Split};
use crate::devices::parallel;
use crate::network::executor;
use crate::network::integers::Integers;
use crate::network::observer::Outputs;
use crate::network::plan::Plan;
use crate::network::stand_alone::stand_alone;
use crate::network::statistics::Statistics;
use crate::network::weights::Weights;
use crate::network::{collected, sparsity};

/// Number of images that the network processes at once.
pub(crate) const BATCH: usize = 256;

/// Number of values that one layer may read and write so that they fit the second-level cache.
const CACHED: usize = 256 * 1024;

/// A network whose training is over.
pub(crate) struct Frozen {
    architecture: Architecture,
    weights: Weights,
    statistics: Statistics,
    grids: BTreeMap<String, Grid>,
    integers: Option<Integers>,
    /// The inference plan, which is made on first use.
    plan: OnceLock<Plan>,
}

impl Frozen {
    /// Freezes a network that reads these weights, which may be shared weights or the network's own. First
    /// prunes sparse layers, and rounds weights that are stored in a narrow format. Then computes batch-norm
    /// statistics from `count` training images. From the same images, computes the minimum and maximum of
    /// each 8-bit value. Returns `None` if a range is not finite.
    pub(crate) fn new(
        architecture: &Architecture,
        weights: &Weights,
        data: &DataSet,
        count: usize,
        device: &Device,
    ) -> Option<Self> {
        let (architecture, weights) = pruned(architecture, weights, device);
        let batches = || calibration_batches(data, count, device);
        let statistics = collected::statistics(&architecture, &weights, batches(), device);
        let mut frozen = Self::of_parts(architecture, weights, statistics);
        frozen.calibrate(batches(), device)?;
        Some(frozen)
    }

    /// Freezes a network that was trained elsewhere, with its own batch-norm statistics. Otherwise, this does
    /// the same as [`Frozen::new`].
    pub(crate) fn with_statistics(
        architecture: &Architecture,
        weights: &Weights,
        statistics: &Statistics,
        (data, count): (&DataSet, usize),
        device: &Device,
    ) -> Option<Self> {
        let (architecture, weights) = pruned(architecture, weights, device);
        let mut frozen = Self::of_parts(architecture, weights, statistics.clone());
        if !QuantizationPlan::new(&frozen.architecture).is_empty() {
            frozen.calibrate(calibration_batches(data, count, device), device)?;
        }
        Some(frozen)
    }

    /// Builds the network of a trained model. The model's arrays must fit its architecture.
    pub(crate) fn of(model: &TrainedModel, device: &Device) -> Self {
        let mut frozen = Self::unrounded(model, device);
        if !QuantizationPlan::new(&model.architecture).is_empty() {
            frozen.grids = model.quantization.clone();
            frozen.integers = Some(Integers::new(QuantizedNetwork::of(model), device));
        }
        frozen
    }

    /// Collects statistics of the outputs of these layers over batches, before anything is rounded.
    pub(crate) fn observed(
        &self,
        layers: &[LayerId],
        batches: impl Iterator<Item = Tensor<4>>,
    ) -> Calibration {
        let plan = Plan::calibration(&self.architecture, &self.weights, &self.statistics);
        let mut calibration = Calibration::default();
        for images in batches {
            let mut observer = Outputs(|id: LayerId, value: &Tensor<4>| {
                if layers.contains(&id) {
                    let [batch, channels, _, _] = value.dims();
                    let values: Vec<f32> =
                        value.clone().into_data().try_to_vec().expect("values are single precision");
                    calibration.add(id, &values, channels, batch);
                }
            });
            executor::forward(&plan, &self.architecture, &self.weights, images, &mut observer);
        }
        calibration
    }

    /// Builds the network of a trained model without rounding activations or integer layers. Weights that are
    /// only stored in a narrow format are rounded.
    pub(crate) fn unrounded(model: &TrainedModel, device: &Device) -> Self {
        let arrays::Parts { architecture, weights, statistics } = arrays::parts(model, device);
        Self::of_parts(architecture, weights, statistics)
    }

    fn of_parts(architecture: Architecture, weights: Weights, statistics: Statistics) -> Self {
        let (grids, integers, plan) = (BTreeMap::new(), None, OnceLock::new());
        Self { architecture, weights, statistics, grids, integers, plan }
    }

    /// Computes the quantization grids of 8-bit values from these batches if the network has such values.
    /// Returns `None` if a range is not finite.
    pub(crate) fn calibrate(
        &mut self,
        batches: impl Iterator<Item = Tensor<4>>,
        device: &Device,
    ) -> Option<()> {
        let quantized = QuantizationPlan::new(&self.architecture);
        if quantized.is_empty() {
            return Some(());
        }
        let plan = Plan::calibration(&self.architecture, &self.weights, &self.statistics);
        let mut ranges: BTreeMap<LayerId, [f32; 2]> =
            quantized.owners().map(|owner| (owner, [0.0; 2])).collect();
        for images in batches {
            let mut observer = Outputs(|id: LayerId, value: &Tensor<4>| {
                if let Some(range) = ranges.get_mut(&id) {
                    widen(range, value);
                }
            });
            executor::forward(&plan, &self.architecture, &self.weights, images, &mut observer);
        }
        let name = |id: LayerId| self.architecture.layer(id).name.clone();
        let grids = ranges.into_iter().map(|(id, [min, max])| Some((name(id), Grid::covering(min, max)?)));
        let grids = grids.collect::<Option<BTreeMap<_, _>>>()?;
        let arrays = arrays::arrays(&self.architecture, &self.weights, &self.statistics);
        let network = QuantizedNetwork::new(&self.architecture, &arrays, &grids);
        self.integers = Some(Integers::new(network, device));
        self.grids = grids;
        self.plan = OnceLock::new();
        Some(())
    }

    /// Computes the outputs for batches, in their order: `[examples][classes]` or `[examples][values]`.
    ///
    /// On the CPU, a batch is cut into pieces whose values stay in the cache. Threads process the pieces in
    /// parallel. Outputs do not depend on how a batch is cut.
    pub(crate) fn outputs(&self, batches: impl Iterator<Item = Tensor<4>>) -> Vec<f32> {
        let mut all = Vec::new();
        let forward = |images: Tensor<4>| {
            let output = executor::forward(self.plan(), &self.architecture, &self.weights, images, &mut ());
            output.into_data().try_to_vec::<f32>().expect("outputs are single precision")
        };
        for images in batches {
            let (threads, batch) = (rayon::current_num_threads(), images.dims()[0]);
            let together = if runs_on(&images.device()) { self.together(batch, threads) } else { batch };
            if together == batch {
                all.extend(forward(images));
                continue;
            }
            let starts = (0..batch).step_by(together);
            let parts: Vec<_> =
                starts.map(|from| images.clone().narrow(0, from, together.min(batch - from))).collect();
            let run = || parallel::map_on(threads, &parts, |_, part| forward(part.clone()));
            // If each operation runs on one thread, no operation waits for another thread.
            let outputs = if threads == 1 { parallel::on_one_thread(run) } else { run() };
            all.extend(outputs.into_iter().flatten());
        }
        all
    }

    /// Computes the outputs for a batch, and the output of one layer before it is rounded. If a step computes
    /// the layer together with the nonlinearity after it, this is the output of the nonlinearity.
    pub(crate) fn layer_output(&self, images: Tensor<4>, layer: LayerId) -> (Tensor<2>, Tensor<4>) {
        let mut seen = None;
        let mut observer = Outputs(|id: LayerId, value: &Tensor<4>| {
            if id == layer {
                seen = Some(value.clone());
            }
        });
        let outputs =
            executor::forward(self.plan(), &self.architecture, &self.weights, images, &mut observer);
        (outputs, seen.expect("a live layer has an output"))
    }

    fn plan(&self) -> &Plan {
        let Self { architecture, weights, statistics, .. } = self;
        self.plan.get_or_init(|| match &self.integers {
            Some(integers) => Plan::integers(architecture, weights, statistics, integers),
            None => Plan::inference(architecture, weights, statistics),
        })
    }

    /// Returns how many images of a batch the network processes at once. Their values must fit the cache, and
    /// all threads must process about equally many images.
    fn together(&self, batch: usize, threads: usize) -> usize {
        let elements = |id: &LayerId| self.architecture.layer(*id).output.elements();
        let around = |id: LayerId| {
            elements(&id) + self.architecture.layer(id).inputs.iter().map(elements).sum::<usize>()
        };
        let values = self.architecture.ids().map(around).max().unwrap_or(0).max(1);
        let fitting = (CACHED / values).max(1);
        if batch <= fitting {
            return batch;
        }
        batch.div_ceil(batch.div_ceil(fitting).next_multiple_of(threads))
    }

    /// Returns the quantization grids of the network's 8-bit values.
    pub(crate) fn into_grids(self) -> BTreeMap<String, Grid> {
        self.grids
    }

    /// Converts the network to plain data. Its layers must have their own weights.
    pub(crate) fn into_model(self, card: ModelCard) -> TrainedModel {
        let arrays = arrays::arrays(&self.architecture, &self.weights, &self.statistics);
        TrainedModel {
            architecture: self.architecture,
            arrays,
            quantization: self.grids,
            weight_codes: BTreeMap::new(),
            card,
        }
    }
}

/// Prunes sparse layers, and rounds weights that are stored in a narrow format.
fn pruned(architecture: &Architecture, weights: &Weights, device: &Device) -> (Architecture, Weights) {
    if !sparsity::is_sparse(architecture) && !stores_narrow_weights(architecture) {
        return (architecture.clone(), weights.clone());
    }
    let mut values = weights.detached().arrays(architecture);
    sparsity::prune(architecture, &mut values);
    (stand_alone(architecture).0, Weights::from_values(arrays::rounded(architecture, values), device))
}

/// Returns `count` training images without augmentation, in batches. The images are spread evenly over the
/// split, because the split is in file order, and files may be sorted by class.
pub(crate) fn calibration_batches(
    data: &DataSet,
    count: usize,
    device: &Device,
) -> impl Iterator<Item = Tensor<4>> {
    let batcher = Batcher::new(data, device.clone(), 0);
    let train = data.split(Split::Train);
    let count = count.clamp(1, train.len());
    let chosen: Vec<u32> = (0..count).map(|i| train[i * train.len() / count]).collect();
    let batches: Vec<Vec<u32>> = chosen.chunks(BATCH).map(<[u32]>::to_vec).collect();
    batches.into_iter().map(move |examples| batcher.plain(&examples).images)
}

/// Widens a range to include all values of a tensor.
fn widen(range: &mut [f32; 2], value: &Tensor<4>) {
    let ends = Tensor::cat(vec![value.clone().min(), value.clone().max()], 0);
    let ends: Vec<f32> = ends.into_data().try_to_vec().expect("values are single precision");
    // A NaN stays in the range, so that the caller detects it.
    let wider = |kept: f32, end: f32, is_wider: bool| if is_wider || end.is_nan() { end } else { kept };
    *range = [wider(range[0], ends[0], ends[0] < range[0]), wider(range[1], ends[1], ends[1] > range[1])];
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use kiln_space::{ActivationKind, ArchitectureBuilder, Op, ParameterSpec, Shape};
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::network::statistics::LayerStatistics;

    /// A frozen network with two normalizations, of the input and of a convolution's output, and statistics
    /// for both.
    fn frozen() -> Frozen {
        let mut b = ArchitectureBuilder::new(Shape::new(3, 32, 32));
        let x = b.batch_norm("first", b.input()).unwrap();
        let x = b.conv("conv", x, 60, 3, 1, 1).unwrap();
        let x = b.batch_norm("norm", x).unwrap();
        let x = b.add("relu", Op::Activation { kind: ActivationKind::Relu }, &[x], None).unwrap();
        let x = b.conv("down", x, 20, 3, 2, 1).unwrap();
        let x = b.global_pool("pool", x).unwrap();
        b.linear("head", x, 5).unwrap();
        let architecture = b.finish().unwrap();
        let device = Device::flex();
        let weights = Weights::initialize(&ParameterSpec::covering([&architecture]), 3, &device);
        let norms = architecture.ids().filter(|id| matches!(architecture.layer(*id).op, Op::BatchNorm));
        let statistics = norms.map(|id| {
            let channels = architecture.layer(id).output.channels;
            let values = |from: f32| (0..channels).map(|channel| from + channel as f32 * 0.03).collect();
            LayerStatistics { layer: id, mean: values(0.1), variance: values(0.7) }
        });
        let statistics = Statistics::from_values(statistics, &device);
        let (grids, integers, plan) = (BTreeMap::new(), None, OnceLock::new());
        Frozen { architecture, weights, statistics, grids, integers, plan }
    }

    fn images(count: usize) -> Tensor<4> {
        let values: Vec<f32> =
            (0..count * 3 * 32 * 32).map(|i| (i * 7919 % 997) as f32 / 500.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, [count, 3, 32, 32]), &Device::flex())
    }

    #[test]
    fn outputs_do_not_depend_on_cuts_of_a_batch_or_on_threads() {
        let (frozen, all) = (frozen(), images(11));
        assert!(frozen.together(11, 1) < 11, "the batch is too small to be cut");
        let singly = frozen.outputs((0..11).map(|image| all.clone().narrow(0, image, 1)));
        for threads in [1, 2, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let outputs = pool.install(|| frozen.outputs(std::iter::once(all.clone())));
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&outputs), bits(&singly), "{threads} threads");
        }
    }

    #[test]
    fn folded_normalization_gives_the_outputs_of_burns_batch_norm() {
        let (frozen, all) = (frozen(), images(4));
        let found = frozen.outputs(std::iter::once(all.clone()));
        let plan = Plan::calibration(&frozen.architecture, &frozen.weights, &frozen.statistics);
        let expected = executor::forward(&plan, &frozen.architecture, &frozen.weights, all, &mut ());
        let expected = expected.into_data().try_to_vec::<f32>().unwrap();
        let size = expected.iter().fold(0.0f32, |size, value| size.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-5 * size, "{found}, not {expected} (of {size})");
        }
    }
}
