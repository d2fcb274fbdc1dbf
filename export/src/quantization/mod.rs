//! Defines the arithmetic of networks in narrow number formats: quantization grids, rounding, integer
//! weights, half precision and codebooks. Every executor and exporter uses this module. So the exported
//! network computes the same outputs as the evaluated network.

mod bias_correction;
mod calibration;
mod codebook;
mod equalization;
mod from_integers;
mod grid;
mod kernel;
mod options;
mod plan;
mod precision;
mod steps;
mod stored;

use std::collections::BTreeMap;

use kiln_space::{Architecture, LayerId};

pub use self::bias_correction::bias_corrected;
pub use self::calibration::{ActivationStatistics, Calibration, Calibrator, Histogram};
pub use self::codebook::with_codebooks;
pub use self::equalization::equalized;
pub(crate) use self::from_integers::{can_state_steps, weights_of};
pub use self::grid::Grid;
pub use self::kernel::QuantizedKernel;
pub use self::options::QuantizationOptions;
pub use self::plan::QuantizationPlan;
pub(crate) use self::precision::{Formats, check_precision};
pub use self::steps::stated_limit;
pub use self::stored::{
    CODEBOOK_MAX, StoredWeights, WeightCode, best_steps, rounded_arrays, stored_weights,
    stores_narrow_weights, with_narrow_weights,
};
pub(crate) use self::stored::{index_bits, nearest, pack, unpack};
use crate::{Array, TrainedModel};

/// The integers of a network with 8-bit layers. Empty for a network without such layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizedNetwork {
    /// Which values are rounded, and which layers compute in integers.
    pub plan: QuantizationPlan,
    /// The quantization grid of every layer output that is read in 8 bits.
    pub grids: BTreeMap<LayerId, Grid>,
    /// Weights of the layers that compute in integers.
    pub kernels: BTreeMap<LayerId, QuantizedKernel>,
}

impl QuantizedNetwork {
    /// Rounds the weights of a network. `grids` has the same form as [`TrainedModel::quantization`].
    ///
    /// # Panics
    /// When an array or a grid is missing. [`TrainedModel::check`] reports which one.
    #[must_use]
    pub fn new(
        architecture: &Architecture,
        arrays: &BTreeMap<String, Array>,
        grids: &BTreeMap<String, Grid>,
    ) -> Self {
        Self::with_codes(architecture, arrays, grids, &BTreeMap::new())
    }

    /// Like [`QuantizedNetwork::new`], with the steps of integer weights that `codes` states
    /// ([`TrainedModel::weight_codes`]).
    fn with_codes(
        architecture: &Architecture,
        arrays: &BTreeMap<String, Array>,
        grids: &BTreeMap<String, Grid>,
        codes: &BTreeMap<String, WeightCode>,
    ) -> Self {
        let plan = QuantizationPlan::new(architecture);
        let grids: BTreeMap<LayerId, Grid> = architecture
            .ids()
            .filter_map(|id| Some((id, grids[&architecture.layer(plan.owner(id)?).name])))
            .collect();
        let kernel = |(id, norm): (LayerId, Option<LayerId>)| {
            // Only constant zeros have no grid. Any scale can represent them.
            let input = architecture.layer(id).inputs[0];
            let scale = grids.get(&input).map_or(1.0, |grid| grid.scale);
            let steps = match codes.get(&architecture.layer(id).name) {
                Some(WeightCode::Steps(steps)) => Some(steps.as_slice()),
                _ => None,
            };
            (id, QuantizedKernel::new(architecture, arrays, steps, (id, norm), scale))
        };
        let kernels = plan.kernels().map(kernel).collect();
        Self { plan, grids, kernels }
    }

    /// Computes the integers for a valid model.
    ///
    /// # Panics
    /// In the same cases as [`QuantizedNetwork::new`].
    #[must_use]
    pub fn of(model: &TrainedModel) -> Self {
        Self::with_codes(&model.architecture, &model.arrays, &model.quantization, &model.weight_codes)
    }

    /// Returns the grid to which a layer rounds an input before use. Returns `None` if the layer uses the
    /// value unchanged.
    #[must_use]
    pub fn read_grid(&self, reader: LayerId, input: LayerId) -> Option<Grid> {
        // A value that is stored on its grid needs no further rounding.
        let rounds = self.plan.reads_grids(reader) && !self.plan.is_stored(input);
        if rounds { self.grids.get(&input).copied() } else { None }
    }

    /// Returns the grid to which a layer's output is rounded before it is stored. Returns `None` if the
    /// output is stored unchanged or is already on that grid.
    #[must_use]
    pub fn stored_grid(&self, id: LayerId) -> Option<Grid> {
        let rounds = self.plan.is_stored(id) && self.plan.owner(id) == Some(id);
        if rounds { self.grids.get(&id).copied() } else { None }
    }
}
