//! Combines repeated measurements of the same network.

use std::collections::BTreeMap;

use kiln_space::{Architecture, Genotype};
use serde::{Deserialize, Serialize};

use crate::{HwError, Measured};

/// Statistics of networks that were measured more than once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// Number of networks with more than one measurement.
    pub networks: usize,
    /// Number of all measurements of these networks.
    pub measurements: usize,
    /// Median spread of these networks, in percent. The spread of a network is how much its slowest
    /// measurement exceeds its fastest.
    pub median_spread_percent: f64,
    /// Maximum spread, in percent.
    pub largest_spread_percent: f64,
    /// Percentage of these networks where the median of every second measurement is within 10 % of the median
    /// of the others. Predictions cannot be expected to agree with measurements better than measurements do.
    pub within_a_tenth_percent: f64,
}

/// Collects measurements by network, in order of first appearance.
#[derive(Default)]
pub(super) struct Pool {
    places: BTreeMap<Genotype, usize>,
    networks: Vec<(Architecture, Vec<f64>)>,
}

impl Pool {
    /// Adds a measurement. `decode` runs only for the first measurement of a network.
    ///
    /// # Errors
    /// The errors of `decode`.
    pub(super) fn add(
        &mut self,
        genotype: Genotype,
        latency_us: f64,
        decode: impl FnOnce(&Genotype) -> Result<Architecture, HwError>,
    ) -> Result<(), HwError> {
        if let Some(place) = self.places.get(&genotype) {
            self.networks[*place].1.push(latency_us);
            return Ok(());
        }
        self.networks.push((decode(&genotype)?, vec![latency_us]));
        self.places.insert(genotype, self.networks.len() - 1);
        Ok(())
    }

    /// Computes statistics of repeated measurements. Returns `None` if there are none.
    pub(super) fn repeats(&self) -> Option<Repeats> {
        let repeated = self.networks.iter().map(|(_, latencies)| latencies).filter(|all| all.len() > 1);
        let mut spreads: Vec<f64> = repeated.clone().map(|all| spread_percent(all)).collect();
        spreads.sort_by(f64::total_cmp);
        let largest_spread_percent = *spreads.last()?;
        let measurements: usize = repeated.clone().map(Vec::len).sum();
        let agreeing = repeated.filter(|all| halves_agree(all)).count();
        Some(Repeats {
            networks: spreads.len(),
            measurements,
            median_spread_percent: median(&spreads),
            largest_spread_percent,
            within_a_tenth_percent: 100.0 * agreeing as f64 / spreads.len() as f64,
        })
    }

    /// Returns each network once, with the median of its measurements.
    pub(super) fn measured(self) -> Vec<Measured> {
        let pooled = |(architecture, mut latencies): (Architecture, Vec<f64>)| {
            // The median ignores single measurements taken while the device was busy or hot.
            latencies.sort_by(f64::total_cmp);
            let standard_error = standard_error(&latencies);
            Measured { architecture, latency_us: median(&latencies), standard_error }
        };
        self.networks.into_iter().map(pooled).collect()
    }
}

fn spread_percent(latencies: &[f64]) -> f64 {
    let (low, high) = latencies
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    100.0 * (high / low - 1.0)
}

/// Whether the medians of every second measurement and of the others are within 10 %. There must be at least
/// two measurements.
fn halves_agree(latencies: &[f64]) -> bool {
    let half = |first: usize| {
        let mut half: Vec<f64> = latencies.iter().skip(first).step_by(2).copied().collect();
        half.sort_by(f64::total_cmp);
        median(&half)
    };
    (half(0) / half(1) - 1.0).abs() <= 0.1
}

/// Returns the median of sorted values. There must be at least one value.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Computes the standard error of the mean logarithm. It is 0 for a single measurement.
fn standard_error(latencies: &[f64]) -> f64 {
    let count = latencies.len() as f64;
    if latencies.len() < 2 {
        return 0.0;
    }
    let mean = latencies.iter().map(|value| value.ln()).sum::<f64>() / count;
    let squares: f64 = latencies.iter().map(|value| (value.ln() - mean).powi(2)).sum();
    (squares / (count - 1.0) / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::halves_agree;

    #[test]
    fn halves_are_every_second_measurement_and_the_others() {
        // The medians are 100 and 109, 100 and 114, 100 and 100.
        assert!(halves_agree(&[100.0, 109.0, 100.0, 90.0, 150.0, 140.0]));
        assert!(!halves_agree(&[100.0, 114.0, 100.0]));
        assert!(halves_agree(&[100.0, 100.0]));
    }
}
