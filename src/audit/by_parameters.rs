//! What a supernet's anchors make of the number of parameters: the rival of an estimate that they correct.

use std::path::Path;

use kiln_evaluator::{Correction, anchors};
use kiln_space::{Genotype, SearchSpace, encoding};

use super::AuditError;

/// What is expected to be measured of a network with so many parameters.
pub(super) struct ByParameters(Correction);

impl ByParameters {
    /// Learned from the anchors in a run folder; `None` where they are too few.
    pub(super) fn learned(
        space: &dyn SearchSpace,
        run: &Path,
        metric: &str,
    ) -> Result<Option<Self>, AuditError> {
        let mut points = Vec::new();
        for anchor in anchors(run)? {
            let measured = anchor.trained.measurement().and_then(|found| found.get(metric));
            if let Some(measured) = measured.filter(|measured| *measured > 0.0) {
                let (description, guess) = described(space, &anchor.genotype)?;
                points.push((description, guess, measured.ln()));
            }
        }
        Ok(Correction::fit(&points).map(Self))
    }

    /// The metric.
    pub(super) fn expected(&self, space: &dyn SearchSpace, genotype: &Genotype) -> Result<f64, AuditError> {
        let (description, guess) = described(space, genotype)?;
        Ok(self.0.corrected(guess, &description).exp())
    }
}

/// A description, and a guess at the logarithm of the metric: more parameters should mean less error.
fn described(space: &dyn SearchSpace, genotype: &Genotype) -> Result<(Vec<f64>, f64), AuditError> {
    let parameters = space.decode(genotype).map_err(AuditError::Space)?.counts().parameters;
    let description = encoding::one_hot_effective(space, genotype).map_err(AuditError::Space)?;
    Ok((description, -(parameters.max(1) as f64).ln()))
}
