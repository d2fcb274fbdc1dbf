//! Judging a network on a split.

use burn::tensor::{Device, Tensor};
use kiln_space::Architecture;

use crate::data::{Batcher, DataSet, Split};
use crate::executor::{self, Normalization};
use crate::statistics::Statistics;
use crate::weights::Weights;

/// Images that go through a network at once when it is judged.
const BATCH: usize = 256;

/// How well a network does on a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// Share of wrong answers, percent.
    pub(crate) error_percent: f64,
    /// Mean cross-entropy, nats.
    pub(crate) loss_nats: f64,
}

/// Statistics for `architecture` from the first `count` training images, as they are.
pub(crate) fn calibrate(
    architecture: &Architecture,
    weights: &Weights,
    data: &DataSet,
    count: usize,
    device: &Device,
) -> Statistics {
    let batcher = Batcher::new(data, device.clone(), 0);
    let train = data.split(Split::Train);
    // Evenly spread, since the split is in file order and files may be sorted by class.
    let count = count.clamp(1, train.len());
    let chosen: Vec<u32> = (0..count).map(|i| train[i * train.len() / count]).collect();
    let batches = chosen.chunks(BATCH).map(|examples| batcher.plain(examples).images);
    Statistics::collect(architecture, weights, batches, device)
}

/// Logits of a whole split, in its order: `[examples][classes]`.
pub(crate) fn logits(
    architecture: &Architecture,
    weights: &Weights,
    statistics: &Statistics,
    batches: impl Iterator<Item = Tensor<4>>,
) -> Vec<f32> {
    let mut all = Vec::new();
    for images in batches {
        let output = executor::forward(architecture, weights, images, Normalization::Fixed(statistics));
        all.extend(output.into_data().try_to_vec::<f32>().expect("logits are single precision"));
    }
    all
}

/// Error and loss on a split; `None` if a logit is not finite.
pub(crate) fn judge(
    architecture: &Architecture,
    weights: &Weights,
    statistics: &Statistics,
    data: &DataSet,
    split: Split,
    device: &Device,
) -> Option<Judgement> {
    let batcher = Batcher::new(data, device.clone(), 0);
    let images = batcher.split(split, BATCH).map(|batch| batch.images);
    let logits = logits(architecture, weights, statistics, images);
    let classes = data.classes().len();
    let (mut wrong, mut loss) = (0_u32, 0.0);
    for (row, example) in logits.chunks_exact(classes).zip(data.split(split)) {
        if row.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let label = data.label(*example) as usize;
        let top = (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
        wrong += u32::from(top != label);
        let largest = f64::from(row[top]);
        let sum: f64 = row.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
        loss += sum.ln() + largest - f64::from(row[label]);
    }
    let count = data.split(split).len().max(1) as f64;
    Some(Judgement { error_percent: 100.0 * f64::from(wrong) / count, loss_nats: loss / count })
}
