//! Compares the sums of deposited slice gradients with burn's gradients of whole weights.

mod comparison;

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::{
    Activation, Deposit, Deposits, SharedGradient, SharedWeight, WeightSlice, conv2d_sliced, linear_sliced,
};
use rayon::ThreadPoolBuilder;

use self::comparison::{assert_close, read, supported, values};

const KERNEL: u64 = 7;
const MATRIX: u64 = 9;
const SHAPES: ([usize; 4], [usize; 2]) = ([12, 8, 5, 5], [10, 12]);

fn tracked<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values(seed, shape.iter().product()), shape);
    Tensor::from_data(data, &Device::flex().autodiff()).require_grad()
}

/// The slices of a network: output channels, input channels and size of the convolution's kernel, and the
/// outputs of the matrix. The matrix reads the kernel's output channels.
struct Network {
    channels: Range<usize>,
    inputs: Range<usize>,
    kernel: usize,
    outputs: Range<usize>,
}

fn networks() -> [Network; 3] {
    let network = |channels, inputs, kernel, outputs| Network { channels, inputs, kernel, outputs };
    [network(0..5, 1..8, 3, 2..9), network(4..12, 0..8, 5, 0..10), network(2..9, 0..3, 1, 0..4)]
}

/// The loss of a network with one convolution, which is used twice, and a fully connected layer.
fn loss(network: &Network, kernel: &Tensor<4>, matrix: Tensor<2>, deposits: Option<&Deposits>) -> Tensor<1> {
    let of = |weight: u64| -> Option<Deposit> { deposits.map(|deposits| deposits.of(weight)) };
    let shared = || SharedWeight {
        whole: kernel.clone(),
        slice: WeightSlice {
            outputs: Vec::from([network.channels.clone()]),
            inputs: Vec::from([network.inputs.clone()]),
            kernel: [network.kernel; 2],
        },
        deposit: of(KERNEL),
    };
    let padding = [network.kernel / 2; 2];
    let image = |seed| tracked(seed, [3, network.inputs.len(), 6, 6]);
    let x = conv2d_sliced(image(1), shared(), None, [1, 1], padding, 1);
    let y = conv2d_sliced(image(2).detach(), shared(), None, [1, 1], padding, 1);
    let x = (x + y).mean_dim(2).mean_dim(3);
    let part = [network.outputs.clone(), network.channels.clone()];
    let x = linear_sliced(x, matrix, part, None, Activation::Relu, of(MATRIX));
    (x.clone() * x).sum()
}

/// Returns the gradients of kernel and matrix after all networks have deposited their gradients `rounds`
/// times.
fn deposited(rounds: usize) -> Vec<Vec<f32>> {
    let mut shared = SharedGradient::default();
    for _ in 0..rounds {
        let left = networks().map(|network| {
            let deposits = Deposits::default();
            let (kernel, matrix) = (tracked(3, SHAPES.0), tracked(4, SHAPES.1));
            let gradients = loss(&network, &kernel, matrix.clone(), Some(&deposits)).backward();
            assert!(kernel.grad(&gradients).is_none() && matrix.grad(&gradients).is_none());
            deposits
        });
        let size =
            |weight| if weight == KERNEL { SHAPES.0.iter().product() } else { SHAPES.1.iter().product() };
        shared.add(left.into(), size);
    }
    let (kernel, matrix) = (shared.take(KERNEL, SHAPES.0), shared.take(MATRIX, SHAPES.1));
    assert!(shared.take(KERNEL, SHAPES.0).is_none(), "a gradient is taken once");
    Vec::from([read(kernel.expect("deposited")), read(matrix.expect("deposited"))])
}

#[test]
fn deposits_of_several_networks_add_up_to_the_gradient_of_their_total_loss() {
    for set in supported() {
        set.force(|| {
            let (kernel, matrix) = (tracked(3, SHAPES.0), tracked(4, SHAPES.1));
            let losses = networks().map(|network| loss(&network, &kernel, matrix.clone(), None));
            let gradients = losses.into_iter().reduce(|a, b| a + b).unwrap().backward();
            let expected = [read(kernel.grad(&gradients).unwrap()), read(matrix.grad(&gradients).unwrap())];
            assert_close(set.name(), &deposited(1), &expected);
            let twice = expected.map(|values| values.into_iter().map(|value| 2.0 * value).collect());
            assert_close("two rounds", &deposited(2), &twice);
        });
    }
}

#[test]
fn deposits_added_on_any_number_of_threads_give_the_same_bits() {
    let on = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| deposited(2))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(4));
}
