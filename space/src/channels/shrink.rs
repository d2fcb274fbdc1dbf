//! Removes units of channels from an architecture.

use std::collections::BTreeSet;

use super::{Coupling, Division, Shrunk};
use crate::{Architecture, LayerId, Op, SpaceError, WeightRef};

impl Coupling {
    /// Removes units from the architecture that this coupling describes.
    ///
    /// # Errors
    /// [`SpaceError`] when a unit does not exist or is fixed, when a layer would lose all channels, or when
    /// `architecture` is not the one that this coupling describes.
    pub fn shrink(
        &self,
        architecture: &Architecture,
        removed: &BTreeSet<usize>,
    ) -> Result<Shrunk, SpaceError> {
        self.check(architecture, removed)?;
        let outputs = self.kept(removed);
        let mut layers = architecture.layers.clone();
        let mut inputs = vec![Vec::new(); layers.len()];
        for id in architecture.ids().skip(1) {
            let old = architecture.layer(id);
            let kept = outputs[id.0].len();
            if kept == 0 {
                return Err(SpaceError::NoChannels { layer: old.name.clone() });
            }
            let mut op = old.op.clone();
            match &mut op {
                Op::Conv2d { out_channels, groups, .. } => {
                    if self.divisions[id.0] == Division::WholeGroups {
                        *groups = kept / (*out_channels / *groups);
                    }
                    *out_channels = kept;
                }
                Op::Linear { out_features, .. } => *out_features = kept,
                Op::Zero { channels, .. } => *channels = kept,
                _ => {}
            }
            inputs[id.0] = self.kept_columns(architecture, id, removed);
            let shapes: Vec<_> = old.inputs.iter().map(|input| layers[input.0].output).collect();
            let layer = &mut layers[id.0];
            layer.output = op.output_shape(&shapes)?;
            layer.op = op;
            if layer.weights.is_some() {
                layer.weights = Some(WeightRef::leading(layer.name.clone(), kept, inputs[id.0].len()));
            }
        }
        let architecture = Architecture { input: architecture.input, layers };
        architecture.validate()?;
        Ok(Shrunk { architecture, outputs, inputs })
    }

    fn check(&self, architecture: &Architecture, removed: &BTreeSet<usize>) -> Result<(), SpaceError> {
        let channels = architecture.layers.iter().map(|layer| layer.output.channels);
        if !channels.eq(self.of.iter().map(Vec::len)) {
            return Err(SpaceError::OtherCoupling);
        }
        for unit in removed {
            match self.units.get(*unit) {
                None => return Err(SpaceError::UnknownUnit { found: *unit, units: self.units.len() }),
                Some(unit) if unit.is_fixed => {
                    let first = unit.channels[0];
                    return Err(SpaceError::FixedChannel {
                        layer: architecture.layer(first.layer).name.clone(),
                        channel: first.index,
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the columns that remain along the input axis of a layer's weight.
    fn kept_columns(
        &self,
        architecture: &Architecture,
        id: LayerId,
        removed: &BTreeSet<usize>,
    ) -> Vec<usize> {
        let layer = architecture.layer(id);
        if let (Op::Conv2d { groups, .. }, Division::WholeGroups) = (&layer.op, self.divisions[id.0]) {
            // The remaining groups keep all their columns.
            return (0..self.of[layer.inputs[0].0].len() / groups).collect();
        }
        let units = self.columns(architecture, id);
        (0..units.len()).filter(|column| !removed.contains(&units[*column])).collect()
    }
}
