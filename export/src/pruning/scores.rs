//! Scores of single weights. The weights with the lowest scores are pruned first.

/// Scores each weight by its magnitude.
///
/// Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", `NeurIPS`
/// 2015.
#[must_use]
pub fn magnitude(weights: &[f32]) -> Vec<f64> {
    weights.iter().map(|weight| f64::from(weight.abs())).collect()
}

/// Scores each weight by how much the loss changes, to first order, if the weight becomes zero:
/// `|weight * gradient|`. Add up the scores of several batches for a steadier estimate.
///
/// Source: P. Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8.
/// Differs: the magnitude instead of the square, which ranks the weights of one batch in the same order.
///
/// # Panics
/// When there are not as many gradients as weights.
#[must_use]
pub fn taylor(weights: &[f32], gradients: &[f32]) -> Vec<f64> {
    assert_eq!(weights.len(), gradients.len(), "each weight has a gradient");
    weights.iter().zip(gradients).map(|(w, g)| (f64::from(*w) * f64::from(*g)).abs()).collect()
}

/// Adds one training step to movement scores: `-weight * gradient`. A weight that moves away from zero gets a
/// higher score.
///
/// Source: V. Sanh et al., "Movement Pruning: Adaptive Sparsity by Fine-Tuning", `NeurIPS` 2020, equation 5.
/// Differs: without the learning rate, a factor that all weights share while the rate is constant.
///
/// # Panics
/// When there are not as many scores and gradients as weights.
pub fn add_movement(total: &mut [f64], weights: &[f32], gradients: &[f32]) {
    assert_eq!((total.len(), gradients.len()), (weights.len(), weights.len()), "each weight has both");
    for ((total, weight), gradient) in total.iter_mut().zip(weights).zip(gradients) {
        *total -= f64::from(*weight) * f64::from(*gradient);
    }
}
