//! Gradients of weights that several networks share.
//!
//! Each network deposits the gradient of the slice that it read. All deposits are added in place to one
//! gradient of the whole weight, in the order of the networks. burn's own gradients would have the shape of
//! the whole weight for every network that reads a slice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::shared::memory::Buffer;
use crate::shared::weight_slice::Places;

/// Deposits of one network: the gradients of the slices that its layers read, by weight id.
#[derive(Debug, Clone, Default)]
pub struct Deposits(Arc<Mutex<BTreeMap<u64, Vec<Block>>>>);

/// Receives the gradient of one weight from a layer.
#[derive(Debug, Clone)]
pub struct Deposit {
    deposits: Deposits,
    weight: u64,
}

/// The gradient of a weight slice, in the order of the slice's elements.
#[derive(Debug)]
struct Block {
    places: Arc<Places>,
    /// Output channels, input channels, and size of the kernel.
    shape: [usize; 4],
    values: Buffer,
}

impl Deposits {
    /// Returns the [`Deposit`] for the gradient of the weight with this id.
    #[must_use]
    pub fn of(&self, weight: u64) -> Deposit {
        Deposit { deposits: self.clone(), weight }
    }
}

impl Deposit {
    /// Deposits a gradient. If a network reads a weight twice, the weight has two deposits, in the order of
    /// the calls.
    pub(crate) fn leave(&self, places: &Arc<Places>, shape: [usize; 4], values: Buffer) {
        let block = Block { places: Arc::clone(places), shape, values };
        let mut blocks = self.deposits.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.entry(self.weight).or_default().push(block);
    }
}

/// Gradients of whole weights, summed over the deposits of networks.
#[derive(Debug, Default)]
pub struct SharedGradient {
    totals: BTreeMap<u64, Buffer>,
}

impl SharedGradient {
    /// Adds the deposits of the networks, in the order of the networks.
    ///
    /// One task adds all deposits of a weight, so sums do not depend on the number of threads. `sizes`
    /// returns the number of values of a weight.
    ///
    /// # Panics
    /// When a slice exceeds the size of its weight.
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

    /// Removes and returns the gradient of a weight of this shape, on the CPU. Returns `None` if the weight
    /// has no deposits.
    ///
    /// # Panics
    /// When the shape has another number of elements than `sizes` returned in `add`.
    pub fn take<const D: usize>(&mut self, weight: u64, shape: [usize; D]) -> Option<Tensor<D>> {
        let total = self.totals.remove(&weight)?;
        assert_eq!(total.values().len(), shape.iter().product::<usize>(), "a weight keeps its size");
        let total = TensorData::from_bytes(total.into_bytes(), shape, DType::F32);
        Some(Tensor::from_data(total, &Device::flex()))
    }
}

impl Block {
    /// Adds the block to the gradient of the whole weight, at the positions of the slice.
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
