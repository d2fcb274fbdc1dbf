//! Gradients of several GPUs, added up by NCCL instead of by the main device.
//!
//! NCCL fixes the order of the sum for one set of GPUs, links and sizes, and not across them: here, and here alone, the number
//! of devices changes the last bits. It could not be tried where this was written; the type checker has seen it, no GPU has.

use std::thread;

use burn::optim::GradientsParams;
use burn::tensor::distributed::{CollectiveTensor, ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

use crate::parameters::{ParameterOf, Parameters};
use crate::probe;

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

/// The sum of the gradients that are on the devices, one entry each and in their order, on the first device. A parameter that a
/// device has no gradient of counts as zero there; one that no device has a gradient of stays without.
///
/// Every device takes part in the same reductions in the same order, each from a thread of its own: NCCL waits for all.
pub(crate) fn sum(
    mut gradients: Vec<GradientsParams>,
    parameters: &Parameters,
    devices: &[Device],
) -> GradientsParams {
    let wanted: Vec<ParameterOf<'_>> = parameters
        .each()
        .filter(|parameter| gradients.iter().any(|held| parameter.has_gradient(held)))
        .collect();
    thread::scope(|scope| {
        let wanted = &wanted;
        let mut rest = gradients.split_off(1).into_iter().zip(&devices[1..]);
        let others: Vec<_> = rest
            .by_ref()
            .map(|(held, device)| scope.spawn(move || reduced(held, wanted, device, devices)))
            .collect();
        let first = gradients.pop().expect("there is a main device");
        let total = reduced(first, wanted, &devices[0], devices);
        for thread in others {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        total
    })
}

/// A device's part in all reductions. They are waited for when the last one is under way.
fn reduced(
    mut held: GradientsParams,
    wanted: &[ParameterOf<'_>],
    device: &Device,
    devices: &[Device],
) -> GradientsParams {
    let (mut kernels, mut matrices, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in wanted {
        match parameter {
            ParameterOf::Kernel(param) => {
                kernels.push((param.id, started(held.remove(param.id), param.dims(), device, devices)));
            }
            ParameterOf::Matrix(param) => {
                matrices.push((param.id, started(held.remove(param.id), param.dims(), device, devices)));
            }
            ParameterOf::Vector(param) => {
                vectors.push((param.id, started(held.remove(param.id), param.dims(), device, devices)));
            }
        }
    }
    let mut total = GradientsParams::new();
    for (id, sum) in kernels {
        total.register(id, sum.resolve());
    }
    for (id, sum) in matrices {
        total.register(id, sum.resolve());
    }
    for (id, sum) in vectors {
        total.register(id, sum.resolve());
    }
    total
}

fn started<const D: usize>(
    gradient: Option<Tensor<D>>,
    dims: [usize; D],
    device: &Device,
    devices: &[Device],
) -> CollectiveTensor<D> {
    let gradient = gradient.unwrap_or_else(|| Tensor::zeros(dims, device));
    all_reduce(gradient, ReduceOperation::Sum, devices.to_vec())
}
