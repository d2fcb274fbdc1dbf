//! Runs and scores a trained network that is stored as plain data.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::{MetricRecord, TrainedModel};
use thiserror::Error;

use crate::data::{DataSet, Split};
use crate::deploy::frozen::{BATCH, Frozen};
use crate::deploy::matching::{Matched, Mismatch};
use crate::judging::metrics::Score;

/// Computes the outputs of a trained network for raw inputs, on the CPU. 8-bit layers compute the same values
/// as in integer runtimes, except for the order of sums.
///
/// # Shapes
/// - `raw`: `[examples, channels, height, width]`, row-major, in the units that the model card states
/// - output: logits `[examples, classes]`, or regression outputs `[examples, targets]` in the targets' own
///   units
///
/// # Panics
/// When arrays are missing or do not fit the architecture. Check a model from an untrusted source first.
#[must_use]
pub fn predict(model: &TrainedModel, raw: &[f32]) -> Vec<f32> {
    let device = Device::flex();
    let (shape, preprocessing) = (model.architecture.input, &model.card.preprocessing);
    let batches = raw.chunks(BATCH * shape.elements()).map(|chunk| {
        let mut values = chunk.to_vec();
        for (index, plane) in values.chunks_exact_mut(shape.positions()).enumerate() {
            let channel = index % shape.channels;
            for value in plane {
                *value = (*value - preprocessing.mean[channel]) / preprocessing.deviation[channel];
            }
        }
        let examples = values.len() / shape.elements();
        let data = TensorData::new(values, [examples, shape.channels, shape.height, shape.width]);
        Tensor::<4>::from_data(data, &device)
    });
    Frozen::of(model, &device).outputs(batches)
}

/// Measures a trained network on the test split, and puts the figures into its card. `converted` states in
/// the card how the network differs from the one that was trained.
///
/// # Errors
/// [`Unmeasured`] when the data do not fit the network, or an output is not finite.
pub fn measure(model: &mut TrainedModel, data: &DataSet, converted: &str) -> Result<(), Unmeasured> {
    let matched = Matched::new(model, data)?;
    let examples = data.split(Split::Test);
    let raw: Vec<f32> = examples.iter().flat_map(|index| matched.input(data.example(*index))).collect();
    let Score { metrics, results } =
        score(&predict(model, &raw), data, Split::Test, &matched).ok_or(Unmeasured::NotFinite)?;
    let how = format!("{} examples of the test split, measured {converted}", examples.len());
    let measured = metrics.into_iter().map(|(name, value)| {
        let unit = if name.contains("deviations") { "; in deviations of the training split" } else { "" };
        MetricRecord { name: name.to_owned(), value, how: format!("{how}{unit}"), predicted_by: None }
    });
    model.card.forget_measurements();
    model.card.metrics = measured.collect();
    model.card.test = Some(results);
    Ok(())
}

/// The reason why a network cannot be measured on a data set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unmeasured {
    /// The data do not fit the network.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The network gives values that are not finite.
    #[error("the network gives values that are not finite on the test split")]
    NotFinite,
}

/// Scores outputs of [`predict`] for a whole split, in the order of the split. Returns the metrics that are
/// reported for a finished network, and results for each class or regression target. Returns `None` if an
/// output is not finite.
///
/// # Panics
/// When the outputs come from another network than the one in `matched`.
#[must_use]
pub fn score(outputs: &[f32], data: &DataSet, split: Split, matched: &Matched) -> Option<Score> {
    if data.is_regression() {
        let width = outputs.len() / data.split(split).len().max(1);
        let outputs: Vec<f32> = outputs.chunks_exact(width).flat_map(|row| matched.values(row)).collect();
        // Finished networks return values in the targets' own units. Scores are computed from standardized
        // values.
        let (mean, deviation) = data.target_normalization();
        let scaled = |(i, value): (usize, &f32)| (value - mean[i % mean.len()]) / deviation[i % mean.len()];
        let outputs: Vec<f32> = outputs.iter().enumerate().map(scaled).collect();
        Score::of(&outputs, data, split)
    } else {
        Score::of_classes(outputs, data, split, (matched.names(), matched.outputs()))
    }
}
