//! Defines the arithmetic of 8-bit networks: quantization grids, rounding and integer weights. Every executor
//! and exporter uses this module. So the exported network computes the same outputs as the evaluated network.

mod grid;
mod kernel;
mod plan;
mod precision;

use std::collections::BTreeMap;

use kiln_space::{Architecture, LayerId};

pub use self::grid::Grid;
pub use self::kernel::QuantizedKernel;
pub use self::plan::QuantizationPlan;
pub(crate) use self::precision::check_precision;
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
        let plan = QuantizationPlan::new(architecture);
        let grids: BTreeMap<LayerId, Grid> = architecture
            .ids()
            .filter_map(|id| Some((id, grids[&architecture.layer(plan.owner(id)?).name])))
            .collect();
        let kernel = |(id, norm): (LayerId, Option<LayerId>)| {
            // Only constant zeros have no grid. Any scale can represent them.
            let input = architecture.layer(id).inputs[0];
            let scale = grids.get(&input).map_or(1.0, |grid| grid.scale);
            (id, QuantizedKernel::new(architecture, arrays, id, norm, scale))
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
        Self::new(&model.architecture, &model.arrays, &model.quantization)
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
