//! The table `kernels` of a device file: measured kernels, and what was fitted to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_regression::BinnedTrees;
use kiln_space::NumberFormat;
use serde::{Deserialize, Serialize};

use super::bound::Bound;
use super::features::{Base, many};
use super::overhead::Overhead;
use super::predictor::{PROCESS_MAX, Predictor, Regression};
use super::shape::{KernelKind, KernelShape};
use super::text::{pack, unpack};
use crate::HwError;

/// Version of the format. Features of another version have other meanings.
const VERSION: u32 = 1;
/// Most measured kernels in a file.
pub(super) const MEASURED_MAX: usize = 8000;

/// Measured kernels of a device, for the models `kernels` and `table`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedKernels {
    version: u32,
    /// Name of the measurements, the last part of a model's name.
    pub(super) source: String,
    pub(super) threads: u64,
    /// Batches that were measured, ascending.
    pub(super) batches: Vec<u64>,
    /// Number of networks to which overhead and bounds were fitted.
    pub(super) networks: usize,
    /// Kernels with their latencies in microseconds. Of more than [`MEASURED_MAX`], those that trees predict
    /// are left out.
    measured: Vec<(String, f64)>,
    pub(super) overhead: Overhead,
    /// Bound of the errors of networks with `kernels`, and with `table`.
    pub(super) bound: Bound,
    pub(super) table_bound: Bound,
    pub(super) predictors: Vec<Stored>,
}

/// A predictor of one kind and format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    kind: String,
    format: NumberFormat,
    /// Number of kernels that it was fitted to.
    kernels: usize,
    /// Smallest and largest value of each range that [`reach`] gives.
    lowest: Vec<f64>,
    highest: Vec<f64>,
    /// Boosted trees as text; without them, a Gaussian process over `measured`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trees: Option<String>,
    base: Base,
    bound: Bound,
}

/// A predictor, and the range of kernels that it was fitted to.
#[derive(Clone, Debug)]
pub(super) struct Restored {
    pub(super) predictor: Predictor,
    lowest: Vec<f64>,
    highest: Vec<f64>,
}

/// What was fitted to the kernels of one kind and format.
pub(super) type Key = (KernelKind, NumberFormat);

/// Names of the ranges within which a predictor was fitted.
const RANGES: [&str; 6] =
    ["operations", "input channels", "output channels", "output positions", "window", "batch"];

/// The numbers that are compared with the ranges of a predictor.
fn reach(shape: &KernelShape) -> [f64; RANGES.len()] {
    [
        shape.operations(),
        shape.input.channels as f64,
        shape.output.channels as f64,
        shape.output.positions() as f64,
        (shape.kernel[0] * shape.kernel[1]) as f64,
        shape.batch as f64,
    ]
}

impl Restored {
    /// In what a kernel lies outside of those that were fitted to: half as much again beyond the extremes.
    pub(super) fn beyond(&self, shape: &KernelShape) -> Vec<&'static str> {
        let ranges = RANGES.iter().zip(reach(shape)).zip(self.lowest.iter().zip(&self.highest));
        let is_beyond = |value: f64, low: f64, high: f64| value < low / 1.5 || value > high * 1.5;
        ranges
            .filter(|((_, value), (low, high))| is_beyond(*value, **low, **high))
            .map(|((n, _), _)| *n)
            .collect()
    }
}

impl FittedKernels {
    /// Joins what was fitted. `measured` are all kernels.
    pub(super) fn new(
        source: String,
        threads: u64,
        predictors: &BTreeMap<Key, (Predictor, usize)>,
        measured: &[(KernelShape, f64)],
    ) -> Self {
        let key = |shape: &KernelShape| shape.format().map(|format| (shape.kind, format));
        let by_trees = |shape: &KernelShape| {
            let found = key(shape).and_then(|key| predictors.get(&key));
            found.is_some_and(|(found, _)| matches!(found.regression, Regression::Trees(_)))
        };
        let stored = predictors.iter().map(|(of, (predictor, kernels))| {
            let reaches: Vec<[f64; RANGES.len()]> =
                measured.iter().filter(|(s, _)| key(s) == Some(*of)).map(|(s, _)| reach(s)).collect();
            let extreme = |start: f64, pick: fn(f64, f64) -> f64| -> Vec<f64> {
                (0..RANGES.len()).map(|i| reaches.iter().map(|r| r[i]).fold(start, pick)).collect()
            };
            let trees = match &predictor.regression {
                Regression::Trees(trees) => Some(pack(&trees.to_bytes())),
                _ => None,
            };
            Stored {
                kind: of.0.name().to_owned(),
                format: of.1,
                kernels: *kernels,
                base: predictor.base,
                bound: predictor.bound,
                lowest: extreme(f64::INFINITY, f64::min),
                highest: extreme(0.0, f64::max),
                trees,
            }
        });
        let batches: BTreeSet<u64> = measured.iter().map(|(shape, _)| shape.batch).collect();
        let fits = measured.len() <= MEASURED_MAX;
        let kept = measured.iter().filter(|(shape, _)| fits || !by_trees(shape));
        Self {
            version: VERSION,
            source,
            threads,
            batches: batches.into_iter().collect(),
            overhead: Overhead::NONE,
            bound: Bound::STATED,
            table_bound: Bound::UNKNOWN,
            networks: 0,
            predictors: stored.collect(),
            measured: kept.map(|(shape, us)| (shape.to_string(), *us)).collect(),
        }
    }

    /// Adds the kernels of other formats that `earlier` has.
    pub(super) fn join(&mut self, earlier: &Self) {
        let own: BTreeSet<NumberFormat> = self.predictors.iter().map(|stored| stored.format).collect();
        let others = earlier.predictors.iter().filter(|stored| !own.contains(&stored.format));
        self.predictors.extend(others.cloned());
        let kept = earlier.kernels().into_iter().zip(&earlier.measured);
        let kept = kept.filter(|((shape, _), _)| shape.format().is_some_and(|format| !own.contains(&format)));
        self.measured.extend(kept.map(|(_, measured)| measured.clone()));
        self.batches.extend(&earlier.batches);
        self.batches.sort_unstable();
        self.batches.dedup();
    }

    /// The measured kernels that the file holds.
    pub(crate) fn kernels(&self) -> Vec<(KernelShape, f64)> {
        let parsed = self.measured.iter().filter_map(|(text, us)| Some((text.parse().ok()?, *us)));
        parsed.collect()
    }

    /// Number of kernels that the predictors were fitted to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.predictors.iter().map(|stored| stored.kernels).sum()
    }

    /// Whether there are none, which no checked file has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.predictors.is_empty()
    }

    /// Formats that were measured.
    #[must_use]
    pub fn formats(&self) -> BTreeSet<NumberFormat> {
        self.predictors.iter().map(|stored| stored.format).collect()
    }

    /// The predictors of all kinds and formats. Those of few kernels are fitted anew.
    pub(super) fn restored(&self) -> BTreeMap<Key, Restored> {
        let measured = self.kernels();
        let restore = |stored: &Stored| {
            let key = (kind(&stored.kind)?, stored.format);
            let regression = match &stored.trees {
                Some(text) => Regression::Trees(Arc::new(trees(text)?)),
                None => Regression::small(&of(&measured, key), &stored.base),
            };
            let predictor = Predictor { base: stored.base, regression, bound: stored.bound };
            let (lowest, highest) = (stored.lowest.clone(), stored.highest.clone());
            Some((key, Restored { predictor, lowest, highest }))
        };
        self.predictors.iter().filter_map(restore).collect()
    }

    /// Checks that the table is whole and its numbers can be computed with.
    pub(crate) fn check(&self, file: &str) -> Result<(), HwError> {
        let refuse = |key: &str, found: String, expected| {
            Err(HwError::Value { file: file.to_owned(), key: format!("kernels.{key}"), found, expected })
        };
        if self.version != VERSION {
            return refuse("version", self.version.to_string(), "1; fit the device file again");
        }
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if self.source.is_empty() || !self.source.chars().all(letters) {
            let found = format!("`{}`", self.source);
            return refuse("source", found, "lower case letters, digits, `-`, `.` and `_`");
        }
        if !(1..=65_536).contains(&self.threads) {
            return refuse("threads", self.threads.to_string(), "a whole number from 1 to 65536");
        }
        let ascending = self.batches.windows(2).all(|pair| pair[0] < pair[1]);
        if self.batches.is_empty() || !ascending || self.batches.iter().any(|b| !(1..=65_536).contains(b)) {
            return refuse("batches", format!("{:?}", self.batches), "ascending numbers from 1 to 65536");
        }
        if !self.overhead.is_usable() {
            let found = format!("{:?}", self.overhead);
            return refuse("overhead", found, "finite numbers, a constant of at least 0 and a scale above 0");
        }
        if ![self.bound, self.table_bound].into_iter().all(Bound::is_usable) {
            return refuse("bound", "not usable".to_owned(), "numbers from 0 to 1000000000");
        }
        let mut seen = BTreeSet::new();
        for (place, (text, us)) in self.measured.iter().enumerate() {
            let key = format!("measured.{place}");
            if text.parse::<KernelShape>().is_err() {
                let expected = "a kernel such as `conv b1 16x28x28 32x14x14 k3x3 s2x2 p1x1 g1 f32 f32 relu`";
                return refuse(&key, format!("`{text}`"), expected);
            }
            if !(us.is_finite() && (1e-6..1e12).contains(us)) {
                return refuse(&key, us.to_string(), "a latency above 0");
            }
            if !seen.insert(text) {
                return refuse(&key, format!("`{text}` again"), "each kernel once");
            }
        }
        if self.measured.len() > MEASURED_MAX {
            return refuse("measured", self.measured.len().to_string(), "at most 8000 kernels");
        }
        self.check_predictors(refuse)
    }

    fn check_predictors(
        &self,
        refuse: impl Fn(&str, String, &'static str) -> Result<(), HwError>,
    ) -> Result<(), HwError> {
        let measured = self.kernels();
        let mut seen = BTreeSet::new();
        for (place, stored) in self.predictors.iter().enumerate() {
            let key = format!("predictors.{place}");
            let Some(kind) = kind(&stored.kind) else {
                return refuse(&key, format!("`{}`", stored.kind), "a kind of kernels");
            };
            if !seen.insert((kind, stored.format)) {
                return refuse(&key, format!("`{kind}` in {} again", stored.format), "each kind once");
            }
            let usable = |value: &f64| value.is_finite() && *value >= 0.0;
            let ranges = [&stored.lowest, &stored.highest];
            let is_whole = ranges.iter().all(|range| range.len() == RANGES.len() && range.iter().all(usable));
            if !is_whole || !stored.base.is_usable() || !stored.bound.is_usable() {
                return refuse(&key, "not usable".to_owned(), "finite numbers, as many as there are ranges");
            }
            let kernels = of(&measured, (kind, stored.format));
            let found = match &stored.trees {
                None => (1..=PROCESS_MAX).contains(&kernels.len()),
                Some(text) => trees(text).is_some(),
            };
            if !found {
                return refuse(&key, "damaged".to_owned(), "from 1 to 400 measured kernels, or trees");
            }
        }
        if self.predictors.is_empty() {
            return refuse("predictors", "empty".to_owned(), "a predictor for at least one kind of kernels");
        }
        Ok(())
    }
}

fn kind(name: &str) -> Option<KernelKind> {
    KernelKind::ALL.into_iter().find(|kind| kind.name() == name)
}

fn of(measured: &[(KernelShape, f64)], key: Key) -> Vec<(KernelShape, f64)> {
    let is_of = |shape: &KernelShape| shape.kind == key.0 && shape.format() == Some(key.1);
    measured.iter().filter(|(shape, _)| is_of(shape)).copied().collect()
}

/// Trees from their text, if they take as many features as kernels have.
fn trees(text: &str) -> Option<BinnedTrees> {
    let found = BinnedTrees::from_bytes(&unpack(text)?)?;
    let one = Base { operations_per_us: 1.0, bytes_per_us: 1.0, overhead_us: 1.0 };
    let example: KernelShape = "add b1 1x1x1 1x1x1 k1x1 s1x1 p0x0 g1 f32 f32".parse().ok()?;
    (found.width() == many(&example, &one).len()).then_some(found)
}
