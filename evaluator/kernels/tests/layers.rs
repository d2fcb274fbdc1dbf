//! Fully connected layers and cross-entropy, compared with burn's own operations, with finite differences,
//! and between numbers of threads.

mod comparison;

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_kernels::{Activation, cross_entropy, linear, linear_sliced};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use self::comparison::{assert_close, read, supported, values};

#[derive(Debug, Clone)]
struct Layer {
    batch: usize,
    whole: [usize; 2],
    part: [Range<usize>; 2],
    bias: bool,
    activation: Activation,
}

impl Layer {
    fn whole(batch: usize, [outputs, inputs]: [usize; 2], activation: Activation) -> Self {
        Self { batch, whole: [outputs, inputs], part: [0..outputs, 0..inputs], bias: true, activation }
    }
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn tracked<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    tensor(values(seed, shape.iter().product()), shape, &Device::flex().autodiff()).require_grad()
}

/// The output of a layer with burn's own operations.
fn by_burn(layer: &Layer, x: Tensor<4>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let [outputs, inputs] = [layer.part[0].len(), layer.part[1].len()];
    let sums = x.reshape([layer.batch, inputs]).matmul(weight.slice(layer.part.clone()).transpose());
    let sums = bias.map_or_else(|| sums.clone(), |bias| sums.clone() + bias.unsqueeze());
    layer.activation.by_burn(sums.reshape([layer.batch, outputs, 1, 1]))
}

/// Output, and the gradients of all inputs for a weighted sum of the output.
fn connect(layer: &Layer, ours: bool) -> Vec<Vec<f32>> {
    let [outputs, inputs] = [layer.part[0].len(), layer.part[1].len()];
    let (x, weight) = (tracked(1, [layer.batch, inputs, 1, 1]), tracked(2, layer.whole));
    let bias = layer.bias.then(|| tracked(3, [outputs]));
    let (inputs_of, bias_of) = ((x.clone(), weight.clone()), bias.clone());
    let output = if ours {
        linear_sliced(x, weight, layer.part.clone(), bias, layer.activation, None)
    } else {
        by_burn(layer, x, weight, bias)
    };
    let gradients = (output.clone() * tracked(99, output.dims()).detach()).sum().backward();
    let expect = "the input is tracked";
    let mut all = vec![read(output), read(inputs_of.0.grad(&gradients).expect(expect))];
    all.push(read(inputs_of.1.grad(&gradients).expect(expect)));
    all.extend(bias_of.map(|bias| read(bias.grad(&gradients).expect(expect))));
    all
}

fn check(layer: &Layer) {
    let expected = connect(layer, false);
    for set in supported() {
        let found = set.force(|| connect(layer, true));
        assert_close(&format!("{} {layer:?}", set.name()), &found, &expected);
    }
}

/// Cross-entropy by its definition, with burn's own operations.
fn entropy_by_burn(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let logs = log_softmax(logits, 1);
    let picked = logs.clone().gather(1, labels.unsqueeze_dim::<2>(1)).mean().neg();
    picked * (1.0 - smoothing) - logs.mean() * smoothing
}

/// Loss, and the gradient of the logits for five times the loss.
fn entropy([batch, classes]: [usize; 2], scale: f32, smoothing: f64, ours: bool) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let logits = values(1, batch * classes).into_iter().map(|value| value * scale).collect();
    let logits = tensor(logits, [batch, classes], &device).require_grad();
    let labels: Vec<i64> = (0..batch).map(|example| (example * 7 % classes) as i64).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), &device);
    let function = if ours { cross_entropy } else { entropy_by_burn };
    let loss = function(logits.clone(), labels, smoothing);
    let gradients = (loss.clone() * 5.0).backward();
    vec![read(loss), read(logits.grad(&gradients).expect("the logits are tracked"))]
}

prop_compose! {
    fn range()(before in 0..=3usize, len in 1..=40usize, after in 0..=3usize) -> (Range<usize>, usize) {
        (before..before + len, before + len + after)
    }
}

prop_compose! {
    fn layer()(
        batch in 1..=19usize,
        (outputs, all_outputs) in range(),
        (inputs, all_inputs) in range(),
        bias in any::<bool>(),
        activation in prop::sample::select(Activation::ALL.to_vec()),
    ) -> Layer {
        Layer { batch, whole: [all_outputs, all_inputs], part: [outputs, inputs], bias, activation }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn linear_of_any_part_equals_burn(layer in layer()) {
        check(&layer);
    }

    #[test]
    fn cross_entropy_of_any_batch_equals_burn(
        batch in 1..=9usize,
        classes in 1..=21usize,
        scale in 0.1..30.0f32,
        smoothing in prop::sample::select(vec![0.0, 0.1, 1.0]),
    ) {
        let expected = entropy([batch, classes], scale, smoothing, false);
        for set in supported() {
            let found = set.force(|| entropy([batch, classes], scale, smoothing, true));
            assert_close(&format!("{} {batch} {classes}", set.name()), &found, &expected);
        }
    }
}

#[test]
fn linear_of_common_sizes_equals_burn() {
    for sizes in [[256, 784], [256, 256], [10, 256], [120, 400], [1, 1280]] {
        check(&Layer::whole(64, sizes, Activation::Relu));
        check(&Layer::whole(1, sizes, Activation::Identity));
    }
}

#[test]
fn linear_of_an_image_equals_that_of_its_flattened_values() {
    let (x, weight) = (tracked(1, [3, 4, 2, 5]), tracked(2, [6, 40]));
    let found = linear(x.clone(), weight.clone(), None, Activation::Identity);
    assert_eq!(found.dims(), [3, 6, 1, 1]);
    let expected = linear(x.reshape([3, 40, 1, 1]), weight, None, Activation::Identity);
    assert_close("pixels", &[read(found)], &[read(expected)]);
}

#[test]
fn linear_gradients_equal_finite_differences() {
    let layer = Layer { part: [1..4, 2..7], ..Layer::whole(3, [5, 8], Activation::Identity) };
    let inputs = [values(1, 15), values(2, 40), values(3, 3)];
    let loss = |inputs: &[Vec<f32>; 3]| {
        let device = Device::flex();
        let [x, weight, bias] = inputs.clone();
        let (x, weight) = (tensor(x, [3, 5, 1, 1], &device), tensor(weight, [5, 8], &device));
        let bias = Some(tensor(bias, [3], &device));
        let output = read(linear_sliced(x, weight, layer.part.clone(), bias, layer.activation, None));
        let weights = values(99, output.len());
        output.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(b)).sum::<f64>()
    };
    let gradients = connect(&layer, true);
    for (input, gradient) in gradients[1..].iter().enumerate() {
        for (place, found) in gradient.iter().enumerate() {
            let mut moved = inputs.clone();
            moved[input][place] += 0.5;
            let above = loss(&moved);
            moved[input][place] -= 1.0;
            let difference = above - loss(&moved);
            assert!(
                (f64::from(*found) - difference).abs() < 1e-4,
                "{input} at {place}: {found}, not {difference}"
            );
        }
    }
}

#[test]
fn cross_entropy_gradient_equals_finite_differences() {
    let (shape, smoothing) = ([3, 4], 0.1);
    let found = entropy(shape, 2.0, smoothing, true);
    let logits: Vec<f32> = values(1, 12).into_iter().map(|value| value * 2.0).collect();
    let labels = || Tensor::<1, Int>::from_data(TensorData::new(vec![0i64, 3, 2], [3]), &Device::flex());
    let loss = |logits: &[f32]| {
        let logits = tensor(logits.to_vec(), shape, &Device::flex());
        f64::from(read(cross_entropy(logits, labels(), smoothing))[0])
    };
    for (place, found) in found[1].iter().enumerate() {
        let mut moved = logits.clone();
        moved[place] += 0.02;
        let above = loss(&moved);
        moved[place] -= 0.04;
        let difference = 5.0 * (above - loss(&moved)) / 0.04;
        assert!((f64::from(*found) - difference).abs() < 1e-3, "{place}: {found}, not {difference}");
    }
}

#[test]
fn linear_on_any_number_of_threads_gives_the_same_bits() {
    let layers =
        [Layer::whole(64, [300, 200], Activation::Relu), Layer::whole(7, [10, 900], Activation::Silu)];
    for set in supported() {
        let bits = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let all = || layers.iter().flat_map(|layer| connect(layer, true)).flatten();
            pool.install(|| set.force(|| all().map(f32::to_bits).collect::<Vec<u32>>()))
        };
        let one = bits(1);
        assert!(one == bits(2), "{}: two threads differ from one", set.name());
        assert!(one == bits(4), "{}: four threads differ from one", set.name());
    }
}

#[test]
fn cross_entropy_of_a_logit_that_is_not_finite_is_not_finite() {
    let device = Device::flex();
    for value in [f32::NAN, f32::INFINITY] {
        let logits = tensor(vec![0.5, value, 0.1, 0.2, 0.3, 0.4], [2, 3], &device);
        let labels = Tensor::<1, Int>::from_data(TensorData::new(vec![0i64, 1], [2]), &device);
        for set in supported() {
            let loss = set.force(|| read(cross_entropy(logits.clone(), labels.clone(), 0.0))[0]);
            assert!(!loss.is_finite(), "{}: {value} gives a loss of {loss}", set.name());
        }
    }
}

#[test]
#[should_panic(expected = "one of the classes")]
fn cross_entropy_of_a_label_beyond_the_classes_panics() {
    let labels = Tensor::<1, Int>::from_data(TensorData::new(vec![3i64], [1]), &Device::flex());
    let _ = cross_entropy(Tensor::ones([1, 3], &Device::flex()), labels, 0.0);
}

#[test]
#[should_panic(expected = "inside its weight")]
fn linear_with_a_part_beyond_the_weight_panics() {
    let _ =
        linear_sliced(tracked(1, [2, 3]), tracked(2, [4, 3]), [2..5, 0..3], None, Activation::Identity, None);
}
