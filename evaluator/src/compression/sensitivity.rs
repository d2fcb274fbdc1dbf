//! Which layer hurts: the loss of accuracy when one layer alone is rounded to 8 bits.

use burn::tensor::Tensor;
use kiln_export::{Calibration, Calibrator, QuantizationPlan, TrainedModel};
use kiln_space::{Architecture, LayerId, NumberFormat, Op, Precision};

use super::draft::Draft;
use super::error::CompressionError;
use super::observation;
use super::workshop::Workshop;
use crate::data::{Batcher, Split};
use crate::deploy::frozen::{BATCH, Frozen};

/// What rounding one layer alone to 8 bits costs and saves.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSensitivity {
    /// Name of the convolution or fully connected layer. The batch normalization and the nonlinearity after
    /// it are rounded with it.
    pub layer: String,
    /// Loss on the validation split: percentage points of accuracy, or percent of the root mean squared
    /// error.
    pub loss: f64,
    /// Power of the layer's output over the power of its error, in decibels, on validation examples. `None`
    /// if there is no error.
    pub signal_to_noise_db: Option<f64>,
    /// Bytes of weights that rounding the layer saves.
    pub bytes_saved: u64,
    /// The network with only this layer in 8 bits, from which costs can be predicted.
    pub architecture: Architecture,
}

/// Measures every layer with weights, in the order of the layers. The network must be in single precision.
///
/// # Errors
/// [`CompressionError`] when a layer has no range, an output is not finite, or the user stops the work.
pub(super) fn measure(
    draft: &Draft,
    workshop: &Workshop<'_>,
) -> Result<Vec<LayerSensitivity>, CompressionError> {
    let model = &draft.model;
    let all: Vec<LayerId> = model.architecture.ids().collect();
    let calibration =
        observation::calibration(model, &all, workshop.data, workshop.calibration, workshop.device);
    let before = workshop.validation_error(model)?;
    let exact = Frozen::of(model, workshop.device);
    let bytes = model.weight_bytes();
    let kernels = kernels(&model.architecture);
    let mut found = Vec::new();
    for (index, id) in kernels.iter().enumerate() {
        workshop.check_stop()?;
        let name = &model.architecture.layer(*id).name;
        workshop.progress.report("sensitivity", index as u64, kernels.len() as u64, name);
        let chain = chain(&model.architecture, *id);
        let alone = rounded(model, &chain, &calibration)?;
        let error = workshop.validation_error(&alone)?;
        let last = *chain.last().expect("a chain begins with its layer");
        found.push(LayerSensitivity {
            layer: name.clone(),
            loss: workshop.loss(error, before),
            signal_to_noise_db: signal_to_noise(&exact, &alone, last, workshop),
            bytes_saved: bytes.saturating_sub(alone.weight_bytes()),
            architecture: alone.architecture,
        });
    }
    workshop.progress.report("sensitivity", kernels.len() as u64, kernels.len() as u64, "");
    Ok(found)
}

/// Returns the live layers with weights.
fn kernels(architecture: &Architecture) -> Vec<LayerId> {
    let live = architecture.live();
    let has_kernel =
        |id: &LayerId| matches!(architecture.layer(*id).op, Op::Conv2d { .. } | Op::Linear { .. });
    architecture.ids().filter(|id| live[id.0] && has_kernel(id)).collect()
}

/// Returns a layer with the batch normalization and the nonlinearity that alone read it.
fn chain(architecture: &Architecture, first: LayerId) -> Vec<LayerId> {
    let readers = architecture.readers();
    let mut chain = vec![first];
    let mut last = first;
    while let [reader] = readers[last.0].as_slice() {
        if !matches!(architecture.layer(*reader).op, Op::BatchNorm | Op::Activation { .. }) {
            break;
        }
        last = *reader;
        chain.push(last);
    }
    chain
}

/// Returns the network with only these layers in 8 bits.
fn rounded(
    model: &TrainedModel,
    layers: &[LayerId],
    calibration: &Calibration,
) -> Result<TrainedModel, CompressionError> {
    let mut rounded = model.clone();
    for id in layers {
        rounded.architecture.layers[id.0].precision = Precision::uniform(NumberFormat::Int8);
    }
    rounded.quantization = calibration.grids(&rounded.architecture, Calibrator::MinMax, false)?;
    Ok(rounded)
}

/// Returns the power of a layer's output over the power of its error, in decibels, over a batch of validation
/// examples.
fn signal_to_noise(
    exact: &Frozen,
    rounded: &TrainedModel,
    layer: LayerId,
    workshop: &Workshop<'_>,
) -> Option<f64> {
    let batcher = Batcher::new(workshop.data, workshop.device.clone(), 0);
    let images = batcher.split(Split::Validation, BATCH).next()?.images;
    let plan = QuantizationPlan::new(&rounded.architecture);
    let name = &rounded.architecture.layer(layer).name;
    let grid = rounded.quantization.get(name).filter(|_| plan.is_stored(layer));
    let values = |value: Tensor<4>| value.into_data().try_to_vec::<f32>().unwrap_or_default();
    let wanted = values(exact.layer_output(images.clone(), layer).1);
    let found = values(Frozen::of(rounded, workshop.device).layer_output(images, layer).1);
    let found = found.into_iter().map(|value| grid.map_or(value, |grid| grid.round(value)));
    let (mut signal, mut noise) = (0.0, 0.0);
    for (wanted, found) in wanted.into_iter().zip(found) {
        signal += f64::from(wanted).powi(2);
        noise += (f64::from(found) - f64::from(wanted)).powi(2);
    }
    (noise > 0.0).then(|| 10.0 * (signal.max(f64::MIN_POSITIVE) / noise).log10())
}
