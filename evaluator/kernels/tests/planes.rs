//! Nonlinearities, pooling and sums, compared with burn's own operations, with finite differences, and
//! between numbers of threads.

use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, module};
use kiln_kernels::{Activation, InstructionSet, activate, add, avg_pool2d, global_avg_pool2d, max_pool2d};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

/// Largest accepted difference, relative to the largest expected value.
const TOLERANCE: f32 = 1e-4;

#[derive(Debug, Clone, Copy)]
enum Op {
    Activation(Activation),
    Max(Window),
    Average(Window),
    Global,
    /// The sum `x + activation(x) + x`, so that gradients of several paths are added.
    Sum,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Window {
    fn fits(&self, shape: [usize; 4]) -> bool {
        (0..2).all(|axis| {
            2 * self.padding[axis] <= self.kernel[axis]
                && shape[2 + axis] + 2 * self.padding[axis] >= self.kernel[axis]
        })
    }
}

impl Op {
    fn ours(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Activation(activation) => activate(x, activation),
            Self::Max(Window { kernel, stride, padding }) => max_pool2d(x, kernel, stride, padding),
            Self::Average(Window { kernel, stride, padding }) => avg_pool2d(x, kernel, stride, padding),
            Self::Global => global_avg_pool2d(x),
            Self::Sum => add(add(x.clone(), activate(x.clone(), Activation::Silu)), x),
        }
    }

    fn by_burn(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Activation(activation) => activation.by_burn(x),
            Self::Max(Window { kernel, stride, padding }) => {
                let options = MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
                module::max_pool2d(x, options)
            }
            Self::Average(Window { kernel, stride, padding }) => {
                let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
                module::avg_pool2d(x, options.with_count_include_pad(false))
            }
            Self::Global => {
                let [batch, channels, height, width] = x.dims();
                x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels, 1, 1])
            }
            Self::Sum => x.clone() + Activation::Silu.by_burn(x.clone()) + x,
        }
    }
}

fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-8.0..8.0)).collect()
}

fn read(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("a tensor of `f32`")
}

/// Output, and the gradient of the input for a weighted sum of the output.
fn run(op: Op, shape: [usize; 4], ours: bool) -> [Vec<f32>; 2] {
    let device = Device::flex().autodiff();
    let data = TensorData::new(values(1, shape.iter().product()), shape);
    let x = Tensor::<4>::from_data(data, &device).require_grad();
    let output = if ours { op.ours(x.clone()) } else { op.by_burn(x.clone()) };
    let dims = output.dims();
    let weights = TensorData::new(values(99, dims.iter().product()), dims);
    let gradients = (output.clone() * Tensor::from_data(weights, &device)).sum().backward();
    [read(output), read(x.grad(&gradients).expect("the input is tracked"))]
}

fn supported() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_supported())
}

fn check(op: Op, shape: [usize; 4]) {
    let expected = run(op, shape, false);
    for set in supported() {
        let found = set.force(|| run(op, shape, true));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), expected.len(), "{op:?} {shape:?}");
            let size = expected.iter().fold(1e-2f32, |size, value| size.max(value.abs()));
            for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (found - expected).abs() <= TOLERANCE * size,
                    "{} {op:?} {shape:?} at {place}: {found}, not {expected}",
                    set.name()
                );
            }
        }
    }
}

fn pair(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

prop_compose! {
    fn shape()(batch in 1..=4usize, channels in 1..=5usize, [height, width] in pair(1..=23)) -> [usize; 4] {
        [batch, channels, height, width]
    }
}

prop_compose! {
    fn window()(kernel in pair(1..=6), stride in pair(1..=3), padding in pair(0..=3)) -> Window {
        Window { kernel, stride, padding }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn activation_of_any_shape_equals_burn(
        shape in shape(),
        activation in prop::sample::select(Activation::ALL.to_vec()),
    ) {
        check(Op::Activation(activation), shape);
    }

    #[test]
    fn pooling_with_any_window_equals_burn(shape in shape(), window in window()) {
        prop_assume!(window.fits(shape));
        check(Op::Max(window), shape);
        check(Op::Average(window), shape);
    }

    #[test]
    fn global_pooling_of_any_shape_equals_burn(shape in shape()) {
        check(Op::Global, shape);
    }

    #[test]
    fn sum_of_any_shape_equals_burn(shape in shape()) {
        check(Op::Sum, shape);
    }

    #[test]
    fn average_without_stride_equals_burn(
        shape in shape(),
        kernel in pair(1..=7),
        padding in pair(0..=3),
    ) {
        let window = Window { kernel, stride: [1, 1], padding };
        prop_assume!(window.fits(shape));
        check(Op::Average(window), shape);
    }
}

#[test]
fn operations_on_common_shapes_equal_burn() {
    let window =
        |kernel, stride, padding| Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] };
    check(Op::Average(window(3, 1, 1)), [16, 16, 32, 32]);
    check(Op::Average(window(2, 2, 0)), [16, 16, 32, 32]);
    check(Op::Max(window(2, 2, 0)), [64, 6, 28, 28]);
    check(Op::Max(window(3, 2, 1)), [8, 16, 15, 15]);
    // This window is larger than the image, but fits into the padded image.
    check(Op::Average(window(5, 1, 2)), [2, 3, 2, 1]);
    check(Op::Global, [64, 64, 8, 8]);
    check(Op::Sum, [64, 16, 28, 28]);
    for activation in Activation::ALL {
        check(Op::Activation(activation), [64, 16, 28, 28]);
    }
}

#[test]
fn plane_gradients_equal_finite_differences() {
    let shape = [2, 2, 5, 6];
    let window = Window { kernel: [3, 2], stride: [2, 1], padding: [1, 0] };
    let smooth = Window { kernel: [3, 4], stride: [1, 1], padding: [1, 2] };
    let ops = Activation::ALL.map(Op::Activation).into_iter();
    for op in ops.chain([Op::Average(window), Op::Average(smooth), Op::Max(window), Op::Global, Op::Sum]) {
        let x = values(1, shape.iter().product());
        let loss = |x: &[f32]| {
            let output =
                read(op.ours(Tensor::from_data(TensorData::new(x.to_vec(), shape), &Device::flex())));
            let weights = values(99, output.len());
            output.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(b)).sum::<f64>()
        };
        let [_, gradient] = run(op, shape, true);
        for (place, found) in gradient.iter().enumerate() {
            let mut moved = x.clone();
            moved[place] += 0.005;
            let above = loss(&moved);
            moved[place] -= 0.01;
            let difference = (above - loss(&moved)) / 0.01;
            // Keep values away from kinks and ties, where finite differences would be wrong.
            assert!(
                (f64::from(*found) - difference).abs() < 1e-2,
                "{op:?} at {place}: {found}, not {difference}"
            );
        }
    }
}

#[test]
fn operations_on_any_number_of_threads_give_the_same_bits() {
    let window = Window { kernel: [3, 3], stride: [2, 1], padding: [1, 1] };
    let smooth = Window { stride: [1, 1], ..window };
    let mut ops = vec![Op::Average(window), Op::Average(smooth), Op::Max(window), Op::Global, Op::Sum];
    ops.extend(Activation::ALL.map(Op::Activation));
    for set in supported() {
        let bits = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all = || ops.iter().flat_map(|op| run(*op, [37, 5, 23, 21], true)).flatten();
            pool.install(|| set.force(|| all().map(f32::to_bits).collect::<Vec<u32>>()))
        };
        let one = bits(1);
        assert!(one == bits(2), "{}: two threads differ from one", set.name());
        assert!(one == bits(4), "{}: four threads differ from one", set.name());
    }
}

#[test]
fn maximum_keeps_nan_and_gives_the_gradient_to_the_first_of_equal_values() {
    let device = Device::flex().autodiff();
    for set in supported() {
        let data = TensorData::new(vec![1.0f32, f32::NAN, 1.0, 1.0], [1, 1, 1, 4]);
        let x = Tensor::<4>::from_data(data, &device).require_grad();
        set.force(|| {
            let output = max_pool2d(x.clone(), [1, 2], [1, 2], [0, 0]);
            let found = read(output.clone());
            assert!(found[0].is_nan() && found[1].to_bits() == 1.0f32.to_bits(), "{found:?}");
            let gradient = read(x.grad(&output.sum().backward()).unwrap());
            assert!(
                gradient
                    .iter()
                    .zip([0.0, 1.0, 1.0, 0.0])
                    .all(|(a, b): (&f32, f32)| a.to_bits() == b.to_bits())
            );
            for activation in Activation::ALL {
                assert!(read(activate(x.clone(), activation))[1].is_nan(), "{activation:?}");
            }
        });
    }
}

#[test]
#[should_panic(expected = "at most half its window")]
fn pooling_with_padding_larger_than_half_the_window_panics() {
    let _ = avg_pool2d(Tensor::ones([1, 1, 4, 4], &Device::flex()), [2, 2], [1, 1], [2, 2]);
}
