//! A table of measured networks with the columns of known devices.

use std::collections::BTreeMap;

use kiln_space::{Genotype, SearchSpace, variation};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::fitted::{Transfer, choice, features};
use crate::measurements::{CsvFile, NOT_MEASURED, Names, genotype};
use crate::{HwError, MeasurementFile, Roofline};

/// Share of the rows that make a column a copy of another, if their quotients are all the same.
const COPIED: f64 = 0.95;

/// Quotient of neighboring latencies that parts two units.
const GAP: f64 = 5.0;

/// Latencies of one network that differ by more than this factor contradict each other.
const CONTRADICTING: f64 = 3.0;

/// Networks of the space that tell how features vary there.
const SAMPLED: usize = 300;

/// Networks with their features, the latency to predict, and those of known devices.
#[derive(Clone, Debug)]
pub struct EvaluationTable {
    pub(super) target: String,
    pub(super) known: Vec<String>,
    pub(super) rows: Vec<TableRow>,
    pub(super) not_measured: usize,
    /// Lines with a network of an earlier line.
    pub(super) repeats: usize,
    /// Features of networks of the space, measured or not.
    pub(super) sampled: Vec<Vec<f64>>,
    pub(super) transfer: Transfer,
}

#[derive(Clone, Debug)]
pub(super) struct TableRow {
    /// Position among all rows of the file.
    pub(super) index: usize,
    /// Line in the file, from 1.
    pub(super) line: u64,
    pub(super) features: Vec<f64>,
    pub(super) latency_us: f64,
    pub(super) known_us: Vec<f64>,
}

impl EvaluationTable {
    /// Reads the networks of a table that have the target's latency and those of all known columns. Features
    /// that need a device, such as bytes and formats, are those of `roofline`.
    ///
    /// # Errors
    /// As [`MeasurementFile::read`], but of a network in several lines the median counts, and lines
    /// that contradict each other by more than a factor of 3 are refused.
    /// [`HwError::CopiedColumn`] for a known column that is the target, or a multiple of it.
    pub fn read(
        file: &MeasurementFile,
        known: &[String],
        space: &dyn SearchSpace,
        roofline: &Roofline,
    ) -> Result<Self, HwError> {
        let table = CsvFile::read(&file.path)?;
        let target = table.column(&file.latency_column)?;
        let columns: Vec<usize> = known.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
        let named = file.key_file.as_ref().map(|keys| Names::read(keys, &file.key)).transpose()?;
        let key = table.column(file.key_file.as_ref().map_or(&file.key, |keys| &keys.on))?;
        let mut seen: BTreeMap<Genotype, usize> = BTreeMap::new();
        let (mut rows, mut not_measured): (Vec<TableRow>, usize) = (Vec::new(), 0);
        let mut repeated: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (index, row) in table.rows().enumerate() {
            let field = row.field(key);
            let name = match &named {
                None => field,
                Some(names) => names
                    .get(field)
                    .ok_or_else(|| row.refuse(key, format!("a value that {} has", names.file())))?,
            };
            let genotype = genotype(name).map_err(|source| row.refuse_network(key, name, source))?;
            let latency = |column: usize| {
                let text = row.field(column);
                let value = if text.is_empty() { NOT_MEASURED } else { text.parse().unwrap_or(f64::NAN) };
                if value.total_cmp(&NOT_MEASURED).is_eq() {
                    return Ok(None);
                }
                let latency_us = value * file.unit.us();
                if latency_us.is_finite() && latency_us > 0.0 {
                    return Ok(Some(latency_us));
                }
                Err(row.refuse(column, "a number above 0, or -1 or nothing if not measured"))
            };
            let latency_us = latency(target)?;
            let known_us: Option<Vec<f64>> =
                columns.iter().map(|column| latency(*column)).collect::<Result<_, _>>()?;
            let (Some(latency_us), Some(known_us)) = (latency_us, known_us) else {
                not_measured += 1;
                continue;
            };
            if let Some(&first) = seen.get(&genotype) {
                let TableRow { latency_us: before, line, .. } = &rows[first];
                let factor = (latency_us / before).max(before / latency_us);
                if factor > CONTRADICTING {
                    let expected =
                        format!("about the {} of line {line}, the same network", before / file.unit.us());
                    return Err(row.refuse(target, expected));
                }
                repeated.entry(first).or_insert_with(|| vec![*before]).push(latency_us);
                continue;
            }
            let architecture =
                space.decode(&genotype).map_err(|source| row.refuse_network(key, name, source))?;
            seen.insert(genotype, rows.len());
            let features = features::features(&architecture, roofline)?;
            rows.push(TableRow { index, line: row.line(), features, latency_us, known_us });
        }
        let repeats = repeated.values().map(|latencies| latencies.len() - 1).sum();
        for (first, mut latencies) in repeated {
            latencies.sort_by(f64::total_cmp);
            let middle = latencies.len() / 2;
            rows[first].latency_us = latencies[middle].midpoint(latencies[(latencies.len() - 1) / 2]);
        }
        let found = Self {
            repeats,
            target: file.latency_column.clone(),
            known: known.to_vec(),
            rows,
            not_measured,
            sampled: sampled(space, roofline)?,
            transfer: Transfer::none(),
        };
        found.refuse_mixed_units(file)?;
        found.refuse_copies(file)?;
        Ok(found)
    }

    /// The table with shipped predictors as further known devices, without those of the target's own device
    /// unless it is `theirs`, that is, unless a fit may use them. None if one of the networks is unlike those
    /// that the predictors know.
    #[must_use]
    pub fn with_transfer(mut self, transfer: &Transfer, own: OwnPredictor) -> Self {
        let transfer = match own {
            OwnPredictor::Kept => transfer.clone(),
            OwnPredictor::LeftOut => transfer.without(&self),
        };
        let columns = self.known.len();
        let known = |row: &TableRow| transfer.known_us(&row.features);
        let Some(known) = self.rows.iter().map(known).collect::<Option<Vec<_>>>() else { return self };
        for (row, known) in self.rows.iter_mut().zip(known) {
            row.known_us.truncate(columns);
            row.known_us.extend(known);
        }
        self.transfer = transfer;
        self
    }

    /// Shipped predictors that are known devices.
    #[must_use]
    pub const fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    /// Refuses latencies of two groups that lie about a factor of 1000 apart, relative to what the roofline
    /// predicts, with nothing between. A network that computes next to nothing may well be so much faster.
    fn refuse_mixed_units(&self, file: &MeasurementFile) -> Result<(), HwError> {
        let relative = |row: &TableRow| row.latency_us / row.features[features::ROOFLINE].max(1e-9);
        let mut sorted: Vec<(f64, &TableRow)> = self.rows.iter().map(|row| (relative(row), row)).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let gaps = sorted.windows(2).enumerate().map(|(i, pair)| (pair[1].0 / pair[0].0, i + 1));
        let Some((gap, above)) = gaps.max_by(|a, b| a.0.total_cmp(&b.0)) else { return Ok(()) };
        let (fast, slow) = sorted.split_at(above);
        let factor = slow[slow.len() / 2].0 / fast[fast.len() / 2].0;
        if gap < GAP || !(300.0..=3000.0).contains(&factor) {
            return Ok(());
        }
        // The smaller group is the mistaken one; its first line is where to look.
        let mistaken = if fast.len() <= slow.len() { fast } else { slow };
        let Some((_, row)) = mistaken.iter().min_by_key(|(_, row)| row.line) else { return Ok(()) };
        Err(HwError::MixedUnits {
            file: file.path.display().to_string(),
            line: row.line,
            column: self.target.clone(),
            found: row.latency_us / file.unit.us(),
            factor,
        })
    }

    /// Refuses known columns from which the target can be read off.
    fn refuse_copies(&self, file: &MeasurementFile) -> Result<(), HwError> {
        for (column, name) in self.known.iter().enumerate() {
            let mut quotients: Vec<f64> =
                self.rows.iter().map(|row| row.known_us[column] / row.latency_us).collect();
            quotients.sort_by(f64::total_cmp);
            let Some(&middle) = quotients.get(quotients.len() / 2) else { continue };
            let equal = quotients.iter().filter(|quotient| (*quotient / middle - 1.0).abs() < 1e-6).count();
            if self.rows.len() > 2 && equal as f64 >= COPIED * self.rows.len() as f64 {
                return Err(HwError::CopiedColumn {
                    file: file.path.display().to_string(),
                    known: name.clone(),
                    target: self.target.clone(),
                    factor: middle,
                });
            }
        }
        Ok(())
    }

    /// The column to predict.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Number of networks.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was measured.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of rows without one of the latencies.
    #[must_use]
    pub const fn not_measured(&self) -> usize {
        self.not_measured
    }

    /// The networks of this table, followed by those of another.
    pub(super) fn followed_by(&self, other: &Self) -> Self {
        let rows = self.rows.iter().chain(&other.rows).cloned().collect();
        Self { rows, ..self.clone() }
    }

    /// Features of networks of the space, measured or not.
    pub(crate) fn sampled(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.sampled.iter().map(Vec::as_slice)
    }

    /// Number of lines with a network of an earlier line.
    #[must_use]
    pub const fn repeats(&self) -> usize {
        self.repeats
    }

    /// The table of `count` networks drawn uniformly; all if there are fewer.
    #[must_use]
    pub fn draw(self, count: usize, seed: u64) -> Self {
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let drawn = choice::drawn(&all, count, seed);
        let rows = drawn.into_iter().map(|row| self.rows[row].clone()).collect();
        Self { rows, ..self }
    }

    /// Number of known columns.
    pub(super) fn known(&self) -> usize {
        self.rows.first().map_or(0, |row| row.known_us.len())
    }

    /// Line of a network in the file.
    pub(crate) fn line(&self, row: usize) -> u64 {
        self.rows[row].line
    }

    pub(crate) fn latency(&self, row: usize) -> f64 {
        self.rows[row].latency_us
    }

    /// Features and known latencies of each network.
    pub(crate) fn networks(&self) -> impl Iterator<Item = (&[f64], &[f64])> + Clone {
        self.rows.iter().map(|row| (row.features.as_slice(), row.known_us.as_slice()))
    }

    pub(super) fn features(&self, row: usize) -> &[f64] {
        &self.rows[row].features
    }

    pub(super) fn known_us(&self, row: usize) -> &[f64] {
        &self.rows[row].known_us
    }

    /// Networks whose rows in the file lie between these bounds; all if there are none.
    pub(super) fn between(&self, bounds: Option<[usize; 2]>) -> Vec<usize> {
        let [first, end] = bounds.unwrap_or([0, usize::MAX]);
        let rows = self.rows.iter().enumerate();
        rows.filter(|(_, row)| (first..end).contains(&row.index)).map(|(place, _)| place).collect()
    }
}

/// Whether a shipped predictor of the target's own device may be a known device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPredictor {
    /// Yes: for a fit that is to be used.
    Kept,
    /// No: for an evaluation, which would otherwise predict a device from itself.
    LeftOut,
}

/// Features of networks drawn from a space.
pub(super) fn sampled(space: &dyn SearchSpace, roofline: &Roofline) -> Result<Vec<Vec<f64>>, HwError> {
    let mut rng = Pcg64::seed_from_u64(0);
    // Genes that fit no network are skipped.
    let drawn = (0..SAMPLED).filter_map(|_| space.decode(&variation::sample(space, &mut rng)).ok());
    drawn.map(|architecture| features::features(&architecture, roofline)).collect()
}
