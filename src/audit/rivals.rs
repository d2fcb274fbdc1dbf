//! What an estimate that anchors correct is held against: the same shared weights without them, and what the same anchors make of
//! the number of parameters.

use std::path::Path;

use kiln_evaluator::data::DataSet;
use kiln_evaluator::{Anchor, Built, Correction, anchors, logarithm};
use kiln_search::{Outcome, Progress};
use kiln_space::{Architecture, Genotype, SearchSpace, encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AuditError;

/// Key of `[evaluator]` that says which networks correct a supernet's estimates.
const ANCHORS: &str = "anchors";

/// An estimate that is corrected should be better than what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rivals {
    /// Measured with the shared weights, not corrected.
    pub shared: Outcome,
    /// The metric by which networks are ordered, as the number of parameters gives it when the same anchors correct that in the same way.
    pub parameters: f64,
}

/// The anchors that correct a prepared supernet's estimates, from its run folder; none where its settings name none.
pub(super) fn correcting(settings: &Map<String, Value>, run: &Path) -> Result<Vec<Anchor>, AuditError> {
    let networks = settings.get(ANCHORS).and_then(|anchors| anchors.get("networks")).and_then(Value::as_u64);
    let wanted = networks.and_then(|networks| usize::try_from(networks).ok()).unwrap_or(0);
    // That they are of an older build was said when the supernet was prepared.
    let mut found = if wanted > 0 { anchors(run)?.content } else { Vec::new() };
    // Behind them there may be others, of a time when more were wanted.
    found.truncate(wanted);
    Ok(found)
}

/// What the rivals of estimates come from.
pub(super) struct RivalSources {
    shared: Built,
    parameters: Correction,
}

impl RivalSources {
    /// The sources for a supernet that is prepared, so that its anchors stand in the run folder; `None` where it has none. `settings` are its
    /// own, and `build` builds a supernet. The anchors are those that correct its estimates.
    pub(super) fn prepared(
        mut settings: Map<String, Value>,
        build: impl FnOnce(Map<String, Value>) -> Result<Built, AuditError>,
        (space, data): (&dyn SearchSpace, &DataSet),
        anchors: &[Anchor],
        progress: &dyn Progress,
    ) -> Result<Option<Self>, AuditError> {
        if settings.remove(ANCHORS).is_none() {
            return Ok(None);
        }
        let shared = build(settings)?;
        shared.evaluator.prepare(progress)?;
        let metric = &shared.metrics[0];
        let mut points = Vec::new();
        for anchor in anchors {
            if let Some(measured) = logarithm(&anchor.trained, metric, data) {
                let architecture = space.decode(&anchor.genotype).map_err(AuditError::Space)?;
                let description = described(space, &anchor.genotype)?;
                points.push((description, by_parameters(&architecture), measured));
            }
        }
        Ok(Correction::fit(&points).map(|parameters| Self { shared, parameters }))
    }

    /// The rivals of an estimate; `judge` judges the network by an evaluator.
    pub(super) fn of(
        &self,
        space: &dyn SearchSpace,
        (genotype, architecture): (&Genotype, &Architecture),
        judge: impl FnOnce(&Built) -> Result<Outcome, AuditError>,
    ) -> Result<Rivals, AuditError> {
        let expected = self.parameters.corrected(by_parameters(architecture), &described(space, genotype)?);
        Ok(Rivals { shared: judge(&self.shared)?, parameters: expected.exp() })
    }
}

/// A guess at the logarithm of the metric: more parameters should mean less error.
fn by_parameters(architecture: &Architecture) -> f64 {
    -(architecture.counts().parameters.max(1) as f64).ln()
}

fn described(space: &dyn SearchSpace, genotype: &Genotype) -> Result<Vec<f64>, AuditError> {
    encoding::one_hot_effective(space, genotype).map_err(AuditError::Space)
}
