//! Splits declared parameters into tensors, and draws their initial values.

use kiln_space::{ParameterKind, ParameterSpec};
use rand::RngExt;

use crate::seed;

/// One tensor of a declared parameter.
pub(crate) struct Part {
    /// `weight`, `bias`, `scale` or `shift`.
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) fill: Fill,
}

/// The initial values of a part.
pub(crate) enum Fill {
    /// Every value is this constant.
    Constant(f32),
    /// Normally distributed values with mean 0 and this standard deviation.
    Normal(f64),
}

/// Lists the tensors of a declared parameter. Weights are normally distributed, biases and shifts are 0, and
/// scales are 1.
///
/// Source: K. He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10, with fan-in.
/// Differs: weights of fully connected layers have the standard deviation `1 / sqrt(fan-in)`.
pub(crate) fn parts(spec: &ParameterSpec) -> Vec<Part> {
    let part = |name, shape, fill| Part { name, shape, fill };
    match spec.kind {
        ParameterKind::Conv2d { outputs, inputs, kernel, bias } => {
            let fan_in = (inputs * kernel[0] * kernel[1]) as f64;
            let weight = Fill::Normal((2.0 / fan_in).sqrt());
            let mut parts = vec![part("weight", vec![outputs, inputs, kernel[0], kernel[1]], weight)];
            parts.extend(bias.then(|| part("bias", vec![outputs], Fill::Constant(0.0))));
            parts
        }
        ParameterKind::Linear { outputs, inputs, bias } => {
            let weight = Fill::Normal((1.0 / inputs as f64).sqrt());
            let mut parts = vec![part("weight", vec![outputs, inputs], weight)];
            parts.extend(bias.then(|| part("bias", vec![outputs], Fill::Constant(0.0))));
            parts
        }
        ParameterKind::BatchNorm { channels } => vec![
            part("scale", vec![channels], Fill::Constant(1.0)),
            part("shift", vec![channels], Fill::Constant(0.0)),
        ],
    }
}

/// Draws normally distributed values with the Box-Muller transform. The values are the same on every machine,
/// except for the rounding of `ln` and `cos`.
pub(crate) fn normal(seed: u64, name: &str, size: usize, deviation: f64) -> Vec<f32> {
    let mut rng = seed::generator(seed, name, &[]);
    let mut draw = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        (radius * angle.cos() * deviation) as f32
    };
    (0..size).map(|_| draw()).collect()
}
