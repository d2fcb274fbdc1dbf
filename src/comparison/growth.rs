//! How fast strategies get there: the hypervolume after some of the trials, over the studies of each strategy.

use std::fmt;

use kiln_search::bench::Sample;
use kiln_search::pareto::dominates;
use serde::Serialize;

use super::Contender;
use crate::text_table::{Align, TextTable};
use crate::volume;

/// Parts of the smallest study's trials after which volumes are compared.
const PARTS: [usize; 4] = [8, 4, 2, 1];

/// The studies of one strategy with one set of settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Growth {
    /// Kind of the strategy; with the first run where others of its kind have other settings.
    pub(crate) strategy: String,
    pub(crate) seeds: Vec<u64>,
    /// Trials, and the hypervolume after them over the seeds, percent of the box of the comparison.
    pub(crate) after: Vec<(usize, Sample)>,
}

/// One line a strategy, in the order in which they are first named; nothing where no strategy has two studies. `share` is the
/// part of the box that points dominate, percent.
pub(super) fn growth(contenders: &[Contender], share: &dyn Fn(&[&[f64]]) -> f64) -> Vec<Growth> {
    let same = |a: &Contender, b: &Contender| a.strategy == b.strategy && a.settings == b.settings;
    let mut groups: Vec<Vec<&Contender>> = Vec::new();
    for study in contenders {
        match groups.iter_mut().find(|group| same(group[0], study)) {
            Some(group) => group.push(study),
            None => groups.push(vec![study]),
        }
    }
    let smallest = contenders.iter().map(|study| study.trials.len()).min().unwrap_or(0);
    let mut counts: Vec<usize> =
        PARTS.iter().map(|part| smallest / part).filter(|count| *count > 0).collect();
    counts.dedup();
    if groups.iter().all(|group| group.len() < 2) || counts.is_empty() {
        return Vec::new();
    }
    let of = |group: &Vec<&Contender>| {
        let kind = &group[0].strategy;
        let alone = groups.iter().filter(|other| other[0].strategy == *kind).count() == 1;
        let strategy =
            if alone { kind.clone() } else { format!("{kind} (as in {})", group[0].run.display()) };
        let after = counts.iter().filter_map(|count| {
            let volumes: Vec<f64> = group.iter().map(|study| after(study, *count, share)).collect();
            Some((*count, Sample::of(&volumes)?))
        });
        Growth { strategy, seeds: group.iter().map(|study| study.seed).collect(), after: after.collect() }
    };
    groups.iter().map(of).collect()
}

/// The share of the front of a study's first trials.
fn after(study: &Contender, count: usize, share: &dyn Fn(&[&[f64]]) -> f64) -> f64 {
    let known = &study.trials[..count.min(study.trials.len())];
    let points: Vec<&[f64]> =
        volume::eligible(known).iter().map(|trial| trial.objectives.0.as_slice()).collect();
    let front: Vec<&[f64]> =
        points.iter().copied().filter(|point| !points.iter().any(|other| dominates(other, point))).collect();
    share(&front)
}

/// Writes the table, if there is one.
pub(super) fn write(growth: &[Growth], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(first) = growth.first() else { return Ok(()) };
    let counts = first.after.iter().map(|(count, _)| (format!("after {count}"), Align::Right));
    let headings = [("hypervolume %".to_owned(), Align::Left), ("seeds".to_owned(), Align::Right)];
    let mut table = TextTable::new(headings.into_iter().chain(counts));
    for line in growth {
        let cells =
            line.after.iter().map(|(_, volume)| format!("{:.2} ± {:.2}", volume.mean, volume.deviation));
        table.row([line.strategy.clone(), line.seeds.len().to_string()].into_iter().chain(cells));
    }
    write!(f, "\n{table}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::contender;
    use super::*;

    #[test]
    fn studies_of_one_strategy_are_taken_together() {
        let slow = contender("a", &[Some((4.0, 4.0)), Some((4.0, 4.0)), Some((2.0, 2.0))], 10.0);
        let fast = contender("b", &[Some((2.0, 2.0)), Some((4.0, 4.0)), None], 10.0);
        // The share of a front is the first objective's distance from 6.
        let share = |front: &[&[f64]]| front.iter().map(|point| 6.0 - point[0]).fold(0.0, f64::max);
        let lines = growth(&[slow.clone(), fast.clone()], &share);
        let [line] = lines.as_slice() else { panic!("one strategy") };
        assert_eq!((line.strategy.as_str(), line.seeds.as_slice()), ("random", &[1, 1][..]));
        let means: Vec<(usize, f64)> =
            line.after.iter().map(|(count, sample)| (*count, sample.mean)).collect();
        assert_eq!(means, [(1, 3.0), (3, 4.0)]);

        let mut other = fast.clone();
        other.strategy = "nsga2".to_owned();
        assert_eq!(growth(&[slow.clone(), other.clone()], &share), []);
        let lines = growth(&[slow, fast, other], &share);
        assert_eq!(lines.iter().map(|line| line.strategy.as_str()).collect::<Vec<_>>(), ["random", "nsga2"]);
    }
}
