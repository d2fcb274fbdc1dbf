//! A reference convolution that follows the definition in double precision. Tests compare the kernels of
//! every instruction set with it.
//!
//! On processors without AVX-512, the 16-lane code runs on portable vectors. No code of burn runs in these
//! tests, so a memory checker watches only the kernels.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::convolution::passes::{self, Prepared};
use crate::planes::geometry::Geometry;
use crate::shared::activation::Activation;
use crate::shared::weight_slice::{Places, WeightSlice, WeightValues};
use crate::simd::InstructionSet;

/// Output, and the gradients of input and weight.
struct Results {
    output: Vec<f64>,
    x: Vec<f64>,
    weight: Vec<f64>,
}

/// Passes every product of the definition to `see`. The arguments are the index in the output, the index in
/// the input, and the triple of output channel, input channel within the group, and tap.
fn visit(geometry: &Geometry, mut see: impl FnMut(usize, usize, (usize, usize, [usize; 2]))) {
    let ([height, width], [out_height, out_width]) = (geometry.input(), geometry.output());
    let (in_group, out_group) = (geometry.in_group(), geometry.out_group());
    for image in 0..geometry.batch() {
        for output in 0..geometry.out_channels() {
            for place in 0..out_height * out_width {
                for input in 0..in_group {
                    for tap in 0..geometry.kernel()[0] * geometry.kernel()[1] {
                        let tap = [tap / geometry.kernel()[1], tap % geometry.kernel()[1]];
                        let at = [place / out_width, place % out_width];
                        let row = (at[0] * geometry.stride()[0] + tap[0]).checked_sub(geometry.padding()[0]);
                        let column =
                            (at[1] * geometry.stride()[1] + tap[1]).checked_sub(geometry.padding()[1]);
                        let (Some(row), Some(column)) = (row, column) else { continue };
                        if row >= height || column >= width {
                            continue;
                        }
                        let channel = image * geometry.in_channels() + output / out_group * in_group + input;
                        let to = (image * geometry.out_channels() + output) * out_height * out_width + place;
                        see(to, channel * height * width + row * width + column, (output, input, tap));
                    }
                }
            }
        }
    }
}

fn expected(
    geometry: &Geometry,
    places: &Places,
    [x, weight, bias, gradient]: [&[f32]; 4],
    activation: Activation,
) -> Results {
    let pixels = geometry.output()[0] * geometry.output()[1];
    let start = |place: usize| f64::from(bias[place / pixels % geometry.out_channels()]);
    let mut results = Results {
        output: (0..gradient.len()).map(start).collect(),
        x: vec![0.0; x.len()],
        weight: vec![0.0; weight.len()],
    };
    visit(geometry, |to, from, (output, input, tap)| {
        let at = places.at(output, input, tap);
        results.output[to] += f64::from(x[from]) * f64::from(weight[at]);
        results.x[from] += f64::from(gradient[to]) * f64::from(weight[at]);
        results.weight[at] += f64::from(gradient[to]) * f64::from(x[from]);
    });
    for value in &mut results.output {
        *value = activation.exact(*value);
    }
    results
}

fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let size = expected.iter().fold(0.1f64, |size, value| size.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(difference <= 1e-5 * size, "{what} at {place}: {found}, not {expected} (of {size})");
    }
}

/// Compares output and gradients for one geometry. The weight is a slice of a larger weight.
fn check(
    geometry: &Geometry,
    slice: &WeightSlice,
    whole: [usize; 4],
    activation: Activation,
    rng: &mut Pcg64,
) {
    // Boxes have exactly this size, so a memory checker detects accesses beyond it.
    let mut draw = |len: usize| (0..len).map(|_| rng.random_range(-1.0..1.0f32)).collect::<Box<[f32]>>();
    let pixels = geometry.output()[0] * geometry.output()[1];
    let x = draw(geometry.batch() * geometry.in_channels() * geometry.input()[0] * geometry.input()[1]);
    let weight = draw(whole.iter().product());
    let (bias, gradient) =
        (draw(geometry.out_channels()), draw(geometry.batch() * geometry.out_channels() * pixels));
    let places = Places::new(slice, whole);
    let expected = expected(geometry, &places, [&x, &weight, &bias, &gradient], activation);
    for set in
        InstructionSet::ALL.into_iter().filter(|set| *set == InstructionSet::Avx512 || set.is_supported())
    {
        let what = |part: &str| format!("{part} of {} {geometry:?} {slice:?} {activation:?}", set.name());
        let view = WeightValues { values: &weight, places: &places };
        let output = Prepared::new(set, geometry, view).run(&x, Some(&bias), activation);
        assert_close(&what("output"), output.values(), &expected.output);
        let of_x = passes::input_gradient(set, geometry, view, &gradient);
        assert_close(&what("input gradient"), of_x.values(), &expected.x);
        let mut of_weight = vec![0.0; weight.len()];
        passes::weight_gradient(set, geometry, &x, &gradient, |output, input, tap, value| {
            of_weight[places.at(output, input, tap)] += value;
        });
        assert_close(&what("weight gradient"), &of_weight, &expected.weight);
        let mut again = vec![0.0; weight.len()];
        let both = passes::gradients(set, geometry, &x, view, &gradient, |output, input, tap, value| {
            again[places.at(output, input, tap)] += value;
        });
        assert!(both.values() == of_x.values(), "{}", what("input gradient together with the weight's"));
        assert!(again == of_weight, "{}", what("weight gradient together with the input's"));
    }
}

/// Draws ranges with `channels` channels in total, all below `size`, in any order.
fn ranges(rng: &mut Pcg64, channels: usize, size: usize) -> Vec<std::ops::Range<usize>> {
    if size < channels + 2 || channels < 2 || rng.random_bool(0.4) {
        let start = rng.random_range(0..=size - channels);
        return std::iter::once(start..start + channels).collect();
    }
    let first = rng.random_range(1..channels);
    let gap = rng.random_range(first..=size - (channels - first));
    Vec::from([gap..gap + channels - first, 0..first])
}

/// Draws a geometry, and a slice of a weight that fits it. Returns `None` if the kernel is larger than the
/// padded image.
fn draw(rng: &mut Pcg64, depthwise: bool) -> Option<(Geometry, WeightSlice, [usize; 4])> {
    let of = |rng: &mut Pcg64, choices: &[usize]| choices[rng.random_range(0..choices.len())];
    let groups = if depthwise { rng.random_range(2..=9) } else { of(rng, &[1, 1, 1, 2, 3]) };
    let mut channels = || if depthwise { 1 } else { of(rng, &[1, 2, 3, 4, 6, 7, 8, 9, 16, 17, 20, 25]) };
    let [in_group, out_group] = [channels(), channels()];
    let batch = of(rng, &[1, 2, 3, 17]);
    let square = rng.random_bool(0.7);
    let both = |rng: &mut Pcg64, choices: &[usize]| {
        let first = of(rng, choices);
        [first, if square { first } else { of(rng, choices) }]
    };
    let input = both(rng, &[1, 2, 3, 4, 5, 7, 8, 9, 12, 14, 16, 17, 20]);
    let kernel = both(rng, &[1, 1, 2, 3, 3, 4, 5, 7]);
    let stride = both(rng, &[1, 1, 2, 2, 3, 4]);
    let padding = if square { kernel.map(|size| size / 2) } else { both(rng, &[0, 1, 2, 4]) };
    if (0..2).any(|axis| input[axis] + 2 * padding[axis] < kernel[axis]) {
        return None;
    }
    let weight = [out_group * groups, in_group, kernel[0], kernel[1]];
    let geometry =
        Geometry::new([batch, in_group * groups, input[0], input[1]], weight, stride, padding, groups);
    let more = |rng: &mut Pcg64, size: usize| size + of(rng, &[0, 0, 1, 2, 5]);
    let whole = [more(rng, weight[0]), more(rng, weight[1]), more(rng, weight[2]), more(rng, weight[3])];
    let (outputs, inputs) = (ranges(rng, weight[0], whole[0]), ranges(rng, weight[1], whole[1]));
    Some((geometry, WeightSlice { outputs, inputs, kernel }, whole))
}

fn check_many(seed: u64, depthwise: bool) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let activations = Activation::ALL.into_iter().filter(|activation| activation.is_stored());
    let activations: Vec<Activation> = activations.collect();
    let mut checked = 0;
    while checked < 60 {
        let activation = activations[rng.random_range(0..activations.len())];
        if let Some((geometry, slice, whole)) = draw(&mut rng, depthwise) {
            check(&geometry, &slice, whole, activation, &mut rng);
            checked += 1;
        }
    }
}

#[test]
fn dense_convolutions_equal_the_definition_for_random_shapes_and_slices() {
    check_many(1, false);
}

#[test]
fn depthwise_convolutions_equal_the_definition_for_random_shapes_and_slices() {
    check_many(2, true);
}
