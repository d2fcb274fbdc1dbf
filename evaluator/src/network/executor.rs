//! The executor runs the plan of an architecture with weights that it looks up by key. It runs supernets,
//! subnets and stand-alone networks.

use burn::tensor::Tensor;
use kiln_space::{Architecture, LayerId};

use super::observer::Observer;
use super::operations::compute;
use super::plan::Plan;
use super::step::Read;
use super::weights::Weights;

/// Runs a network on a batch of images.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`, the architecture's input
/// - output: `[batch, features]`, the flattened output of the last layer
///
/// # Panics
/// When the plan was made for another architecture, or the weights do not fit the architecture. The
/// parameters that a space declares always fit its validated architectures.
pub(crate) fn forward(
    plan: &Plan,
    architecture: &Architecture,
    weights: &Weights,
    images: Tensor<4>,
    observer: &mut dyn Observer,
) -> Tensor<2> {
    observer.output(LayerId(0), &images);
    let images = plan.input.apply(images);
    let mut values: Vec<Option<Tensor<4>>> = vec![None; plan.layers];
    values[0] = Some(images.clone());
    for step in &plan.steps {
        let inputs = step.reads.iter().map(|read| take(&mut values, read)).collect();
        let output = compute(step, architecture.layer(step.layer), weights, &images, inputs, observer);
        observer.output(step.layer, &output);
        values[step.layer.0] = Some(step.output.apply(output));
    }
    let output = values.pop().flatten().expect("the last layer is live");
    let [batch, channels, height, width] = output.dims();
    output.reshape([batch, channels * height * width])
}

/// Returns the output of an earlier layer, rounded as `read` requires. The last read moves the tensor out of
/// `values`, so that its memory can be reused.
fn take(values: &mut [Option<Tensor<4>>], read: &Read) -> Tensor<4> {
    let place = &mut values[read.layer.0];
    let value = if read.is_last { place.take() } else { place.clone() };
    read.rounding.apply(value.expect("an earlier live layer has a value"))
}
