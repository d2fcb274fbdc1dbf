//! Averages the gradients of one step over several subnets and batches.

use std::sync::Mutex;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use kiln_kernels::{Deposits, SharedGradient};
use kiln_space::Architecture;

use super::settings::{Sampling, SupernetSettings};
use crate::data::Batch;
use crate::devices::pool::Devices;
use crate::network::executor;
use crate::network::parameters::Parameters;
use crate::network::plan::Plan;
use crate::network::weights::Weights;
use crate::training::loss;

/// Sums the gradients of a step on the main device, in the order of the subnets. If the GPUs have a
/// collective, each GPU first sums the gradients of its own subnets. The collective then sums over all GPUs.
/// A parameter that a subnet does not read contributes zero.
///
/// On the CPU, a subnet's gradients cover only the parts of kernels and matrices that it reads. These
/// gradients are added in place to gradients of the whole parameters.
pub(crate) struct StepGradients {
    /// One accumulator for the main device, or one for each device if there is a collective.
    accumulators: Vec<GradientsAccumulator<Parameters>>,
    /// Gradients of kernels and matrices that Kiln's CPU kernels computed.
    shared: SharedGradient,
    loss: f64,
}

impl StepGradients {
    pub(crate) fn new(devices: &Devices) -> Self {
        let parts = if devices.has_collective() { devices.all().len() } else { 1 };
        Self {
            accumulators: (0..parts).map(|_| GradientsAccumulator::new()).collect(),
            shared: SharedGradient::default(),
            loss: 0.0,
        }
    }

    /// Returns the gradients on the main device, and the mean loss.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(unused_variables, reason = "only a collective asks where the parts are")
    )]
    pub(crate) fn finish(mut self, devices: &Devices, weights: &Weights) -> (GradientsParams, f64) {
        #[cfg(feature = "cuda")]
        if devices.has_collective() {
            let parts = self.accumulators.iter_mut().map(GradientsAccumulator::grads).collect();
            return (
                crate::training::gradient_sum::sum(parts, &weights.parameters, devices.all()),
                self.loss,
            );
        }
        let mut merge = Merge { gradients: self.accumulators[0].grads(), shared: self.shared };
        weights.parameters.visit(&mut merge);
        (merge.gradients, self.loss)
    }

    /// Adds the gradients of all subnets on one batch. `share_of_step` is the fraction of the step's examples
    /// in this batch. Subnets are distributed over the devices, but their gradients are added in order.
    /// Without a collective, the sum does not depend on the number of devices.
    pub(crate) fn add(
        &mut self,
        settings: &SupernetSettings,
        devices: &Devices,
        subnets: &[Architecture],
        weights: &Weights,
        (batch, share_of_step): (&Batch, f64),
    ) {
        let main = devices.main().clone().autodiff();
        let share = 1.0 / subnets.len() as f64;
        let forward = |subnet: &Architecture, leaves: &Weights, batch: &Batch| {
            let plan = if settings.quantization_aware {
                Plan::rounded_training(subnet)
            } else {
                Plan::training(subnet)
            };
            executor::forward(&plan, subnet, leaves, batch.images.clone(), &mut ())
        };
        let fork = |subnet: &Architecture, device: &Device| weights.forked(subnet, device).depositing();
        let backward = |(leaves, deposits): (Weights, Deposits), loss: Tensor<1>| {
            let gradients = (loss.clone() * (share * share_of_step)).backward();
            let gradients = GradientsParams::from_grads(gradients, &leaves.parameters);
            let stays = devices.has_collective();
            let gradients =
                if stays { gradients } else { gradients.to_device(devices.main(), &leaves.parameters) };
            // Reading the loss waits for the GPU, so it happens last.
            (gradients, deposits, loss::value(&loss))
        };
        let against_targets = |outputs: Tensor<2>, batch: &Batch| {
            let (smoothing, weights) = (settings.label_smoothing, &settings.class_weights);
            loss::against_targets(outputs, &batch.targets, smoothing, weights)
        };
        let teaches = settings.sampling == Sampling::Sandwich && settings.distillation;
        // The teacher runs first, because all other subnets need its outputs.
        let first = teaches.then(|| {
            let leaves = fork(&subnets[0], &main);
            let outputs = forward(&subnets[0], &leaves.0, batch);
            (leaves, outputs)
        });
        let taught = first.as_ref().map(|(_, outputs)| outputs.clone().detach());
        let first = Mutex::new(first);
        let work = |index: usize, subnet: &Architecture, device: &Device| {
            let taken = if index == 0 { first.lock().expect("no holder panics").take() } else { None };
            if let Some((leaves, outputs)) = taken {
                let loss = against_targets(outputs, batch);
                return backward(leaves, loss);
            }
            let device = device.clone().autodiff();
            let leaves = fork(subnet, &device);
            let batch = batch.on(&device);
            let outputs = forward(subnet, &leaves.0, &batch);
            let loss = match &taught {
                Some(taught) => {
                    let taught = taught.clone().to_device(&device);
                    loss::against_teacher(outputs, taught, &batch.targets, &settings.class_weights)
                }
                None => against_targets(outputs, &batch),
            };
            backward(leaves, loss)
        };
        let parts = self.accumulators.len();
        let mut left = Vec::new();
        for (index, (gradients, deposits, value)) in devices.map(subnets, work).into_iter().enumerate() {
            self.accumulators[index % parts].accumulate(&weights.parameters, gradients);
            self.loss += value * share * share_of_step;
            left.push(deposits);
        }
        self.shared.add(left, |id| weights.parameters.elements(ParamId::from(id)));
    }
}

/// Adds the shared gradient of each parameter to burn's gradient.
struct Merge {
    gradients: GradientsParams,
    shared: SharedGradient,
}

impl ModuleVisitor for Merge {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(shared) = self.shared.take(param.id.val(), param.val().dims()) else { return };
        let total = match self.gradients.remove::<D>(param.id) {
            Some(gradient) => shared + gradient,
            None => shared,
        };
        self.gradients.register(param.id, total);
    }
}
