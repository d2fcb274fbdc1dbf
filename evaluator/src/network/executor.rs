//! The one executor: runs an architecture on weights by key, for supernets, subnets and stand-alone networks alike.

use burn::tensor::Tensor;
use burn::tensor::module::batch_norm;
use kiln_kernels::{Activation, batch_norm_activation_train};
use kiln_space::{Architecture, BATCH_NORM_EPSILON, Layer, LayerId, Op};

use super::operations::{convolve, nonlinearity, one, run};
use crate::network::folding::{Folded, fold, reader_that_folds};
use crate::network::integers::Integers;
use crate::network::statistics::Statistics;
use crate::network::weights::Weights;

/// Which mean and variance batch normalization uses, and how outputs are kept.
pub(crate) enum Normalization<'a> {
    /// Those of the batch; what each layer saw is appended, if asked for.
    Batch(Option<&'a mut Vec<(LayerId, Tensor<1>, Tensor<1>)>>),
    /// Those of the batch; the output of each layer is shown.
    BatchObserved(&'a mut dyn FnMut(LayerId, &Tensor<4>)),
    /// None: the input passes as it is.
    Skipped,
    /// Collected ones, folded into the convolution before where there is one, once for all batches.
    Fixed(&'a Statistics, &'a Folded),
    /// The same, folded anew; the output of each layer is shown.
    Observed(&'a Statistics, &'a mut dyn FnMut(LayerId, &Tensor<4>)),
    /// The same; layers of 8 bits have integer weights and rounded outputs.
    Integers(&'a Statistics, &'a Integers),
}

impl<'a> Normalization<'a> {
    const fn fixed(&self) -> Option<&'a Statistics> {
        match self {
            Self::Batch(_) | Self::BatchObserved(_) | Self::Skipped => None,
            Self::Fixed(statistics, _) | Self::Observed(statistics, _) | Self::Integers(statistics, _) => {
                Some(statistics)
            }
        }
    }

    const fn folded(&self) -> Option<&'a Folded> {
        match self {
            Self::Fixed(_, folded) => Some(folded),
            _ => None,
        }
    }

    const fn integers(&self) -> Option<&'a Integers> {
        match self {
            Self::Integers(_, integers) => Some(integers),
            _ => None,
        }
    }

    fn show(&mut self, id: LayerId, output: &Tensor<4>) {
        if let Self::Observed(_, observer) | Self::BatchObserved(observer) = self {
            observer(id, output);
        }
    }
}

/// Runs the network.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`, the architecture's input
/// - output: `[batch, features]`, the flattened output of the last layer
///
/// # Panics
/// When the weights do not fit the architecture (a validated one, and the space's own parameters, always do).
pub(crate) fn forward(
    architecture: &Architecture,
    weights: &Weights,
    images: Tensor<4>,
    mut normalization: Normalization<'_>,
) -> Tensor<2> {
    let batch = images.dims()[0];
    let live = architecture.live();
    let readers = architecture.readers();
    let mut left: Vec<usize> =
        readers.iter().map(|readers| readers.iter().filter(|reader| live[reader.0]).count()).collect();
    let (fixed, integers, folded) = (normalization.fixed(), normalization.integers(), normalization.folded());
    // A normalization that reads its input in 8 bits cannot be folded into what gives it.
    let may_fold = |norm: LayerId| integers.is_none_or(|integers| !integers.reads_grids(norm));
    let mut values: Vec<Option<Tensor<4>>> = vec![None; architecture.layers.len()];
    normalization.show(LayerId(0), &images);
    values[0] = Some(match integers {
        Some(integers) => integers.store(LayerId(0), images),
        None => images,
    });
    for id in architecture.ids().skip(1).filter(|id| live[id.0]) {
        let layer = architecture.layer(id);
        let mut read = |input: &LayerId| {
            let value = take(&mut values, &mut left, *input);
            match integers {
                Some(integers) => integers.read(id, *input, value),
                None => value,
            }
        };
        let inputs: Vec<Tensor<4>> = match layer.op {
            Op::Zero { .. } => Vec::new(),
            _ => layer.inputs.iter().map(&mut read).collect(),
        };
        let after = joined(architecture, &readers, id, &normalization);
        let after = after.map_or(Activation::Identity, |reader| nonlinearity(architecture.layer(reader)));
        let rounding = integers.filter(|integers| integers.computes(id, layer));
        let convolution = folded.and_then(|folded| folded.convolution(id));
        let output = match (&layer.op, fixed) {
            _ if rounding.is_some() => {
                rounding.expect("checked by the guard").compute(id, layer, one(inputs))
            }
            _ if convolution.is_some() => convolution.expect("checked by the guard").forward(one(inputs)),
            _ if folded.is_some_and(|folded| folded.is_absorbed(id)) => one(inputs),
            (Op::Conv2d { .. }, Some(statistics)) => {
                match reader_that_folds(architecture, &readers, id).filter(|norm| may_fold(*norm)) {
                    Some(norm) => {
                        folded_conv(layer, architecture.layer(norm), norm, weights, one(inputs), statistics)
                    }
                    None => run(layer, weights, inputs, batch, &values, after),
                }
            }
            (Op::BatchNorm, Some(statistics)) => {
                if may_fold(id) && matches!(folded_into(architecture, &readers, layer), Some(true)) {
                    one(inputs)
                } else {
                    let (mean, variance) = statistics.layer(id);
                    let (scale, shift) = weights.affine(layer);
                    batch_norm(one(inputs), scale, shift, mean, variance, f64::from(BATCH_NORM_EPSILON))
                }
            }
            (Op::BatchNorm, None) if matches!(normalization, Normalization::Skipped) => one(inputs),
            (Op::BatchNorm, None) => {
                let (scale, shift) = weights.affine(layer);
                let epsilon = f64::from(BATCH_NORM_EPSILON);
                let result = batch_norm_activation_train(one(inputs), scale, shift, epsilon, after);
                if let Normalization::Batch(Some(seen)) = &mut normalization {
                    seen.push((id, result.mean, result.variance));
                }
                result.output
            }
            (Op::Activation { .. }, _)
                if joined(architecture, &readers, layer.inputs[0], &normalization) == Some(id) =>
            {
                one(inputs)
            }
            _ => run(layer, weights, inputs, batch, &values, after),
        };
        normalization.show(id, &output);
        values[id.0] = Some(match integers {
            Some(integers) => integers.store(id, output),
            None => output,
        });
    }
    let output = values.pop().flatten().expect("the last layer is live");
    let [batch, channels, height, width] = output.dims();
    output.reshape([batch, channels * height * width])
}

/// The value of a layer; moved out when its last reader takes it.
fn take(values: &mut [Option<Tensor<4>>], left: &mut [usize], id: LayerId) -> Tensor<4> {
    left[id.0] -= 1;
    let value = if left[id.0] == 0 && id.0 != 0 { values[id.0].take() } else { values[id.0].clone() };
    value.expect("an earlier live layer has a value")
}

/// Whether a batch normalization has been folded into the convolution that it reads.
fn folded_into(architecture: &Architecture, readers: &[Vec<LayerId>], norm: &Layer) -> Option<bool> {
    let input = *norm.inputs.first()?;
    Some(matches!(architecture.layer(input).op, Op::Conv2d { .. }) && readers[input.0].len() == 1)
}

/// The nonlinearity that alone reads this layer and is computed with it: where nobody looks between them.
fn joined(
    architecture: &Architecture,
    readers: &[Vec<LayerId>],
    id: LayerId,
    normalization: &Normalization<'_>,
) -> Option<LayerId> {
    let joins = matches!(
        (&architecture.layer(id).op, normalization),
        (Op::BatchNorm | Op::Linear { .. }, Normalization::Batch(_))
            | (Op::Linear { .. }, Normalization::Fixed(..))
    );
    match readers[id.0].as_slice() {
        [reader] if joins && matches!(architecture.layer(*reader).op, Op::Activation { .. }) => Some(*reader),
        _ => None,
    }
}

/// Convolution with the normalization after it folded into weight and bias.
fn folded_conv(
    conv: &Layer,
    norm: &Layer,
    norm_id: LayerId,
    weights: &Weights,
    input: Tensor<4>,
    statistics: &Statistics,
) -> Tensor<4> {
    let (kernel, bias) = fold(conv, norm, norm_id, weights, statistics);
    convolve(conv, input, kernel, Some(bias))
}
