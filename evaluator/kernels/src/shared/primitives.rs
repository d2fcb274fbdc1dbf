//! Accesses burn's primitive CPU tensors as slices of floats, and checks which tensors the kernels support.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, DispatchDevice, Flex, TensorMetadata};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use crate::shared::memory::Buffer;

/// A tensor of the CPU backend.
pub(crate) type Primitive = FloatTensor<Flex>;
/// A tensor of the CPU backend that autodiff records.
pub(crate) type Tracked = FloatTensor<Autodiff<Flex>>;

/// Values in the order of the tensor's shape. They are copied only if the tensor stores them in another
/// order.
pub(crate) struct Values(Primitive);

impl Values {
    pub(crate) fn new(tensor: Primitive) -> Self {
        let ordered = tensor.as_slice::<f32>().is_some();
        Self(if ordered { tensor } else { tensor.to_contiguous() })
    }

    pub(crate) fn slice(&self) -> &[f32] {
        self.0.as_slice().expect("a contiguous tensor of `f32`")
    }

    pub(crate) fn shape(&self) -> Shape {
        self.0.shape()
    }
}

/// A tensor of few values, such as one for each channel.
pub(crate) fn small<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}

/// A tensor that takes over a pooled buffer.
pub(crate) fn large(values: Buffer, shape: impl Into<Shape>) -> Primitive {
    Primitive::from_data(TensorData::from_bytes(values.into_bytes(), shape, DType::F32))
}

/// Whether the kernels support this tensor: a non-empty tensor of `f32` on the CPU.
pub(crate) fn applies<const D: usize>(tensor: &Tensor<D>) -> bool {
    runs_on(&tensor.device()) && tensor.dtype() == DType::F32 && tensor.dims().iter().all(|size| *size > 0)
}

/// Whether the kernels run on this device. They run on the CPU, with or without autodiff.
#[must_use]
pub fn runs_on(device: &Device) -> bool {
    let device = device.as_dispatch();
    let inner = if let DispatchDevice::Autodiff(inner) = device { &**inner } else { device };
    matches!(inner, DispatchDevice::Flex(_))
}
