//! Rounds a trained network with options: calibration on training examples, bias correction and equalization.

use burn::tensor::Device;
use kiln_export::{Calibration, ExportError, QuantizationOptions, TrainedModel};
use thiserror::Error;

use crate::data::DataSet;
use crate::deploy::conversion::{ConversionError, check_data};
use crate::deploy::frozen::{Frozen, calibration_batches};

/// The reason why a network cannot be rounded after training.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuantizationError {
    /// The data are not those that the network was trained on.
    #[error(transparent)]
    Data(#[from] ConversionError),
    /// A layer cannot be rounded, or the calibration data say nothing about its range.
    #[error(transparent)]
    Rounding(#[from] ExportError),
}

/// Rounds a network to integers as the options state. Calibrates on `examples` training examples, which are
/// spread evenly over the training split. Removes the measured figures from the card, because they belong to
/// the network before rounding.
///
/// # Errors
/// [`QuantizationError`] when the data differ from the training data, are all equal, or give a layer values
/// that are not finite. The message names the layer.
///
/// # Panics
/// When arrays are missing or do not fit the architecture. Check a model from an untrusted source first.
pub fn quantized(
    model: &TrainedModel,
    data: &DataSet,
    examples: usize,
    options: &QuantizationOptions,
) -> Result<TrainedModel, QuantizationError> {
    check_data(model, data)?;
    let prepared = options.prepared(model)?;
    let mut rounded = options.quantized(&prepared, &calibration(&prepared, data, examples))?;
    rounded.card.forget_measurements();
    let QuantizationOptions { calibration, symmetric, bias_correction, equalization, weights, keep } =
        options;
    let parts = [
        (*symmetric, ", symmetric".to_owned()),
        (*bias_correction, ", bias correction".to_owned()),
        (*equalization, ", cross-layer equalization".to_owned()),
        (!keep.is_empty(), format!(", {} layers in single precision", keep.len())),
    ];
    let parts: String = parts.into_iter().filter(|(is_used, _)| *is_used).map(|(_, text)| text).collect();
    let note = format!(
        "; rounded to {weights} weights and 8-bit activations after training ({calibration} \
         calibration{parts})"
    );
    rounded.card.training.push_str(&note);
    Ok(rounded)
}

/// Runs training examples through a network in single precision, and collects the statistics of all layers
/// that calibration and bias correction need.
///
/// # Panics
/// When arrays are missing or do not fit the architecture.
#[must_use]
pub fn calibration(model: &TrainedModel, data: &DataSet, examples: usize) -> Calibration {
    let device = Device::flex();
    let layers = Calibration::layers(&model.architecture);
    Frozen::unrounded(model, &device).observed(&layers, calibration_batches(data, examples, &device))
}
