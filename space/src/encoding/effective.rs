//! One-hot encoding that ignores decisions without effect on the network.

use super::one_hot;
use crate::{Architecture, Genotype, Layer, LayerId, Op, SearchSpace, SpaceError, variation};

/// Encodes a genotype like [`one_hot`], but with zeros for every decision that has no effect. A decision has
/// no effect if every option yields the same network. This comparison counts only layers that depend on the
/// input and affect the output. For example, an edge of a cell has no effect if one of its two nodes is on no
/// path from the cell's input to the cell's output.
///
/// # Errors
/// The errors of [`SearchSpace::decode`].
///
/// # Example
/// ```
/// use kiln_space::{encoding, spaces::NasBench201};
/// // Nothing reads node 2, so the edges to it have no effect.
/// let arch = "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|none~2|";
/// let cell = NasBench201::genotype_from_arch(arch)?;
/// let encoded = encoding::one_hot_effective(&NasBench201::default(), &cell)?;
/// let ones: Vec<f64> = encoded.chunks(5).map(|edge| edge.iter().sum()).collect();
/// assert_eq!(ones, [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
/// # Ok::<(), kiln_space::SpaceError>(())
/// ```
pub fn one_hot_effective(space: &dyn SearchSpace, genotype: &Genotype) -> Result<Vec<f64>, SpaceError> {
    let decisions = space.decisions();
    let mut encoded = one_hot(decisions, genotype)?;
    let network = space.decode(genotype)?;
    let network = Participants::of(&network);
    let active = variation::active(decisions, genotype.genes());
    let mut start = 0;
    for (index, decision) in decisions.iter().enumerate() {
        let options = decision.options.len();
        let gene = genotype.genes()[index];
        let differs = |option: u8| {
            let mut genes = genotype.genes().to_vec();
            genes[index] = option;
            // If an option does not decode, treat its network as different.
            let other = space.decode(&variation::normalize(decisions, &genes));
            other.map_or(true, |other| Participants::of(&other) != network)
        };
        let makes_a_difference =
            active[index] && (0..options as u8).any(|option| option != gene && differs(option));
        if !makes_a_difference {
            encoded[start..start + options].fill(0.0);
        }
        start += options;
    }
    Ok(encoded)
}

/// The layers of a network that depend on the network's input and affect the network's output.
struct Participants<'a> {
    network: &'a Architecture,
    takes_part: Vec<bool>,
}

impl<'a> Participants<'a> {
    fn of(network: &'a Architecture) -> Self {
        let mut takes_part = vec![true; network.layers.len()];
        for id in network.ids().skip(1) {
            let layer = network.layer(id);
            let is_zero = matches!(layer.op, Op::Zero { .. });
            takes_part[id.0] = !is_zero && layer.inputs.iter().any(|input| takes_part[input.0]);
        }
        for (takes_part, live) in takes_part.iter_mut().zip(network.live()) {
            *takes_part &= live;
        }
        Self { network, takes_part }
    }

    fn layers(&self) -> impl Iterator<Item = &'a Layer> {
        self.network.ids().filter(|id| self.takes_part[id.0]).map(|id| self.network.layer(id))
    }

    /// Returns the names of the layer's inputs that depend on the network's input and affect the output.
    fn inputs(&self, layer: &'a Layer) -> impl Iterator<Item = &'a str> {
        let taking_part = |id: &&LayerId| self.takes_part[id.0];
        layer.inputs.iter().filter(taking_part).map(|id| self.network.layer(*id).name.as_str())
    }
}

impl PartialEq for Participants<'_> {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Layer, &Layer)| {
            let own = |layer: &Layer| (layer.output, layer.precision, layer.sparsity);
            a.name == b.name
                && a.op == b.op
                && a.weights == b.weights
                && own(a) == own(b)
                && self.inputs(a).eq(other.inputs(b))
        };
        let counts = [self, other].map(|participants| participants.layers().count());
        counts[0] == counts[1] && self.layers().zip(other.layers()).all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spaces::NasBench201;

    /// Returns, for each edge of a cell, whether the edge has an effect.
    fn differing(cell: &str) -> Vec<bool> {
        let genotype = NasBench201::genotype_from_arch(cell).unwrap();
        let encoded = one_hot_effective(&NasBench201::default(), &genotype).unwrap();
        let plain = one_hot(NasBench201::default().decisions(), &genotype).unwrap();
        let edges = encoded.chunks(5).zip(plain.chunks(5));
        edges
            .map(|(edge, plain)| {
                assert!(edge == plain || edge == [0.0; 5]);
                edge == plain
            })
            .collect()
    }

    #[test]
    fn one_hot_effective_is_zero_for_edges_on_no_path() {
        let all = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|";
        assert_eq!(differing(all), [true; 6]);
        // No edge with an operation other than `none` leads from node 2 to the output.
        let unread = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|none~2|";
        assert_eq!(differing(unread), [true, false, false, true, true, true]);
        // No path leads from the input to node 1.
        let unreached = "|none~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|";
        assert_eq!(differing(unreached), [true, true, false, true, false, true]);
    }
}
