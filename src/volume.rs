//! How much of the space of objectives the trials of a study dominate, and how that grew: the share of the box between a
//! reference point and the best value of each objective. The screen, the report and `kiln compare` show these numbers.

mod staircase;

use std::sync::OnceLock;

use kiln_search::pareto::dominates;
use kiln_search::{Constraint, Fidelity, Trial};

use self::staircase::Staircase;

/// Room behind the worst value where nothing limits an objective, relative to the range of values.
const MARGIN: f64 = 0.1;
/// Most points of a curve in three objectives, and in four: each of them is computed anew.
const STEPS: [usize; 2] = [200, 20];

/// The smallest limit on each objective; `None` for one that has none.
pub(crate) fn limits(objectives: &[String], constraints: &[Constraint]) -> Vec<Option<f64>> {
    let of = |objective: &String| {
        let limits = constraints.iter().filter(|limit| limit.cost == *objective).map(|limit| limit.max);
        limits.min_by(f64::total_cmp)
    };
    objectives.iter().map(of).collect()
}

/// The number of trials after which the volume was another one, and the percentage of the box that was dominated then.
pub(crate) type Curve = Vec<(usize, f64)>;

/// The trials of one study that count: measured, feasible, at the highest fidelity among them.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    limits: Vec<Option<f64>>,
    /// The highest fidelity so far.
    fidelity: Option<Fidelity>,
    /// Smallest and largest value of each objective.
    ranges: Vec<(f64, f64)>,
    /// What no trial before it dominated, with the number of trials then.
    entered: Vec<(usize, Vec<f64>)>,
    /// What no trial dominates.
    front: Vec<Vec<f64>>,
    /// On the scale of this study alone.
    own: OnceLock<(Option<Scale>, Curve)>,
}

/// What follows from the rest does not count.
impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        let parts = |volume: &Self| (volume.limits.clone(), volume.fidelity, volume.ranges.clone());
        parts(self) == parts(other) && self.entered == other.entered && self.front == other.front
    }
}

impl Volume {
    /// Nothing yet, with these limits on the objectives.
    pub(crate) fn new(limits: Vec<Option<f64>>) -> Self {
        Self {
            ranges: nothing(limits.len()),
            limits,
            fidelity: None,
            entered: Vec::new(),
            front: Vec::new(),
            own: OnceLock::new(),
        }
    }

    /// That of these trials, in this order.
    pub(crate) fn of<'a>(limits: Vec<Option<f64>>, trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut volume = Self::new(limits);
        trials.into_iter().zip(1..).for_each(|(trial, number)| volume.add(number, trial));
        volume
    }

    /// Forgets all trials.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(std::mem::take(&mut self.limits));
    }

    /// Takes in trial number `number`, counted from 1.
    pub(crate) fn add(&mut self, number: usize, trial: &Trial) {
        let (values, fidelity) = (&trial.objectives.0, Some(trial.proposal.fidelity));
        if values.is_empty() || values.len() != self.limits.len() || trial.violation > 0.0 {
            return;
        }
        if fidelity < self.fidelity {
            return;
        }
        self.own = OnceLock::new();
        if fidelity > self.fidelity {
            *self = Self { fidelity, ..Self::new(std::mem::take(&mut self.limits)) };
        }
        see(&mut self.ranges, values);
        if self.front.iter().any(|member| member == values || dominates(member, values)) {
            return;
        }
        self.front.retain(|member| !dominates(values, member));
        self.front.push(values.clone());
        self.entered.push((number, values.clone()));
    }

    /// The fidelity of the trials that count.
    pub(crate) const fn fidelity(&self) -> Option<Fidelity> {
        self.fidelity
    }

    /// The scale of this study alone; `None` while no trial counts.
    pub(crate) fn scale(&self) -> Option<&Scale> {
        self.measured().0.as_ref()
    }

    /// The curve of this study alone.
    pub(crate) fn curve(&self) -> &[(usize, f64)] {
        &self.measured().1
    }

    fn measured(&self) -> &(Option<Scale>, Curve) {
        self.own.get_or_init(|| {
            let scale = Scale::new(&self.limits, std::iter::once(self));
            let curve = scale.as_ref().map(|scale| self.curve_on(scale)).unwrap_or_default();
            (scale, curve)
        })
    }

    /// How the volume grew. Empty while the box is. In more than two objectives not every change is there, but the last is.
    pub(crate) fn curve_on(&self, scale: &Scale) -> Curve {
        let Scale { reference, whole } = scale;
        if !(whole.is_finite() && *whole > 0.0) {
            return Vec::new();
        }
        let percent = |volume: f64| (100.0 * volume / whole).min(100.0);
        let mut curve = Vec::new();
        match reference.as_slice() {
            [] => {}
            [_] | [_, _] => {
                // A single objective is the width of a strip.
                let flat = |values: &[f64], other: f64| [values[0], values.get(1).copied().unwrap_or(other)];
                let mut staircase = Staircase::new(flat(reference, 1.0));
                let mut area = 0.0;
                for (number, values) in &self.entered {
                    let gain = staircase.insert(flat(values, 0.0));
                    if gain > 0.0 {
                        area += gain;
                        curve.push((*number, percent(area)));
                    }
                }
                // The sum of the gains depends on their order in its last bits.
                if let Some((_, last)) = curve.last_mut() {
                    *last = percent(staircase.area());
                }
            }
            several => {
                let steps = STEPS[usize::from(several.len() > 3)];
                let (mut front, count): (Vec<&[f64]>, _) = (Vec::new(), self.entered.len());
                let mut before = 0.0;
                for (index, (number, values)) in self.entered.iter().enumerate() {
                    front.retain(|member| !dominates(values, member));
                    front.push(values);
                    // Evenly among all changes, the last one in any case.
                    if (index + 1) * steps / count == index * steps / count && count > steps {
                        continue;
                    }
                    let now = percent(staircase::volume(&front, reference));
                    if now > before {
                        curve.push((*number, now));
                        before = now;
                    }
                }
            }
        }
        curve
    }
}

/// From where volume is measured, and what all of it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    /// The reference point, in the order of the objectives.
    pub(crate) reference: Vec<f64>,
    /// Volume of the box between the reference point and the best value of each objective.
    whole: f64,
}

impl Scale {
    /// The scale of studies with these limits. The reference point is the limit of an objective that has one. For others it is
    /// the worst value on the fronts and a tenth of their range; where the fronts have a single value, the trials that count
    /// stand in for them. `None` where no trial counts.
    pub(crate) fn new<'a>(limits: &[Option<f64>], studies: impl Iterator<Item = &'a Volume>) -> Option<Self> {
        let (mut fronts, mut all) = (nothing(limits.len()), nothing(limits.len()));
        for study in studies.filter(|study| !study.front.is_empty()) {
            study.front.iter().for_each(|point| see(&mut fronts, point));
            for end in [|range: &(f64, f64)| range.0, |range: &(f64, f64)| range.1] {
                see(&mut all, &study.ranges.iter().map(end).collect::<Vec<f64>>());
            }
        }
        let reference = limits.iter().zip(fronts.iter().zip(&all)).map(|(limit, (front, all))| {
            let (low, high) = if front.1 > front.0 { front } else { all };
            let room =
                if high > low { MARGIN * (high - low) } else { (high.abs() * MARGIN).max(f64::EPSILON) };
            (low <= high).then(|| limit.unwrap_or(high + room))
        });
        let reference: Vec<f64> = reference.collect::<Option<_>>()?;
        let whole = reference.iter().zip(&fronts).map(|(reference, (best, _))| reference - best).product();
        Some(Self { reference, whole })
    }
}

/// The ranges of no values.
fn nothing(objectives: usize) -> Vec<(f64, f64)> {
    vec![(f64::INFINITY, f64::NEG_INFINITY); objectives]
}

/// Widens ranges by the values of a point.
fn see(ranges: &mut [(f64, f64)], values: &[f64]) {
    for ((low, high), value) in ranges.iter_mut().zip(values) {
        (*low, *high) = (low.min(*value), high.max(*value));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kiln_search::hypervolume::hypervolume;
    use kiln_search::{Costs, FailureKind, Measurement, Objectives, Origin, Outcome, Proposal, TrialId};
    use kiln_space::Genotype;

    use super::*;

    /// A trial with an error in percent and a latency; failed without them.
    pub(crate) fn trial(id: TrialId, values: Option<(f64, f64)>, operator: &str) -> Trial {
        let origin = Origin { operator: operator.to_owned(), ..Origin::default() };
        let proposal = Proposal { genotype: Genotype::new([id as u8]), fidelity: Fidelity::Full, origin };
        let costs = [("latency_us".to_owned(), values.map_or(1.0, |(_, latency)| latency))];
        let (outcome, objectives) = match values {
            Some((error, latency)) => (
                Outcome::Measured(Measurement::new([("error_percent".to_owned(), error)].into()).unwrap()),
                vec![error, latency],
            ),
            None => (
                Outcome::Failed { kind: FailureKind::Diverged, reason: "loss is NaN <b>".to_owned() },
                Vec::new(),
            ),
        };
        let objectives = Objectives(objectives);
        Trial { id, proposal, outcome, costs: Costs(costs.into()), objectives, violation: 0.0 }
    }

    pub(crate) fn objectives() -> Vec<String> {
        vec!["error_percent".to_owned(), "latency_us".to_owned()]
    }

    fn trials(values: &[Option<(f64, f64)>]) -> Vec<Trial> {
        values.iter().enumerate().map(|(id, values)| trial(id as TrialId, *values, "")).collect()
    }

    #[track_caller]
    fn assert_curve(found: &[(usize, f64)], expected: &[(usize, f64)]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((at, share), (expected_at, expected)) in found.iter().zip(expected) {
            assert_eq!(at, expected_at);
            assert!((share - expected).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn a_curve_by_hand() {
        let values = [Some((4.0, 4.0)), None, Some((2.0, 6.0)), Some((5.0, 5.0)), Some((3.0, 2.0))];
        let volume = Volume::of(vec![Some(10.0); 2], &trials(&values));
        // The box is 8 by 8, from (10, 10) to (2, 2).
        assert_curve(volume.curve(), &[(1, 56.25), (3, 68.75), (5, 93.75)]);
        assert_eq!(volume.scale().unwrap().reference, [10.0, 10.0]);
        let failed = Volume::of(vec![Some(10.0); 2], &trials(&[None]));
        assert_eq!((failed.scale(), failed.curve()), (None, &[][..]));
    }

    #[test]
    fn the_reference_is_the_limit_or_else_the_worst_of_the_front_with_some_room() {
        let constraints = [Constraint::new("latency_us", 400.0), Constraint::new("latency_us", 500.0)];
        let limits = limits(&objectives(), &constraints);
        assert_eq!(limits, [None, Some(400.0)]);
        // The last one is dominated; its error is not one of the front.
        let values = [Some((1.0, 300.0)), Some((3.0, 200.0)), Some((9.0, 300.0))];
        let reference = |values: &[Option<(f64, f64)>]| {
            Volume::of(limits.clone(), &trials(values)).scale().unwrap().reference.clone()
        };
        let found = reference(&values);
        assert!((found[0] - 3.2).abs() < 1e-12 && (found[1] - 400.0).abs() < 1e-12, "{found:?}");
        // A front of one network: the range is that of all trials.
        let found = reference(&[Some((1.0, 200.0)), Some((9.0, 300.0))]);
        assert!((found[0] - 9.8).abs() < 1e-12, "{found:?}");
        let found = reference(&values[..1]);
        assert!((found[0] - 1.1).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn only_feasible_trials_of_the_highest_fidelity_count() {
        let mut all = trials(&[Some((1.0, 1.0)), Some((6.0, 2.0)), Some((0.5, 0.5)), None, Some((2.0, 6.0))]);
        all[0].proposal.fidelity = Fidelity::Epochs(3);
        all[2].violation = 0.1;
        let volume = Volume::of(vec![Some(10.0); 2], &all);
        assert_eq!(volume.fidelity(), Some(Fidelity::Full));
        assert_curve(volume.curve(), &[(2, 50.0), (5, 75.0)]);
        // Whatever the order, the end is the same to the last bit.
        let other = Volume::of(vec![Some(10.0); 2], all.iter().rev());
        assert_eq!(volume.scale(), other.scale());
        assert_eq!(volume.curve().last().unwrap().1.to_bits(), other.curve().last().unwrap().1.to_bits());
    }

    #[test]
    fn one_objective_and_three_have_a_curve_too() {
        let with = |values: &[&[f64]]| {
            let mut all = trials(&vec![Some((1.0, 1.0)); values.len()]);
            for (trial, values) in all.iter_mut().zip(values) {
                trial.objectives = Objectives(values.to_vec());
            }
            Volume::of(vec![None; values[0].len()], &all)
        };
        // From 5.3 down to 2.
        let one = with(&[&[5.0], &[2.0], &[3.0]]);
        assert_curve(one.curve(), &[(1, 100.0 * 0.3 / 3.3), (2, 100.0)]);
        let three = with(&[&[1.0, 1.0, 2.0], &[2.0, 2.0, 1.0], &[3.0, 3.0, 3.0]]);
        // Both first objectives reach to 2.1, the last one too: a box with sides of 1.1.
        let whole = 1.1_f64.powi(3);
        let first = 1.1 * 1.1 * 0.1;
        assert_curve(three.curve(), &[(1, 100.0 * first / whole), (2, 100.0 * (first + 0.1 * 0.1) / whole)]);
    }

    #[test]
    fn a_long_curve_in_three_objectives_keeps_its_end() {
        let mut all = trials(&vec![Some((1.0, 1.0)); 900]);
        for (index, trial) in all.iter_mut().enumerate() {
            let x = index as f64;
            trial.objectives = Objectives(vec![x, 900.0 - x, (x - 450.0).abs()]);
        }
        let volume = Volume::of(vec![None; 3], &all);
        let curve = volume.curve();
        assert!(curve.len() <= 200 && curve.last().unwrap().0 == 900, "{}", curve.len());
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        let front: Vec<&[f64]> = all.iter().map(|trial| trial.objectives.0.as_slice()).collect();
        let scale = volume.scale().unwrap();
        let expected = 100.0 * hypervolume(&front, &scale.reference) / scale.whole;
        assert!((curve.last().unwrap().1 - expected).abs() < 1e-9 * expected);
    }
}
