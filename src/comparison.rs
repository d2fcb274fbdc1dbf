//! Compares studies. The comparison covers the fronts relative to a common reference point, the effort, and
//! each study's best network under equal limits.

mod growth;
mod likeness;
mod spent;

use std::fmt;
use std::path::PathBuf;

use kiln_search::pareto::dominates;
use kiln_search::{Constraint, FrontEntry, Seconds, Trial};
use serde::Serialize;
use serde_json::Value;

use self::growth::{Curve, Growth};
pub(crate) use self::likeness::deciding;
use self::spent::Measure;
use crate::output::path_shown;
use crate::text_table::{Align, TextTable};
use crate::units::Numbers;
use crate::volume::{self, Scale, Volume};
use crate::{output, units};

/// Quantile levels. The quantiles of a cost over all networks on the fronts are the limits under which the
/// best networks are compared.
const LEVELS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];

/// A study to compare.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) run: PathBuf,
    /// Name of the study's strategy.
    pub(crate) strategy: String,
    /// The part of the config that must be equal for studies to count as seeds of one study. See
    /// [`deciding`].
    pub(crate) config: Value,
    pub(crate) seed: u64,
    /// Kind of the study's evaluator.
    pub(crate) evaluator: String,
    /// Whether the metrics of the study's trials are measured or estimated.
    pub(crate) numbers: Numbers,
    /// Number of epochs of the evaluator's full schedule for one trial. `None` if the evaluator does not
    /// train each trial on its own, or if it does not state the number of epochs.
    pub(crate) full_epochs: Option<u32>,
    /// Total working time of the study.
    pub(crate) seconds: Seconds,
    pub(crate) constraints: Vec<Constraint>,
    /// Trials, sorted by trial number.
    pub(crate) trials: Vec<Trial>,
    /// Evaluation time of each trial, in seconds.
    pub(crate) seconds_of: Vec<Seconds>,
    pub(crate) front: Vec<FrontEntry>,
    /// Test metrics of the finished networks, by trial number.
    pub(crate) finished: Vec<(u64, Vec<(String, f64)>)>,
}

/// The result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) objectives: Vec<String>,
    /// The reference point of all hypervolumes. `None` if no study has measured a network.
    pub(crate) reference: Option<Vec<f64>>,
    /// The unit of effort.
    pub(crate) measure: Measure,
    pub(crate) studies: Vec<Side>,
    /// Reasons why the studies' numbers are not directly comparable.
    pub(crate) warnings: Vec<String>,
    /// Hypervolume as a function of effort, if a strategy has several studies.
    pub(crate) growth: Vec<Growth>,
    /// The best values of the first objective under equal limits.
    pub(crate) best: Vec<Level>,
}

/// One study in the result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Side {
    #[serde(serialize_with = "output::serialize_path")]
    pub(crate) run: PathBuf,
    pub(crate) strategy: String,
    pub(crate) seed: u64,
    pub(crate) trials: usize,
    pub(crate) failed: usize,
    /// Number of trained epochs, summed over all trials. Each trial counts as if its training had started
    /// from newly initialized weights.
    pub(crate) epochs: Option<u64>,
    /// Fidelity of the trials on the study's front, such as `after 3 of 9 epochs`.
    pub(crate) judged_at: String,
    /// Whether shared weights estimated the metrics of the study's trials.
    pub(crate) estimated: bool,
    pub(crate) seconds: Seconds,
    /// Number of networks on the study's front.
    pub(crate) front: usize,
    /// Number of networks on the study's front that a network of another study dominates.
    pub(crate) dominated: usize,
    /// The study's hypervolume in percent of the box between the reference point and the best value of each
    /// objective.
    pub(crate) hypervolume_percent: f64,
    /// Effort until the study's hypervolume reached the smallest final hypervolume of all compared studies.
    /// `None` if this smallest hypervolume is zero.
    pub(crate) to_least: Option<f64>,
    pub(crate) finished: Vec<(u64, Vec<(String, f64)>)>,
}

/// The best networks under one limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Level {
    /// The limit as text. With a single objective, the only level has no limit, and the value is `None`.
    pub(crate) limited: Option<String>,
    pub(crate) at_most: Option<f64>,
    /// For each study, the lowest value of the first objective under the limit, and its trial number. The
    /// entries have the order of the studies.
    pub(crate) best: Vec<Option<(f64, u64)>>,
}

impl Comparison {
    /// Compares studies with the same objectives.
    pub(crate) fn new(objectives: &[String], contenders: &[Contender]) -> Self {
        let fronts: Vec<Vec<&[f64]>> = contenders
            .iter()
            .map(|study| study.front.iter().map(|entry| entry.objectives.0.as_slice()).collect())
            .collect();
        let volumes: Vec<Volume> = contenders
            .iter()
            .map(|study| Volume::of(volume::limits(objectives, &study.constraints), &study.trials))
            .collect();
        let limits = volume::limits(objectives, &common_limits(contenders));
        let scale = Scale::new(&limits, volumes.iter());
        let measure = Measure::of(contenders);
        let spent: Vec<Vec<f64>> = contenders.iter().map(|study| measure.spent(study)).collect();
        let growths: Vec<volume::Growth> = volumes
            .iter()
            .map(|volume| scale.as_ref().map(|scale| volume.growth_on(scale)).unwrap_or_default())
            .collect();
        let curve = |(growth, spent): (&volume::Growth, &Vec<f64>)| -> Curve {
            growth.curve.iter().map(|(trials, share)| (spent[trials - 1], *share)).collect()
        };
        let curves: Vec<Curve> = growths.iter().zip(&spent).map(curve).collect();
        let totals: Vec<f64> = spent.iter().map(|spent| spent.last().copied().unwrap_or(0.0)).collect();
        let judged =
            |(volume, study): (&Volume, &Contender)| spent::judged(volume.fidelity(), study.full_epochs);
        let judged: Vec<String> = volumes.iter().zip(contenders).map(judged).collect();
        let shares: Vec<f64> =
            curves.iter().map(|curve| curve.last().map_or(0.0, |(_, share)| *share)).collect();
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let side = |(index, study): (usize, &Contender)| {
            let others = || {
                fronts.iter().enumerate().filter(|(other, _)| *other != index).flat_map(|(_, front)| front)
            };
            let own = &fronts[index];
            let is_dominated = |point: &&&[f64]| others().any(|other| dominates(other, point));
            Side {
                run: study.run.clone(),
                strategy: study.strategy.clone(),
                seed: study.seed,
                trials: study.trials.len(),
                failed: study.trials.iter().filter(|trial| trial.outcome.measurement().is_none()).count(),
                epochs: study.trials.iter().map(|trial| spent::epochs(trial, study.full_epochs)).sum(),
                judged_at: judged[index].clone(),
                estimated: study.numbers == Numbers::Estimated,
                seconds: study.seconds,
                front: own.len(),
                dominated: own.iter().filter(is_dominated).count(),
                hypervolume_percent: shares[index],
                to_least: reached(&curves[index], least),
                finished: study.finished.clone(),
            }
        };
        let studies = contenders.iter().enumerate().map(side).collect();
        Self {
            objectives: objectives.to_vec(),
            measure,
            studies,
            warnings: warnings(contenders, &judged).into_iter().chain(inexact(&growths)).collect(),
            growth: growth::growth(contenders, measure, &curves, &totals),
            best: levels(objectives, &fronts, contenders),
            reference: scale.map(|scale| scale.reference),
        }
    }
}

impl Comparison {
    /// Returns how the metrics of all studies together are labeled. They are labeled as estimates only if the
    /// metrics of every study are estimates.
    fn numbers(&self) -> Numbers {
        let all = !self.studies.is_empty() && self.studies.iter().all(|study| study.estimated);
        if all { Numbers::Estimated } else { Numbers::Measured }
    }
}

/// Returns the constraints that all studies have in common, each with the loosest of the studies' limits.
fn common_limits(contenders: &[Contender]) -> Vec<Constraint> {
    let Some((first, rest)) = contenders.split_first() else { return Vec::new() };
    let of = |study: &Contender, cost: &str| {
        let limits = study.constraints.iter().filter(|limit| limit.cost == cost).map(|limit| limit.max);
        limits.min_by(f64::total_cmp)
    };
    let common = first.constraints.iter().filter_map(|limit| {
        let others: Option<Vec<f64>> = rest.iter().map(|study| of(study, &limit.cost)).collect();
        let loosest = others?.into_iter().fold(of(first, &limit.cost)?, f64::max);
        Some(Constraint::new(limit.cost.clone(), loosest))
    });
    common.collect()
}

/// Returns the effort after which the dominated share reached `least`. Returns `None` if `least` is zero.
fn reached(curve: &Curve, least: f64) -> Option<f64> {
    // Sums of the same terms in different orders may differ in their last bits.
    let is_there = |(_, share): &&(f64, f64)| least > 0.0 && *share >= least * (1.0 - 1e-9);
    curve.iter().find(is_there).map(|(spent, _)| *spent)
}

/// Returns a note if some hypervolumes are not exact.
fn inexact(growths: &[volume::Growth]) -> Option<String> {
    let worst = growths.iter().max_by(|a, b| {
        let error = |growth: &volume::Growth| growth.standard_error.unwrap_or(-1.0);
        error(a).total_cmp(&error(b)).then(a.left_out.cmp(&b.left_out))
    });
    worst.and_then(volume::Growth::remark).map(|remark| format!("hypervolumes are {remark}"))
}

/// Lists reasons why objectives with the same name have different meanings in these studies.
fn warnings(contenders: &[Contender], judged: &[String]) -> Vec<String> {
    let Some((first, rest)) = contenders.split_first() else { return Vec::new() };
    let part = |study: &Contender, table: &str| study.config.get(table).cloned().unwrap_or_default();
    let mut warnings = Vec::new();
    for (other, at) in rest.iter().zip(&judged[1..]) {
        let (a, b) = (first.run.display(), other.run.display());
        let data = |study: &Contender| part(study, "resolved").get("data").cloned();
        if data(first) != data(other) {
            warnings.push(format!("{a} and {b} were judged on different data"));
        }
        if first.evaluator != other.evaluator {
            let (one, two) = (&first.evaluator, &other.evaluator);
            warnings.push(format!("{a} was judged by the evaluator `{one}`, {b} by `{two}`"));
        } else if *at != judged[0] && !first.front.is_empty() && !other.front.is_empty() {
            let one = &judged[0];
            warnings.push(format!("the front of {a} was judged {one}, that of {b} {at}"));
        }
    }
    warnings
}

fn levels(objectives: &[String], fronts: &[Vec<&[f64]>], contenders: &[Contender]) -> Vec<Level> {
    let best = |axis: usize, limit: f64| -> Vec<Option<(f64, u64)>> {
        let of = |(front, study): (&Vec<&[f64]>, &Contender)| {
            let within = front.iter().zip(&study.front).filter(|(point, _)| point[axis] <= limit);
            within.map(|(point, entry)| (point[0], entry.trial)).min_by(|a, b| a.0.total_cmp(&b.0))
        };
        fronts.iter().zip(contenders).map(of).collect()
    };
    if fronts.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    if objectives.len() == 1 {
        return vec![Level { limited: None, at_most: None, best: best(0, f64::INFINITY) }];
    }
    let mut levels = Vec::new();
    for (axis, objective) in objectives.iter().enumerate().skip(1) {
        let mut values: Vec<f64> = fronts.iter().flatten().map(|point| point[axis]).collect();
        values.sort_by(f64::total_cmp);
        let mut limits: Vec<f64> = LEVELS
            .iter()
            .map(|share| values[((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1])
            .collect();
        limits.dedup_by(|a, b| a.total_cmp(b).is_eq());
        levels.extend(limits.into_iter().map(|limit| Level {
            limited: Some(objective.clone()),
            at_most: Some(limit),
            best: best(axis, limit),
        }));
    }
    levels
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = self.studies.iter().map(|study| (path_shown(&study.run), Align::Right));
        let mut table = TextTable::new(std::iter::once((String::new(), Align::Left)).chain(headings));
        let mut row = |name: &str, value: &dyn Fn(&Side) -> String| {
            table.row(std::iter::once(name.to_owned()).chain(self.studies.iter().map(value)));
        };
        row("strategy", &|study| study.strategy.clone());
        row("seed", &|study| study.seed.to_string());
        row("trials", &|study| study.trials.to_string());
        row("failed", &|study| study.failed.to_string());
        if self.studies.iter().any(|study| study.epochs.is_some()) {
            let epochs =
                |study: &Side| study.epochs.map_or_else(|| "-".to_owned(), |epochs| epochs.to_string());
            row("epochs", &epochs);
            row("front judged", &|study| study.judged_at.clone());
        }
        if self.studies.iter().any(|study| study.estimated) {
            let kind = |study: &Side| if study.estimated { "estimates" } else { "measured" };
            row("metrics of trials", &|study| kind(study).to_owned());
        }
        row("time", &|study| units::duration(study.seconds.duration()));
        row("networks on the front", &|study| study.front.to_string());
        row("  dominated by another's", &|study| study.dominated.to_string());
        row("hypervolume %", &|study| format!("{:.2}", study.hypervolume_percent));
        row(&format!("  {} to the least of these", self.measure), &|study| {
            study.to_least.map_or_else(|| "-".to_owned(), |spent| format!("{spent:.0}"))
        });
        let objective = self.objectives.first().map_or("", String::as_str);
        let numbers = self.numbers();
        let heading = numbers.heading(objective);
        for (index, level) in self.best.iter().enumerate() {
            let limit = match (&level.limited, level.at_most) {
                (Some(name), Some(at_most)) => {
                    let (what, value) = numbers.shown(name, at_most);
                    format!(", {what} at most {value}")
                }
                _ => String::new(),
            };
            let best = |study: usize| {
                let best = level.best[study];
                best.map_or_else(|| "-".to_owned(), |(value, _)| units::shown(objective, value).1)
            };
            let name = if index == 0 {
                format!("best {heading}{limit}")
            } else {
                format!("  {}", limit.trim_start_matches(", "))
            };
            table.row(std::iter::once(name).chain((0..self.studies.len()).map(best)));
        }
        write!(f, "{table}")?;
        growth::write(&self.growth, self.measure, f)?;
        if let Some(reference) = &self.reference {
            let parts = self.objectives.iter().zip(reference).map(|(name, value)| {
                let (what, value) = numbers.shown(name, *value);
                format!("{what} {value}")
            });
            let parts: Vec<String> = parts.collect();
            write!(f, "\nReference point of the hypervolumes: {}", parts.join(", "))?;
        }
        for study in &self.studies {
            for (trial, metrics) in &study.finished {
                let metrics = metrics.iter().map(|(name, value)| {
                    let (what, value) = units::shown(name, *value);
                    format!("{what} {value}")
                });
                let metrics: Vec<String> = metrics.collect();
                write!(f, "\n{}: finished trial {trial}: {}", path_shown(&study.run), metrics.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
