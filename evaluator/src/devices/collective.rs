//! Sums tensors of several GPUs with NCCL instead of on the main device.
//!
//! The order of NCCL's sums depends on the GPUs, the links between them, and the sizes of the tensors. Only
//! in this file does the number of devices change the last bits of results. It compiles, but it has not yet
//! run on several GPUs.

use std::thread;

use burn::tensor::distributed::{CollectiveTensor, ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

use super::probe::{self, ProbeError};

/// Checks that the devices can communicate. Each device contributes 1 to a sum, so the sum on each device
/// must equal the number of devices.
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

/// Starts summing this device's tensor with the tensors of the other devices. A device without a tensor
/// contributes zeros.
///
/// Every device must join the same sums in the same order, from its own thread, because NCCL waits for all
/// devices.
pub(crate) fn started<const D: usize>(
    tensor: Option<Tensor<D>>,
    dims: [usize; D],
    device: &Device,
    devices: &[Device],
) -> CollectiveTensor<D> {
    let tensor = tensor.unwrap_or_else(|| Tensor::zeros(dims, device));
    all_reduce(tensor, ReduceOperation::Sum, devices.to_vec())
}
