//! Checks the number formats of an exported network.

use kiln_space::{NumberFormat, Op, Precision};

use crate::{ExportError, TrainedModel};

/// Checks that every layer is in single precision or in 8 bits. Otherwise an exporter would silently ignore
/// the layer's number format.
///
/// # Errors
/// [`ExportError::Unsupported`] for the first layer in another format. The error names the export format
/// `format`.
pub(crate) fn check_precision(model: &TrainedModel, format: &'static str) -> Result<(), ExportError> {
    let live = model.architecture.live();
    for (layer, _) in model.architecture.layers.iter().zip(live).filter(|(_, live)| *live) {
        let Precision { weights, activations } = layer.precision;
        let has_kernel = matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. });
        let is_known = matches!(activations, NumberFormat::F32 | NumberFormat::Int8);
        if !is_known || (has_kernel && weights != activations) {
            return Err(ExportError::Unsupported {
                format,
                layer: layer.name.clone(),
                what: format!("{weights} weights and {activations} activations; both may be f32 or int8"),
            });
        }
    }
    Ok(())
}
