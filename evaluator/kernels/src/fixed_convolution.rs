//! Convolutions of networks that are not trained any more: the weight is brought into the order of the kernels once, for all
//! batches, and a nonlinearity is computed with the sums.

use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::convolution::Prepared;
use crate::geometry::Geometry;
use crate::operations::Convolution;
use crate::plane_tensors::activate;
use crate::tensors::{conv2d, kernels_apply, run};
use crate::weight_slice::{Places, WeightSlice};

/// The convolution [`conv2d`] with a weight that stays the same, and a nonlinearity of its output, in one pass where no gradient is
/// asked for and the nonlinearity has no exponential.
#[derive(Debug)]
pub struct FixedConv2d {
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
    activation: Activation,
    places: Arc<Places>,
    /// For images of the size that came first.
    prepared: OnceLock<([usize; 2], Arc<OnceLock<Prepared>>)>,
}

impl FixedConv2d {
    /// Shapes are those of [`conv2d`].
    #[must_use]
    pub fn new(
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        stride: [usize; 2],
        padding: [usize; 2],
        groups: usize,
        activation: Activation,
    ) -> Self {
        let places = Places::new(&WeightSlice::whole(weight.dims()), weight.dims());
        let prepared = OnceLock::new();
        Self { weight, bias, stride, padding, groups, activation, places: Arc::new(places), prepared }
    }

    /// The output for some images.
    ///
    /// # Panics
    /// As [`conv2d`].
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { weight, bias, stride, padding, groups, activation, places, prepared } = self;
        let (weight, bias) = (weight.clone(), bias.clone());
        let geometry = Geometry::new(x.dims(), weight.dims(), *stride, *padding, *groups);
        let joined = activation.is_stored() && !x.device().is_autodiff() && !weight.device().is_autodiff();
        if !joined || !kernels_apply(&geometry, &x, &weight, bias.as_ref()) {
            return activate(conv2d(x, weight, bias, *stride, *padding, *groups), *activation);
        }
        let (size, kept) = prepared.get_or_init(|| (geometry.input, Arc::default()));
        let kept = (*size == geometry.input).then(|| Arc::clone(kept));
        run(
            x,
            weight,
            bias,
            Convolution {
                geometry,
                places: Arc::clone(places),
                activation: *activation,
                kept,
                deposit: None,
            },
        )
    }
}
