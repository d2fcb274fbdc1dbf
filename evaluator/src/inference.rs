//! Judging a network on a split.

use burn::tensor::Device;

use crate::data::{Batcher, DataSet, Split};
use crate::frozen::{BATCH, Frozen};

/// How well a network does on a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// Share of wrong answers, percent.
    pub(crate) error_percent: f64,
    /// Mean cross-entropy, nats.
    pub(crate) loss_nats: f64,
}

/// Error and loss on a split; `None` if a logit is not finite.
pub(crate) fn judge(network: &Frozen, data: &DataSet, split: Split, device: &Device) -> Option<Judgement> {
    let batcher = Batcher::new(data, device.clone(), 0);
    let logits = network.logits(batcher.split(split, BATCH).map(|batch| batch.images));
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
