//! Computes the cross-entropy loss and the gradient of the logits in one pass over the examples.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::elementwise::exponential::exp;
use crate::shared::memory::Buffer;
use crate::shared::primitives::{Primitive, Tracked, Values, applies, large, small};
use crate::simd::{InstructionSet, Kernel, Simd};

/// Computes the mean cross-entropy in nats. Label smoothing mixes each target with the uniform distribution.
/// The uniform distribution has the weight `smoothing`.
///
/// Source: C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section
/// 7.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`, each below `classes`
/// - output: `[1]`
///
/// # Panics
/// When the numbers of labels and examples differ, or a label is not below `classes`.
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    if !applies(&logits) {
        let logs = log_softmax(logits, 1);
        let picked = logs.clone().gather(1, labels.unsqueeze_dim::<2>(1)).mean().neg();
        return if smoothing > 0.0 { picked * (1.0 - smoothing) - logs.mean() * smoothing } else { picked };
    }
    let [batch, classes] = logits.dims();
    let class = |label: i64| {
        let class = usize::try_from(label).ok().filter(|class| *class < classes);
        class.expect("a label is one of the classes")
    };
    let labels: Vec<usize> = labels.into_data().iter::<i64>().map(class).collect();
    assert_eq!(labels.len(), batch, "there is a label for each example");
    let targets = Targets { labels: labels.into(), classes, smoothing: smoothing as f32 };
    Tensor::from_dispatch(Dispatch::kernel_cross_entropy(logits.into_dispatch(), targets))
}

/// The class labels of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    /// The label of each example, which is below `classes`.
    labels: Arc<[usize]>,
    classes: usize,
    smoothing: f32,
}

/// Extends the flex backend with this crate's cross-entropy kernel.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait CrossEntropyOps: Backend {
    fn kernel_cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self>;
}

/// Computes the loss, and the gradient of the logits.
fn loss(logits: Primitive, targets: &Targets) -> (Primitive, Buffer) {
    let logits = Values::new(logits);
    let mut sum = 0.0;
    let gradient = Buffer::zeroed_and(logits.slice().len(), |gradient| {
        sum = InstructionSet::current().run(Examples { logits: logits.slice(), targets, gradient });
    });
    let mean = sum / targets.labels.len() as f64;
    (small(vec![mean as f32], [1]), gradient)
}

impl CrossEntropyOps for Flex {
    fn kernel_cross_entropy(logits: Primitive, targets: Targets) -> Primitive {
        loss(logits, &targets).0
    }
}

#[derive(Debug)]
struct CrossEntropy;

impl Backward<Flex, 1> for CrossEntropy {
    /// The gradient of the logits if the gradient of the loss is 1.
    type State = Primitive;

    fn backward(self, ops: Ops<Primitive, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = Values::new(grads.consume::<Flex>(&ops.node)).slice()[0];
        let shape = ops.state.shape();
        let gradient = Values::new(ops.state);
        if let [Some(node)] = &ops.parents {
            let scaled = Buffer::zeroed_and(gradient.slice().len(), |scaled| {
                for (scaled, value) in scaled.iter_mut().zip(gradient.slice()) {
                    *scaled = value * upstream;
                }
            });
            grads.register::<Flex>(node.id, large(scaled, shape));
        }
    }
}

impl<C: CheckpointStrategy> CrossEntropyOps for Autodiff<Flex, C> {
    fn kernel_cross_entropy(logits: Tracked, targets: Targets) -> Tracked {
        match CrossEntropy.prepare::<C>([logits.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let logits = logits.into_primitive();
                let shape = logits.shape();
                let (loss, gradient) = loss(logits, &targets);
                prep.finish(large(gradient, shape), loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(loss(logits.into_primitive(), &targets).0),
        }
    }
}

/// Sums the losses of all examples, and writes the gradient of their mean.
struct Examples<'a> {
    logits: &'a [f32],
    targets: &'a Targets,
    gradient: &'a mut [f32],
}

impl Kernel for Examples<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let Targets { labels, classes, smoothing } = self.targets;
        let (share, even) = (1.0 / labels.len() as f32, smoothing / *classes as f32);
        let mut total = 0.0;
        let examples = self.logits.chunks_exact(*classes).zip(self.gradient.chunks_exact_mut(*classes));
        for (&label, (logits, gradient)) in labels.iter().zip(examples) {
            // `max` ignores NaN. The sum below includes it, so the loss becomes NaN.
            let most = logits.iter().fold(f32::NEG_INFINITY, |most, value| most.max(*value));
            let (mut sum, mut above) = (0.0, 0.0);
            for (gradient, value) in gradient.iter_mut().zip(logits) {
                *gradient = exp(value - most);
                above += value - most;
                sum += *gradient;
            }
            let log = sum.ln();
            let picked = log - (logits[label] - most);
            let spread = log - above / *classes as f32;
            total += f64::from(picked * (1.0 - smoothing) + spread * smoothing);
            for gradient in gradient.iter_mut() {
                *gradient = (*gradient / sum - even) * share;
            }
            gradient[label] -= (1.0 - smoothing) * share;
        }
        total
    }
}
