//! Number formats of weights and activations, and sparsity of weights.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number format for weights or activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// IEEE 754 single precision.
    #[default]
    F32,
    /// IEEE 754 half precision.
    F16,
    /// Brain floating point.
    Bf16,
    /// 8-bit integers.
    Int8,
    /// 4-bit integers.
    Int4,
}

impl NumberFormat {
    /// The name that configs, device files and messages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// Whether values are stored as integers together with a scale.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::Int8 | Self::Int4)
    }

    /// Number of bits of one value.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }

    /// Number of bytes that `values` values take, rounded up.
    #[must_use]
    pub const fn bytes(self, values: u64) -> u64 {
        (values * self.bits()).div_ceil(8)
    }
}

impl fmt::Display for NumberFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Number formats of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Precision {
    /// Format of the stored weights.
    pub weights: NumberFormat,
    /// Format of the layer's output.
    pub activations: NumberFormat,
}

impl Precision {
    /// Uses the same format for weights and output.
    #[must_use]
    pub const fn uniform(format: NumberFormat) -> Self {
        Self { weights: format, activations: format }
    }

    /// Returns the formats of a layer whose weights are stored in `format`, with the activations that
    /// runtimes combine with such weights. Layers with integer weights have 8-bit activations. Layers with
    /// weights in half precision compute in single precision.
    ///
    /// # Example
    /// ```
    /// use kiln_space::{NumberFormat, Precision};
    /// let int4 = Precision::with_weights(NumberFormat::Int4);
    /// assert_eq!(int4.activations, NumberFormat::Int8);
    /// assert_eq!(Precision::with_weights(NumberFormat::F16).activations, NumberFormat::F32);
    /// ```
    #[must_use]
    pub const fn with_weights(format: NumberFormat) -> Self {
        let activations = if format.is_integer() { NumberFormat::Int8 } else { NumberFormat::F32 };
        Self { weights: format, activations }
    }
}

/// States which weights of a layer are always zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sparsity {
    /// No weight is zero by design.
    #[default]
    Dense,
    /// Zeros may be anywhere in the layer.
    Unstructured {
        /// Number of zeros per thousand weights.
        permille: u16,
    },
    /// In every group of `m` neighboring weights, `n` are kept and the others are zero.
    NOfM {
        /// Number of weights kept in each group.
        n: u8,
        /// Size of a group.
        m: u8,
    },
}

impl Sparsity {
    /// Fraction of weights that are zero, from 0 to 1.
    #[must_use]
    pub fn zeros(self) -> f64 {
        match self {
            Self::Dense => 0.0,
            Self::Unstructured { permille } => f64::from(permille) / 1000.0,
            Self::NOfM { n, m } => 1.0 - f64::from(n) / f64::from(m.max(1)),
        }
    }
}

impl fmt::Display for Sparsity {
    /// Writes `0`, `0.5` or `2:4`, as in configs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NOfM { n, m } => write!(f, "{n}:{m}"),
            other => other.zeros().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_format_bytes_round_up_and_sparsity_is_a_fraction() {
        assert_eq!(NumberFormat::Int4.bytes(3), 2);
        assert_eq!(NumberFormat::Int8.bytes(3), 3);
        let pattern = Sparsity::NOfM { n: 2, m: 4 };
        assert!((pattern.zeros() - 0.5).abs() < 1e-12);
        let texts =
            [Sparsity::Dense, Sparsity::Unstructured { permille: 750 }, pattern].map(|s| s.to_string());
        assert_eq!(texts, ["0", "0.75", "2:4"]);
    }
}
