//! The kernels of convolution and of matrix products without tensors, for programs that measure them (`examples/roofline.rs`).

use std::hint::black_box;
use std::time::Instant;

use crate::activation::Activation;
use crate::convolution::{self, Prepared};
use crate::geometry::Geometry;
use crate::instruction_set::InstructionSet;
use crate::linear::Linear;
use crate::simd::{Kernel, Simd};
use crate::weight_slice::{Places, WeightSlice, WeightValues};

/// Seconds of the fastest of several runs, which other work on the machine has disturbed least.
pub fn fastest<T>(repeats: usize, mut work: impl FnMut() -> T) -> f64 {
    let seconds = |work: &mut dyn FnMut() -> T| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..=repeats).map(|_| seconds(&mut work)).min_by(f64::total_cmp).unwrap_or(f64::NAN)
}

/// GFLOP/s of one thread with nothing but multiply-adds in registers.
#[must_use]
pub fn peak() -> f64 {
    const STEPS: usize = 1_000_000;
    let set = InstructionSet::current();
    (STEPS * 12 * set.lanes() * 2) as f64 * 1e-9 / fastest(9, || set.run(Peak(STEPS)))
}

/// Multiply-adds in twelve registers, as in the kernels' inner loops.
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

/// Seconds that a layer takes at best.
#[derive(Debug, Clone, Copy)]
pub struct Seconds {
    /// Multiply-adds of a pass forward, and of each gradient, times two.
    pub operations: f64,
    /// Forward.
    pub forward: f64,
    /// The gradient of the input alone.
    pub input: f64,
    /// The gradient of the weight alone.
    pub weight: f64,
    /// Both gradients as a training step computes them.
    pub both: f64,
}

/// A convolution with a padding of half its kernel: image `[batch, channels, height, width]`, weight, stride, groups.
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
    let pixels = geometry.output[0] * geometry.output[1];
    let (x, gradient) = (values(image.iter().product()), values(image[0] * weight[0] * pixels));
    let (whole, places) = (values(weight.iter().product()), Places::new(&WeightSlice::whole(weight), weight));
    let view = WeightValues { values: &whole, places: &places };
    let add = |sums: &mut [f32], [output, input]: [usize; 2], tap, value| {
        sums[places.at(output, input, tap)] += value;
    };
    Seconds {
        operations: (2 * image[0] * pixels * whole.len()) as f64,
        forward: fastest(repeats, || Prepared::new(set, &geometry, view).run(&x, None, Activation::Identity)),
        input: fastest(repeats, || convolution::input_gradient(set, &geometry, view, &gradient)),
        weight: fastest(repeats, || {
            let mut sums = vec![0.0; whole.len()];
            convolution::weight_gradient(set, &geometry, &x, &gradient, |output, input, tap, value| {
                add(&mut sums, [output, input], tap, value);
            });
            sums
        }),
        both: fastest(repeats, || {
            let mut sums = vec![0.0; whole.len()];
            let of_x =
                convolution::gradients(set, &geometry, &x, view, &gradient, |output, input, tap, value| {
                    add(&mut sums, [output, input], tap, value);
                });
            (of_x, sums)
        }),
    }
}

/// A fully connected layer: examples, inputs, outputs.
#[must_use]
pub fn linear(repeats: usize, [batch, inputs, outputs]: [usize; 3]) -> Seconds {
    let set = InstructionSet::current();
    let layer = Linear {
        batch,
        whole: [outputs, inputs],
        part: [0..outputs, 0..inputs],
        activation: Activation::Identity,
        deposit: None,
    };
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
