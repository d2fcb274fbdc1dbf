//! Convolution and batch normalization, compared with burn's own operations, with finite differences, and
//! between numbers of threads.

mod comparison;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, module};
use kiln_kernels::{
    Activation, FixedConv2d, SharedWeight, WeightSlice, batch_norm_activation_train, conv2d, conv2d_sliced,
    cut,
};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use self::comparison::{assert_close, read, supported, values};

const EPSILON: f64 = 1e-5;

#[derive(Debug, Clone, Copy)]
struct Conv {
    batch: usize,
    input: [usize; 2],
    /// Input and output channels of a group.
    channels: [usize; 2],
    groups: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    bias: bool,
}

impl Conv {
    fn shapes(&self) -> ([usize; 4], [usize; 4], usize) {
        let [input, output] = self.channels.map(|channels| channels * self.groups);
        let x = [self.batch, input, self.input[0], self.input[1]];
        (x, [output, self.channels[0], self.kernel[0], self.kernel[1]], output)
    }

    fn fits(&self) -> bool {
        (0..2).all(|axis| self.input[axis] + 2 * self.padding[axis] >= self.kernel[axis])
    }
}

fn tensor<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values(seed, shape.iter().product()), shape);
    Tensor::<D>::from_data(data, &Device::flex().autodiff()).require_grad()
}

/// Output, and the gradients of all inputs for a weighted sum of the output.
fn outputs<const D: usize, const E: usize>(
    output: Tensor<D>,
    inputs: (Tensor<D>, Tensor<E>, Option<Tensor<1>>),
) -> Vec<Vec<f32>> {
    let weights = tensor(99, output.dims()).detach();
    let gradients = (output.clone() * weights).sum().backward();
    let (x, weight, bias) = inputs;
    let tracked = "the input is tracked";
    let x = x.grad(&gradients).expect(tracked);
    let mut all = vec![read(output), read(x), read(weight.grad(&gradients).expect(tracked))];
    all.extend(bias.map(|bias| read(bias.grad(&gradients).expect(tracked))));
    all
}

fn convolve(conv: &Conv, ours: bool) -> Vec<Vec<f32>> {
    let (x, weight, output) = conv.shapes();
    let (x, weight) = (tensor(1, x), tensor(2, weight));
    let bias = conv.bias.then(|| tensor(3, [output]));
    let inputs = (x.clone(), weight.clone(), bias.clone());
    let output = if ours {
        conv2d(x, weight, bias, conv.stride, conv.padding, conv.groups)
    } else {
        module::conv2d(x, weight, bias, ConvOptions::new(conv.stride, conv.padding, [1, 1], conv.groups))
    };
    outputs(output, inputs)
}

fn normalize(shape: [usize; 4], activation: Activation, ours: bool) -> Vec<Vec<f32>> {
    let (x, scale, shift) = (tensor(1, shape) * 3.0 + 5.0, tensor(2, [shape[1]]), tensor(3, [shape[1]]));
    let x = x.detach().require_grad();
    let inputs = (x.clone(), scale.clone(), Some(shift.clone()));
    let (output, mean, variance) = if ours {
        let result = batch_norm_activation_train(x, scale, shift, EPSILON, activation);
        (result.output, result.mean, result.variance)
    } else {
        let result = module::batch_norm_train(x, scale, shift, EPSILON);
        (activation.by_burn(result.output), result.mean, result.variance)
    };
    let mut all = outputs(output, inputs);
    all.extend([read(mean), read(variance)]);
    all
}

/// Normalizes `x` with the statistics of the batch.
fn normalized(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<4> {
    batch_norm_activation_train(x, scale, shift, EPSILON, Activation::Identity).output
}

fn check_conv(conv: &Conv) {
    let expected = convolve(conv, false);
    for set in supported() {
        assert_close(&format!("{} {conv:?}", set.name()), &set.force(|| convolve(conv, true)), &expected);
    }
}

fn check_norm(shape: [usize; 4], activation: Activation) {
    let expected = normalize(shape, activation, false);
    for set in supported() {
        let found = set.force(|| normalize(shape, activation, true));
        assert_close(&format!("{} {shape:?} {activation:?}", set.name()), &found, &expected);
    }
}

fn pair(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

prop_compose! {
    fn dense()(
        batch in 1..=5usize,
        input in pair(1..=19),
        channels in pair(1..=11),
        groups in prop_oneof![4 => Just(1usize), 1 => 2..=3usize],
        kernel in pair(1..=7),
        stride in pair(1..=3),
        padding in pair(0..=4),
        bias in any::<bool>(),
    ) -> Conv {
        Conv { batch, input, channels, groups, kernel, stride, padding, bias }
    }
}

prop_compose! {
    fn square()(
        batch in prop_oneof![1..=4usize, 16..=40usize],
        size in 1..=24usize,
        channels in pair(1..=20),
        kernel in prop_oneof![Just(1usize), Just(3), Just(5), Just(7)],
        stride in 1..=2usize,
        bias in any::<bool>(),
    ) -> Conv {
        let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [kernel / 2; 2]);
        Conv { batch, input: [size; 2], channels, groups: 1, kernel, stride, padding, bias }
    }
}

prop_compose! {
    fn depthwise()(
        batch in 1..=5usize,
        input in pair(1..=37),
        groups in 2..=9usize,
        kernel in pair(1..=7),
        stride in pair(1..=3),
        padding in pair(0..=4),
        bias in any::<bool>(),
    ) -> Conv {
        Conv { batch, input, channels: [1, 1], groups, kernel, stride, padding, bias }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dense_convolution_of_any_shape_equals_burn(conv in dense().prop_filter("kernel fits", Conv::fits)) {
        check_conv(&conv);
    }

    #[test]
    fn square_convolution_of_any_shape_equals_burn(conv in square()) {
        check_conv(&conv);
    }

    #[test]
    fn depthwise_convolution_of_any_shape_equals_burn(
        conv in depthwise().prop_filter("kernel fits", Conv::fits),
    ) {
        check_conv(&conv);
    }

    #[test]
    fn normalization_of_any_shape_equals_burn(
        batch in 1..=9usize,
        channels in 1..=7usize,
        [height, width] in pair(1..=21),
        activation in prop::sample::select(Activation::ALL.to_vec()),
    ) {
        prop_assume!(batch * height * width >= 4);
        check_norm([batch, channels, height, width], activation);
    }
}

#[test]
fn convolutions_of_common_shapes_equal_burn() {
    let conv = |batch, size, channels, groups, kernel, stride| Conv {
        batch,
        input: [size; 2],
        channels,
        groups,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        bias: false,
    };
    for conv in [
        conv(64, 28, [1, 16], 1, 3, 1),
        conv(64, 14, [32, 32], 1, 3, 1),
        conv(64, 8, [64, 64], 1, 3, 2),
        conv(64, 28, [16, 96], 1, 1, 1),
        conv(64, 7, [96, 24], 1, 1, 1),
        conv(64, 14, [32, 64], 1, 1, 2),
        conv(64, 14, [1, 1], 32, 5, 2),
        conv(64, 28, [1, 1], 16, 3, 1),
        conv(1, 33, [24, 40], 1, 5, 1),
        conv(3, 40, [4, 4], 6, 3, 1),
    ] {
        check_conv(&conv);
    }
    check_norm([64, 16, 28, 28], Activation::Relu);
    check_norm([64, 24, 15, 15], Activation::Relu6);
    check_norm([64, 64, 7, 7], Activation::Identity);
}

#[test]
fn convolution_of_an_untracked_input_gives_the_gradient_of_the_weight_alone() {
    let device = Device::flex().autodiff();
    let image = Tensor::<4>::from_data(TensorData::new(values(1, 2 * 3 * 64), [2, 3, 8, 8]), &device);
    let weight = tensor(2, [4, 3, 3, 3]);
    let output = conv2d(image.clone(), weight.clone(), None, [1, 1], [1, 1], 1);
    let gradients = output.sum().backward();
    assert!(image.grad(&gradients).is_none());
    let expected = module::conv2d(image, weight.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    let expected = weight.grad(&expected.sum().backward()).unwrap();
    assert_close("weight", &[read(weight.grad(&gradients).unwrap())], &[read(expected)]);
}

#[test]
fn convolution_without_autodiff_of_a_sliced_tensor_equals_burn() {
    let device = Device::flex();
    let plain = |seed, shape: [usize; 4]| {
        Tensor::<4>::from_data(TensorData::new(values(seed, shape.iter().product()), shape), &device)
    };
    let x = plain(1, [3, 9, 10, 12]).swap_dims(2, 3).slice([0..3, 2..7, 0..12, 0..10]);
    let weight = plain(2, [8, 6, 5, 5]).slice([1..7, 0..5, 1..4, 1..4]);
    let found = conv2d(x.clone(), weight.clone(), None, [1, 1], [1, 1], 1);
    let expected = module::conv2d(x, weight, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    assert_close("sliced", &[read(found)], &[read(expected)]);
}

/// A slice with ranges of channels. The second number of each pair is the exclusive end of a range.
fn slice(outputs: &[[usize; 2]], inputs: &[[usize; 2]], kernel: usize) -> WeightSlice {
    let ranges = |pairs: &[[usize; 2]]| pairs.iter().map(|[start, end]| *start..*end).collect();
    WeightSlice { outputs: ranges(outputs), inputs: ranges(inputs), kernel: [kernel; 2] }
}

/// Test cases: the shape of a weight, a slice of this weight, and the array of input channels, groups and
/// stride.
fn slices() -> Vec<([usize; 4], WeightSlice, [usize; 3])> {
    Vec::from([
        ([24, 20, 5, 5], slice(&[[0, 16]], &[[0, 12]], 3), [12, 1, 1]),
        ([24, 20, 3, 3], slice(&[[8, 20]], &[[12, 20], [0, 4]], 3), [12, 1, 2]),
        ([40, 30, 1, 1], slice(&[[0, 7], [20, 40]], &[[3, 30]], 1), [27, 1, 1]),
        ([30, 1, 7, 7], slice(&[[0, 10], [15, 25]], &[[0, 1]], 5), [20, 20, 1]),
        ([30, 1, 4, 4], slice(&[[2, 30]], &[[0, 1]], 3), [28, 28, 2]),
    ])
}

#[test]
fn slice_read_in_place_gives_the_bits_of_a_copied_slice() {
    for (whole, slice, [inputs, groups, stride]) in slices() {
        let run = |in_place: bool| {
            let (x, weight) = (tensor(1, [3, inputs, 9, 9]), tensor(2, whole));
            let leaves = (x.clone(), weight.clone(), None);
            let (stride, padding) = ([stride; 2], slice.kernel.map(|size| size / 2));
            let output = if in_place {
                let weight = SharedWeight { whole: weight, slice: slice.clone(), deposit: None };
                conv2d_sliced(x, weight, None, stride, padding, groups)
            } else {
                conv2d(x, cut(weight, &slice), None, stride, padding, groups)
            };
            outputs(output, leaves)
        };
        for set in supported() {
            let (found, expected) = set.force(|| (run(true), run(false)));
            assert!(found == expected, "{} {slice:?}: in place differs from a copy", set.name());
        }
    }
}

#[test]
fn slice_used_twice_gets_the_sum_of_both_gradients() {
    let whole = [6, 4, 3, 3];
    let run = |in_place: bool| {
        let (x, weight) = (tensor(1, [2, 4, 6, 6]), tensor(2, whole));
        let leaves = (x.clone(), weight.clone(), None);
        let slices = [[0, 4], [2, 6]].map(|outputs| slice(&[outputs], &[[0, 4]], 3));
        let outputs_of = slices.map(|slice| {
            let (x, weight) = (x.clone(), weight.clone());
            if in_place {
                let weight = SharedWeight { whole: weight, slice: slice.clone(), deposit: None };
                conv2d_sliced(x, weight, None, [1, 1], [1, 1], 1)
            } else {
                conv2d(x, cut(weight, &slice), None, [1, 1], [1, 1], 1)
            }
        });
        let [first, second] = outputs_of;
        outputs(first + second, leaves)
    };
    assert_close("used twice", &run(true), &run(false));
}

#[test]
fn fixed_convolution_with_an_activation_equals_both_in_turn() {
    for (channels, groups, kernel) in [([6, 9], 1, 3), ([8, 16], 1, 1), ([1, 1], 12, 5)] {
        let run = |device: &Device, activation: Activation| {
            let plain = |seed, shape: [usize; 4]| {
                Tensor::<4>::from_data(TensorData::new(values(seed, shape.iter().product()), shape), device)
            };
            let x = plain(1, [3, channels[0] * groups, 9, 7]) * 9.0;
            let weight = plain(2, [channels[1] * groups, channels[0], kernel, kernel]);
            let output = channels[1] * groups;
            let bias = Tensor::<1>::from_data(TensorData::new(values(3, output), [output]), device);
            read(FixedConv2d::new(weight, Some(bias), [1, 1], [kernel / 2; 2], groups, activation).forward(x))
        };
        for activation in Activation::ALL {
            for set in supported() {
                // With autodiff, convolution and activation are two passes.
                let device = Device::flex();
                let found = set.force(|| run(&device, activation));
                let expected = set.force(|| run(&device.clone().autodiff(), activation));
                assert_close(&format!("{} {activation:?}", set.name()), &[found], &[expected]);
            }
        }
    }
}

#[test]
fn convolution_gradients_equal_finite_differences() {
    let conv = |groups, channels, kernel, stride| Conv {
        batch: 2,
        input: [6, 5],
        channels,
        groups,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        bias: true,
    };
    for conv in [conv(1, [2, 3], 3, 1), conv(1, [3, 2], 3, 2), conv(3, [1, 1], 5, 2), conv(1, [2, 4], 1, 1)] {
        let (x, weight, channels) = conv.shapes();
        let inputs = [values(1, x.iter().product()), values(2, weight.iter().product()), values(3, channels)];
        let loss = |inputs: &[Vec<f32>; 3]| {
            let device = Device::flex();
            let [x_values, weight_values, bias] = inputs.clone();
            let x = Tensor::<4>::from_data(TensorData::new(x_values, x), &device);
            let weight = Tensor::<4>::from_data(TensorData::new(weight_values, weight), &device);
            let bias = Tensor::<1>::from_data(TensorData::new(bias, [channels]), &device);
            let output = read(conv2d(x, weight, Some(bias), conv.stride, conv.padding, conv.groups));
            let weights = values(99, output.len());
            output.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(b)).sum::<f64>()
        };
        let gradients = convolve(&conv, true);
        for (input, gradient) in gradients[1..].iter().enumerate() {
            for place in (0..gradient.len()).step_by(3) {
                let mut moved = inputs.clone();
                moved[input][place] += 0.5;
                let above = loss(&moved);
                moved[input][place] -= 1.0;
                let difference = above - loss(&moved);
                let found = f64::from(gradient[place]);
                assert!(
                    (found - difference).abs() < 1e-4,
                    "{conv:?}: {input} at {place}: {found}, not {difference}"
                );
            }
        }
    }
}

#[test]
fn normalization_gradients_equal_finite_differences() {
    let shape = [3, 2, 3, 3];
    let inputs = [values(1, 54).iter().map(|value| value * 3.0 + 5.0).collect(), values(2, 2), values(3, 2)];
    let loss = |inputs: &[Vec<f32>; 3]| {
        let device = Device::flex();
        let [x, scale, shift] = inputs.clone();
        let x = Tensor::<4>::from_data(TensorData::new(x, shape), &device);
        let vector = |values| Tensor::<1>::from_data(TensorData::new(values, [2]), &device);
        let output = read(normalized(x, vector(scale), vector(shift)));
        let weights = values(99, output.len());
        output.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(b)).sum::<f64>()
    };
    let gradients = normalize(shape, Activation::Identity, true);
    for input in 0..3 {
        for (place, found) in gradients[1 + input].iter().enumerate() {
            let mut moved = inputs.clone();
            moved[input][place] += 0.02;
            let above = loss(&moved);
            moved[input][place] -= 0.04;
            let difference = (above - loss(&moved)) / 0.04;
            assert!(
                (f64::from(*found) - difference).abs() < 1e-3,
                "{input} at {place}: {found}, not {difference}"
            );
        }
    }
}

#[test]
fn operations_on_any_number_of_threads_give_the_same_bits() {
    let conv = |groups, channels, kernel, stride| Conv {
        batch: 37,
        input: [13, 11],
        channels,
        groups,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        bias: true,
    };
    let convs =
        [conv(1, [6, 10], 3, 1), conv(1, [6, 10], 1, 1), conv(12, [1, 1], 3, 2), conv(2, [3, 5], 5, 2)];
    for set in supported() {
        let run = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                set.force(|| {
                    let mut all: Vec<_> = convs.iter().flat_map(|conv| convolve(conv, true)).collect();
                    all.extend(normalize([37, 5, 13, 11], Activation::Silu, true));
                    let bits = all.into_iter().flatten().map(f32::to_bits);
                    bits.collect::<Vec<u32>>()
                })
            })
        };
        let one = run(1);
        assert!(one == run(2), "{}: two threads differ from one", set.name());
        assert!(one == run(4), "{}: four threads differ from one", set.name());
    }
}

#[test]
fn normalization_keeps_nan_within_its_channel() {
    let shape = [2, 2, 5, 7];
    for set in supported() {
        for activation in Activation::ALL {
            let mut x = values(1, shape.iter().product());
            x[3] = f32::NAN;
            let device = Device::flex();
            let x = Tensor::<4>::from_data(TensorData::new(x, shape), &device);
            let (scale, shift) = (Tensor::<1>::ones([2], &device), Tensor::<1>::zeros([2], &device));
            let normalize = || batch_norm_activation_train(x, scale, shift, EPSILON, activation).output;
            let output = read(set.force(normalize));
            let first = |place: usize| (place / 35).is_multiple_of(2);
            let right = output.iter().enumerate().all(|(place, value)| value.is_nan() == first(place));
            assert!(right, "{}: a channel with a NaN is all NaN, another is not", set.name());
        }
    }
}

#[test]
#[should_panic(expected = "larger than a padded image")]
fn convolution_with_a_kernel_larger_than_the_padded_image_panics() {
    let _ = conv2d(tensor(1, [1, 1, 2, 2]), tensor(2, [1, 1, 5, 5]), None, [1, 1], [1, 1], 1);
}
