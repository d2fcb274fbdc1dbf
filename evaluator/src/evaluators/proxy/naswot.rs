//! The proxy `naswot`. It assumes that a network learns to distinguish images well if its untrained
//! activations already distinguish them.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};
use kiln_space::{Architecture, LayerId, Op, ParameterSpec};

use crate::data::{Batcher, DataSet, Split};
use crate::network::executor;
use crate::network::observer::Outputs;
use crate::network::plan::Plan;
use crate::network::weights::Weights;

/// Number of images, the same as in the source.
pub(super) const IMAGES: usize = 128;

/// Computes `ln det(K + I)`. For each pair of images, `K` counts the units that are on for both images or off
/// for both.
///
/// Source: J. Mellor, J. Turner, A. Storkey, E. Crowley, "Neural Architecture Search without Training", ICML
/// 2021, equation 2.
/// Differs: a unit is on if the input of its activation is positive, for every kind of activation. Adding the
/// identity `I` keeps the determinant of small networks above zero.
pub(super) fn score(
    architecture: &Architecture,
    specs: &[ParameterSpec],
    data: &DataSet,
    seed: u64,
    device: &Device,
) -> f64 {
    let train = data.split(Split::Train);
    let count = IMAGES.min(train.len());
    // The images are spread evenly over the split, because the split is in file order, and files may be
    // sorted by class.
    let chosen: Vec<u32> = (0..count).map(|i| train[i * train.len() / count]).collect();
    let images = Batcher::new(data, device.clone(), 0).plain(&chosen).images;
    let weights = Weights::initialize(specs, seed, device);
    let activated: BTreeSet<LayerId> = architecture
        .layers
        .iter()
        .filter(|layer| matches!(layer.op, Op::Activation { .. }))
        .filter_map(|layer| layer.inputs.first().copied())
        .collect();
    let mut alike = vec![0.0; count * count];
    let mut observer = Outputs(|id: LayerId, output: &Tensor<4>| {
        if activated.contains(&id) {
            for (sum, layer) in alike.iter_mut().zip(agreements(output.clone())) {
                *sum += layer;
            }
        }
    });
    let plan = Plan::layer_by_layer(architecture);
    executor::forward(&plan, architecture, &weights, images, &mut observer);
    for image in 0..count {
        alike[image * count + image] += 1.0;
    }
    log_determinant(alike, count)
}

/// Counts, for each pair of images, the units that are on for both images or off for both: `[images *
/// images]`. With signs of 1 and -1, this count is half the sum of the number of units and the dot product of
/// the signs. Such sums are small enough to be exact in single precision.
fn agreements(inputs: Tensor<4>) -> Vec<f64> {
    let [images, channels, height, width] = inputs.dims();
    let units = channels * height * width;
    let signs = inputs.reshape([images, units]).greater_elem(0.0).float() * 2.0 - 1.0;
    let products = signs.clone().matmul(signs.transpose()).into_data();
    let products = products.try_to_vec::<f32>().expect("activations are single precision");
    products.into_iter().map(|product| f64::midpoint(units as f64, f64::from(product))).collect()
}

/// Natural logarithm of the determinant of a symmetric matrix, by Cholesky decomposition. The result is not
/// finite if the matrix is not positive definite.
fn log_determinant(mut matrix: Vec<f64>, size: usize) -> f64 {
    let mut sum = 0.0;
    for column in 0..size {
        let before: f64 = (0..column).map(|k| matrix[column * size + k].powi(2)).sum();
        let pivot = (matrix[column * size + column] - before).sqrt();
        matrix[column * size + column] = pivot;
        sum += 2.0 * pivot.ln();
        for row in column + 1..size {
            let before: f64 = (0..column).map(|k| matrix[row * size + k] * matrix[column * size + k]).sum();
            matrix[row * size + column] = (matrix[row * size + column] - before) / pivot;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_determinants_match_numbers_by_hand() {
        assert!((log_determinant(vec![2.0, 1.0, 1.0, 2.0], 2) - 3.0_f64.ln()).abs() < 1e-12);
        // Expanded along the first row: 4 (5 * 6 - 1) - 1 (6 - 0) + 0 = 110.
        let three = vec![4.0, 1.0, 0.0, 1.0, 5.0, 1.0, 0.0, 1.0, 6.0];
        assert!((log_determinant(three, 3) - 110.0_f64.ln()).abs() < 1e-12);
        assert!(!log_determinant(vec![1.0, 1.0, 1.0, 1.0], 2).is_finite(), "singular");
    }

    #[test]
    fn units_that_respond_alike_are_counted() {
        // Three images of four units each: on, off, off, on for the first and the third; on, on, off, off for
        // the second. A value of zero counts as off.
        let values = [1.0, -1.0, 0.0, 2.0, 3.0, 4.0, -5.0, -1.0, 9.0, -9.0, -1.0, 1.0];
        let inputs = Tensor::<1>::from_floats(values, &Device::flex()).reshape([3, 2, 1, 2]);
        assert_eq!(agreements(inputs), [4.0, 2.0, 4.0, 2.0, 4.0, 2.0, 4.0, 2.0, 4.0]);
    }
}
