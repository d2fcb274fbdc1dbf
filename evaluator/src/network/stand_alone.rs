//! Converts subnets to networks with their own parameters.

use kiln_space::{Architecture, Op, ParameterKind, ParameterSpec, WeightRef};

/// Returns the same network with its own parameters, and the declarations of these parameters. Each layer
/// reads one whole parameter, whose key is the layer's name.
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
