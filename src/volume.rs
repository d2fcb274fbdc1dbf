//! Computes the hypervolume of a study's trials and how it grew. The hypervolume is the share of a box that
//! the trials dominate. The box lies between a reference point and the best value of each objective. The
//! screen, the report and `kiln compare` show these numbers.

mod estimate;
mod staircase;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use kiln_search::pareto::{Archive, dominates};
use kiln_search::{Constraint, Fidelity, Trial};

use self::staircase::Staircase;

/// Margin beyond the worst value of an objective without a limit, relative to the range of its values.
const MARGIN: f64 = 0.1;
/// Maximum number of points in a curve with three or more objectives. The volume at each of these points is
/// computed from scratch.
const STEPS: usize = 200;
/// Minimum number of points in such a curve. If computing even these would take too long, all volumes are
/// estimated.
const STEPS_MIN: usize = 8;
/// Maximum total number of front points to process for a curve's exact volumes. Processing this many points
/// takes a few seconds.
const EFFORT_MAX: f64 = 2e7;
/// Maximum effort, counted as for `EFFORT_MAX`, of the exact volume of one front. This takes about a tenth of
/// a second.
const EFFORT_ONE: f64 = 4e5;
/// While trials arrive, a curve with three or more objectives is recomputed only when the fraction of new
/// points exceeds `1 / LAG`.
const LAG: usize = 50;

/// Returns the smallest limit on each objective. `None` marks an objective without a limit.
pub(crate) fn limits(objectives: &[String], constraints: &[Constraint]) -> Vec<Option<f64>> {
    let of = |objective: &String| {
        let limits = constraints.iter().filter(|limit| limit.cost == *objective).map(|limit| limit.max);
        limits.min_by(f64::total_cmp)
    };
    objectives.iter().map(of).collect()
}

/// Pairs of the number of trials after which the volume changed, and the dominated percentage of the box.
pub(crate) type Curve = Vec<(usize, f64)>;

/// The trials of one study that contribute to the hypervolume: measured, feasible, and of the highest
/// fidelity.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    limits: Vec<Option<f64>>,
    /// The highest fidelity so far.
    fidelity: Option<Fidelity>,
    /// Smallest and largest value of each objective.
    ranges: Vec<(f64, f64)>,
    /// Points that no earlier trial dominated, each with the number of trials when it was added.
    entered: Vec<(usize, Vec<f64>)>,
    archive: Archive<usize>,
    /// Indices into `entered` of the points that no trial dominates.
    front: BTreeSet<usize>,
    /// Scale and growth of the hypervolume, computed from this study only. They are computed on demand.
    own: OnceLock<(Option<Scale>, Growth)>,
    /// Length of `entered` when `own` was last discarded.
    counted: usize,
}

/// How a hypervolume grew, and how precise its values are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Growth {
    pub(crate) curve: Curve,
    /// Number of changes of the front that the curve omits between two points.
    pub(crate) left_out: usize,
    /// Largest standard error of the estimates, in percent of the box. `None` if the volumes are exact.
    pub(crate) standard_error: Option<f64>,
}

impl Growth {
    /// Returns a note for the user if some values are estimated or omitted.
    pub(crate) fn remark(&self) -> Option<String> {
        match (self.standard_error, self.left_out) {
            (Some(error), _) => {
                let points = estimate::SAMPLES;
                Some(format!(
                    "estimated by {points} points of the box, with a standard error of at most {error:.2} %"
                ))
            }
            (None, 0) => None,
            (None, left_out) => Some(format!("exact at one in {} changes of the front", left_out + 1)),
        }
    }
}

/// Equality compares the trials only, because all other fields are derived from them.
impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        let parts = |volume: &Self| (volume.limits.clone(), volume.fidelity, volume.ranges.clone());
        parts(self) == parts(other) && self.entered == other.entered && self.front == other.front
    }
}

impl Volume {
    /// Creates an empty volume with these limits on the objectives.
    pub(crate) fn new(limits: Vec<Option<f64>>) -> Self {
        Self {
            ranges: nothing(limits.len()),
            limits,
            fidelity: None,
            entered: Vec::new(),
            archive: Archive::default(),
            front: BTreeSet::new(),
            own: OnceLock::new(),
            counted: 0,
        }
    }

    /// Creates the volume of these trials, added in this order.
    pub(crate) fn of<'a>(limits: Vec<Option<f64>>, trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut volume = Self::new(limits);
        trials.into_iter().zip(1..).for_each(|(trial, number)| volume.add(number, trial));
        volume.settle();
        volume
    }

    /// Removes all trials.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(std::mem::take(&mut self.limits));
    }

    /// Adds trial `number`, counted from 1.
    pub(crate) fn add(&mut self, number: usize, trial: &Trial) {
        let (values, fidelity) = (&trial.objectives.0, Some(trial.proposal.fidelity));
        if values.is_empty() || values.len() != self.limits.len() || trial.violation > 0.0 {
            return;
        }
        if fidelity < self.fidelity {
            return;
        }
        if fidelity > self.fidelity {
            *self = Self { fidelity, ..Self::new(std::mem::take(&mut self.limits)) };
        }
        see(&mut self.ranges, values);
        let place = self.entered.len();
        if let Some(beaten) = self.archive.insert(place, values) {
            for place in beaten {
                self.front.remove(&place);
            }
            self.front.insert(place);
            self.entered.push((number, values.clone()));
        }
        // With two objectives, recomputing takes milliseconds.
        if values.len() <= 2 || self.entered.len() - self.counted > self.counted / LAG {
            self.settle();
        }
    }

    /// Discards the cached curve and scale. The next call recomputes them from all trials. Without this call,
    /// they may omit the latest trials.
    pub(crate) fn settle(&mut self) {
        self.own = OnceLock::new();
        self.counted = self.entered.len();
    }

    /// Returns the fidelity of the trials that contribute to the hypervolume.
    pub(crate) const fn fidelity(&self) -> Option<Fidelity> {
        self.fidelity
    }

    /// Returns the scale computed from this study only. Returns `None` if no trial contributes.
    pub(crate) fn scale(&self) -> Option<&Scale> {
        self.measured().0.as_ref()
    }

    /// Returns the percentage of the box that the trials dominate now. This takes far less time than a curve.
    /// Returns `None` if no trial contributes or if the box has no volume.
    pub(crate) fn share(&self) -> Option<f64> {
        let Scale { reference, best, whole } = Scale::new(&self.limits, std::iter::once(self))?;
        let front: Vec<&[f64]> = self.front().map(Vec::as_slice).collect();
        let objectives = reference.len();
        let effort = (front.len() as f64).powi(objectives as i32 - 1);
        let share = match reference.as_slice() {
            _ if !(whole.is_finite() && whole > 0.0) => return None,
            [] => return None,
            [at] => front.first().map_or(0.0, |values| at - values[0]) / whole,
            [_, _] => {
                let mut staircase = Staircase::new([reference[0], reference[1]]);
                for values in front {
                    staircase.insert([values[0], values[1]]);
                }
                staircase.area() / whole
            }
            reference if effort <= EFFORT_ONE => staircase::volume(&front, reference) / whole,
            reference => {
                let points = front.into_iter().map(|values| (0, values));
                estimate::growth(points, reference, &best).0.last().map_or(0.0, |(_, share)| *share)
            }
        };
        Some((100.0 * share).min(100.0))
    }

    /// Returns the curve computed from this study only.
    pub(crate) fn curve(&self) -> &[(usize, f64)] {
        &self.growth().curve
    }

    /// Returns the curve computed from this study only, with its precision.
    pub(crate) fn growth(&self) -> &Growth {
        &self.measured().1
    }

    fn measured(&self) -> &(Option<Scale>, Growth) {
        self.own.get_or_init(|| {
            let scale = Scale::new(&self.limits, std::iter::once(self));
            let growth = scale.as_ref().map(|scale| self.growth_on(scale)).unwrap_or_default();
            (scale, growth)
        })
    }

    fn front(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.front.iter().map(|place| &self.entered[*place].1)
    }

    /// Returns the growth of the volume on this scale. The growth is empty if the box has no volume. With
    /// more than two objectives, the curve omits some changes, but never the last change. If even a few exact
    /// volumes would take minutes, all volumes are estimated.
    pub(crate) fn growth_on(&self, scale: &Scale) -> Growth {
        let Scale { reference, whole, .. } = scale;
        if !(whole.is_finite() && *whole > 0.0) {
            return Growth::default();
        }
        let percent = |volume: f64| (100.0 * volume / whole).min(100.0);
        let (mut curve, mut left_out) = (Vec::new(), 0);
        match reference.as_slice() {
            [] => {}
            [_] | [_, _] => {
                // With a single objective, the volume is the width of a strip.
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
                // The last bits of a sum depend on the order of its terms. `area` always sums from left to
                // right, so the final value does not depend on the order of the trials.
                if let Some((_, last)) = curve.last_mut() {
                    *last = percent(staircase.area());
                }
            }
            several => {
                let count = self.entered.len();
                let each = (self.largest_front() as f64).powi(several.len() as i32 - 2).max(1.0);
                let affordable = (EFFORT_MAX / each) as usize;
                if affordable < STEPS_MIN.min(count) {
                    return self.estimated_on(scale);
                }
                let steps = affordable.min(STEPS);
                left_out = count.div_ceil(steps).max(1) - 1;
                let mut front: Vec<&[f64]> = Vec::new();
                let mut before = 0.0;
                for (index, (number, values)) in self.entered.iter().enumerate() {
                    front.retain(|member| !dominates(values, member));
                    front.push(values);
                    // Steps are spread evenly over all changes. The last change is always a step.
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
        Growth { curve, left_out, standard_error: None }
    }

    /// Returns the largest number of points that the front ever had.
    fn largest_front(&self) -> usize {
        let mut archive = Archive::default();
        let (mut size, mut largest) = (0_usize, 0);
        for (_, values) in &self.entered {
            let beaten = archive.insert((), values).map_or(0, |beaten| beaten.len());
            size = size + 1 - beaten;
            largest = largest.max(size);
        }
        largest
    }

    /// Estimates the curve from the share of random points in the box that the trials dominate.
    fn estimated_on(&self, scale: &Scale) -> Growth {
        let points = self.entered.iter().map(|(number, values)| (*number, values.as_slice()));
        let (shares, error) = estimate::growth(points, &scale.reference, &scale.best);
        let every = shares.len().div_ceil(STEPS).max(1);
        let last = shares.len().saturating_sub(1);
        let kept =
            shares.into_iter().enumerate().filter(|(place, _)| place.is_multiple_of(every) || *place == last);
        let curve = kept.map(|(_, (number, share))| (number, 100.0 * share)).collect();
        Growth { curve, left_out: every - 1, standard_error: Some(100.0 * error) }
    }
}

/// The box in which the volume is measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    /// The coordinates of the reference point, one for each objective.
    pub(crate) reference: Vec<f64>,
    /// The best value of each objective.
    best: Vec<f64>,
    /// Volume of the whole box.
    whole: f64,
}

impl Scale {
    /// Returns the common scale of studies with these limits. If an objective has a limit, the reference
    /// point is at the limit. Otherwise, the reference point is at the worst value on the fronts plus a tenth
    /// of the fronts' range. If all values on the fronts are equal, the range of all contributing trials is
    /// used instead. Returns `None` if no trial contributes.
    pub(crate) fn new<'a>(limits: &[Option<f64>], studies: impl Iterator<Item = &'a Volume>) -> Option<Self> {
        let (mut fronts, mut all) = (nothing(limits.len()), nothing(limits.len()));
        for study in studies.filter(|study| !study.front.is_empty()) {
            study.front().for_each(|point| see(&mut fronts, point));
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
        let best: Vec<f64> = fronts.iter().map(|(best, _)| *best).collect();
        let whole = reference.iter().zip(&best).map(|(reference, best)| reference - best).product();
        Some(Self { reference, best, whole })
    }
}

/// Returns an empty range for each objective.
fn nothing(objectives: usize) -> Vec<(f64, f64)> {
    vec![(f64::INFINITY, f64::NEG_INFINITY); objectives]
}

/// Extends the ranges by a point's values.
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

    /// A trial with an error in percent and a latency. `None` makes a failed trial.
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
    fn curve_matches_hand_computation() {
        let values = [Some((4.0, 4.0)), None, Some((2.0, 6.0)), Some((5.0, 5.0)), Some((3.0, 2.0))];
        let volume = Volume::of(vec![Some(10.0); 2], &trials(&values));
        // The box is 8 by 8: from (10, 10) to (2, 2).
        assert_curve(volume.curve(), &[(1, 56.25), (3, 68.75), (5, 93.75)]);
        assert_eq!(volume.scale().unwrap().reference, [10.0, 10.0]);
        let failed = Volume::of(vec![Some(10.0); 2], &trials(&[None]));
        assert_eq!((failed.scale(), failed.curve()), (None, &[][..]));
    }

    #[test]
    fn share_is_the_last_value_of_the_curve() {
        let mut volume = Volume::new(vec![None, Some(10.0)]);
        assert_eq!(volume.share(), None);
        for (number, trial) in
            (1..).zip(trials(&[Some((4.0, 4.0)), Some((2.0, 6.0)), None, Some((3.0, 2.0))]))
        {
            volume.add(number, &trial);
            volume.settle();
            let last = volume.curve().last().map(|(_, share)| *share);
            assert!((volume.share().unwrap() - last.unwrap()).abs() < 1e-9, "after {number} trials");
        }
        let front = front_of(60, 3);
        let volume = Volume::of(vec![None; 3], &front);
        assert!((volume.share().unwrap() - volume.curve().last().unwrap().1).abs() < 1e-9);
    }

    #[test]
    fn reference_point_is_limit_or_worst_front_value_plus_margin() {
        let constraints = [Constraint::new("latency_us", 400.0), Constraint::new("latency_us", 500.0)];
        let limits = limits(&objectives(), &constraints);
        assert_eq!(limits, [None, Some(400.0)]);
        // The last trial is dominated, so its error does not count for the front.
        let values = [Some((1.0, 300.0)), Some((3.0, 200.0)), Some((9.0, 300.0))];
        let reference = |values: &[Option<(f64, f64)>]| {
            Volume::of(limits.clone(), &trials(values)).scale().unwrap().reference.clone()
        };
        let found = reference(&values);
        assert!((found[0] - 3.2).abs() < 1e-12 && (found[1] - 400.0).abs() < 1e-12, "{found:?}");
        // The front has one network, so the range of all trials is used.
        let found = reference(&[Some((1.0, 200.0)), Some((9.0, 300.0))]);
        assert!((found[0] - 9.8).abs() < 1e-12, "{found:?}");
        let found = reference(&values[..1]);
        assert!((found[0] - 1.1).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn only_feasible_trials_of_highest_fidelity_count() {
        let mut all = trials(&[Some((1.0, 1.0)), Some((6.0, 2.0)), Some((0.5, 0.5)), None, Some((2.0, 6.0))]);
        all[0].proposal.fidelity = Fidelity::Epochs(3);
        all[2].violation = 0.1;
        let volume = Volume::of(vec![Some(10.0); 2], &all);
        assert_eq!(volume.fidelity(), Some(Fidelity::Full));
        assert_curve(volume.curve(), &[(2, 50.0), (5, 75.0)]);
        // The final value has the same bits for every order of the trials.
        let other = Volume::of(vec![Some(10.0); 2], all.iter().rev());
        assert_eq!(volume.scale(), other.scale());
        assert_eq!(volume.curve().last().unwrap().1.to_bits(), other.curve().last().unwrap().1.to_bits());
    }

    #[test]
    fn curve_exists_for_one_and_three_objectives() {
        let with = |values: &[&[f64]]| {
            let mut all = trials(&vec![Some((1.0, 1.0)); values.len()]);
            for (trial, values) in all.iter_mut().zip(values) {
                trial.objectives = Objectives(values.to_vec());
            }
            Volume::of(vec![None; values[0].len()], &all)
        };
        // The reference point is at 5.3, and the best value is 2.
        let one = with(&[&[5.0], &[2.0], &[3.0]]);
        assert_curve(one.curve(), &[(1, 100.0 * 0.3 / 3.3), (2, 100.0)]);
        let three = with(&[&[1.0, 1.0, 2.0], &[2.0, 2.0, 1.0], &[3.0, 3.0, 3.0]]);
        // The reference point is at 2.1 and the best value is 1 in each objective, so each side of the box is
        // 1.1 long.
        let whole = 1.1_f64.powi(3);
        let first = 1.1 * 1.1 * 0.1;
        assert_curve(three.curve(), &[(1, 100.0 * first / whole), (2, 100.0 * (first + 0.1 * 0.1) / whole)]);
    }

    /// Trials that do not dominate each other. Their points lie on a plane.
    fn front_of(count: usize, dimensions: usize) -> Vec<Trial> {
        let mut all = trials(&vec![Some((1.0, 1.0)); count]);
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            0.05 + (state >> 40) as f64 / f64::from(1 << 24)
        };
        for (id, trial) in all.iter_mut().enumerate() {
            let values: Vec<f64> = (0..dimensions).map(|_| draw()).collect();
            let sum: f64 = values.iter().sum();
            trial.id = id as TrialId;
            trial.objectives = Objectives(values.iter().map(|value| value / sum).collect());
        }
        all
    }

    #[test]
    fn front_of_thousands_is_computed_in_seconds() {
        let began = std::time::Instant::now();
        for (count, dimensions) in [(20_000, 2), (4000, 3), (1000, 4), (1000, 6)] {
            let volume = Volume::of(vec![Some(1.0); dimensions], &front_of(count, dimensions));
            let growth = volume.growth();
            // The last network may increase the volume by less than the resolution of the estimate.
            assert!(growth.curve.last().unwrap().0 == count || dimensions > 4, "{dimensions}");
            assert_eq!(growth.standard_error.is_some(), dimensions > 4, "{dimensions}");
            assert_eq!(growth.remark().is_some(), dimensions > 2, "{dimensions}");
        }
        // The computation takes seconds on an idle machine. Recomputing the volume for every trial would take
        // minutes to hours.
        assert!(began.elapsed().as_secs() < 90, "{:?}", began.elapsed());
    }

    #[test]
    fn expensive_volume_is_estimated_within_its_error() {
        // Two more objectives with equal values in all trials leave the share unchanged.
        let mut all = front_of(300, 4);
        for trial in &mut all {
            trial.objectives.0.extend([0.5, 0.25]);
        }
        let exact = Volume::of(vec![Some(1.0); 4], &front_of(300, 4));
        assert_eq!(exact.growth().standard_error, None);
        let estimated = Volume::of(vec![Some(1.0); 6], &all);
        let error = estimated.growth().standard_error.expect("300 points of six objectives take minutes");
        let ends = [exact.curve(), estimated.curve()].map(|curve| curve.last().unwrap().1);
        assert!((ends[0] - ends[1]).abs() < 5.0 * error, "{ends:?} +- {error}");
        assert!(estimated.curve().is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let remark = estimated.growth().remark().unwrap();
        assert!(
            remark.starts_with("estimated by 65536 points of the box, with a standard error of"),
            "{remark}"
        );
    }

    #[test]
    fn curve_lags_while_trials_arrive_and_catches_up() {
        let all = front_of(400, 3);
        let mut volume = Volume::new(vec![Some(1.0); 3]);
        for (number, trial) in all.iter().enumerate() {
            volume.add(number + 1, trial);
            let last = volume.curve().last().unwrap().0;
            assert!(last + last / 25 + 1 > number, "{last} of {number}");
        }
        volume.settle();
        assert_eq!(volume.growth(), Volume::of(vec![Some(1.0); 3], &all).growth());
    }

    #[test]
    fn thinned_curve_keeps_last_value() {
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
