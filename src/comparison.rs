//! Studies beside each other: their fronts under one reference point, what each spent, and the best that each has under
//! equal limits.

mod growth;

use std::fmt;
use std::path::PathBuf;

use kiln_search::hypervolume::hypervolume;
use kiln_search::pareto::dominates;
use kiln_search::{Constraint, FrontEntry, Seconds, Trial};
use kiln_space::Settings;
use serde::Serialize;

use self::growth::Growth;
use crate::output::path_shown;
use crate::text_table::{Align, TextTable};
use crate::{output, units, volume};

/// Limits at which the best networks are compared, as shares of the networks on all fronts.
const LEVELS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];

/// What is known of a study.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) run: PathBuf,
    /// Kind of its strategy.
    pub(crate) strategy: String,
    /// Settings of its strategy.
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    /// Time for which processes have worked on it.
    pub(crate) seconds: Seconds,
    pub(crate) constraints: Vec<Constraint>,
    /// By ascending number.
    pub(crate) trials: Vec<Trial>,
    pub(crate) front: Vec<FrontEntry>,
    /// Metrics of the finished networks.
    pub(crate) finished: Vec<(u64, Vec<(String, f64)>)>,
}

/// What comes out of comparing them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) objectives: Vec<String>,
    /// The point from which all hypervolumes are measured; none without a network.
    pub(crate) reference: Option<Vec<f64>>,
    pub(crate) studies: Vec<Side>,
    /// Hypervolume against trials, where a strategy has several studies.
    pub(crate) growth: Vec<Growth>,
    /// The best first objective under equal limits.
    pub(crate) best: Vec<Level>,
}

/// One study of a comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Side {
    #[serde(serialize_with = "output::serialize_path")]
    pub(crate) run: PathBuf,
    pub(crate) strategy: String,
    pub(crate) seed: u64,
    pub(crate) trials: usize,
    pub(crate) failed: usize,
    pub(crate) seconds: Seconds,
    /// Networks on its front.
    pub(crate) front: usize,
    /// Of them dominated by a network of another study.
    pub(crate) dominated: usize,
    /// Share of the box between the reference point and the best value of each objective, percent.
    pub(crate) hypervolume_percent: f64,
    /// Trials after which the hypervolume was that of the study that ended with the least.
    pub(crate) trials_to_least: Option<usize>,
    pub(crate) finished: Vec<(u64, Vec<(String, f64)>)>,
}

/// The best networks under a limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Level {
    /// What is limited; nothing for the last level of a single objective.
    pub(crate) limited: Option<String>,
    pub(crate) at_most: Option<f64>,
    /// Lowest first objective of each study, in their order, with its trial.
    pub(crate) best: Vec<Option<(f64, u64)>>,
}

impl Comparison {
    /// Compares studies of equal objectives.
    pub(crate) fn new(objectives: &[String], contenders: &[Contender]) -> Self {
        let fronts: Vec<Vec<&[f64]>> = contenders
            .iter()
            .map(|study| study.front.iter().map(|entry| entry.objectives.0.as_slice()).collect())
            .collect();
        let all = || fronts.iter().flatten().copied();
        let reference = volume::reference(objectives, &common_limits(contenders), all());
        let box_volume = reference.as_ref().map(|reference| {
            let best = |axis: usize| all().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
            reference.iter().enumerate().map(|(axis, reference)| reference - best(axis)).product::<f64>()
        });
        let share = |points: &[&[f64]]| match (&reference, box_volume) {
            (Some(reference), Some(whole)) if whole > 0.0 => 100.0 * hypervolume(points, reference) / whole,
            _ => 0.0,
        };
        let least = fronts.iter().map(|front| share(front)).fold(f64::INFINITY, f64::min);
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
                seconds: study.seconds,
                front: own.len(),
                dominated: own.iter().filter(is_dominated).count(),
                hypervolume_percent: share(own),
                trials_to_least: trials_to(&study.trials, least, &share),
                finished: study.finished.clone(),
            }
        };
        let studies = contenders.iter().enumerate().map(side).collect();
        Self {
            objectives: objectives.to_vec(),
            studies,
            growth: growth::growth(contenders, &share),
            best: levels(objectives, &fronts, contenders),
            reference,
        }
    }
}

/// Limits that all studies have, the loosest of each.
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

/// Trials after which the front's share reached `least`, if it is above zero.
fn trials_to(trials: &[Trial], least: f64, share: &dyn Fn(&[&[f64]]) -> f64) -> Option<usize> {
    let eligible = volume::eligible(trials);
    let mut front: Vec<&[f64]> = Vec::new();
    for trial in &eligible {
        let values = trial.objectives.0.as_slice();
        if front.iter().any(|member| *member == values || dominates(member, values)) {
            continue;
        }
        front.retain(|member| !dominates(values, member));
        front.push(values);
        // Sums in another order may differ in the last bits.
        if least > 0.0 && share(&front) >= least * (1.0 - 1e-9) {
            return trials.iter().position(|other| other.id == trial.id).map(|index| index + 1);
        }
    }
    None
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
        row("time", &|study| units::duration(study.seconds.duration()));
        row("networks on the front", &|study| study.front.to_string());
        row("  dominated by another's", &|study| study.dominated.to_string());
        row("hypervolume %", &|study| format!("{:.2}", study.hypervolume_percent));
        row("  trials to the least of these", &|study| {
            study.trials_to_least.map_or_else(|| "-".to_owned(), |trials| trials.to_string())
        });
        let objective = self.objectives.first().map_or("", String::as_str);
        let heading = units::shown(objective, 0.0).0;
        for (index, level) in self.best.iter().enumerate() {
            let limit = match (&level.limited, level.at_most) {
                (Some(name), Some(at_most)) => {
                    let (what, value) = units::shown(name, at_most);
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
        growth::write(&self.growth, f)?;
        if let Some(reference) = &self.reference {
            let parts = self.objectives.iter().zip(reference).map(|(name, value)| {
                let (what, value) = units::shown(name, *value);
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
mod tests;
