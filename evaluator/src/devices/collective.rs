//! Sums tensors of several GPUs with NCCL instead of on the main device.
//!
//! NCCL fixes the order of a sum for one set of GPUs, links and sizes, but not across them. In this file
//! alone, the number of devices changes the last bits. This code compiles, but it has not yet run on several
//! GPUs.

use std::thread;

use burn::tensor::distributed::{CollectiveTensor, ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

use super::probe::{self, ProbeError};

/// Checks that the devices reach each other: each gives a one, and all must get the number of devices.
///
/// # Errors
/// [`ProbeError`] when they cannot be used together.
pub(crate) fn probe(devices: &[Device]) -> Result<(), ProbeError> {
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
                .map(|thread| Ok(thread.join().map_err(|_| ProbeError::CollectiveFailed)??))
                .collect::<Result<Vec<Vec<f32>>, ProbeError>>()
        })?;
        let expected = devices.len() as f32;
        let is_right = |sum: &Vec<f32>| matches!(sum.as_slice(), [sum] if (sum - expected).abs() < 1e-3);
        if sums.iter().all(is_right) { Ok(()) } else { Err(ProbeError::CollectiveSum { found: sums }) }
    })
}

/// Starts the sum of this device's tensor with those of the other devices. A device without a tensor gives
/// zeros.
///
/// Every device must join the same sums in the same order, from a thread of its own, because NCCL waits for
/// all devices.
pub(crate) fn started<const D: usize>(
    tensor: Option<Tensor<D>>,
    dims: [usize; D],
    device: &Device,
    devices: &[Device],
) -> CollectiveTensor<D> {
    let tensor = tensor.unwrap_or_else(|| Tensor::zeros(dims, device));
    all_reduce(tensor, ReduceOperation::Sum, devices.to_vec())
}
