//! Statistics of the activations of a whole network.

use std::collections::BTreeMap;

use kiln_space::{Architecture, LayerId};

use super::calibrator::Calibrator;
use super::histogram::Histogram;
use crate::{ExportError, Grid, QuantizationPlan};

/// Statistics of one layer's output over calibration examples: a histogram, and the mean of each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActivationStatistics {
    /// All values.
    pub histogram: Histogram,
    /// Sum of each channel.
    sums: Vec<f64>,
    /// Number of values of each channel.
    count: u64,
}

impl ActivationStatistics {
    /// Adds the values of a batch: `[batch, channels, ..]` in row-major order. Does nothing without channels.
    pub fn add(&mut self, values: &[f32], channels: usize, batch: usize) {
        let positions = values.len().checked_div(channels * batch).unwrap_or(0);
        if positions == 0 {
            return;
        }
        self.histogram.add(values);
        self.sums.resize(channels, 0.0);
        for (index, plane) in values.chunks_exact(positions).enumerate() {
            self.sums[index % channels] += plane.iter().copied().map(f64::from).sum::<f64>();
        }
        self.count += (batch * positions) as u64;
    }

    /// Adds the values of other examples.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.sums.resize(self.sums.len().max(other.sums.len()), 0.0);
        self.sums.iter_mut().zip(&other.sums).for_each(|(own, others)| *own += others);
        self.count += other.count;
    }

    /// Returns the mean of each channel. Empty if there are no values.
    #[must_use]
    pub fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.count as f64).collect()
    }
}

/// Statistics of the outputs of a network's layers, in single precision and before any rounding.
///
/// An executor fills it: for each batch and each layer of [`Calibration::layers`], it calls
/// [`Calibration::add`]. Calibrations of different examples can be merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    layers: BTreeMap<LayerId, ActivationStatistics>,
}

impl Calibration {
    /// Returns the layers whose outputs must be observed: the input, those that own a quantization grid, and
    /// those that a convolution or fully connected layer reads, whose means the bias correction needs.
    #[must_use]
    pub fn layers(architecture: &Architecture) -> Vec<LayerId> {
        let plan = QuantizationPlan::new(architecture);
        let live = architecture.live();
        let mut layers: Vec<LayerId> = plan.owners().chain([LayerId(0)]).collect();
        for id in architecture.ids().filter(|id| live[id.0]) {
            if super::super::stored::has_kernel(&architecture.layer(id).op) {
                layers.extend(&architecture.layer(id).inputs);
            }
        }
        layers.sort();
        layers.dedup();
        layers
    }

    /// Adds the output of a layer for a batch: `[batch, channels, ..]` in row-major order.
    pub fn add(&mut self, layer: LayerId, values: &[f32], channels: usize, batch: usize) {
        self.layers.entry(layer).or_default().add(values, channels, batch);
    }

    /// Adds the statistics of other examples.
    pub fn merge(&mut self, other: &Self) {
        for (id, statistics) in &other.layers {
            self.layers.entry(*id).or_default().merge(statistics);
        }
    }

    /// Returns the statistics of a layer's output.
    #[must_use]
    pub fn layer(&self, id: LayerId) -> Option<&ActivationStatistics> {
        self.layers.get(&id)
    }

    /// Returns the quantization grid of every layer that owns one, by layer name.
    ///
    /// # Errors
    /// - [`ExportError::EmptyCalibration`] when a layer has no values.
    /// - [`ExportError::ConstantCalibration`] when all input values are equal. They say nothing about ranges.
    /// - [`ExportError::NotFinite`] when a value of a layer is not finite.
    pub fn grids(
        &self,
        architecture: &Architecture,
        calibrator: Calibrator,
        symmetric: bool,
    ) -> Result<BTreeMap<String, Grid>, ExportError> {
        self.check_input(architecture)?;
        let grid = |id: LayerId| {
            let layer = architecture.layer(id).name.clone();
            let statistics = self.layers.get(&id).filter(|statistics| statistics.count > 0);
            let Some(statistics) = statistics else { return Err(ExportError::EmptyCalibration { layer }) };
            match calibrator.grid(&statistics.histogram, symmetric) {
                Some(grid) => Ok((layer, grid)),
                None => Err(ExportError::NotFinite { layer }),
            }
        };
        QuantizationPlan::new(architecture).owners().map(grid).collect()
    }

    fn check_input(&self, architecture: &Architecture) -> Result<(), ExportError> {
        let input = architecture.layer(LayerId(0)).name.clone();
        let Some(statistics) = self.layers.get(&LayerId(0)).filter(|statistics| statistics.count > 0) else {
            return Err(ExportError::EmptyCalibration { layer: input });
        };
        match statistics.histogram.range() {
            None => Err(ExportError::NotFinite { layer: input }),
            Some([min, max]) if min.total_cmp(&max).is_eq() => {
                Err(ExportError::ConstantCalibration { value: min, count: statistics.histogram.count() })
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn statistics(values: &[f32]) -> ActivationStatistics {
        let mut statistics = ActivationStatistics::default();
        statistics.add(values, 2, values.len() / 4);
        statistics
    }

    #[test]
    fn means_of_channels_match_hand_computation() {
        // Two examples of two channels with two positions.
        let mut all = statistics(&[1.0, 3.0, 0.0, 10.0, 5.0, 7.0, 2.0, 0.0]);
        assert_eq!(all.means(), [4.0, 3.0]);
        all.merge(&statistics(&[0.0, 0.0, 6.0, 6.0]));
        assert!((all.means()[0] - 16.0 / 6.0).abs() < 1e-12);
        assert!((all.means()[1] - 24.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn empty_constant_and_infinite_calibrations_are_refused_by_name() {
        let architecture = testing::quantized(&testing::perceptron(), &[]).architecture;
        let said = |calibration: &Calibration| {
            calibration.grids(&architecture, Calibrator::MinMax, false).unwrap_err().to_string()
        };
        let mut calibration = Calibration::default();
        assert_eq!(
            said(&calibration),
            "calibration gives no values of layer `input`; calibrate with at least one example"
        );
        calibration.add(LayerId(0), &[2.0; 10], 5, 2);
        assert_eq!(
            said(&calibration),
            "all 10 input values of the calibration are `2`, so they say nothing about the ranges of layers; \
             calibrate with examples that differ"
        );
        calibration.add(LayerId(0), &[1.0; 10], 5, 2);
        for id in Calibration::layers(&architecture).into_iter().skip(1) {
            calibration.add(id, &[1.0, 2.0, 3.0, 4.0, 5.0], 5, 1);
        }
        let grids = calibration.grids(&architecture, Calibrator::MinMax, false).unwrap();
        assert_eq!(grids.keys().map(String::as_str).collect::<Vec<_>>(), ["act", "input"]);
        let act = architecture.ids().find(|id| architecture.layer(*id).name == "act").unwrap();
        calibration.add(act, &[f32::INFINITY], 1, 1);
        assert_eq!(
            said(&calibration),
            "layer `act` has values that are not finite on the calibration examples, so they have no range"
        );
    }
}
