//! The proxy `synflow` measures how much signal flows from the input to the output over all paths through the
//! weights. It needs no data.

use burn::module::Param;
use burn::tensor::{DType, Device, Gradients, Tensor};
use kiln_space::{Architecture, ParameterSpec};

use crate::network::executor;
use crate::network::parameters::Parameters;
use crate::network::plan::Plan;
use crate::network::weights::Weights;

/// Computes `ln(1 + sum |w dR/dw|)` over the weights of convolutions and fully connected layers. `R` is the
/// sum of the outputs for an input of ones. The network runs without normalization, and each weight is
/// replaced by its magnitude. Products over many layers are large, so the score is always computed in double
/// precision on the CPU, even if the study uses another device.
///
/// Source: H. Tanaka, D. Kunin, D. Yamins, S. Ganguli, "Pruning neural networks without any data by
/// iteratively conserving synaptic flow", `NeurIPS` 2020, equation 1; as a proxy: M. Abdelfattah et al.,
/// "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
/// Differs: takes the logarithm, which does not change the ranking.
pub(super) fn score(architecture: &Architecture, specs: &[ParameterSpec], seed: u64) -> f64 {
    let device = Device::flex();
    let autodiff = device.clone().autodiff();
    let weights = magnitudes(&Weights::initialize(specs, seed, &device), &autodiff);
    let shape = architecture.input;
    let ones = Tensor::ones([1, shape.channels, shape.height, shape.width], (&autodiff, DType::F64));
    let plan = Plan::without_normalization(architecture);
    let output = executor::forward(&plan, architecture, &weights, ones, &mut ());
    let gradients = output.sum().backward();
    flow(&weights.parameters, &gradients).ln_1p()
}

/// The magnitudes of the weights in double precision, as leaves of an autodiff graph on `device`.
fn magnitudes(weights: &Weights, device: &Device) -> Weights {
    fn each<const D: usize>(from: &[Param<Tensor<D>>], device: &Device) -> Vec<Param<Tensor<D>>> {
        let magnitude = |param: &Param<Tensor<D>>| {
            let values = param.val().abs().cast(DType::F64).into_data();
            Param::initialized(param.id, Tensor::from_data(values, (device, DType::F64)).require_grad())
        };
        from.iter().map(magnitude).collect()
    }
    let Parameters { kernels, matrices, vectors } = &weights.parameters;
    weights.named(Parameters {
        kernels: each(kernels, device),
        matrices: each(matrices, device),
        vectors: each(vectors, device),
    })
}

/// Sums weight times gradient over kernels and matrices, in double precision.
fn flow(Parameters { kernels, matrices, .. }: &Parameters, gradients: &Gradients) -> f64 {
    fn sum<const D: usize>(params: &[Param<Tensor<D>>], gradients: &Gradients) -> f64 {
        let flow = |param: &Param<Tensor<D>>| {
            let gradient = param.val().grad(gradients)?;
            let flow = (param.val().inner() * gradient).sum().into_data();
            flow.try_to_vec::<f64>().ok()?.first().copied()
        };
        // A weight that no layer reads has no gradient, and nothing flows through it.
        params.iter().filter_map(flow).sum()
    }
    sum(kernels, gradients) + sum(matrices, gradients)
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;
    use crate::network::stand_alone::stand_alone;

    /// Two inputs, three hidden units, one output, with biases: `R = sum_h v_h (sum_i w_hi + b_h) + c`. The
    /// contribution of the hidden weights is `sum_h v_h sum_i w_hi`. The contribution of the output weights
    /// is `sum_h v_h (sum_i w_hi + b_h)`, which is the same because new biases are zero.
    #[test]
    fn each_layer_of_a_linear_network_carries_the_whole_flow() {
        let mut builder = ArchitectureBuilder::new(Shape::vector(2));
        let input = builder.input();
        let hidden = builder.linear("hidden", input, 3).unwrap();
        builder.linear("output", hidden, 1).unwrap();
        let (own, specs) = stand_alone(&builder.finish().unwrap());
        let arrays = Weights::initialize(&specs, 5, &Device::flex()).arrays(&own);
        let magnitude = |name: &str, index: usize| f64::from(arrays[name].data[index].abs());
        let flow: f64 = (0..3)
            .map(|unit| {
                let into = magnitude("hidden.weight", 2 * unit) + magnitude("hidden.weight", 2 * unit + 1);
                magnitude("output.weight", unit) * into
            })
            .sum();
        assert!((score(&own, &specs, 5) - (2.0 * flow).ln_1p()).abs() < 1e-9);
    }
}
