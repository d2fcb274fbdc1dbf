//! The tensors of a network or supernet as a burn module, without names.

use burn::module::{Module, Param, ParamId};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Bytes, Tensor};

/// The tensors, grouped by number of axes. Vectors are biases, scales and shifts, to which weight decay does
/// not apply.
#[derive(Module, Debug)]
pub(crate) struct Parameters {
    pub(crate) kernels: Vec<Param<Tensor<4>>>,
    pub(crate) matrices: Vec<Param<Tensor<2>>>,
    pub(crate) vectors: Vec<Param<Tensor<1>>>,
}

impl Parameters {
    /// Ids of the vectors, to which weight decay does not apply.
    pub(crate) fn vector_ids(&self) -> Vec<ParamId> {
        self.vectors.iter().map(|vector| vector.id).collect()
    }

    /// Number of values in a parameter.
    ///
    /// # Panics
    /// When no parameter has this id.
    pub(crate) fn elements(&self, id: ParamId) -> usize {
        fn of<const D: usize>(params: &[Param<Tensor<D>>], id: ParamId) -> Option<usize> {
            let param = params.iter().find(|param| param.id == id)?;
            Some(param.val().dims().iter().product())
        }
        let found = of(&self.kernels, id).or_else(|| of(&self.matrices, id));
        found.or_else(|| of(&self.vectors, id)).expect("gradients are those of parameters")
    }

    /// Moves each value towards the value in `other`, by the fraction `share` of the difference. Neither may
    /// be part of an autodiff graph.
    pub(crate) fn towards(&self, other: &Self, share: f64) -> Self {
        fn each<const D: usize>(
            from: &[Param<Tensor<D>>],
            to: &[Param<Tensor<D>>],
            share: f64,
        ) -> Vec<Param<Tensor<D>>> {
            let moved = |(from, to): (&Param<Tensor<D>>, &Param<Tensor<D>>)| {
                let value = from.val() * (1.0 - share) + to.val() * share;
                Param::initialized(from.id, value)
            };
            from.iter().zip(to).map(moved).collect()
        }
        Self {
            kernels: each(&self.kernels, &other.kernels, share),
            matrices: each(&self.matrices, &other.matrices, share),
            vectors: each(&self.vectors, &other.vectors, share),
        }
    }

    /// Serializes the values to bytes, for [`Parameters::loaded`].
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.clone().into_record().into_bytes().expect("weights are serializable").to_vec()
    }

    /// Returns the same parameters with the values that [`Parameters::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are damaged or belong to other parameters.
    pub(crate) fn loaded(self, bytes: Vec<u8>) -> Result<Self, RecordError> {
        self.try_load_record(ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes))?)
    }
}

/// A reference to one parameter.
#[cfg(feature = "cuda")]
#[derive(Clone, Copy)]
pub(crate) enum ParameterOf<'a> {
    /// The weight of a convolution.
    Kernel(&'a Param<Tensor<4>>),
    /// The weight of a fully connected layer.
    Matrix(&'a Param<Tensor<2>>),
    /// A bias, scale or shift.
    Vector(&'a Param<Tensor<1>>),
}

#[cfg(feature = "cuda")]
impl Parameters {
    /// Iterates over all parameters, always in the same order.
    pub(crate) fn each(&self) -> impl Iterator<Item = ParameterOf<'_>> {
        let kernels = self.kernels.iter().map(ParameterOf::Kernel);
        let matrices = self.matrices.iter().map(ParameterOf::Matrix);
        kernels.chain(matrices).chain(self.vectors.iter().map(ParameterOf::Vector))
    }
}

#[cfg(feature = "cuda")]
impl ParameterOf<'_> {
    /// Whether the gradients contain one for this parameter.
    pub(crate) fn has_gradient(self, gradients: &burn::optim::GradientsParams) -> bool {
        match self {
            Self::Kernel(param) => gradients.get::<4>(param.id).is_some(),
            Self::Matrix(param) => gradients.get::<2>(param.id).is_some(),
            Self::Vector(param) => gradients.get::<1>(param.id).is_some(),
        }
    }
}
