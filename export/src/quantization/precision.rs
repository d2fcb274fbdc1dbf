//! Checks the number formats of an exported network.

use kiln_space::NumberFormat::{F16, F32, Int4, Int8};
use kiln_space::{NumberFormat, Op, Precision};

use super::stored::WeightCode;
use crate::{ExportError, TrainedModel};

/// The number formats that an export format can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formats {
    /// Single precision, and 8 bits for both weights and activations.
    Basic,
    /// Also weights of half precision, 8 bits and 4 bits with activations in single precision, weights of 4
    /// bits with activations of 8 bits, and codebooks.
    Narrow,
}

impl Formats {
    const fn are_expressed(self, weights: NumberFormat, activations: NumberFormat) -> bool {
        match (weights, activations) {
            (F32, F32) | (Int8, Int8) => true,
            (F16 | Int8 | Int4, F32) | (Int4, Int8) => matches!(self, Self::Narrow),
            _ => false,
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Basic => "both may be f32 or int8",
            Self::Narrow => {
                "weights may be f32, f16, int8 or int4 with f32 activations, and int8 or int4 with int8 \
                 activations"
            }
        }
    }
}

/// Checks that the export format named `format` can express the number formats of every layer. Otherwise an
/// exporter would silently ignore them.
///
/// # Errors
/// [`ExportError::Unsupported`] for the first layer in another format.
pub(crate) fn check_precision(
    model: &TrainedModel,
    format: &'static str,
    formats: Formats,
) -> Result<(), ExportError> {
    let live = model.architecture.live();
    for (layer, _) in model.architecture.layers.iter().zip(live).filter(|(_, live)| *live) {
        let refuse = |what: String| Err(ExportError::Unsupported { format, layer: layer.name.clone(), what });
        let Precision { weights, activations } = layer.precision;
        let has_kernel = matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. });
        let weights = if has_kernel { weights } else { activations };
        if !formats.are_expressed(weights, activations) {
            return refuse(format!(
                "{weights} weights and {activations} activations; {}",
                formats.expected()
            ));
        }
        if formats == Formats::Basic
            && matches!(model.weight_codes.get(&layer.name), Some(WeightCode::Codebook(_)))
        {
            return refuse("its weights are positions in a codebook".to_owned());
        }
    }
    Ok(())
}
