//! Runs work on threads, on one device, or on several devices. This module does not depend on networks.

#[cfg(feature = "cuda")]
pub(crate) mod collective;
pub(crate) mod device;
pub(crate) mod parallel;
pub(crate) mod pool;
#[cfg(any(test, feature = "cuda", feature = "wgpu"))]
mod probe;
