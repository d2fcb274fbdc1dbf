//! Converts a trained network to another number format: to 8 bits by post-training quantization, or to single
//! precision.

use burn::tensor::Device;
use kiln_export::{QuantizationPlan, TrainedModel, WeightCode};
use kiln_space::{Layer, NumberFormat, Precision};
use thiserror::Error;

use crate::data::DataSet;
use crate::deploy::frozen::{Frozen, calibration_batches};

/// Number of training images from which the ranges of 8-bit values are measured.
const CALIBRATION: usize = 2048;

/// The reason why a network cannot be converted to 8 bits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// The data differ from the data that the network was trained on.
    #[error(
        "the network was trained on other data: {what} differs; name the folder of its training data with \
         `--data`"
    )]
    OtherData {
        /// The property that differs.
        what: &'static str,
    },
    /// A layer computes values that are not finite.
    #[error("the network gives values that are not finite on its training images, so they have no range")]
    NotFinite,
}

/// Converts every layer to single precision. The weights are stored in single precision in any case. If a
/// layer was in another format, removes the measured figures from the card, because they belong to the
/// network before the conversion.
#[must_use]
pub fn in_single_precision(model: &TrainedModel) -> TrainedModel {
    let mut model = model.clone();
    let is_single = |layer: &Layer| layer.precision == Precision::default();
    if !model.architecture.layers.iter().all(is_single) {
        model.card.training.push_str("; converted to single precision afterwards");
        model.card.forget_measurements();
    }
    set_format(&mut model, NumberFormat::F32);
    model.quantization.clear();
    model.weight_codes.retain(|_, code| matches!(code, WeightCode::Codebook(_)));
    model
}

/// Converts every layer to 8 bits. All quantization grids are recomputed from the training images in `data`.
/// A layer that already had 8 bits may therefore get a different grid. Removes the measured figures from the
/// card.
///
/// # Errors
/// [`ConversionError`] when the data differ from the training data, or a range is not finite.
///
/// # Panics
/// When arrays are missing or do not fit the architecture. Check a model from an untrusted source first.
pub fn in_8_bits(model: &TrainedModel, data: &DataSet) -> Result<TrainedModel, ConversionError> {
    check_data(model, data)?;
    let mut converted = model.clone();
    converted.weight_codes.clear();
    converted.card.forget_measurements();
    set_format(&mut converted, NumberFormat::Int8);
    let plan = QuantizationPlan::new(&converted.architecture);
    converted.quantization.clear();
    if plan.is_empty() {
        return Ok(converted);
    }
    let device = Device::flex();
    let mut frozen = Frozen::unrounded(&converted, &device);
    frozen
        .calibrate(calibration_batches(data, CALIBRATION, &device), &device)
        .ok_or(ConversionError::NotFinite)?;
    converted.quantization = frozen.into_grids();
    converted.card.training.push_str("; all layers rounded to 8 bits afterwards");
    Ok(converted)
}

/// Checks that the data are those that a network was trained on.
pub(crate) fn check_data(model: &TrainedModel, data: &DataSet) -> Result<(), ConversionError> {
    let (mean, deviation) = data.normalization();
    let preprocessing = &model.card.preprocessing;
    let differences = [
        ("the shape of an image", data.shape() == model.architecture.input),
        ("the list of classes", data.targets().names() == model.card.classes),
        ("mean or deviation", mean == preprocessing.mean && deviation == preprocessing.deviation),
    ];
    match differences.into_iter().find(|(_, is_same)| !is_same) {
        Some((what, _)) => Err(ConversionError::OtherData { what }),
        None => Ok(()),
    }
}

fn set_format(model: &mut TrainedModel, format: NumberFormat) {
    for layer in &mut model.architecture.layers {
        layer.precision = Precision::uniform(format);
    }
}
