//! Gradients of weights that several networks share: each network leaves the gradient of just what it read, and all are added in
//! place into one gradient of the whole weight, in the order of the networks.
//!
//! burn's own gradients have the shape of the whole weight for every network that reads a part of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::memory::Buffer;
use crate::weight_slice::Places;

/// Where the layers of one network leave the gradients of what they read, by the number of the weight.
#[derive(Debug, Clone, Default)]
pub struct Deposits(Arc<Mutex<BTreeMap<u64, Vec<Block>>>>);

/// Where a layer leaves the gradient of its weight.
#[derive(Debug, Clone)]
pub struct Deposit {
    deposits: Deposits,
    weight: u64,
}

/// The gradient of a part of a weight, in the order of the part.
#[derive(Debug)]
struct Block {
    places: Arc<Places>,
    /// Output channels, input channels, and size of the kernel.
    shape: [usize; 4],
    values: Buffer,
}

impl Deposits {
    /// A place for the gradient of the weight of this number.
    #[must_use]
    pub fn of(&self, weight: u64) -> Deposit {
        Deposit { deposits: self.clone(), weight }
    }
}

impl Deposit {
    /// Leaves a gradient; of a weight that a network reads twice, in the order in which it comes.
    pub(crate) fn leave(&self, places: &Arc<Places>, shape: [usize; 4], values: Buffer) {
        let block = Block { places: Arc::clone(places), shape, values };
        let mut blocks = self.deposits.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.entry(self.weight).or_default().push(block);
    }
}

/// Gradients of whole weights, added up from what networks have left.
#[derive(Debug, Default)]
pub struct SharedGradient {
    totals: BTreeMap<u64, Buffer>,
}

impl SharedGradient {
    /// Adds what the networks have left, in their order. The sum of each weight is one task's, so that no sum depends on the number
    /// of threads.
    ///
    /// `sizes` says how many values a weight has.
    ///
    /// # Panics
    /// When a part does not lie inside a weight of that size.
    pub fn add(&mut self, networks: Vec<Deposits>, sizes: impl Fn(u64) -> usize) {
        let mut blocks: BTreeMap<u64, Vec<Block>> = BTreeMap::new();
        for network in networks {
            let left = std::mem::take(&mut *network.0.lock().unwrap_or_else(PoisonError::into_inner));
            for (weight, more) in left {
                blocks.entry(weight).or_default().extend(more);
            }
        }
        let work: Vec<_> = blocks
            .into_iter()
            .map(|(weight, blocks)| (weight, sizes(weight), self.totals.remove(&weight), blocks))
            .collect();
        let totals = work.into_par_iter().map(|(weight, size, total, blocks)| {
            let add = |total: &mut [f32]| blocks.iter().for_each(|block| block.add_to(total));
            let total = match total {
                Some(mut total) => {
                    add(total.values_mut());
                    total
                }
                None => Buffer::zeroed_and(size, add),
            };
            (weight, total)
        });
        self.totals.extend(totals.collect::<Vec<_>>());
    }

    /// Takes out the gradient of a weight of this shape, on the CPU; `None` if nothing has been left for it.
    ///
    /// # Panics
    /// When the weight has another size than was said.
    pub fn take<const D: usize>(&mut self, weight: u64, shape: [usize; D]) -> Option<Tensor<D>> {
        let total = self.totals.remove(&weight)?;
        assert_eq!(total.values().len(), shape.iter().product::<usize>(), "a weight keeps its size");
        let total = TensorData::from_bytes(total.into_bytes(), shape, DType::F32);
        Some(Tensor::from_data(total, &Device::flex()))
    }
}

impl Block {
    /// Adds the block at its places of the whole.
    fn add_to(&self, total: &mut [f32]) {
        let [outputs, inputs, height, width] = self.shape;
        let mut values = self.values.values().iter();
        for output in 0..outputs {
            for input in 0..inputs {
                for row in 0..height {
                    let from = self.places.at(output, input, [row, 0]);
                    for (total, value) in total[from..from + width].iter_mut().zip(&mut values) {
                        *total += value;
                    }
                }
            }
        }
    }
}
