//! Distillation: a network learns the outputs of a teacher beside its targets.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use kiln_space::{Architecture, LayerId, Op};

use crate::data::Batch;
use crate::training::loss;
use crate::training::settings::TrainingSettings;

/// A network whose outputs another network learns.
pub(crate) trait Teacher: Send + Sync {
    /// Returns the outputs for a batch of images, and the values that the last fully connected layer reads.
    /// The images are outside any autodiff graph.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`, normalized
    /// - result: `[batch, classes]` or `[batch, values]` in standard deviations, and `[batch, features]`
    fn taught(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>);
}

/// A teacher, and how much of the loss comes from it.
pub(crate) struct Distillation {
    pub(crate) teacher: Box<dyn Teacher>,
    /// The logits of both networks are divided by this number before they become probabilities.
    pub(crate) temperature: f64,
    /// Share of the loss that comes from the teacher's outputs, from 0 to 1.
    pub(crate) share: f64,
    /// Weight of the difference between the features of both networks. 0 ignores the features.
    pub(crate) features: f64,
}

impl Distillation {
    /// Returns the loss of a batch.
    ///
    /// For a classification, the teacher's part is the Kullback-Leibler divergence between the softened
    /// probabilities of both networks, times the squared temperature.
    /// Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
    /// arXiv:1503.02531, section 2. For a regression, it is the squared error.
    ///
    /// The features' part compares how similar the examples of the batch are to each other, so the networks
    /// need not have equally many features.
    /// Source: F. Tung and G. Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, equations 1 to
    /// 4, for the layer before the last.
    ///
    /// # Shapes
    /// - `outputs`: `[batch, classes]` or `[batch, values]`
    /// - `features`: `[batch, features]`, the values that the last fully connected layer reads
    pub(crate) fn loss(
        &self,
        outputs: Tensor<2>,
        features: Option<Tensor<2>>,
        batch: &Batch,
        settings: &TrainingSettings,
        is_regression: bool,
    ) -> Tensor<1> {
        let device = outputs.device();
        let images = batch.images.clone();
        let images = if images.device().is_autodiff() { images.inner() } else { images };
        let (taught, of_teacher) = self.teacher.taught(images);
        let (taught, of_teacher) = (constant(taught, &device), constant(of_teacher, &device));
        let own = loss::against_targets(
            outputs.clone(),
            &batch.targets,
            settings.label_smoothing,
            &settings.class_weights,
        );
        let from_teacher = if is_regression {
            let difference = outputs - taught;
            (difference.clone() * difference).mean()
        } else {
            softened(outputs, taught, self.temperature)
        };
        let loss = own * (1.0 - self.share) + from_teacher * self.share;
        match features.filter(|_| self.features > 0.0) {
            Some(features) => loss + unlikeness(features, of_teacher) * self.features,
            None => loss,
        }
    }
}

/// Returns the layer whose output is a network's features: the input of the last fully connected layer.
/// `None` without such a layer.
pub(crate) fn feature_layer(architecture: &Architecture) -> Option<LayerId> {
    let live = architecture.live();
    let is_linear =
        |id: &LayerId| live[id.0] && matches!(architecture.layer(*id).op, Op::Linear { .. }) && id.0 > 0;
    let last = architecture.ids().rfind(is_linear)?;
    architecture.layer(last).inputs.first().copied()
}

/// Copies a tensor to a device, outside any autodiff graph.
fn constant(tensor: Tensor<2>, device: &Device) -> Tensor<2> {
    let dims = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().expect("outputs are single precision");
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// The divergence from the teacher's softened probabilities, times the squared temperature.
fn softened(logits: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let (soft, taught) = (log_softmax(logits / temperature, 1), teacher / temperature);
    let (shares, logs) = (softmax(taught.clone(), 1), log_softmax(taught, 1));
    (shares * (logs - soft)).sum_dim(1).mean() * (temperature * temperature)
}

/// The mean squared difference between the similarities of examples in both networks, times the number of
/// examples: `|G_teacher - G_student|^2 / batch^2` with rows of norm 1.
fn unlikeness(features: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let batch = features.dims()[0] as f64;
    let difference = similarities(teacher) - similarities(features);
    (difference.clone() * difference).sum() / (batch * batch)
}

fn similarities(features: Tensor<2>) -> Tensor<2> {
    let products = features.clone().matmul(features.transpose());
    let norm = (products.clone() * products.clone()).sum_dim(1).clamp_min(1e-12).sqrt();
    products / norm
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], dims: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), dims), device)
    }

    fn shares(row: &[f64], temperature: f64) -> Vec<f64> {
        let sum: f64 = row.iter().map(|logit| (logit / temperature).exp()).sum();
        row.iter().map(|logit| (logit / temperature).exp() / sum).collect()
    }

    #[test]
    fn softened_divergence_and_its_gradient_match_the_definition() {
        let device = Device::flex().autodiff();
        let student: [f32; 6] = [1.0, -0.5, 0.25, 0.0, 2.0, -1.0];
        let teacher: [f32; 6] = [2.0, 0.5, -0.25, 0.3, 1.0, -2.0];
        for temperature in [1.0, 4.0] {
            let logits = tensor(&student, [2, 3], &device).require_grad();
            let loss = softened(logits.clone(), tensor(&teacher, [2, 3], &device), temperature);
            let found = loss::value(&loss);
            let gradient = logits.grad(&loss.backward()).unwrap().into_data().try_to_vec::<f32>().unwrap();
            let mut expected = 0.0;
            for row in 0..2 {
                let of = |values: &[f32]| -> Vec<f64> {
                    let row: Vec<f64> = values[3 * row..3 * row + 3].iter().map(|v| f64::from(*v)).collect();
                    shares(&row, temperature)
                };
                let (own, taught) = (of(&student), of(&teacher));
                for class in 0..3 {
                    expected += taught[class] * (taught[class] / own[class]).ln() / 2.0;
                    // Equation 2 of the source, times the squared temperature.
                    let slope = temperature * (own[class] - taught[class]) / 2.0;
                    let found = f64::from(gradient[3 * row + class]);
                    assert!((found - slope).abs() < 1e-5, "{temperature}: {found} is not {slope}");
                }
            }
            expected *= temperature * temperature;
            assert!((found - expected).abs() < 1e-5, "{temperature}: {found} is not {expected}");
        }
    }

    #[test]
    fn equally_similar_examples_have_no_unlikeness_whatever_the_number_of_features() {
        let device = Device::flex();
        let narrow = tensor(&[1.0, 0.0, 0.0, 1.0], [2, 2], &device);
        let wide = tensor(&[0.0, 3.0, 0.0, 0.0, 0.0, -3.0], [2, 3], &device);
        assert!(loss::value(&unlikeness(narrow.clone(), wide)).abs() < 1e-9);
        // The rows of the similarities are (1, 1) / sqrt(2) instead of (1, 0) and (0, 1).
        let equal = tensor(&[2.0, 0.0, 2.0, 0.0], [2, 2], &device);
        let expected = 2.0 * ((1.0 - 0.5_f64.sqrt()).powi(2) + 0.5) / 4.0;
        let found = loss::value(&unlikeness(narrow, equal));
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}
