//! Networks with parameters of their own.

use kiln_space::{Architecture, Op, ParameterKind, ParameterSpec, WeightRef};

/// The same network with parameters of its own, and their declarations. The key of a parameter is the name of
/// its layer, which reads all of it.
pub(crate) fn stand_alone(architecture: &Architecture) -> (Architecture, Vec<ParameterSpec>) {
    let mut own = architecture.clone();
    let mut specs = Vec::new();
    for id in architecture.ids().skip(1) {
        let layer = architecture.layer(id);
        let channels = architecture.layer(layer.inputs[0]).output.channels;
        let outputs = layer.output.channels;
        let (kind, inputs) = match layer.op {
            Op::Conv2d { kernel, groups, bias, .. } => {
                let inputs = channels / groups;
                (ParameterKind::Conv2d { outputs, inputs, kernel, bias }, inputs)
            }
            Op::Linear { bias, .. } => (ParameterKind::Linear { outputs, inputs: channels, bias }, channels),
            Op::BatchNorm => (ParameterKind::BatchNorm { channels: outputs }, 0),
            _ => continue,
        };
        own.layers[id.0].weights = Some(WeightRef::leading(layer.name.clone(), outputs, inputs));
        specs.push(ParameterSpec { key: layer.name.clone(), kind });
    }
    (own, specs)
}
