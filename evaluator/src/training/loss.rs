//! The training losses: cross-entropy for classification, squared error for regression, and both with a
//! teacher's outputs as targets.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};
use kiln_kernels::cross_entropy;

use crate::data::{BatchTargets, DataSet};
use crate::training::class_weights::ClassWeights;

/// Computes the loss of outputs with respect to the targets of their batch. `smoothing` and `weights` apply
/// to classification only.
///
/// # Shapes
/// - `outputs`: `[batch, classes]`, or `[batch, values]`
pub(crate) fn against_targets(
    outputs: Tensor<2>,
    targets: &BatchTargets,
    smoothing: f64,
    weights: &ClassWeights,
) -> Tensor<1> {
    match targets {
        BatchTargets::Labels(labels) => match weights.of_examples(labels, &outputs.device()) {
            None => cross_entropy(outputs, labels.clone(), smoothing),
            Some(weights) => weighted_cross_entropy(outputs, labels, smoothing, weights),
        },
        BatchTargets::Values(values) => squared_error(outputs, values.clone()),
    }
}

/// Computes the loss of outputs with respect to a teacher's outputs. The teacher receives no gradient.
/// `targets` determines whether the task is a classification or a regression. It also contains the class of
/// each example, which class weights need.
pub(crate) fn against_teacher(
    outputs: Tensor<2>,
    teacher: Tensor<2>,
    targets: &BatchTargets,
    weights: &ClassWeights,
) -> Tensor<1> {
    match targets {
        BatchTargets::Labels(labels) => {
            let weights = weights.of_examples(labels, &outputs.device());
            distillation(outputs, teacher, weights)
        }
        BatchTargets::Values(_) => squared_error(outputs, teacher.detach()),
    }
}

/// The training loss of guessing. In a classification, guessing means equal probabilities for all classes. In
/// a regression, it means always predicting the mean. Class weights do not change this loss, because their
/// mean over the training split is 1.
pub(crate) fn of_guessing(data: &DataSet) -> f64 {
    if data.is_regression() { 1.0 } else { (data.targets().names().len() as f64).ln() }
}

/// Mean squared error over examples and standardized targets.
fn squared_error(outputs: Tensor<2>, values: Tensor<2>) -> Tensor<1> {
    let difference = outputs - values;
    (difference.clone() * difference).mean()
}

/// Mean cross-entropy with respect to the teacher's probabilities at temperature 1. It has the same gradient
/// as the Kullback-Leibler divergence from the teacher. The teacher itself receives no gradient.
///
/// Source: J. Yu and T. Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019,
/// section 3.3.
fn distillation(logits: Tensor<2>, teacher: Tensor<2>, weights: Option<Tensor<2>>) -> Tensor<1> {
    let targets = softmax(teacher.detach(), 1);
    let likelihoods = (targets * log_softmax(logits, 1)).sum_dim(1);
    match weights {
        None => likelihoods.mean().neg(),
        Some(weights) => (likelihoods * weights).mean().neg(),
    }
}

/// Multiplies the cross-entropy of each example by the weight of its class, and averages over the batch. The
/// sum is divided by the number of examples, not by the sum of their weights. The gradients of a step's
/// batches therefore add up to the gradient of the whole step.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`
/// - `weights`: `[batch, 1]`
fn weighted_cross_entropy(
    logits: Tensor<2>,
    labels: &Tensor<1, Int>,
    smoothing: f64,
    weights: Tensor<2>,
) -> Tensor<1> {
    let logs = log_softmax(logits, 1);
    let picked = logs.clone().gather(1, labels.clone().unsqueeze_dim::<2>(1));
    let each =
        if smoothing > 0.0 { picked * (1.0 - smoothing) + logs.mean_dim(1) * smoothing } else { picked };
    (each * weights).mean().neg()
}

/// Returns the value of a one-element tensor.
pub(crate) fn value(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().into_data().try_to_vec::<f32>().expect("a loss is single precision")[0])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::{Device, TensorData};

    use super::*;

    const LABELS: [i64; 3] = [0, 2, 0];

    fn logits(device: &Device) -> Tensor<2> {
        let values: Vec<f32> = vec![1.0, -0.5, 0.25, 0.0, 2.0, -1.0, 0.5, 0.5, 1.5];
        Tensor::from_data(TensorData::new(values, [3, 3]), device)
    }

    fn labels(device: &Device) -> BatchTargets {
        BatchTargets::Labels(Tensor::from_data(TensorData::new(LABELS.to_vec(), [3]), device))
    }

    fn weights(each: [f32; 3]) -> ClassWeights {
        ClassWeights::Each(Arc::from(each))
    }

    fn rows(tensor: Tensor<2>) -> Vec<f64> {
        let values: Vec<f32> = tensor.into_data().try_to_vec().unwrap();
        values.into_iter().map(f64::from).collect()
    }

    fn probabilities(device: &Device) -> Vec<f64> {
        rows(logits(device)).chunks(3).flat_map(shares).collect()
    }

    fn shares(row: &[f64]) -> Vec<f64> {
        let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(|logit| logit.exp() / sum).collect()
    }

    #[test]
    fn class_weights_scale_loss_and_gradient_of_each_example() {
        let device = Device::flex().autodiff();
        let each = [0.5_f32, 7.0, 3.0];
        for smoothing in [0.0, 0.3] {
            let inputs = logits(&device).require_grad();
            let loss = against_targets(inputs.clone(), &labels(&device), smoothing, &weights(each));
            let found = value(&loss);
            let gradient = rows(inputs.grad(&loss.backward()).unwrap());
            let shares = probabilities(&device);
            let mut expected = 0.0;
            for (row, label) in LABELS.iter().enumerate() {
                let weight = f64::from(each[*label as usize]);
                for class in 0..3 {
                    let is_label = f64::from(u8::from(class == *label as usize));
                    let target = (1.0 - smoothing) * is_label + smoothing / 3.0;
                    let share = shares[3 * row + class];
                    expected -= weight * target * share.ln() / 3.0;
                    let slope = weight * (share - target) / 3.0;
                    let found = gradient[3 * row + class];
                    assert!((found - slope).abs() < 1e-6, "{smoothing}: {found} is not {slope}");
                }
            }
            assert!((found - expected).abs() < 1e-6, "{smoothing}: {found} is not {expected}");
        }
    }

    #[test]
    fn equal_weights_change_no_loss_and_weights_apply_to_a_teacher_too() {
        let device = Device::flex();
        let (plain, ones) = (ClassWeights::default(), weights([1.0; 3]));
        let of =
            |weights: &ClassWeights| value(&against_targets(logits(&device), &labels(&device), 0.1, weights));
        assert!((of(&plain) - of(&ones)).abs() < 1e-6);
        let teacher = || logits(&device).flip([1]);
        let of = |weights: &ClassWeights| {
            value(&against_teacher(logits(&device), teacher(), &labels(&device), weights))
        };
        assert!((of(&plain) - of(&ones)).abs() < 1e-6);
        let (shares, taught) = (probabilities(&device), rows(softmax(teacher(), 1)));
        let entropy =
            |row: usize| -> f64 { (3 * row..3 * row + 3).map(|at| -taught[at] * shares[at].ln()).sum() };
        let expected = (0.5 * entropy(0) + 3.0 * entropy(1) + 0.5 * entropy(2)) / 3.0;
        let found = of(&weights([0.5, 7.0, 3.0]));
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}
