//! Convolution and its gradients: chooses dense or depthwise kernels, and sums up over a batch.

mod batch;
pub(crate) mod passes;
