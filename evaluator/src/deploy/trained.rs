//! Runs and scores a trained network that is plain data.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::TrainedModel;

use crate::data::{DataSet, Split};
use crate::deploy::frozen::{BATCH, Frozen};
use crate::deploy::matching::Matched;
use crate::judging::metrics::Score;

/// Outputs of a trained network for raw inputs, computed on the CPU. Layers of 8 bits give what integer
/// runtimes give, up to the order of sums.
///
/// # Shapes
/// - `raw`: `[examples, channels, height, width]`, row-major, in the units of the model card
/// - output: logits `[examples, classes]`, or values `[examples, values]` in the targets' own units
///
/// # Panics
/// When arrays are missing or do not fit the architecture. Check a model from outside before.
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

/// Scores outputs of [`predict`] for a whole split, in its order: the numbers that a finished network
/// reports, and results by class or value. `None` if an output is not finite.
///
/// # Panics
/// When the outputs come from another network than the one that was matched.
#[must_use]
pub fn score(outputs: &[f32], data: &DataSet, split: Split, matched: &Matched) -> Option<Score> {
    if data.is_regression() {
        let width = outputs.len() / data.split(split).len().max(1);
        let outputs: Vec<f32> = outputs.chunks_exact(width).flat_map(|row| matched.values(row)).collect();
        // Finished networks give values in the targets' own units. They are judged in deviations.
        let (mean, deviation) = data.target_normalization();
        let scaled = |(i, value): (usize, &f32)| (value - mean[i % mean.len()]) / deviation[i % mean.len()];
        let outputs: Vec<f32> = outputs.iter().enumerate().map(scaled).collect();
        Score::of(&outputs, data, split)
    } else {
        Score::of_classes(outputs, data, split, (matched.names(), matched.outputs()))
    }
}
