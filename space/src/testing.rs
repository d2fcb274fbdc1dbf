//! Checks the laws of a search space in one function, so that one call tests a new space.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_pcg::Pcg64;

use crate::{Architecture, Genotype, OPTIONS_MAX, ParameterSpec, SearchSpace, encoding, size, variation};

/// Checks the laws of [`SearchSpace`] on `samples` random genotypes:
/// - Every decision has options and depends only on earlier decisions.
/// - Genotypes that are out of range lead to errors, not to panics.
/// - Sampled genotypes decode to valid networks with unique layer names. Their weights lie inside the
///   declared parameters.
/// - `canonical` returns normalized genotypes, is idempotent and keeps the counts.
/// - Mutation, crossover and neighbors return canonical genotypes that are in range.
/// - Encodings are finite and have a fixed length.
///
/// # Panics
/// When a law is broken. The message contains the genotype.
pub fn check_space(space: &dyn SearchSpace, samples: usize, seed: u64) {
    let mut rng = Pcg64::new(seed.into(), 0);
    let laws = Laws::new(space);
    laws.check_decisions();
    laws.check_parameters();
    laws.check_out_of_range(&mut rng);
    let mut earlier: Option<Genotype> = None;
    for _ in 0..samples {
        let sample = variation::sample(space, &mut rng);
        laws.check_genotype(&sample);
        let raw = laws.raw(&mut rng);
        laws.check_canonical(&raw);
        let mutant = variation::mutate(space, &sample, &mut rng);
        laws.check_genotype(&mutant);
        if laws.has_choice(&sample) {
            assert_ne!(mutant, sample, "a mutant is its parent though there are other architectures");
        }
        if let Some(earlier) = &earlier {
            laws.check_genotype(&variation::crossover(space, &sample, earlier, &mut rng));
        }
        earlier = Some(sample);
    }
    if let Some(last) = &earlier {
        laws.check_neighbors(last);
    }
    laws.check_repeatable(seed);
}

struct Laws<'a> {
    space: &'a dyn SearchSpace,
    parameters: BTreeMap<String, ParameterSpec>,
}

impl<'a> Laws<'a> {
    fn new(space: &'a dyn SearchSpace) -> Self {
        let parameters = space.parameters().into_iter().map(|spec| (spec.key.clone(), spec)).collect();
        Self { space, parameters }
    }

    fn check_decisions(&self) {
        let mut names = BTreeSet::new();
        for (index, decision) in self.space.decisions().iter().enumerate() {
            let name = &decision.name;
            assert!(names.insert(name), "two decisions are called `{name}`");
            let options = decision.options.len();
            assert!((1..=OPTIONS_MAX).contains(&options), "decision `{name}` has {options} options");
            if let Some(condition) = &decision.active_if {
                assert!(condition.decision < index, "decision `{name}` depends on one that is not earlier");
                let parent = &self.space.decisions()[condition.decision];
                let options = condition.any_of.iter().collect::<BTreeSet<_>>();
                assert_eq!(options.len(), condition.any_of.len(), "decision `{name}` names an option twice");
                assert!(!options.is_empty(), "decision `{name}` is never active");
                assert!(
                    options.iter().all(|option| usize::from(**option) < parent.options.len()),
                    "decision `{name}` depends on an option that `{}` does not have",
                    parent.name
                );
            }
        }
        assert!(size::count(self.space) >= 1_u8.into(), "the space is empty");
    }

    fn check_parameters(&self) {
        assert_eq!(self.parameters.len(), self.space.parameters().len(), "a weight key is declared twice");
    }

    /// Checks that genotypes of a wrong length, or with genes out of range, are refused without a panic.
    fn check_out_of_range(&self, rng: &mut Pcg64) {
        let decisions = self.space.decisions();
        let right = variation::normalize(decisions, &[]);
        let mut broken = vec![Genotype::new([&[0_u8], right.genes()].concat())];
        if !right.is_empty() {
            broken.push(Genotype::new(&right.genes()[1..]));
        }
        for index in 0..decisions.len() {
            for gene in [decisions[index].options.len() as u8, u8::MAX, rng.random()] {
                if usize::from(gene) >= decisions[index].options.len() {
                    let mut genes = right.genes().to_vec();
                    genes[index] = gene;
                    broken.push(Genotype::new(genes));
                }
            }
        }
        for genotype in &broken {
            assert!(self.space.decode(genotype).is_err(), "`{genotype}` is out of range and decodes");
            let _ = self.space.canonical(genotype);
        }
    }

    /// Returns a random genotype in range. Its inactive genes may be nonzero.
    fn raw(&self, rng: &mut Pcg64) -> Genotype {
        let genes =
            self.space.decisions().iter().map(|decision| rng.random_range(0..decision.options.len() as u8));
        Genotype::new(genes.collect::<Vec<_>>())
    }

    fn has_choice(&self, genotype: &Genotype) -> bool {
        !variation::neighbors(self.space, genotype).is_empty()
    }

    /// Checks a genotype that a function of `variation` returned.
    fn check_genotype(&self, genotype: &Genotype) {
        let decisions = self.space.decisions();
        variation::check(decisions, genotype).unwrap_or_else(|error| panic!("`{genotype}`: {error}"));
        assert_eq!(self.space.canonical(genotype), *genotype, "`{genotype}` is not canonical");
        let network = self.decode(genotype);
        self.check_weights(genotype, &network);
        let encoded = encoding::one_hot(decisions, genotype).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(encoded.len(), encoding::one_hot_len(decisions));
        let active = variation::active(decisions, genotype.genes());
        let ones = encoded.iter().filter(|value| **value > 0.5).count();
        assert_eq!(
            ones,
            active.iter().filter(|active| **active).count(),
            "`{genotype}`: a one per active gene"
        );
        let effective = encoding::one_hot_effective(self.space, genotype);
        let effective = effective.unwrap_or_else(|error| panic!("`{genotype}`: {error}"));
        for (place, (effective, plain)) in effective.iter().zip(&encoded).enumerate() {
            assert!((0.0..=*plain).contains(effective), "`{genotype}`: an option not taken at {place}");
        }
        let described = encoding::structural(&network);
        assert_eq!(described.len(), encoding::structural_names().len());
        for (name, value) in encoding::structural_names().iter().zip(&described) {
            assert!(value.is_finite(), "`{genotype}`: `{name}` is {value}");
        }
    }

    fn check_canonical(&self, raw: &Genotype) {
        let decisions = self.space.decisions();
        let canonical = self.space.canonical(raw);
        assert_eq!(
            canonical,
            variation::normalize(decisions, canonical.genes()),
            "the canonical form of `{raw}` has inactive genes that are not 0"
        );
        self.check_genotype(&canonical);
        let (before, after) = (self.decode(raw), self.decode(&canonical));
        assert_eq!(before.counts(), after.counts(), "the canonical form of `{raw}` has other counts");
        assert_eq!(kinds(&before), kinds(&after), "the canonical form of `{raw}` runs other layers");
        let normalized = variation::normalize(decisions, raw.genes());
        assert_eq!(self.space.canonical(&normalized), canonical, "inactive genes of `{raw}` matter");
    }

    fn check_neighbors(&self, genotype: &Genotype) {
        let neighbors = variation::neighbors(self.space, genotype);
        assert_eq!(neighbors, variation::neighbors(self.space, genotype), "the order of neighbors changes");
        let distinct: BTreeSet<&Genotype> = neighbors.iter().collect();
        assert_eq!(distinct.len(), neighbors.len(), "a neighbor of `{genotype}` comes twice");
        assert!(!distinct.contains(genotype), "`{genotype}` is its own neighbor");
        for neighbor in &neighbors {
            self.check_genotype(neighbor);
        }
    }

    fn check_repeatable(&self, seed: u64) {
        let draw = || {
            let mut rng = Pcg64::new(seed.into(), 1);
            let parent = variation::sample(self.space, &mut rng);
            let mutant = variation::mutate(self.space, &parent, &mut rng);
            variation::crossover(self.space, &parent, &mutant, &mut rng)
        };
        assert_eq!(draw(), draw(), "equal seeds give different genotypes");
    }

    fn check_weights(&self, genotype: &Genotype, network: &Architecture) {
        for layer in &network.layers {
            let Some(weights) = &layer.weights else { continue };
            let spec = self.parameters.get(&weights.key);
            let spec = spec.unwrap_or_else(|| panic!("`{genotype}`: key `{}` is not declared", weights.key));
            assert!(
                spec.holds(&layer.op, weights),
                "`{genotype}`: layer `{}` reads outside of `{}`",
                layer.name,
                weights.key
            );
        }
    }

    fn decode(&self, genotype: &Genotype) -> Architecture {
        let network = self.space.decode(genotype).unwrap_or_else(|error| panic!("`{genotype}`: {error}"));
        network.validate().unwrap_or_else(|error| panic!("`{genotype}`: {error}"));
        network
    }
}

/// Counts layers by operation and by whether they are live.
fn kinds(network: &Architecture) -> BTreeMap<(&'static str, bool), usize> {
    let live = network.live();
    let mut kinds = BTreeMap::new();
    for (layer, live) in network.layers.iter().zip(live) {
        *kinds.entry((layer.op.name(), live)).or_default() += 1;
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spaces::NasBench201;
    use crate::{Decision, ParameterKind, SpaceError};

    /// A space with one deliberate fault.
    struct Faulty {
        inner: NasBench201,
        fault: Fault,
    }

    #[derive(PartialEq)]
    enum Fault {
        SmallKernels,
        UndeclaredKey,
        WrongCanonical,
        RestlessCanonical,
        PanicOutOfRange,
    }

    impl SearchSpace for Faulty {
        fn decisions(&self) -> &[Decision] {
            self.inner.decisions()
        }

        fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
            assert!(
                self.fault != Fault::PanicOutOfRange || genotype.genes().iter().all(|gene| *gene < 5),
                "out of range"
            );
            self.inner.decode(genotype)
        }

        fn canonical(&self, genotype: &Genotype) -> Genotype {
            let mut genes = genotype.genes().to_vec();
            if let Some(gene) = genes.last_mut().filter(|gene| **gene < 5) {
                match self.fault {
                    Fault::WrongCanonical => *gene = 0,
                    Fault::RestlessCanonical => *gene = (*gene + 1) % 5,
                    _ => {}
                }
            }
            Genotype::new(genes)
        }

        fn parameters(&self) -> Vec<ParameterSpec> {
            let mut parameters = self.inner.parameters();
            match self.fault {
                Fault::SmallKernels => {
                    for spec in &mut parameters {
                        if let ParameterKind::Conv2d { kernel, .. } = &mut spec.kind {
                            *kernel = [1; 2];
                        }
                    }
                }
                Fault::UndeclaredKey => parameters.retain(|spec| spec.key != "head"),
                _ => {}
            }
            parameters
        }
    }

    fn check(fault: Fault) {
        check_space(&Faulty { inner: NasBench201::default(), fault }, 10, 1);
    }

    #[test]
    #[should_panic(expected = "reads outside of")]
    fn check_space_finds_too_small_parameters() {
        check(Fault::SmallKernels);
    }

    #[test]
    #[should_panic(expected = "key `head` is not declared")]
    fn check_space_finds_undeclared_parameters() {
        check(Fault::UndeclaredKey);
    }

    #[test]
    #[should_panic(expected = "has other counts")]
    fn check_space_finds_canonical_form_of_another_network() {
        check(Fault::WrongCanonical);
    }

    #[test]
    #[should_panic(expected = "is not canonical")]
    fn check_space_finds_canonical_that_is_not_idempotent() {
        check(Fault::RestlessCanonical);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn check_space_finds_panic_on_genes_out_of_range() {
        check(Fault::PanicOutOfRange);
    }
}
