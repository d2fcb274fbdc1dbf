//! Convolutions of networks after training. The weight is packed once for all batches, and a nonlinearity is
//! applied to the sums before they are stored.

use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;

use crate::convolution::passes::Prepared;
use crate::planes::geometry::Geometry;
use crate::shared::activation::Activation;
use crate::shared::weight_slice::{Places, WeightSlice};
use crate::tensors::convolution::{conv2d, kernels_apply, run};
use crate::tensors::operations::Convolution;
use crate::tensors::planes::activate;

/// The convolution [`conv2d`] with a constant weight, and a nonlinearity on its output.
///
/// Convolution and nonlinearity run in one pass if autodiff records nothing and the nonlinearity has no
/// exponential.
#[derive(Debug)]
pub struct FixedConv2d {
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
    activation: Activation,
    places: Arc<Places>,
    /// The plan, which is prepared for the size of the first images.
    prepared: OnceLock<([usize; 2], Arc<OnceLock<Prepared>>)>,
}

impl FixedConv2d {
    /// Creates a convolution. The arguments have the same shapes as in [`conv2d`].
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

    /// Computes the output for a batch of images.
    ///
    /// # Panics
    /// In the same cases as [`conv2d`].
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { weight, bias, stride, padding, groups, activation, places, prepared } = self;
        let (weight, bias) = (weight.clone(), bias.clone());
        let geometry = Geometry::new(x.dims(), weight.dims(), *stride, *padding, *groups);
        let joined = activation.is_stored() && !x.device().is_autodiff() && !weight.device().is_autodiff();
        if !joined || !kernels_apply(&geometry, &x, &weight, bias.as_ref()) {
            return activate(conv2d(x, weight, bias, *stride, *padding, *groups), *activation);
        }
        let (size, kept) = prepared.get_or_init(|| (geometry.input(), Arc::default()));
        let kept = (*size == geometry.input()).then(|| Arc::clone(kept));
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
