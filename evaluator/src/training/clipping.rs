//! Clips gradients by their norm over all parameters together, which preserves the gradient's direction.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::network::parameters::Parameters;

/// Scales the gradients down to the norm `limit` if their norm exceeds it. A missing gradient counts as zero.
///
/// Source: R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
/// 2013, algorithm 1.
pub(crate) fn clip(gradients: GradientsParams, parameters: &Parameters, limit: f64) -> GradientsParams {
    let norm = norm(&gradients, parameters);
    // A gradient that is not finite is passed on unchanged. The loss of the next step then reveals the
    // problem.
    if norm.is_nan() || norm <= limit {
        return gradients;
    }
    let mut scale = Scale { gradients, factor: limit / norm };
    parameters.visit(&mut scale);
    scale.gradients
}

/// Euclidean norm of all gradients together. They are summed in the order of the parameters.
fn norm(gradients: &GradientsParams, parameters: &Parameters) -> f64 {
    let mut squares = Squares { gradients, sums: Vec::new() };
    parameters.visit(&mut squares);
    if squares.sums.is_empty() {
        return 0.0;
    }
    let sums = Tensor::cat(squares.sums, 0).into_data();
    let sums = sums.try_to_vec::<f32>().expect("gradients are single precision");
    sums.into_iter().map(f64::from).sum::<f64>().sqrt()
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sums.push((gradient.clone() * gradient).sum());
        }
    }
}

struct Scale {
    gradients: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::weights::{Values, Weights};

    /// Two parameters with the gradients (3, 0) and (0, 4), and a third one without a gradient.
    fn example() -> (GradientsParams, Weights) {
        let values = ["a.bias", "b.bias", "c.bias"]
            .map(|name| (name.to_owned(), Values { shape: vec![2], data: vec![1.0, 1.0] }));
        let weights = Weights::from_values(values, &Device::flex());
        let ids = weights.parameters.vector_ids();
        let mut gradients = GradientsParams::new();
        for (id, gradient) in ids.iter().zip([[3.0, 0.0], [0.0, 4.0]]) {
            gradients.register(*id, Tensor::<1>::from_floats(gradient, &Device::flex()));
        }
        (gradients, weights)
    }

    fn clipped(limit: f64) -> Vec<f32> {
        let (gradients, weights) = example();
        let clipped = clip(gradients, &weights.parameters, limit);
        let ids = weights.parameters.vector_ids();
        let values = ids.iter().filter_map(|id| clipped.get::<1>(*id));
        values.flat_map(|gradient| gradient.into_data().try_to_vec::<f32>().unwrap()).collect()
    }

    #[test]
    fn norm_covers_all_gradients_together() {
        let (gradients, weights) = example();
        assert!((norm(&gradients, &weights.parameters) - 5.0).abs() < 1e-9);
        assert!(norm(&GradientsParams::new(), &weights.parameters).abs() < 1e-9);
    }

    #[test]
    fn gradients_above_the_limit_are_scaled_and_others_unchanged() {
        assert_eq!(clipped(5.0), [3.0, 0.0, 0.0, 4.0]);
        assert_eq!(clipped(2.5), [1.5, 0.0, 0.0, 2.0]);
    }
}
