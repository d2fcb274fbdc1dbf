//! Cross-layer equalization: scales the channels between two layers so that their weights have similar
//! ranges in both layers.

use kiln_space::{ActivationKind, Architecture, LayerId, Op};

use super::stored::has_kernel;
use crate::{TrainedModel, folded};

/// Maximum number of passes over all pairs.
const PASSES: usize = 30;
/// Equalization ends when no channel's scale differs from 1 by more than this.
const TOLERANCE: f32 = 1e-3;

/// Two layers with weights. Between them are only operations for which `f(s * x) = s * f(x)` holds in each
/// channel, for `s > 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    first: LayerId,
    second: LayerId,
    /// Number of neighboring inputs of the second layer that come from the same channel of the first one. It
    /// exceeds 1 after flattening.
    inputs_per_channel: usize,
}

/// Returns a network that computes the same outputs, up to rounding errors, and whose weights lose less when
/// they are rounded. Batch normalizations are folded first ([`folded`]). Then the output channels of each
/// layer are divided by factors, and the weights of the next layer that read them are multiplied by the same
/// factors. Between both layers may be ReLU, pooling and flattening, if no other layer reads their outputs.
///
/// Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
/// 2019, section 4.1, equation 11. Differs: `ReLU6` is not replaced by ReLU, so it separates layers.
///
/// # Panics
/// When an array is missing. [`TrainedModel::check`] reports which one.
#[must_use]
pub fn equalized(model: &TrainedModel) -> TrainedModel {
    let mut model = folded(model);
    let pairs = pairs(&model.architecture);
    for _ in 0..PASSES {
        let mut largest = 0.0_f32;
        for pair in &pairs {
            for scale in equalize(&mut model, *pair) {
                largest = largest.max((scale - 1.0).abs());
            }
        }
        if largest <= TOLERANCE {
            break;
        }
    }
    model
}

fn pairs(architecture: &Architecture) -> Vec<Pair> {
    let (readers, live) = (architecture.readers(), architecture.live());
    let kernels = architecture.ids().filter(|id| live[id.0] && has_kernel(&architecture.layer(*id).op));
    let pair = |first: LayerId| {
        let (mut id, mut inputs_per_channel) = (first, 1);
        loop {
            let [reader] = readers[id.0].as_slice() else { return None };
            let layer = architecture.layer(*reader);
            match layer.op {
                Op::Activation { kind: ActivationKind::Relu } | Op::Pool { .. } | Op::GlobalPool => {}
                Op::Flatten => inputs_per_channel *= architecture.layer(id).output.positions(),
                Op::Conv2d { .. } | Op::Linear { .. } => {
                    return Some(Pair { first, second: *reader, inputs_per_channel });
                }
                _ => return None,
            }
            id = *reader;
        }
    };
    kernels.filter_map(pair).collect()
}

/// Equalizes one pair. Returns the factor of each channel.
fn equalize(model: &mut TrainedModel, pair: Pair) -> Vec<f32> {
    let name = |id: LayerId| model.architecture.layer(id).name.clone();
    let (first, second) = (name(pair.first), name(pair.second));
    let channels = model.architecture.layer(pair.first).output.channels;
    let reading = reading_channels(&model.architecture, pair);
    let magnitudes = |array: &str, channel: &dyn Fn(usize) -> usize| {
        let mut largest = vec![0.0_f32; channels];
        for (index, weight) in model.arrays[array].data.iter().enumerate() {
            let channel = channel(index);
            largest[channel] = largest[channel].max(weight.abs());
        }
        largest
    };
    let [weight, bias] = ["weight", "bias"].map(|part| format!("{first}.{part}"));
    let next = format!("{second}.weight");
    let row = model.arrays[&weight].data.len() / channels;
    let own = magnitudes(&weight, &|index| index / row);
    let others = magnitudes(&next, &|index| reading(index));
    let scale = |(own, other): (&f32, &f32)| {
        let scale = (own / other).sqrt();
        if scale.is_normal() && *own > 0.0 { scale } else { 1.0 }
    };
    let scales: Vec<f32> = own.iter().zip(&others).map(scale).collect();
    let mut change = |array: &str, factor: &dyn Fn(usize) -> f32| {
        if let Some(array) = model.arrays.get_mut(array) {
            array.data.iter_mut().enumerate().for_each(|(index, value)| *value *= factor(index));
        }
    };
    change(&weight, &|index| scales[index / row].recip());
    change(&bias, &|channel| scales[channel].recip());
    change(&next, &|index| scales[reading(index)]);
    scales
}

/// Returns a function from the position of a weight of the second layer to the channel of the first layer
/// that the weight reads.
fn reading_channels(architecture: &Architecture, pair: Pair) -> impl Fn(usize) -> usize + use<> {
    let second = architecture.layer(pair.second);
    let inputs = architecture.layer(second.inputs[0]).output.channels;
    let (groups, window) = match second.op {
        Op::Conv2d { groups, kernel, .. } => (groups, kernel[0] * kernel[1]),
        _ => (1, 1),
    };
    let (group_inputs, group_outputs) = (inputs / groups, second.output.channels / groups);
    move |index| {
        let (output, input) = (index / window / group_inputs, index / window % group_inputs);
        (output / group_outputs * group_inputs + input) / pair.inputs_per_channel
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;
    use crate::{run_reference, testing};

    #[test]
    fn equalized_weights_match_hand_computation() {
        let mut b = ArchitectureBuilder::new(Shape::vector(1));
        let x = b.linear("a", b.input(), 2).unwrap();
        let x = b.activation("relu", x, ActivationKind::Relu).unwrap();
        b.linear("head", x, 1).unwrap();
        let mut model = testing::model(b.finish().unwrap(), 1);
        let mut set = |name: &str, data: &[f32]| model.arrays.get_mut(name).unwrap().data = data.to_vec();
        set("a.weight", &[8.0, 0.5]);
        set("a.bias", &[4.0, 1.0]);
        set("head.weight", &[0.5, 2.0]);
        let found = equalized(&model).arrays;
        // The factors are sqrt(8 / 0.5) = 4 and sqrt(0.5 / 2) = 0.5.
        assert_eq!(found["a.weight"].data, [2.0, 1.0]);
        assert_eq!(found["a.bias"].data, [1.0, 2.0]);
        assert_eq!(found["head.weight"].data, [2.0, 1.0]);
    }

    #[test]
    fn equalized_networks_compute_the_same_outputs() {
        let mut changed = 0;
        for seed in 0..300 {
            let mut model = testing::random_model(seed);
            // Uneven channels, so that equalization has something to do.
            for (name, array) in &mut model.arrays {
                let row = array.data.len() / array.shape[0];
                if name.ends_with(".weight") {
                    let uneven =
                        |(index, value): (usize, &mut f32)| *value *= [0.2, 1.0, 5.0][index / row % 3];
                    array.data.iter_mut().enumerate().for_each(uneven);
                }
            }
            let even = equalized(&model);
            even.check().unwrap();
            changed += usize::from(even != folded(&model));
            let raw = testing::raw_input(&model.architecture, 2, 3);
            let expected = run_reference(&model, &raw, 2).unwrap();
            let found = run_reference(&even, &raw, 2).unwrap();
            let size = expected.iter().fold(1.0_f32, |size, value| size.max(value.abs()));
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= 1e-5 * size, "seed {seed}: {found} is not {expected}");
            }
        }
        assert!(changed > 30, "only {changed} networks were equalized");
    }

    #[test]
    fn layers_with_two_readers_are_not_paired() {
        let mut b = ArchitectureBuilder::new(Shape::vector(2));
        let x = b.linear("a", b.input(), 2).unwrap();
        let y = b.linear("b", x, 2).unwrap();
        let sum = b.add("sum", Op::Add, &[x, y], None).unwrap();
        b.linear("head", sum, 2).unwrap();
        assert_eq!(pairs(&b.finish().unwrap()), []);
    }
}
