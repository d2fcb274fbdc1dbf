//! Cross-entropy against labels, with smoothing, and against a teacher's probabilities.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};

/// Mean cross-entropy in nats; every target is moved towards uniform by `smoothing`.
///
/// Source: C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let logs = log_softmax(logits, 1);
    let picked = logs.clone().gather(1, labels.unsqueeze_dim::<2>(1)).mean().neg();
    if smoothing > 0.0 { picked * (1.0 - smoothing) - logs.mean() * smoothing } else { picked }
}

/// Mean cross-entropy against a teacher's logits at temperature 1 (the gradient of the divergence from the teacher).
/// The teacher gets no gradient.
///
/// Source: J. Yu and T. Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, section 3.3.
pub(crate) fn distillation(logits: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let targets = softmax(teacher.detach(), 1);
    (targets * log_softmax(logits, 1)).sum_dim(1).mean().neg()
}

/// The value of a one-element tensor.
pub(crate) fn value(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().into_data().try_to_vec::<f32>().expect("a loss is single precision")[0])
}
