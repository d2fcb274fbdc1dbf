//! 8-bit networks: which values are rounded, on which grid, and the resulting integers. Every executor and
//! exporter uses this module, so the exported network is the one that was evaluated.

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

/// The integers of a network with 8-bit layers; empty for other networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizedNetwork {
    /// Which values are rounded, and which layers compute in integers.
    pub plan: QuantizationPlan,
    /// For each layer whose output is read in 8 bits, the grid of that output.
    pub grids: BTreeMap<LayerId, Grid>,
    /// Weights of the layers that compute in integers.
    pub kernels: BTreeMap<LayerId, QuantizedKernel>,
}

impl QuantizedNetwork {
    /// Rounds the weights of a network. `grids` has the form of [`TrainedModel::quantization`].
    ///
    /// # Panics
    /// When an array or a grid is missing; [`TrainedModel::check`] reports which.
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
            // Only constant zeros have no grid. Any scale fits them.
            let input = architecture.layer(id).inputs[0];
            let scale = grids.get(&input).map_or(1.0, |grid| grid.scale);
            (id, QuantizedKernel::new(architecture, arrays, id, norm, scale))
        };
        let kernels = plan.kernels().map(kernel).collect();
        Self { plan, grids, kernels }
    }

    /// The integers of a valid model.
    ///
    /// # Panics
    /// As [`QuantizedNetwork::new`].
    #[must_use]
    pub fn of(model: &TrainedModel) -> Self {
        Self::new(&model.architecture, &model.arrays, &model.quantization)
    }

    /// The grid to which a layer rounds an input when it reads it; `None` if it reads the value unchanged.
    #[must_use]
    pub fn read_grid(&self, reader: LayerId, input: LayerId) -> Option<Grid> {
        // A value that is stored on its grid needs no rounding.
        let rounds = self.plan.reads_grids(reader) && !self.plan.is_stored(input);
        if rounds { self.grids.get(&input).copied() } else { None }
    }

    /// The grid to which a layer's output is rounded when stored; `None` if it is stored unchanged or already
    /// is on that grid.
    #[must_use]
    pub fn stored_grid(&self, id: LayerId) -> Option<Grid> {
        let rounds = self.plan.is_stored(id) && self.plan.owner(id) == Some(id);
        if rounds { self.grids.get(&id).copied() } else { None }
    }
}
