//! Convolution and its gradients. Chooses dense or depthwise kernels, and sums over a batch.

mod batch;
pub(crate) mod passes;
