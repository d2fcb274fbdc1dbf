//! What a network takes beyond the sum of its kernels.

use kiln_regression::ridge;
use serde::{Deserialize, Serialize};

use super::bound::Bound;

/// Fewest networks from which an overhead is fitted.
pub(super) const NETWORKS_MIN: usize = 6;
/// Penalty on what differs from the plain sum, for each network.
const PENALTY: f64 = 1e-3;

/// Latency of a network: `constant_us + per_kernel_us x kernels + scale x sum of kernels`.
///
/// A kernel that was measured alone was measured with everything that a network costs once, so
/// `per_kernel_us` is usually negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overhead {
    /// Microseconds of every network.
    pub(super) constant_us: f64,
    /// Microseconds of every kernel, added to its own latency.
    pub(super) per_kernel_us: f64,
    /// Factor of every kernel's latency.
    pub(super) scale: f64,
}

/// A network as the overhead sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summed {
    pub(super) kernels: f64,
    /// Sum of the predicted latencies of the kernels.
    pub(super) sum_us: f64,
    /// Half the interval of the sum, as a logarithm.
    pub(super) half_width: f64,
    pub(super) measured_us: f64,
}

impl Overhead {
    /// Nothing beyond the sum.
    pub(super) const NONE: Self = Self { constant_us: 0.0, per_kernel_us: 0.0, scale: 1.0 };

    /// Fits the overhead to networks by relative squared errors. Returns it with the bound of the errors of
    /// networks, each predicted from the others.
    pub(super) fn fit(networks: &[Summed]) -> (Self, Bound) {
        let held_out = |left_out: usize| {
            let others: Vec<Summed> =
                networks.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, n)| *n).collect();
            let Summed { measured_us, half_width, .. } = networks[left_out];
            let predicted = Self::fitted_to(&others).latency_us(&networks[left_out]);
            ((predicted / measured_us).ln(), half_width)
        };
        let errors: Vec<(f64, f64)> = (0..networks.len()).map(held_out).collect();
        (Self::fitted_to(networks), Bound::new(&errors))
    }

    fn fitted_to(networks: &[Summed]) -> Self {
        let mut typical: Vec<f64> = networks.iter().map(|network| network.sum_us).collect();
        typical.sort_by(f64::total_cmp);
        let unit = typical.get(typical.len() / 2).copied().unwrap_or(1.0).max(1e-6);
        let count = networks.iter().map(|network| network.kernels).sum::<f64>();
        let each = unit * networks.len() as f64 / count.max(1.0);
        let points: Vec<[f64; 3]> = networks
            .iter()
            .map(|n| [unit, each * n.kernels, n.sum_us].map(|value| value / n.measured_us))
            .collect();
        let targets: Vec<f64> = networks.iter().map(|n| 1.0 - n.sum_us / n.measured_us).collect();
        let penalty = PENALTY * networks.len() as f64;
        let solve = |used: [bool; 3]| -> [f64; 3] {
            let points: Vec<[f64; 3]> =
                points.iter().map(|point| [0, 1, 2].map(|i| if used[i] { point[i] } else { 0.0 })).collect();
            let found = ridge(&points, &targets, penalty);
            [0, 1, 2].map(|i| found.get(i).copied().filter(|value| value.is_finite()).unwrap_or(0.0))
        };
        // A negative constant, or kernels that count for nothing, describe no device.
        let is_possible = |found: &[f64; 3]| found[0] >= 0.0 && found[2] > -0.9;
        let tried = [[true; 3], [false, true, true], [true, true, false], [false, true, false]].map(solve);
        let [constant, per_kernel, scale] = tried.into_iter().find(is_possible).unwrap_or([0.0; 3]);
        Self { constant_us: unit * constant, per_kernel_us: each * per_kernel, scale: 1.0 + scale }
    }

    /// The latency of one kernel inside a network. It is at least a tenth of what it takes alone.
    pub(super) fn kernel_us(&self, alone_us: f64) -> f64 {
        (self.scale * alone_us + self.per_kernel_us).max(0.1 * self.scale * alone_us)
    }

    fn latency_us(&self, network: &Summed) -> f64 {
        let Summed { kernels, sum_us, .. } = *network;
        let kernels = self.scale * sum_us + self.per_kernel_us * kernels;
        self.constant_us + kernels.max(0.1 * self.scale * sum_us)
    }

    pub(super) fn is_usable(&self) -> bool {
        let Self { constant_us, per_kernel_us, scale } = *self;
        let usable = |value: f64| value.is_finite() && value.abs() < 1e12;
        usable(constant_us) && constant_us >= 0.0 && usable(per_kernel_us) && usable(scale) && scale > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_of_networks_that_follow_it_is_found() {
        let truth = Overhead { constant_us: 30.0, per_kernel_us: -4.0, scale: 0.9 };
        let network = |i: u32| {
            let (kernels, sum_us) = (f64::from(5 + i % 7), f64::from(100 + 37 * (i % 11)));
            let network = Summed { kernels, sum_us, half_width: 0.1, measured_us: 1.0 };
            Summed { measured_us: truth.latency_us(&network), ..network }
        };
        let networks: Vec<Summed> = (0..40).map(network).collect();
        let (found, bound) = Overhead::fit(&networks);
        for network in &networks {
            let error = found.latency_us(network) / network.measured_us - 1.0;
            assert!(error.abs() < 0.01, "{found:?} {network:?}");
        }
        assert!(bound.half_width(0.1) < 0.02, "{bound:?}");
    }
}
