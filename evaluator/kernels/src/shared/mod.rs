//! Code that several folders of this crate use: memory, burn's primitive tensors, slices of weights,
//! nonlinearities by name.

pub(crate) mod activation;
pub(crate) mod memory;
pub(crate) mod primitives;
pub(crate) mod shared_gradient;
pub(crate) mod weight_slice;
