//! Fits a device file to measured kernels, and judges it on kernels and networks that it was not fitted to.

use std::collections::BTreeMap;

use kiln_regression::{BoostingPlan, squared_distance};
use kiln_space::NumberFormat;
use serde::Serialize;

use super::Kernels;
use super::bound::Bound;
use super::features::few;
use super::file::{FittedKernels, Key, MEASURED_MAX};
use super::kernel_file::MeasuredKernel;
use super::overhead::{NETWORKS_MIN, Overhead, Summed};
use super::predictor::{HeldOut, PROCESS_MAX, Predictor};
use super::shape::KernelShape;
use crate::table::KernelTable;
use crate::{Agreement, CostModel, Device, HwError, Measured, Roofline};

/// Fewest kernels to fit to.
const KERNELS_MIN: usize = 5;
/// A latency that differs by more than this factor from what the others say is an outlier.
const OUTLYING: f64 = 3.0;
/// A fit of which more kernels than this share are outliers is nonsense.
const OUTLIERS_MAX: f64 = 0.1;
/// Fewest kernels whose outliers can tell.
const TESTED_MIN: usize = 20;
/// Most outliers that a report lists.
const LISTED: usize = 10;
/// Most kernels that are compared with the nearest one.
const COMPARED: usize = 2000;
/// Kernels from which on trees are large.
const MANY: usize = 20_000;

/// A measured kernel that the others contradict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OddKernel {
    /// Line of the table, from 1.
    pub line: u64,
    /// The kernel.
    pub kernel: String,
    /// Its latency in microseconds.
    pub latency_us: f64,
    /// The latency that the other kernels predict, in microseconds.
    pub expected_us: f64,
}

/// Agreement with kernels of one format that the predictors were not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FormatReport {
    /// The format.
    pub format: NumberFormat,
    /// Number of measured kernels.
    pub measured: usize,
    /// The predictors.
    pub held_out: Agreement,
    /// The device's roofline on the same kernels; absent if the device lacks the format.
    pub roofline: Option<Agreement>,
    /// The nearest kernel that was fitted to, in proportion to its work; on at most 2000 of the kernels.
    pub nearest: Agreement,
}

/// How well fitted kernels predict what they were not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelsReport {
    /// Seed of what was held out.
    pub seed: u64,
    /// Agreement on kernels, by format.
    pub formats: Vec<FormatReport>,
    /// Number of kernels that the others contradict.
    pub outliers: usize,
    /// The first of them.
    pub listed: Vec<OddKernel>,
}

/// The parts of a fit for one kind and format.
struct Fitting {
    kernels: Vec<MeasuredKernel>,
    predictor: Predictor,
    held_out: Vec<HeldOut>,
    fitted: Vec<usize>,
}

impl KernelsReport {
    /// Fits `device` to measured kernels of `threads` threads. Kernels of other formats that the device file
    /// has stay. `source` names the measurements. A fifth of the kernels of a kind, drawn with `seed`, is
    /// held out where there are more than 400; otherwise the kernels are predicted in ten folds.
    ///
    /// # Errors
    /// [`HwError::TooFewKernels`], [`HwError::LargeMeasurements`], [`HwError::ContradictoryKernels`], and
    /// [`HwError::DoesNotAddUp`] for a device for which sums of kernels are known to fail.
    pub fn fit(
        kernels: &[MeasuredKernel],
        device: &Device,
        source: &str,
        threads: u64,
        seed: u64,
    ) -> Result<(Device, Self), HwError> {
        device.require_additive("kernels")?;
        if kernels.len() < KERNELS_MIN {
            return Err(HwError::TooFewKernels { found: kernels.len(), needed: KERNELS_MIN });
        }
        let mut kinds: BTreeMap<Key, Vec<MeasuredKernel>> = BTreeMap::new();
        for kernel in kernels {
            if let Some(format) = kernel.shape.format() {
                kinds.entry((kernel.shape.kind, format)).or_default().push(*kernel);
            }
        }
        let small = kinds.values().map(Vec::len).filter(|count| *count <= PROCESS_MAX).sum::<usize>();
        if small > MEASURED_MAX {
            let (file, limit) = (source.to_owned(), MEASURED_MAX as u64);
            return Err(HwError::LargeMeasurements { file, what: "kernels", limit });
        }
        let fitted: BTreeMap<Key, Fitting> = kinds
            .into_iter()
            .map(|(key, kernels)| {
                let pairs: Vec<(KernelShape, f64)> =
                    kernels.iter().map(|k| (k.shape, k.latency_us)).collect();
                let (predictor, held_out, fitted) = Predictor::fit(&pairs, plan(pairs.len()), seed);
                (key, Fitting { kernels, predictor, held_out, fitted })
            })
            .collect();
        let report = Self::new(&fitted, device, threads, seed);
        let tested: usize = fitted.values().map(|fitting| fitting.held_out.len()).sum();
        if tested >= TESTED_MIN && report.outliers as f64 > OUTLIERS_MAX * tested as f64 {
            return Err(HwError::ContradictoryKernels {
                file: source.to_owned(),
                outliers: report.outliers,
                kernels: tested,
                first: report.listed.first().map(|odd| (odd.line, odd.latency_us, odd.expected_us)),
            });
        }
        let predictors =
            fitted.iter().map(|(key, found)| (*key, (found.predictor.clone(), found.fitted.len()))).collect();
        let all: Vec<(KernelShape, f64)> = kernels.iter().map(|k| (k.shape, k.latency_us)).collect();
        let letter = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
        let name = format!("{source}-{}", kernels.len()).to_lowercase().chars().map(letter).collect();
        let mut found = FittedKernels::new(name, threads, &predictors, &all);
        if let Some(earlier) = device.kernels.as_ref().filter(|earlier| earlier.threads == threads) {
            found.join(earlier);
        }
        Ok((Device { kernels: Some(found), ..device.clone() }, report))
    }

    fn new(fitted: &BTreeMap<Key, Fitting>, device: &Device, threads: u64, seed: u64) -> Self {
        let mut formats: Vec<NumberFormat> = fitted.keys().map(|(_, format)| *format).collect();
        formats.sort_unstable();
        formats.dedup();
        // Copied for each kernel, so without what no roofline reads.
        let device = &Device { kernels: None, fitted: None, ..device.clone() };
        let of_format = |format: NumberFormat| {
            let fittings: Vec<&Fitting> =
                fitted.iter().filter(|(key, _)| key.1 == format).map(|(_, fitting)| fitting).collect();
            let pairs: Vec<(f64, f64)> = fittings.iter().flat_map(|fitting| fitting.pairs()).collect();
            let roofline: Option<Vec<(f64, f64)>> =
                fittings.iter().flat_map(|fitting| fitting.by_roofline(device, threads)).collect();
            let share = COMPARED as f64 / pairs.len().max(1) as f64;
            let nearest: Vec<(f64, f64)> =
                fittings.iter().flat_map(|fitting| fitting.by_nearest(share)).collect();
            FormatReport {
                format,
                measured: fittings.iter().map(|fitting| fitting.kernels.len()).sum(),
                held_out: Agreement::new(&pairs),
                roofline: roofline.map(|pairs| Agreement::new(&pairs)),
                nearest: Agreement::new(&nearest),
            }
        };
        let mut odd: Vec<OddKernel> = fitted.values().flat_map(Fitting::odd).collect();
        odd.sort_by_key(|odd| odd.line);
        let outliers = odd.len();
        odd.truncate(LISTED);
        Self { seed, formats: formats.into_iter().map(of_format).collect(), outliers, listed: odd }
    }
}

/// Fits the overhead of networks beyond their kernels, and the bounds of both models, to measured networks.
/// Networks that a model cannot predict do not count. With fewer than six, the device stays as it is.
///
/// # Errors
/// The errors of [`Kernels::new`].
pub fn fit_overhead(device: &Device, networks: &[Measured]) -> Result<Device, HwError> {
    let mut device = device.clone();
    let Some(kernels) = &mut device.kernels else { return Ok(device) };
    (kernels.overhead, kernels.bound, kernels.table_bound) = (Overhead::NONE, Bound::STATED, Bound::UNKNOWN);
    let model = Kernels::new(device.clone(), None)?;
    let summed = |measured: &Measured| {
        let (kernels, sum_us, half_width) = model.summed(&measured.architecture).ok()?;
        Some(Summed { kernels: kernels as f64, sum_us, half_width, measured_us: measured.latency_us })
    };
    let summed: Vec<Summed> = networks.iter().filter_map(summed).collect();
    if summed.len() < NETWORKS_MIN {
        return Ok(device);
    }
    let (overhead, bound) = Overhead::fit(&summed);
    let Some(kernels) = &mut device.kernels else { return Ok(device) };
    (kernels.overhead, kernels.bound, kernels.table_bound) = (overhead, bound, bound);
    kernels.networks = summed.len();
    // The table is judged with the overhead that both models share.
    let table = KernelTable::new(device.clone(), None)?;
    let error = |measured: &Measured| {
        let found = table.network(&measured.architecture).ok()?.latency_us;
        Some(((found.value / measured.latency_us).ln(), 0.0))
    };
    let errors: Vec<(f64, f64)> = networks.iter().filter_map(error).collect();
    if errors.len() >= NETWORKS_MIN
        && let Some(kernels) = &mut device.kernels
    {
        kernels.table_bound = Bound::new(&errors);
    }
    Ok(device)
}

/// Size and pace of trees for this many kernels.
fn plan(kernels: usize) -> BoostingPlan {
    // Three formats of 90,000 kernels each fit into a device file.
    let (trees, leaves) = if kernels >= MANY { (600, 128) } else { (200, 64) };
    BoostingPlan { trees, leaves, rate: 0.15, points_min: 5 }
}

impl Fitting {
    /// Predicted and measured latencies of held-out kernels.
    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.held_out.iter().map(|held| (held.predicted_us, self.kernels[held.place].latency_us))
    }

    fn odd(&self) -> Vec<OddKernel> {
        let odd = |held: &HeldOut| {
            let kernel = self.kernels[held.place];
            let factor = (held.predicted_us / kernel.latency_us).ln().abs();
            (factor > OUTLYING.ln()).then(|| OddKernel {
                line: kernel.line,
                kernel: kernel.shape.to_string(),
                latency_us: kernel.latency_us,
                expected_us: held.predicted_us,
            })
        };
        self.held_out.iter().filter_map(odd).collect()
    }

    /// What the device's roofline says of held-out kernels. `None` where it says nothing.
    fn by_roofline(&self, device: &Device, threads: u64) -> Vec<Option<(f64, f64)>> {
        let predicted = |held: &HeldOut| {
            let MeasuredKernel { shape, latency_us, .. } = self.kernels[held.place];
            let model = Roofline::new(device.clone(), shape.batch, threads);
            let found = model.network(&shape.network().ok()?).ok()?.latency_us.value;
            Some((found, latency_us))
        };
        self.held_out.iter().map(predicted).collect()
    }

    /// What the nearest fitted kernel says of a share of the held-out ones.
    fn by_nearest(&self, share: f64) -> Vec<(f64, f64)> {
        let base = &self.predictor.base;
        let features: Vec<Vec<f64>> = self.kernels.iter().map(|kernel| few(&kernel.shape, base)).collect();
        let count = (share * self.held_out.len() as f64).ceil() as usize;
        let nearest = |held: &HeldOut| {
            let kernel = self.kernels[held.place];
            let others = self.fitted.iter().filter(|place| **place != held.place);
            let distance = |place: usize| squared_distance(&features[held.place], &features[place]);
            let near = others.min_by(|a, b| distance(**a).total_cmp(&distance(**b)))?;
            let near = self.kernels[*near];
            let ratio = base.latency_us(&kernel.shape) / base.latency_us(&near.shape);
            Some((near.latency_us * ratio, kernel.latency_us))
        };
        self.held_out.iter().take(count).filter_map(nearest).collect()
    }
}
