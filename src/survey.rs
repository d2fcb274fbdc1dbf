//! Samples a search space before a study starts. The sample shows the space's size, its feasible share, and
//! the costs of its networks.

use std::collections::BTreeMap;

use kiln_search::{Constraint, CostError, CostSet, Domain, StudyError, seed};
use kiln_space::{Architecture, SearchSpace, size, variation};
use num_bigint::BigUint;

/// Number of genotypes to draw.
const SAMPLES: usize = 1000;

/// Statistics of a sample.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Number of decisions in the space.
    pub decisions: usize,
    /// Exact number of genotypes in the space.
    pub genotypes: BigUint,
    /// Number of genotypes drawn.
    pub samples: usize,
    /// Number of drawn genotypes that meet all constraints.
    pub feasible: usize,
    /// Spread of each cost over the sample.
    pub costs: BTreeMap<String, Spread>,
    /// Why the costs of a drawn genotype could not be computed. If this happened repeatedly, the first reason
    /// is kept.
    pub without_costs: Option<CostError>,
    /// The feasible network with the median number of multiply-accumulates. If no drawn network is feasible,
    /// the median is over all drawn networks.
    pub typical: Option<Architecture>,
    /// The drawn network with the fewest multiply-accumulates.
    pub smallest: Option<Architecture>,
}

/// Smallest, median and largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Smallest.
    pub smallest: f64,
    /// Median.
    pub median: f64,
    /// Largest.
    pub largest: f64,
}

impl Survey {
    /// Draws genotypes uniformly. The random generator is derived from the study's seed.
    #[must_use]
    pub fn new(
        space: &dyn SearchSpace,
        costs: &CostSet,
        constraints: &[Constraint],
        study_seed: u64,
    ) -> Self {
        let mut rng = seed::generator(study_seed, "survey", &[]);
        let domain = Domain::new(space, costs, constraints, &[]);
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut networks = Vec::new();
        let mut without_costs = None;
        for _ in 0..SAMPLES {
            let genotype = variation::sample(space, &mut rng);
            match domain.costs(&genotype) {
                Ok(costs) => {
                    for (name, value) in &costs.0 {
                        values.entry(name.clone()).or_default().push(*value);
                    }
                    if let Ok(architecture) = space.decode(&genotype) {
                        networks.push((domain.is_feasible(&genotype), architecture));
                    }
                }
                Err(error) => drop(without_costs.get_or_insert(error)),
            }
        }
        let feasible = networks.iter().filter(|(feasible, _)| *feasible).count();
        let smallest =
            networks.iter().map(|(_, network)| network).min_by_key(|network| network.counts().macs);
        Self {
            decisions: space.decisions().len(),
            genotypes: size::count(space),
            samples: SAMPLES,
            feasible,
            costs: values
                .into_iter()
                .filter_map(|(name, values)| Some((name, Spread::of(values)?)))
                .collect(),
            without_costs,
            smallest: smallest.cloned(),
            typical: median_network(networks, feasible > 0),
        }
    }

    /// Returns the share of the sample that meets all constraints, in percent.
    #[must_use]
    pub fn feasible_percent(&self) -> f64 {
        100.0 * self.feasible as f64 / self.samples as f64
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self { smallest: *values.first()?, median: values[values.len() / 2], largest: *values.last()? })
    }
}

fn median_network(networks: Vec<(bool, Architecture)>, only_feasible: bool) -> Option<Architecture> {
    let eligible = networks.into_iter().filter(|(feasible, _)| *feasible || !only_feasible);
    let mut eligible: Vec<Architecture> = eligible.map(|(_, network)| network).collect();
    eligible.sort_by_key(|network| network.counts().macs);
    let middle = eligible.len() / 2;
    (!eligible.is_empty()).then(|| eligible.swap_remove(middle))
}

/// Searches for one architecture that meets the constraints, in the same way as strategies do.
///
/// # Errors
/// [`StudyError::NothingFeasible`] with the rejection rate and the smallest value of each constrained cost.
pub fn find_feasible(
    space: &dyn SearchSpace,
    costs: &CostSet,
    constraints: &[Constraint],
    study_seed: u64,
) -> Result<(), StudyError> {
    let mut rng = seed::generator(study_seed, "feasible", &[]);
    let domain = Domain::new(space, costs, constraints, &[]);
    if domain.sample(&mut rng).is_some() {
        return Ok(());
    }
    let limits = constraints.iter().map(|constraint| (constraint.cost.clone(), constraint.max)).collect();
    Err(StudyError::NothingFeasible { rejections: Box::new(domain.rejections()), limits })
}

#[cfg(test)]
mod tests {
    use kiln_space::spaces::NasBench201;

    use super::*;

    fn survey(macs_max: f64) -> Survey {
        let constraints = [Constraint::new("macs", macs_max)];
        Survey::new(&NasBench201::default(), &CostSet::default(), &constraints, 1)
    }

    #[test]
    fn survey_reports_size_costs_and_feasible_share() {
        // Each of six edges has one of five operations: 7,783,040 + 3,932,160 n(1x1) + 35,389,440 n(3x3).
        let survey = survey(7_783_040.0);
        assert_eq!(survey.genotypes, BigUint::from(15_625_u32));
        let macs = survey.costs["macs"];
        assert!((macs.smallest - 7_783_040.0).abs() < 0.5, "{macs:?}");
        assert!(macs.largest <= 7_783_040.0 + 6.0 * 35_389_440.0);
        // Only cells without convolutions are feasible: (3/5)^6 = 4.7 %. Four standard deviations of the
        // sampled share are 2.7 percentage points.
        assert!((survey.feasible_percent() - 4.7).abs() < 2.7, "{}", survey.feasible_percent());
        assert_eq!(survey.typical.unwrap().counts().macs, 7_783_040);
    }

    #[test]
    fn unreachable_limit_is_refused_with_smallest_value_seen() {
        let space = NasBench201::default();
        let constraints = [Constraint::new("macs", 1000.0)];
        let error = find_feasible(&space, &CostSet::default(), &constraints, 1).unwrap_err().to_string();
        assert!(error.contains("100.0 % of"), "{error}");
        assert!(error.contains("the smallest `macs` seen is 7783040, the limit 1000"), "{error}");
        let constraints = [Constraint::new("macs", 7_783_040.0)];
        find_feasible(&space, &CostSet::default(), &constraints, 1).unwrap();
    }
}
