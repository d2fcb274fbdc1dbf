//! Networks of 8 bits: what is rounded, on which grid, and the integers that follow. Everything that runs or writes such a
//! network takes it from here, so that what is judged is what is exported.

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

/// The integers of a network in which some layers are of 8 bits; empty for others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizedNetwork {
    /// What is rounded, and which layers compute in integers.
    pub plan: QuantizationPlan,
    /// By layer, the grid on which its output is read in 8 bits.
    pub grids: BTreeMap<LayerId, Grid>,
    /// Weights of the layers that compute in integers.
    pub kernels: BTreeMap<LayerId, QuantizedKernel>,
}

impl QuantizedNetwork {
    /// Rounds the weights of a network; `grids` are those of [`TrainedModel::quantization`].
    ///
    /// # Panics
    /// When an array or a grid is missing; [`TrainedModel::check`] says which.
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
            // Constant zeros are the only inputs without a grid.
            let input = architecture.layer(id).inputs[0];
            let scale = grids.get(&input).map_or(1.0, |grid| grid.scale);
            (id, QuantizedKernel::new(architecture, arrays, id, norm, scale))
        };
        let kernels = plan.kernels().map(kernel).collect();
        Self { plan, grids, kernels }
    }

    /// The integers of a checked model.
    ///
    /// # Panics
    /// As [`QuantizedNetwork::new`].
    #[must_use]
    pub fn of(model: &TrainedModel) -> Self {
        Self::new(&model.architecture, &model.arrays, &model.quantization)
    }

    /// The grid on which a layer reads an input; `None` where it reads the value as it is.
    #[must_use]
    pub fn read_grid(&self, reader: LayerId, input: LayerId) -> Option<Grid> {
        // What is stored on its grid is on it already.
        let rounds = self.plan.reads_grids(reader) && !self.plan.is_stored(input);
        if rounds { self.grids.get(&input).copied() } else { None }
    }

    /// The grid on which a layer's output is kept; `None` where it is kept as it is, or is on that grid already.
    #[must_use]
    pub fn stored_grid(&self, id: LayerId) -> Option<Grid> {
        let rounds = self.plan.is_stored(id) && self.plan.owner(id) == Some(id);
        if rounds { self.grids.get(&id).copied() } else { None }
    }
}
