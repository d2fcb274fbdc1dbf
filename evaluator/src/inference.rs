//! Judging a network on a split.

use burn::tensor::Device;

use crate::data::{Batcher, DataSet, Split};
use crate::frozen::{BATCH, Frozen};
use crate::judgement::Judgement;

/// How well a network does on a split; `None` if an output is not finite.
pub(crate) fn judge(network: &Frozen, data: &DataSet, split: Split, device: &Device) -> Option<Judgement> {
    let batcher = Batcher::new(data, device.clone(), 0);
    let outputs = network.outputs(batcher.split(split, BATCH).map(|batch| batch.images));
    Judgement::new(&outputs, data, split)
}
