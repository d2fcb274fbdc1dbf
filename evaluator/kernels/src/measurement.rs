//! Times convolutions and fully connected layers without tensors, for `examples/roofline.rs`.

use std::hint::black_box;
use std::time::Instant;

use crate::convolution::passes::{self, Prepared};
use crate::linear::layer::Linear;
use crate::planes::geometry::Geometry;
use crate::shared::activation::Activation;
use crate::shared::weight_slice::{Places, WeightSlice, WeightValues};
use crate::simd::{InstructionSet, Kernel, Simd};

/// Returns the time of the fastest of several runs, in seconds. Other work on the machine disturbed this run
/// least.
pub fn fastest<T>(repeats: usize, mut work: impl FnMut() -> T) -> f64 {
    let seconds = |work: &mut dyn FnMut() -> T| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..=repeats).map(|_| seconds(&mut work)).min_by(f64::total_cmp).unwrap_or(f64::NAN)
}

/// GFLOP/s of one thread that only executes multiply-adds in registers.
#[must_use]
pub fn peak() -> f64 {
    const STEPS: usize = 1_000_000;
    let set = InstructionSet::current();
    (STEPS * 12 * set.lanes() * 2) as f64 * 1e-9 / fastest(9, || set.run(Peak(STEPS)))
}

/// Multiply-adds on twelve registers, as in the inner loops of the kernels.
struct Peak(usize);

impl Kernel for Peak {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat(0.999);
        let mut sums = [simd.splat(0.5); 12];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, factor, factor);
            }
        }
        sums.into_iter().map(|sum| simd.sum(sum)).sum()
    }
}

/// Shortest times of a layer, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Seconds {
    /// Number of floating-point operations in the forward pass. Each gradient needs the same number. A
    /// multiply-add counts as two operations.
    pub operations: f64,
    /// Time of the forward pass.
    pub forward: f64,
    /// Time of the input's gradient alone.
    pub input: f64,
    /// Time of the weight's gradient alone.
    pub weight: f64,
    /// Time of both gradients, computed together as in a training step.
    pub both: f64,
}

/// Times a convolution whose padding is half its kernel. `image` is `[batch, channels, height, width]`.
#[must_use]
pub fn convolution(
    repeats: usize,
    image: [usize; 4],
    weight: [usize; 4],
    stride: usize,
    groups: usize,
) -> Seconds {
    let set = InstructionSet::current();
    let geometry = Geometry::new(image, weight, [stride; 2], [weight[2] / 2, weight[3] / 2], groups);
    let [height, width] = geometry.output();
    let pixels = height * width;
    let (x, gradient) = (values(image.iter().product()), values(image[0] * weight[0] * pixels));
    let (whole, places) = (values(weight.iter().product()), Places::new(&WeightSlice::whole(weight), weight));
    let view = WeightValues { values: &whole, places: &places };
    let add = |sums: &mut [f32], [output, input]: [usize; 2], tap, value| {
        sums[places.at(output, input, tap)] += value;
    };
    Seconds {
        operations: (2 * image[0] * pixels * whole.len()) as f64,
        forward: fastest(repeats, || Prepared::new(set, &geometry, view).run(&x, None, Activation::Identity)),
        input: fastest(repeats, || passes::input_gradient(set, &geometry, view, &gradient)),
        weight: fastest(repeats, || {
            let mut sums = vec![0.0; whole.len()];
            passes::weight_gradient(set, &geometry, &x, &gradient, |output, input, tap, value| {
                add(&mut sums, [output, input], tap, value);
            });
            sums
        }),
        both: fastest(repeats, || {
            let mut sums = vec![0.0; whole.len()];
            let of_x = passes::gradients(set, &geometry, &x, view, &gradient, |output, input, tap, value| {
                add(&mut sums, [output, input], tap, value);
            });
            (of_x, sums)
        }),
    }
}

/// Times a fully connected layer.
#[must_use]
pub fn linear(repeats: usize, [batch, inputs, outputs]: [usize; 3]) -> Seconds {
    let set = InstructionSet::current();
    let layer = Linear::new(batch, [outputs, inputs], [0..outputs, 0..inputs], Activation::Identity, None);
    let (x, weight) = (values(batch * inputs), values(outputs * inputs));
    let gradient = values(batch * outputs);
    let of_input = || layer.input_gradient(set, &weight, &gradient);
    let of_weight = || layer.weight_gradient(set, &x, &gradient);
    Seconds {
        operations: (2 * batch * inputs * outputs) as f64,
        forward: fastest(repeats, || layer.forward(set, &x, &weight, None)),
        input: fastest(repeats, of_input),
        weight: fastest(repeats, of_weight),
        both: fastest(repeats, || (of_input(), of_weight())),
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|index| ((index * 7919 % 1000) as f32 - 500.0) * 1e-3).collect()
}
