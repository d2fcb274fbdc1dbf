//! Sums the gradients of several GPUs with their collective.

use std::thread;

use burn::optim::GradientsParams;
use burn::tensor::Device;

use crate::devices::collective;
use crate::network::parameters::{ParameterOf, Parameters};

/// Returns the sum of the gradients on the first device. `gradients` has one entry for each device, in the
/// order of the devices. If only some devices have a gradient for a parameter, the others contribute zero. If
/// no device has one, the sum has none either.
///
/// Every device must join the same reductions in the same order, from its own thread, because NCCL waits for
/// all devices.
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

/// Joins all reductions as one device. It starts all of them before it waits for the first result.
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
                kernels.push((
                    param.id,
                    collective::started(held.remove(param.id), param.dims(), device, devices),
                ));
            }
            ParameterOf::Matrix(param) => {
                matrices.push((
                    param.id,
                    collective::started(held.remove(param.id), param.dims(), device, devices),
                ));
            }
            ParameterOf::Vector(param) => {
                vectors.push((
                    param.id,
                    collective::started(held.remove(param.id), param.dims(), device, devices),
                ));
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
