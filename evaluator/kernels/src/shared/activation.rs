//! Element-wise nonlinearities by name.

use burn::tensor::{Tensor, activation};

use crate::simd::Simd;

/// An element-wise nonlinearity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `tanh(x)`.
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    Gelu,
}

impl Activation {
    /// All nonlinearities in declaration order.
    pub const ALL: [Self; 9] = [
        Self::Identity,
        Self::Relu,
        Self::Relu6,
        Self::HardSwish,
        Self::HardSigmoid,
        Self::Sigmoid,
        Self::Silu,
        Self::Tanh,
        Self::Gelu,
    ];

    /// Applies the nonlinearity with burn's own operations.
    #[must_use]
    pub fn by_burn<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let hard_sigmoid = |x: Tensor<D>| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        match self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::HardSwish => x.clone() * hard_sigmoid(x),
            Self::HardSigmoid => hard_sigmoid(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Silu => activation::silu(x),
            Self::Tanh => activation::tanh(x),
            Self::Gelu => activation::gelu(x),
        }
    }

    /// Whether kernels apply the nonlinearity to a sum before they store the sum. Other nonlinearities need a
    /// separate pass.
    pub(crate) const fn is_stored(self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::Relu6 | Self::HardSwish)
    }

    /// Whether the slope at the output equals the slope at the input, so that the backward pass needs only
    /// the output.
    pub(crate) const fn keeps_slope(self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::Relu6)
    }

    /// Computes the value to store for a sum.
    ///
    /// This function is compiled into the innermost loops, so its cases are few and simple. With one more
    /// case, the compiler spills sums to memory.
    #[inline(always)]
    pub(crate) fn stored<S: Simd>(self, simd: S, value: S::Vector) -> S::Vector {
        let clamp = |value| simd.min(simd.splat(6.0), simd.max(simd.splat(0.0), value));
        match self {
            Self::Relu => simd.max(simd.splat(0.0), value),
            Self::Relu6 => clamp(value),
            Self::HardSwish => {
                let gate = clamp(simd.add(value, simd.splat(3.0)));
                simd.mul(value, simd.mul(gate, simd.splat(1.0 / 6.0)))
            }
            // Other nonlinearities never reach this case, because `is_stored` returns false for them.
            _ => value,
        }
    }

    /// Replaces sums in registers by the values to store for them.
    ///
    /// The nonlinearity is matched once for all sums, not once per sum, so only a few instructions are needed
    /// for each sum.
    #[inline(always)]
    pub(crate) fn store_all<S: Simd, const R: usize, const V: usize>(
        self,
        simd: S,
        sums: &mut [[S::Vector; V]; R],
    ) {
        macro_rules! each {
            ($name:expr) => {
                for sums in sums.iter_mut() {
                    for sum in sums.iter_mut() {
                        *sum = $name.stored(simd, *sum);
                    }
                }
            };
        }
        match self {
            Self::Relu => each!(Self::Relu),
            Self::Relu6 => each!(Self::Relu6),
            Self::HardSwish => each!(Self::HardSwish),
            _ => {}
        }
    }

    /// Applies the nonlinearity in double precision.
    #[cfg(test)]
    pub(crate) fn exact(self, x: f64) -> f64 {
        let gate = (x + 3.0).clamp(0.0, 6.0) / 6.0;
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::HardSwish => x * gate,
            _ => unreachable!("`{self:?}` is not stored with a sum"),
        }
    }
}
