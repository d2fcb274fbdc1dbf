//! The part of a study that a strategy sees: the search space, restricted to genotypes that meet the
//! constraints. No networks are trained here.

mod constraint;
mod costs;
mod description;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_space::{Genotype, SearchSpace, variation};
use rand::Rng;

pub use self::constraint::Constraint;
pub(crate) use self::constraint::violation;
pub use self::costs::{CostError, CostOrigin, CostPredictor, CostSet, DuplicateDevice};
pub(crate) use self::description::Block;
use self::description::Description;
pub use self::description::Descriptions;
use crate::trials::Costs;

/// Number of uniform draws that [`Domain::sample`] makes before it repairs the best one.
const UNIFORM_ATTEMPTS: usize = 2_000;
/// Number of mutations that [`Domain::sample`] tries before it starts the steepest descent.
const REPAIR_ATTEMPTS: usize = 2_000;
/// Approximate number of neighbors that the descent examines.
const DESCENT_ATTEMPTS: usize = 10_000;
/// Number of attempts of [`Domain::mutate`] and [`Domain::crossover`] before they give up.
const VARIATION_ATTEMPTS: usize = 200;
/// Maximum number of entries in one generation of the cost cache. The cache keeps two generations.
const REMEMBERED: usize = 16_384;

/// Statistics of the candidates that were checked since the domain was created.
#[derive(Clone, Debug, Default)]
pub struct Rejections {
    /// Number of candidates checked.
    pub candidates: u64,
    /// Number of candidates that were rejected.
    pub rejected: u64,
    /// Smallest value of each constrained cost among the candidates, by the cost's name.
    pub smallest: BTreeMap<String, f64>,
    /// The error of the first candidate whose costs could not be computed, if there was one.
    pub without_costs: Option<CostError>,
}

/// A search space with constraints. Every genotype that its methods return is canonical and feasible.
///
/// A candidate is feasible if all its costs are known and no cost exceeds a constraint. In a study without
/// devices and constraints, no costs are computed and every candidate is feasible.
#[derive(Debug)]
pub struct Domain<'a> {
    space: Space<'a>,
    costs: &'a CostSet,
    constraints: &'a [Constraint],
    objectives: &'a [String],
    rejections: Mutex<Rejections>,
    memo: Mutex<Memo>,
    descriptions: Arc<Descriptions>,
}

impl<'a> Domain<'a> {
    /// Creates the domain of the genotypes in `space` whose costs meet the constraints.
    #[must_use]
    pub fn new(
        space: &'a dyn SearchSpace,
        costs: &'a CostSet,
        constraints: &'a [Constraint],
        objectives: &'a [String],
    ) -> Self {
        Self {
            space: Space(space),
            costs,
            constraints,
            objectives,
            rejections: Mutex::default(),
            memo: Mutex::default(),
            descriptions: Arc::default(),
        }
    }

    /// Shares the cached descriptions with other domains over the same space.
    #[must_use]
    pub fn with_descriptions(self, descriptions: Arc<Descriptions>) -> Self {
        Self { descriptions, ..self }
    }

    /// The search space.
    #[must_use]
    pub fn space(&self) -> &'a dyn SearchSpace {
        self.space.0
    }

    /// Names of the objectives, in the order of [`crate::Objectives`].
    #[must_use]
    pub const fn objectives(&self) -> &'a [String] {
        self.objectives
    }

    /// The constraints.
    #[must_use]
    pub const fn constraints(&self) -> &'a [Constraint] {
        self.constraints
    }

    /// Returns the costs of the network that a genotype decodes to.
    ///
    /// # Errors
    /// [`CostError`] if the genotype does not decode, or a cost model fails.
    pub fn costs(&self, genotype: &Genotype) -> Result<Costs, CostError> {
        if let Some(known) = lock(&self.memo).get(genotype) {
            return known;
        }
        let costs = match self.space().decode(genotype) {
            Ok(architecture) => self.costs.network(&architecture),
            Err(error) => Err(error.into()),
        };
        lock(&self.memo).insert(genotype.clone(), costs.clone());
        costs
    }

    /// Returns the description of a genotype's network.
    pub(crate) fn description(&self, genotype: &Genotype) -> Arc<Description> {
        self.descriptions.of(self.space(), genotype)
    }

    /// Returns the sum of the relative amounts by which costs exceed the constraints. The sum is 0 if all
    /// constraints are met. Returns `None` if the costs are not known.
    #[must_use]
    pub fn violation(&self, genotype: &Genotype) -> Option<f64> {
        if self.is_free() {
            return Some(0.0);
        }
        violation(self.constraints, &self.costs(genotype).ok()?)
    }

    /// Whether a genotype may be proposed. The call counts the genotype as a candidate.
    #[must_use]
    pub fn is_feasible(&self, candidate: &Genotype) -> bool {
        self.judge(candidate).is_some_and(|violation| violation <= 0.0)
    }

    /// Returns a feasible genotype, if possible by a uniform draw. If feasible draws are rare, the draw with
    /// the smallest violation is repaired by mutations, then by steepest descent. Returns `None` after a
    /// bounded number of attempts.
    #[must_use]
    pub fn sample(&self, rng: &mut dyn Rng) -> Option<Genotype> {
        let mut nearest: Option<(f64, Genotype)> = None;
        for _ in 0..UNIFORM_ATTEMPTS {
            let candidate = variation::sample(self.space(), rng);
            match self.judge(&candidate) {
                Some(violation) if violation <= 0.0 => return Some(candidate),
                Some(violation) if nearest.as_ref().is_none_or(|(least, _)| violation < *least) => {
                    nearest = Some((violation, candidate));
                }
                _ => {}
            }
        }
        let (mut least, mut genotype) = nearest?;
        for _ in 0..REPAIR_ATTEMPTS {
            let candidate = variation::mutate(self.space(), &genotype, rng);
            match self.judge(&candidate) {
                Some(violation) if violation <= 0.0 => return Some(candidate),
                Some(violation) if violation <= least => (least, genotype) = (violation, candidate),
                _ => {}
            }
        }
        self.descend(least, genotype)
    }

    /// Returns a feasible genotype one mutation away from `parent`, or `None` after a bounded number of
    /// attempts.
    #[must_use]
    pub fn mutate(&self, parent: &Genotype, rng: &mut dyn Rng) -> Option<Genotype> {
        self.first_feasible(|| variation::mutate(self.space(), parent, rng))
    }

    /// Returns a feasible genotype by crossover of `a` and `b`, or `None` after a bounded number of attempts.
    #[must_use]
    pub fn crossover(&self, a: &Genotype, b: &Genotype, rng: &mut dyn Rng) -> Option<Genotype> {
        self.first_feasible(|| variation::crossover(self.space(), a, b, rng))
    }

    /// Returns all feasible genotypes that differ from `genotype` in one decision, in the order of the space.
    #[must_use]
    pub fn neighbors(&self, genotype: &Genotype) -> Vec<Genotype> {
        let mut neighbors = variation::neighbors(self.space(), genotype);
        neighbors.retain(|neighbor| self.is_feasible(neighbor));
        neighbors
    }

    /// Returns the statistics of the candidates checked so far.
    #[must_use]
    pub fn rejections(&self) -> Rejections {
        lock(&self.rejections).clone()
    }

    /// Whether every candidate is feasible, so that costs need not be computed.
    fn is_free(&self) -> bool {
        self.constraints.is_empty() && self.costs.devices().is_empty()
    }

    /// Moves repeatedly to the neighbor with the smallest violation, until a neighbor is feasible or no
    /// neighbor is better.
    fn descend(&self, mut least: f64, mut genotype: Genotype) -> Option<Genotype> {
        let mut attempts = 0;
        while attempts < DESCENT_ATTEMPTS {
            let neighbors = variation::neighbors(self.space(), &genotype);
            attempts += neighbors.len().max(1);
            let judged =
                neighbors.into_iter().filter_map(|neighbor| Some((self.judge(&neighbor)?, neighbor)));
            match judged.min_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((violation, neighbor)) if violation <= 0.0 => return Some(neighbor),
                Some((violation, neighbor)) if violation < least => (least, genotype) = (violation, neighbor),
                _ => return None,
            }
        }
        None
    }

    fn first_feasible(&self, mut candidate: impl FnMut() -> Genotype) -> Option<Genotype> {
        (0..VARIATION_ATTEMPTS).find_map(|_| {
            let candidate = candidate();
            self.is_feasible(&candidate).then_some(candidate)
        })
    }

    /// Counts a candidate and returns its violation.
    fn judge(&self, candidate: &Genotype) -> Option<f64> {
        if self.is_free() {
            lock(&self.rejections).candidates += 1;
            return Some(0.0);
        }
        let costs = self.costs(candidate);
        let violation = costs.as_ref().ok().and_then(|costs| violation(self.constraints, costs));
        let mut rejections = lock(&self.rejections);
        rejections.candidates += 1;
        rejections.rejected += u64::from(violation.is_none_or(|violation| violation > 0.0));
        match costs {
            Ok(costs) => {
                for constraint in self.constraints {
                    if let Some(&value) = costs.0.get(&constraint.cost) {
                        let smallest = rejections.smallest.entry(constraint.cost.clone()).or_insert(value);
                        *smallest = smallest.min(value);
                    }
                }
            }
            Err(error) => drop(rejections.without_costs.get_or_insert(error)),
        }
        violation
    }
}

/// Wraps a search space to implement `Debug`, so that [`Domain`] can derive `Debug`.
struct Space<'a>(&'a dyn SearchSpace);

impl std::fmt::Debug for Space<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a space of {} decisions", self.0.decisions().len())
    }
}

/// Caches the costs of the most recent genotypes, in two generations. When the young generation is full, it
/// replaces the old one. So memory is bounded without recording when entries are used.
#[derive(Debug, Default)]
struct Memo {
    young: BTreeMap<Genotype, Result<Costs, CostError>>,
    old: BTreeMap<Genotype, Result<Costs, CostError>>,
}

impl Memo {
    fn get(&self, genotype: &Genotype) -> Option<Result<Costs, CostError>> {
        self.young.get(genotype).or_else(|| self.old.get(genotype)).cloned()
    }

    fn insert(&mut self, genotype: Genotype, costs: Result<Costs, CostError>) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(genotype, costs);
    }
}

/// Locks the mutex even if another thread panicked while it held the lock. The guarded data is never left
/// half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use kiln_space::{Architecture, ArchitectureBuilder, Choice, Decision, ParameterSpec, Shape, SpaceError};

    use super::*;
    use crate::trials::seed::generator;

    /// A space with a layer of 1 to 100 units, followed by ten layers of 1 or 2 units. Widths above 90 cannot
    /// be built.
    struct Widths(Vec<Decision>);

    impl Widths {
        fn new() -> Self {
            let decision = |name: String, options| Decision {
                name,
                options: (1..=options).map(Choice::Int).collect(),
                active_if: None,
            };
            let rest = (0..10).map(|i| decision(format!("layer{i}"), 2));
            Self(std::iter::once(decision("first".to_owned(), 100)).chain(rest).collect())
        }
    }

    impl SearchSpace for Widths {
        fn decisions(&self) -> &[Decision] {
            &self.0
        }
        fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
            if genotype.genes()[0] >= 90 {
                return Err(SpaceError::Layer { layer: "first".to_owned(), problem: "too wide" });
            }
            let mut builder = ArchitectureBuilder::new(Shape::vector(1));
            let mut last = builder.input();
            for (i, gene) in genotype.genes().iter().enumerate() {
                last = builder.linear(format!("{i}"), last, usize::from(*gene) + 1)?;
            }
            builder.finish()
        }
        fn canonical(&self, genotype: &Genotype) -> Genotype {
            genotype.clone()
        }
        fn parameters(&self) -> Vec<ParameterSpec> {
            Vec::new()
        }
    }

    #[test]
    fn samples_mutants_offspring_and_neighbors_are_feasible() {
        let (space, costs) = (Widths::new(), CostSet::default());
        let constraints = [Constraint::new("parameters", 120.0)];
        let domain = Domain::new(&space, &costs, &constraints, &[]);
        let mut rng = generator(1, "test", &[]);
        let mut parent = domain.sample(&mut rng).unwrap();
        for _ in 0..200 {
            let other = domain.sample(&mut rng).unwrap();
            let mutant = domain.mutate(&parent, &mut rng).unwrap();
            let child = domain.crossover(&parent, &other, &mut rng).unwrap();
            let mut offered = domain.neighbors(&child);
            assert!(!offered.is_empty() && !offered.contains(&child));
            offered.extend([other, mutant.clone(), child]);
            for genotype in &offered {
                let parameters = space.decode(genotype).unwrap().counts().parameters as f64;
                assert!(parameters <= 120.0);
                assert!((domain.costs(genotype).unwrap().0["parameters"] - parameters).abs() < 1e-9);
            }
            parent = mutant;
        }
        let rejections = domain.rejections();
        assert!(rejections.rejected > 0 && rejections.rejected < rejections.candidates);
        assert!(matches!(rejections.without_costs, Some(CostError::Space(_))));
    }

    #[test]
    fn sample_repairs_draws_where_one_in_a_hundred_thousand_is_feasible() {
        let (space, costs) = (Widths::new(), CostSet::default());
        // With one unit in every layer, each of the eleven layers has 2 parameters.
        let constraints = [Constraint::new("parameters", 22.0)];
        let domain = Domain::new(&space, &costs, &constraints, &[]);
        let found = domain.sample(&mut generator(1, "test", &[])).unwrap();
        assert_eq!(found.genes(), [0; 11]);
    }

    #[test]
    fn sample_without_feasible_genotypes_is_none_and_counts_the_smallest_value() {
        let (space, costs) = (Widths::new(), CostSet::default());
        let constraints = [Constraint::new("parameters", 21.0), Constraint::new("macs", 1e9)];
        let domain = Domain::new(&space, &costs, &constraints, &[]);
        assert_eq!(domain.sample(&mut generator(1, "test", &[])), None);
        let rejections = domain.rejections();
        let least = (UNIFORM_ATTEMPTS + REPAIR_ATTEMPTS) as u64;
        assert!((least..=least + DESCENT_ATTEMPTS as u64).contains(&rejections.candidates));
        assert_eq!(rejections.rejected, rejections.candidates);
        assert!((rejections.smallest["parameters"] - 22.0).abs() < 1e-9);
        assert_eq!(domain.neighbors(&Genotype::new([0; 11])), []);
    }

    #[test]
    fn genotype_without_costs_is_feasible_only_without_constraints() {
        let (space, costs) = (Widths::new(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        let broken = Genotype::new([95, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(domain.is_feasible(&broken));
        let constraints = [Constraint::new("macs", 1e9)];
        let domain = Domain::new(&space, &costs, &constraints, &[]);
        assert!(!domain.is_feasible(&broken));
        assert_eq!(domain.violation(&broken), None);
    }

    #[test]
    fn memo_forgets_the_oldest_costs_and_stays_bounded() {
        let mut memo = Memo::default();
        let genotype = |i: usize| Genotype::new((i as u32).to_le_bytes());
        for i in 0..5 * REMEMBERED {
            memo.insert(genotype(i), Ok(Costs::default()));
            assert!(memo.young.len() + memo.old.len() <= 2 * REMEMBERED);
        }
        assert!(memo.get(&genotype(5 * REMEMBERED - 1)).is_some());
        assert!(memo.get(&genotype(0)).is_none());
    }
}
