//! Where work runs: threads, one device, or several devices. It knows no networks.

#[cfg(feature = "cuda")]
pub(crate) mod collective;
pub(crate) mod device;
pub(crate) mod parallel;
pub(crate) mod pool;
#[cfg(any(test, feature = "cuda", feature = "wgpu"))]
mod probe;
