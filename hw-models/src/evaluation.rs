//! Judges latency models on tables of measured networks: fits to a few rows, again and again, and compares
//! with all others.

mod baselines;
mod pooled;
mod statistics;
mod table;

use serde::Serialize;

use self::statistics::Scores;
pub use self::statistics::{Summary, kendall};
pub use self::table::{EvaluationTable, OwnPredictor};
use crate::HwError;
use crate::fitted::{CHOSEN_MAX, Regression, Row, Scales, choice};

/// Which rows of a table are fitted and which are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Numbers of networks to fit to.
    pub train: Vec<usize>,
    /// Number of repetitions with other networks.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Whether the fitted model chooses its networks. Baselines get networks drawn at random in any case.
    pub chosen: bool,
    /// Rows to fit to, first and one past the last; all rows if `None`.
    pub pool: Option<[usize; 2]>,
    /// Rows to judge; all that were not fitted to if `None`.
    pub test: Option<[usize; 2]>,
    /// Quantiles of latency between which rows of each of the two parts are kept.
    pub trim: Option<[f64; 2]>,
}

/// Scores of one model fitted to one number of networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationRow {
    /// Column that was predicted.
    pub target: String,
    /// Number of networks that were fitted to.
    pub train: usize,
    /// `fitted`, or a baseline.
    pub model: &'static str,
    /// Spearman's rank correlation.
    pub spearman: Summary,
    /// Kendall's rank correlation, tau-b.
    pub kendall: Summary,
    /// Share of networks predicted within 5 %.
    pub within_5_percent: Summary,
    /// Share of networks predicted within 10 %.
    pub within_10_percent: Summary,
    /// Share of measurements inside the 90 % interval; `None` for a model without intervals.
    pub coverage_90: Option<Summary>,
    /// Width of the interval, relative to the prediction.
    pub width_90: Option<Summary>,
}

/// The prediction of a network, with an interval if the model gives one.
pub(crate) type Prediction = (f64, Option<[f64; 2]>);

impl Evaluation {
    /// Runs the evaluation.
    ///
    /// # Errors
    /// [`HwError::TooFewMeasurements`] if a part of the table has too few networks.
    pub fn run(&self, table: &EvaluationTable) -> Result<Vec<EvaluationRow>, HwError> {
        self.judged(table, &self.part(table, self.pool), &self.part(table, self.test), self.test.is_none())
    }

    /// Fits to networks of one table and judges with another of the same space, or of one with the same
    /// decisions.
    ///
    /// # Errors
    /// As [`Evaluation::run`].
    pub fn run_on(
        &self,
        table: &EvaluationTable,
        judged: &EvaluationTable,
    ) -> Result<Vec<EvaluationRow>, HwError> {
        let test = self.part(judged, self.test).into_iter().map(|row| row + table.len()).collect::<Vec<_>>();
        self.judged(&table.followed_by(judged), &self.part(table, self.pool), &test, false)
    }

    /// Fits to rows of `pool` and judges the rows `test`. `shared` if both are the same rows.
    fn judged(
        &self,
        table: &EvaluationTable,
        pool: &[usize],
        test: &[usize],
        shared: bool,
    ) -> Result<Vec<EvaluationRow>, HwError> {
        let scales = Scales::new(table.networks());
        let rows: Vec<Row> = table.networks().map(|(features, known)| scales.row(features, known)).collect();
        let mut scored = Vec::new();
        for &train in &self.train {
            // The judged part needs a few networks too, or no correlation exists.
            let needed = train + if shared { 3 } else { 0 };
            if pool.len() < needed || test.len() < 3 || train < 2 {
                return Err(HwError::TooFewMeasurements {
                    found: pool.len().min(test.len()),
                    needed: needed.max(3),
                });
            }
            let mut models: Vec<(&'static str, Vec<Scores>)> = Vec::new();
            for draw in 0..self.draws {
                let seed = self.seed.wrapping_add(draw as u64);
                let drawn = choice::drawn(pool, train, seed);
                let chosen =
                    if self.chosen { choice::chosen(&rows, pool, train, seed) } else { drawn.clone() };
                let judged = |fitted: &[usize]| -> Vec<usize> {
                    test.iter().copied().filter(|row| !fitted.contains(row)).collect()
                };
                let mut score = |name: &'static str, rows: &[usize], predicted: &[Prediction]| {
                    let measured: Vec<f64> = rows.iter().map(|row| table.latency(*row)).collect();
                    let scores = Scores::new(predicted, &measured);
                    match models.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, all)) => all.push(scores),
                        None => models.push((name, vec![scores])),
                    }
                };
                let latencies: Vec<f64> = chosen.iter().map(|row| table.latency(*row)).collect();
                let part: Vec<Row> = chosen.iter().map(|row| rows[*row].clone()).collect();
                let from = if self.chosen { CHOSEN_MAX } else { 0 };
                let regression = Regression::fit(&part, &latencies, from);
                let others = judged(&chosen);
                let predicted = |row: &usize| {
                    let found = regression.predict(&rows[*row]);
                    (found.value, Some([found.low, found.high]))
                };
                score("fitted", &others, &others.iter().map(predicted).collect::<Vec<_>>());
                let others = judged(&drawn);
                for (name, predicted) in baselines::predictions(table, &rows, &drawn, &others) {
                    score(name, &others, &predicted);
                }
            }
            scored.extend(models.into_iter().map(|(model, scores)| EvaluationRow {
                target: table.target().to_owned(),
                train,
                model,
                spearman: Summary::of(scores.iter().map(|scores| scores.spearman)),
                kendall: Summary::of(scores.iter().map(|scores| scores.kendall)),
                within_5_percent: Summary::of(scores.iter().map(|scores| scores.within_5)),
                within_10_percent: Summary::of(scores.iter().map(|scores| scores.within_10)),
                coverage_90: Summary::of_some(scores.iter().map(|scores| scores.coverage)),
                width_90: Summary::of_some(scores.iter().map(|scores| scores.width)),
            }));
        }
        Ok(scored)
    }

    /// The measured rows of a part of the table, without those of extreme latency.
    fn part(&self, table: &EvaluationTable, bounds: Option<[usize; 2]>) -> Vec<usize> {
        let mut part = table.between(bounds);
        if let Some([low, high]) = self.trim {
            let mut sorted: Vec<f64> = part.iter().map(|row| table.latency(*row)).collect();
            sorted.sort_by(f64::total_cmp);
            let at =
                |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64).round() as usize).copied();
            if let (Some(low), Some(high)) = (at(low), at(high)) {
                part.retain(|row| (low..=high).contains(&table.latency(*row)));
            }
        }
        part
    }
}
