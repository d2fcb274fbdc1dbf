//! Several measurements of one network, taken together.

use std::collections::BTreeMap;

use kiln_space::{Architecture, Genotype};
use serde::{Deserialize, Serialize};

use crate::{HwError, Measured};

/// Networks that were measured more than once, and how much their measurements differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// Networks with several measurements.
    pub networks: usize,
    /// Measurements of these networks.
    pub measurements: usize,
    /// How far a network's slowest measurement is above its fastest, in percent: the median over these
    /// networks.
    pub median_spread_percent: f64,
    /// The same for the network where it is largest.
    pub largest_spread_percent: f64,
}

/// Measurements by network, in the order in which networks first come.
#[derive(Default)]
pub(super) struct Pool {
    places: BTreeMap<Genotype, usize>,
    networks: Vec<(Architecture, Vec<f64>)>,
}

impl Pool {
    /// Adds a measurement; `decode` is asked at a network's first.
    ///
    /// # Errors
    /// As `decode`.
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

    /// What was measured more than once, if anything was.
    pub(super) fn repeats(&self) -> Option<Repeats> {
        let repeated = self.networks.iter().map(|(_, latencies)| latencies).filter(|all| all.len() > 1);
        let mut spreads: Vec<f64> = repeated.clone().map(|all| spread_percent(all)).collect();
        spreads.sort_by(f64::total_cmp);
        let largest_spread_percent = *spreads.last()?;
        Some(Repeats {
            networks: spreads.len(),
            measurements: repeated.map(Vec::len).sum(),
            median_spread_percent: median(&spreads),
            largest_spread_percent,
        })
    }

    /// The networks, each once.
    pub(super) fn measured(self) -> Vec<Measured> {
        let pooled = |(architecture, mut latencies): (Architecture, Vec<f64>)| {
            // The median: a measurement during which the device was busy or hot does not move it.
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

/// Of sorted values, at least one.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Deviation of the logarithms over the square root of their number; 0 for a single measurement.
fn standard_error(latencies: &[f64]) -> f64 {
    let count = latencies.len() as f64;
    if latencies.len() < 2 {
        return 0.0;
    }
    let mean = latencies.iter().map(|value| value.ln()).sum::<f64>() / count;
    let squares: f64 = latencies.iter().map(|value| (value.ln() - mean).powi(2)).sum();
    (squares / (count - 1.0) / count).sqrt()
}
