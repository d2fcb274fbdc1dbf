//! What training minimizes: cross-entropy for classes, squared error for values, and the same against a teacher.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};
use kiln_kernels::cross_entropy;

use crate::data::{BatchTargets, DataSet};

/// The loss of outputs against the targets of their batch; `smoothing` is for classes only.
///
/// # Shapes
/// - `outputs`: `[batch, classes]`, or `[batch, values]`
pub(crate) fn against_targets(outputs: Tensor<2>, targets: &BatchTargets, smoothing: f64) -> Tensor<1> {
    match targets {
        BatchTargets::Labels(labels) => cross_entropy(outputs, labels.clone(), smoothing),
        BatchTargets::Values(values) => squared_error(outputs, values.clone()),
    }
}

/// The loss of outputs against a teacher's, which gets no gradient. `targets` say what the outputs mean.
pub(crate) fn against_teacher(outputs: Tensor<2>, teacher: Tensor<2>, targets: &BatchTargets) -> Tensor<1> {
    match targets {
        BatchTargets::Labels(_) => distillation(outputs, teacher),
        BatchTargets::Values(_) => squared_error(outputs, teacher.detach()),
    }
}

/// The loss of a network that knows nothing but the shares of the classes, taken as equal, or the mean of the values.
pub(crate) fn of_guessing(data: &DataSet) -> f64 {
    if data.is_regression() { 1.0 } else { (data.targets().names().len() as f64).ln() }
}

/// Mean squared error over examples and values, each in deviations from its mean.
fn squared_error(outputs: Tensor<2>, values: Tensor<2>) -> Tensor<1> {
    let difference = outputs - values;
    (difference.clone() * difference).mean()
}

/// Mean cross-entropy against a teacher's logits at temperature 1 (the gradient of the divergence from the teacher).
/// The teacher gets no gradient.
///
/// Source: J. Yu and T. Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, section 3.3.
fn distillation(logits: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let targets = softmax(teacher.detach(), 1);
    (targets * log_softmax(logits, 1)).sum_dim(1).mean().neg()
}

/// The value of a one-element tensor.
pub(crate) fn value(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().into_data().try_to_vec::<f32>().expect("a loss is single precision")[0])
}
