//! Settings and decisions for the number format and the sparsity of a part of the network.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::{
    Activity, Choice, Decision, NumberFormat, Options, Scalar, Settings, SettingsError, Sparsity, Variable,
    deserialize_scalar,
};

/// Maximum fraction of zeros.
const ZEROS_MAX: f64 = 0.99;
/// Maximum group size of an `n:m` pattern.
const GROUP_MAX: u8 = 16;
const FORMATS: &str = "`f32`, `f16`, `int8` or `int4`";
const ZEROS: &str = "a share from 0 to 0.99, or `n:m` with 1 <= n < m <= 16, such as \"2:4\"";

/// Sparsity as written in a config. `0.5` means that half of the weights are zero, at any position. `"2:4"`
/// means that two of every four neighboring weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zeros(pub(super) Sparsity);

impl fmt::Display for Zeros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Zeros> for Choice {
    fn from(zeros: Zeros) -> Self {
        match zeros.0 {
            Sparsity::NOfM { .. } => Self::Text(zeros.to_string()),
            other => Self::Real(other.zeros()),
        }
    }
}

impl<'de> Deserialize<'de> for Zeros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_scalar(deserializer, ZEROS, |written| match written {
            Scalar::Number(share) if (0.0..=ZEROS_MAX).contains(&share) => {
                let permille = (share * 1000.0).round() as u16;
                Some(Self(if permille == 0 { Sparsity::Dense } else { Sparsity::Unstructured { permille } }))
            }
            Scalar::Text(pattern) => {
                let (n, m) = pattern.split_once(':')?;
                let (n, m): (u8, u8) = (n.parse().ok()?, m.parse().ok()?);
                let is_pattern = (1..m).contains(&n) && m <= GROUP_MAX;
                is_pattern.then_some(Self(Sparsity::NOfM { n, m }))
            }
            Scalar::Bool(_) | Scalar::Number(_) => None,
        })
    }
}

/// The number format and sparsity that a genotype selects for a part of the network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compression {
    pub(super) format: NumberFormat,
    pub(super) sparsity: Sparsity,
}

impl Compression {
    /// Returns the sparsity of a kernel that reads `inputs` channels. An `n:m` pattern applies only if a
    /// whole group of `m` fits into these channels.
    pub(super) fn zeros(self, inputs: usize) -> Sparsity {
        match self.sparsity {
            Sparsity::NOfM { m, .. } if inputs < usize::from(m) => Sparsity::Dense,
            sparsity => sparsity,
        }
    }
}

/// The decisions on the number format and sparsity of a part of the network.
#[derive(Clone, Debug)]
pub(super) struct CompressionPlan {
    precision: Variable<NumberFormat>,
    sparsity: Variable<Zeros>,
}

impl CompressionPlan {
    pub(super) fn new(
        decisions: &mut Vec<Decision>,
        part: &str,
        precision: &Options<NumberFormat>,
        sparsity: &Options<Zeros>,
    ) -> Self {
        let always = Activity::Always;
        Self {
            precision: Variable::add(decisions, format!("{part}.precision"), precision, always.clone()),
            sparsity: Variable::add(decisions, format!("{part}.sparsity"), sparsity, always),
        }
    }

    pub(super) fn value(&self, genes: &[u8]) -> Compression {
        Compression { format: self.precision.value(genes), sparsity: self.sparsity.value(genes).0 }
    }
}

/// Refuses `bf16`, which few exporters support. Also refuses patterns whose groups are larger than `inputs`,
/// the smallest number of channels that the part reads. Such a pattern would be ignored, so two options would
/// describe the same network.
pub(super) fn check(
    settings: &Settings,
    part: &str,
    precision: &Options<NumberFormat>,
    sparsity: &Options<Zeros>,
    inputs: usize,
) -> Result<(), SettingsError> {
    let runs = |format: &NumberFormat| *format != NumberFormat::Bf16;
    precision.check(settings, &format!("{part}.precision"), FORMATS, runs)?;
    let expected = format!("groups of at most the {inputs} channels that the narrowest network reads here");
    let fits = |zeros: &Zeros| !matches!(zeros.0, Sparsity::NOfM { m, .. } if usize::from(m) > inputs);
    sparsity.check(settings, &format!("{part}.sparsity"), &expected, fits)
}
