//! Tensors of several GPUs, added up by NCCL instead of by the main device.
//!
//! NCCL fixes the order of the sum for one set of GPUs, links and sizes, and not across them: here, and here
//! alone, the number of devices changes the last bits. It could not be tried where this was written; the type
//! checker has seen it, no GPU has.

use std::thread;

use burn::tensor::distributed::{CollectiveTensor, ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

use super::probe;

/// Finds out whether the devices reach each other: each gives a one, and all must get their number.
///
/// # Errors
/// Why they cannot be used together, for people.
pub(crate) fn probe(devices: &[Device]) -> Result<(), String> {
    let devices = devices.to_vec();
    probe::within(probe::LIMIT, move || {
        let sum = |device: &Device| {
            started(Some(Tensor::<1>::ones([1], device)), [1], device, &devices)
                .resolve()
                .into_data()
                .try_to_vec::<f32>()
        };
        let sums = thread::scope(|scope| {
            let threads: Vec<_> = devices.iter().map(|device| scope.spawn(|| sum(device))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "one of them failed"))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let expected = devices.len() as f32;
        let is_right =
            |sum: &Result<Vec<f32>, _>| matches!(sum.as_deref(), Ok([sum]) if (sum - expected).abs() < 1e-3);
        if sums.iter().all(is_right) { Ok(()) } else { Err(format!("their ones add up to {sums:?}")) }
    })
}

/// Begins to add up a tensor that is on this device, and zeros where there is none, with those of the other
/// devices.
///
/// Every device takes part in the same sums in the same order, each from a thread of its own: NCCL waits for
/// all.
pub(crate) fn started<const D: usize>(
    tensor: Option<Tensor<D>>,
    dims: [usize; D],
    device: &Device,
    devices: &[Device],
) -> CollectiveTensor<D> {
    let tensor = tensor.unwrap_or_else(|| Tensor::zeros(dims, device));
    all_reduce(tensor, ReduceOperation::Sum, devices.to_vec())
}
