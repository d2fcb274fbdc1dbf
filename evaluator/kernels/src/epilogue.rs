//! What happens to a sum before it is stored: an activation, where the network has one behind the convolution.

use crate::simd::Simd;

/// An activation that a convolution applies to its output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Epilogue {
    /// The output as it is.
    #[default]
    Nothing,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
}

impl Epilogue {
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, simd: S, value: S::Vector) -> S::Vector {
        let clamp = |value| simd.min(simd.splat(6.0), simd.max(simd.splat(0.0), value));
        match self {
            Self::Nothing => value,
            Self::Relu => simd.max(simd.splat(0.0), value),
            Self::Relu6 => clamp(value),
            Self::HardSwish => {
                let gate = clamp(simd.add(value, simd.splat(3.0)));
                simd.mul(value, simd.mul(gate, simd.splat(1.0 / 6.0)))
            }
        }
    }
}
