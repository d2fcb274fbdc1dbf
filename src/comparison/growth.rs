//! Compares how fast strategies improve. It pools each strategy's studies and compares the hypervolumes after
//! certain fractions of the effort.

use std::fmt;

use kiln_search::bench::Sample;
use serde::Serialize;

use super::spent::Measure;
use super::{Contender, likeness};
use crate::text_table::{Align, TextTable};

/// Divisors of the smallest study's effort. Hypervolumes are compared after each quotient.
const PARTS: [usize; 4] = [8, 4, 2, 1];

/// A group of studies that differ only in their seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Growth {
    /// Name of the strategy. If several groups have the same strategy, the name of each group's first run
    /// follows.
    pub(crate) strategy: String,
    pub(crate) seeds: Vec<u64>,
    /// Why this group is not pooled with other studies of the same strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apart: Option<String>,
    /// Pairs of an effort and the hypervolume after this effort. Hypervolumes are in percent of the
    /// comparison's box, and each [`Sample`] contains the values of all seeds.
    pub(crate) after: Vec<(f64, Sample)>,
}

/// Pairs of an effort and the share of the box that the study dominates after this effort.
pub(super) type Curve = Vec<(f64, f64)>;

/// Returns one row for each group of studies that differ only in their seed. Groups are in the order of their
/// first studies. Returns no rows if no strategy has several studies. `curves` contains each study's
/// hypervolume over its effort, and `totals` contains each study's total effort.
pub(super) fn growth(
    contenders: &[Contender],
    measure: Measure,
    curves: &[Curve],
    totals: &[f64],
) -> Vec<Growth> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, study) in contenders.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| {
            let first = &contenders[group[0]];
            first.strategy == study.strategy && likeness::difference(&first.config, &study.config).is_none()
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    let smallest = totals.iter().copied().fold(f64::INFINITY, f64::min);
    let mut amounts: Vec<f64> =
        PARTS.iter().map(|parts| measure.part(smallest, *parts)).filter(|amount| *amount > 0.0).collect();
    amounts.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let first_of = |kind: &str| contenders.iter().position(|study| study.strategy == kind);
    let is_alone = |group: &Vec<usize>| {
        let kind = &contenders[group[0]].strategy;
        groups.iter().filter(|other| contenders[other[0]].strategy == *kind).count() == 1
    };
    if groups.iter().all(|group| group.len() < 2 && is_alone(group)) || amounts.is_empty() {
        return Vec::new();
    }
    let of = |group: &Vec<usize>| {
        let study = &contenders[group[0]];
        let kind = &study.strategy;
        let name =
            if is_alone(group) { kind.clone() } else { format!("{kind} (as in {})", study.run.display()) };
        let first = first_of(kind).filter(|first| *first != group[0]).map(|first| &contenders[first]);
        let apart = first.and_then(|first| {
            let why = likeness::difference(&first.config, &study.config)?;
            Some(format!("not pooled with {}: {why}", first.run.display()))
        });
        let after = amounts.iter().filter_map(|amount| {
            let shares: Vec<f64> = group.iter().map(|index| after(&curves[*index], *amount)).collect();
            Some((*amount, Sample::of(&shares)?))
        });
        let seeds = group.iter().map(|index| contenders[*index].seed).collect();
        Growth { strategy: name, seeds, apart, after: after.collect() }
    };
    groups.iter().map(of).collect()
}

/// Returns the dominated share after this effort. The comparison of efforts tolerates rounding errors in sums
/// of seconds.
fn after(curve: &Curve, amount: f64) -> f64 {
    let reached = curve.iter().take_while(|(spent, _)| *spent <= amount * (1.0 + 1e-12));
    reached.last().map_or(0.0, |(_, share)| *share)
}

/// Writes the table. Writes nothing if the table has no rows.
pub(super) fn write(growth: &[Growth], measure: Measure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(first) = growth.first() else { return Ok(()) };
    let amounts =
        first.after.iter().map(|(amount, _)| (format!("after {}", measure.text(*amount)), Align::Right));
    let headings = [("hypervolume %".to_owned(), Align::Left), ("seeds".to_owned(), Align::Right)];
    let mut table = TextTable::new(headings.into_iter().chain(amounts));
    for line in growth {
        let cells =
            line.after.iter().map(|(_, volume)| format!("{:.2} ± {:.2}", volume.mean, volume.deviation));
        table.row([line.strategy.clone(), line.seeds.len().to_string()].into_iter().chain(cells));
    }
    write!(f, "\n{table}")?;
    for line in growth {
        if let Some(apart) = &line.apart {
            write!(f, "\n{} is {apart}", line.strategy)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::contender;
    use super::*;

    #[test]
    fn seeds_of_one_strategy_are_pooled() {
        let slow = contender("a", &[Some((4.0, 4.0)), Some((4.0, 4.0)), Some((2.0, 2.0))], 10.0);
        let fast = contender("b", &[Some((2.0, 2.0)), Some((4.0, 4.0)), None], 10.0);
        let of = |studies: &[&Contender]| {
            let studies: Vec<Contender> = studies.iter().map(|study| (*study).clone()).collect();
            let curves = [vec![(1.0, 2.0), (3.0, 4.0)], vec![(1.0, 4.0)], vec![(2.0, 4.0)]];
            let count = studies.len();
            growth(&studies, Measure::Trials, &curves[..count], &[3.0; 3][..count])
        };
        let lines = of(&[&slow, &fast]);
        let [line] = lines.as_slice() else { panic!("one strategy") };
        assert_eq!((line.strategy.as_str(), line.seeds.as_slice()), ("random", &[1, 1][..]));
        assert_eq!(line.apart, None);
        let means: Vec<(f64, f64)> = line.after.iter().map(|(count, sample)| (*count, sample.mean)).collect();
        assert_eq!(means, [(1.0, 3.0), (3.0, 4.0)]);

        let mut other = fast.clone();
        other.strategy = "nsga2".to_owned();
        assert_eq!(of(&[&slow, &other]), []);
        let lines = of(&[&slow, &fast, &other]);
        assert_eq!(lines.iter().map(|line| line.strategy.as_str()).collect::<Vec<_>>(), ["random", "nsga2"]);
        assert_eq!(lines.iter().map(|line| line.seeds.len()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn studies_with_different_evaluators_are_not_pooled() {
        let one = contender("a", &[Some((4.0, 4.0))], 10.0);
        let seed = Contender { seed: 2, ..contender("b", &[Some((2.0, 2.0))], 10.0) };
        let mut longer = contender("c", &[Some((1.0, 1.0))], 10.0);
        longer.config = json!({ "evaluator": { "epochs": 20 } });
        let curves = [4.0, 2.0, 9.0].map(|share| vec![(1.0, share)]);
        let lines = growth(&[one, seed, longer], Measure::Trials, &curves, &[1.0; 3]);
        let [pooled, apart] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((pooled.strategy.as_str(), pooled.seeds.as_slice()), ("random (as in a)", &[1, 2][..]));
        assert_eq!((apart.strategy.as_str(), apart.seeds.as_slice()), ("random (as in c)", &[1][..]));
        let why = "not pooled with a: `evaluator.epochs` is `9` there and `20` here";
        assert_eq!((pooled.apart.as_deref(), apart.apart.as_deref()), (None, Some(why)));
    }
}
