//! The space of the synthetic functions: a chain of fully connected layers whose widths are the genes.

use kiln_space::{
    Architecture, ArchitectureBuilder, Choice, Decision, Genotype, ParameterSpec, SearchSpace, Shape,
    SpaceError, variation,
};

/// A space of independent decisions that all have the same number of options.
#[derive(Debug)]
pub(super) struct Chain(Vec<Decision>);

impl Chain {
    pub(super) fn new(decisions: usize, options: usize) -> Self {
        let decision = |index: usize| Decision {
            name: format!("gene{index}"),
            options: (0..options).map(Choice::from).collect(),
            active_if: None,
        };
        Self((0..decisions).map(decision).collect())
    }
}

impl SearchSpace for Chain {
    fn decisions(&self) -> &[Decision] {
        &self.0
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        variation::check(&self.0, genotype)?;
        let mut builder = ArchitectureBuilder::new(Shape::vector(1));
        let mut last = builder.input();
        for (decision, gene) in self.0.iter().zip(genotype.genes()) {
            last = builder.linear(decision.name.as_str(), last, usize::from(*gene) + 1)?;
        }
        builder.linear("head", last, 1)?;
        builder.finish()
    }

    fn canonical(&self, genotype: &Genotype) -> Genotype {
        genotype.clone()
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }
}
