//! What declared parameters consist of, and the values that they begin with.

use kiln_space::{ParameterKind, ParameterSpec};
use rand::RngExt;

use crate::seed;

/// How a part begins.
pub(crate) enum Fill {
    /// All values the same.
    Constant(f32),
    /// Normal values of this deviation.
    Normal(f64),
}

/// The parts of a declared parameter, with their shapes: He initialization for convolutions, zero biases and shifts, scales of one.
///
/// Source: K. He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10, with fan-in; fully connected layers
/// take `1 / sqrt(fan-in)` as deviation.
pub(crate) fn parts(spec: &ParameterSpec) -> Vec<(&'static str, Vec<usize>, Fill)> {
    match spec.kind {
        ParameterKind::Conv2d { outputs, inputs, kernel, bias } => {
            let fan_in = (inputs * kernel[0] * kernel[1]) as f64;
            let weight = Fill::Normal((2.0 / fan_in).sqrt());
            let mut parts = vec![("weight", vec![outputs, inputs, kernel[0], kernel[1]], weight)];
            parts.extend(bias.then(|| ("bias", vec![outputs], Fill::Constant(0.0))));
            parts
        }
        ParameterKind::Linear { outputs, inputs, bias } => {
            let weight = Fill::Normal((1.0 / inputs as f64).sqrt());
            let mut parts = vec![("weight", vec![outputs, inputs], weight)];
            parts.extend(bias.then(|| ("bias", vec![outputs], Fill::Constant(0.0))));
            parts
        }
        ParameterKind::BatchNorm { channels } => vec![
            ("scale", vec![channels], Fill::Constant(1.0)),
            ("shift", vec![channels], Fill::Constant(0.0)),
        ],
    }
}

/// Normal values by the Box-Muller transform, the same on every machine up to `ln` and `cos`.
pub(crate) fn normal(seed: u64, name: &str, size: usize, deviation: f64) -> Vec<f32> {
    let mut rng = seed::generator(seed, name, &[]);
    let mut draw = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        (radius * angle.cos() * deviation) as f32
    };
    (0..size).map(|_| draw()).collect()
}
