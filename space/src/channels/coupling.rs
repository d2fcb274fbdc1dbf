//! Finds the coupled channels of an architecture.

use super::components::Components;
use super::{CHANNELS_MAX, Channel, Coupling, Division, Group, Unit};
use crate::{Architecture, LayerId, Op, SpaceError};

impl Coupling {
    /// Finds which channels of an architecture must be removed together.
    ///
    /// # Errors
    /// [`SpaceError`] when the architecture is invalid, or when it has more than [`CHANNELS_MAX`] channels.
    pub fn new(architecture: &Architecture) -> Result<Self, SpaceError> {
        architecture.validate()?;
        let starts = starts(architecture)?;
        let mut divisions: Vec<Division> =
            architecture.layers.iter().map(|layer| division(&layer.op)).collect();
        loop {
            let coupling = Self::with_divisions(architecture, &starts, &divisions);
            // A convolution whose whole input is fixed can lose no group. If its groups have several outputs,
            // they can become smaller.
            let stuck = architecture.ids().find(|id| {
                let layer = architecture.layer(*id);
                let Op::Conv2d { groups, out_channels, .. } = layer.op else { return false };
                divisions[id.0] == Division::WholeGroups
                    && out_channels > groups
                    && coupling.of[layer.inputs[0].0].iter().all(|unit| coupling.units[*unit].is_fixed)
            });
            // Each round changes one convolution for good, so the loop ends.
            match stuck {
                Some(id) => divisions[id.0] = Division::Positions,
                None => return Ok(coupling),
            }
        }
    }

    fn with_divisions(architecture: &Architecture, starts: &[usize], divisions: &[Division]) -> Self {
        let total = starts[architecture.layers.len()];
        let mut channels = Components::new(total);
        for id in architecture.ids() {
            couple(architecture, id, divisions[id.0], starts, &mut channels);
        }
        let (numbers, count) = channels.numbered();
        let of: Vec<Vec<usize>> =
            architecture.ids().map(|id| numbers[starts[id.0]..starts[id.0 + 1]].to_vec()).collect();
        let mut units = vec![Unit { group: 0, is_fixed: false, channels: Vec::new() }; count];
        let last = architecture.layers.len() - 1;
        for (layer, row) in of.iter().enumerate() {
            for (index, unit) in row.iter().enumerate() {
                units[*unit].channels.push(Channel { layer: LayerId(layer), index });
                units[*unit].is_fixed |= layer == 0 || layer == last;
            }
            // A layer without channels is not valid.
            if row.iter().all(|unit| *unit == row[0]) {
                units[row[0]].is_fixed = true;
            }
        }
        let groups = grouped(architecture, divisions, &of, &mut units);
        Self { units, groups, of, divisions: divisions.to_vec() }
    }
}

/// Joins the units that the same layer creates to groups.
fn grouped(
    architecture: &Architecture,
    divisions: &[Division],
    of: &[Vec<usize>],
    units: &mut [Unit],
) -> Vec<Group> {
    let creates = |id: &LayerId| match architecture.layer(*id).op {
        Op::Input | Op::Zero { .. } | Op::Linear { .. } => true,
        Op::Conv2d { .. } => divisions[id.0] != Division::WholeGroups,
        _ => false,
    };
    let mut joined = Components::new(units.len());
    for id in architecture.ids().filter(creates) {
        of[id.0].iter().for_each(|unit| joined.join(of[id.0][0], *unit));
    }
    let (numbers, count) = joined.numbered();
    let mut groups = vec![Group { units: Vec::new(), layers: Vec::new() }; count];
    for (unit, group) in numbers.into_iter().enumerate() {
        units[unit].group = group;
        groups[group].units.push(unit);
    }
    for id in architecture.ids().filter(creates) {
        groups[units[of[id.0][0]].group].layers.push(id);
    }
    groups
}

/// Returns the position of each layer's first channel among all channels, and their number at the end.
fn starts(architecture: &Architecture) -> Result<Vec<usize>, SpaceError> {
    let mut starts = vec![0];
    let mut total = 0_usize;
    for layer in &architecture.layers {
        total = total.saturating_add(layer.output.channels);
        starts.push(total);
    }
    if total > CHANNELS_MAX {
        return Err(SpaceError::TooManyChannels { found: total, limit: CHANNELS_MAX });
    }
    Ok(starts)
}

const fn division(op: &Op) -> Division {
    match op {
        Op::Conv2d { groups, .. } if *groups > 1 => Division::WholeGroups,
        _ => Division::None,
    }
}

/// Joins the channels that one layer couples.
fn couple(
    architecture: &Architecture,
    id: LayerId,
    division: Division,
    starts: &[usize],
    channels: &mut Components,
) {
    let layer = architecture.layer(id);
    let own = starts[id.0];
    let outputs = layer.output.channels;
    match layer.op {
        Op::Input | Op::Zero { .. } | Op::Linear { .. } => {}
        Op::Conv2d { groups, .. } => {
            let from = starts[layer.inputs[0].0];
            let inputs = starts[layer.inputs[0].0 + 1] - from;
            // `(first channel, number of channels)` of the output and of the input.
            for (first, count) in [(own, outputs), (from, inputs)] {
                let size = count / groups;
                for channel in 0..count {
                    let partner = match division {
                        Division::None => channel,
                        Division::WholeGroups => channel / size * size,
                        Division::Positions => channel % size,
                    };
                    channels.join(first + partner, first + channel);
                }
            }
            if division == Division::WholeGroups {
                for group in 0..groups {
                    channels.join(own + group * (outputs / groups), from + group * (inputs / groups));
                }
            }
        }
        Op::Flatten => {
            let from = layer.inputs[0];
            let positions = architecture.layer(from).output.positions();
            (0..outputs).for_each(|i| channels.join(own + i, starts[from.0] + i / positions));
        }
        Op::BatchNorm | Op::Activation { .. } | Op::Pool { .. } | Op::GlobalPool | Op::Add | Op::Mul => {
            for from in &layer.inputs {
                (0..outputs).for_each(|i| channels.join(own + i, starts[from.0] + i));
            }
        }
        Op::Concat => {
            let mut at = own;
            for from in &layer.inputs {
                for channel in starts[from.0]..starts[from.0 + 1] {
                    channels.join(at, channel);
                    at += 1;
                }
            }
        }
    }
}
