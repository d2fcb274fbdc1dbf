//! Two alternatives to a corrected estimate. The first is the uncorrected estimate. The second is a
//! prediction from the number of parameters, corrected by the same anchors.

use std::path::Path;

use kiln_evaluator::data::DataSet;
use kiln_evaluator::{Anchor, Built, Correction, CorrectionPoint, anchors, logarithm};
use kiln_search::{Outcome, Progress};
use kiln_space::{Architecture, Genotype, SearchSpace, encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AuditError;

/// Key of `[evaluator]` that configures the anchors. Anchors are networks that correct a supernet's
/// estimates.
const ANCHORS: &str = "anchors";

/// Alternatives to a corrected estimate. The corrected estimate should rank networks better than both
/// alternatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rivals {
    /// The uncorrected outcome, measured with the shared weights.
    pub shared: Outcome,
    /// The ranking metric, predicted from the number of parameters. The prediction uses the same anchors and
    /// the same correction as the corrected estimate.
    pub parameters: f64,
}

/// Returns the anchors that correct a prepared supernet's estimates. The function reads the anchors from the
/// supernet's run folder. It returns no anchors if the settings request none.
pub(super) fn correcting(settings: &Map<String, Value>, run: &Path) -> Result<Vec<Anchor>, AuditError> {
    let networks = settings.get(ANCHORS).and_then(|anchors| anchors.get("networks")).and_then(Value::as_u64);
    let wanted = networks.and_then(|networks| usize::try_from(networks).ok()).unwrap_or(0);
    // When the supernet was prepared, the user was already warned if an older build had written the anchors.
    let mut found = if wanted > 0 { anchors(run)?.content } else { Vec::new() };
    // If an earlier run used more anchors, the file contains more anchors than this run requests.
    found.truncate(wanted);
    Ok(found)
}

/// The inputs from which the alternatives to an estimate are computed.
pub(super) struct RivalSources {
    shared: Built,
    parameters: Correction,
}

impl RivalSources {
    /// Prepares the inputs for a prepared supernet whose run folder contains the anchors. `settings` are the
    /// supernet's settings, `build` builds a supernet, and `anchors` correct the supernet's estimates.
    /// Returns `None` if there are no anchors.
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
                let guess = by_parameters(&architecture);
                points.push(CorrectionPoint { description, guess, measured });
            }
        }
        Ok(Correction::fit(&points).map(|parameters| Self { shared, parameters }))
    }

    /// Computes the alternatives to an estimate. `judge` evaluates the network with an evaluator.
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

/// Returns a rough prediction of the metric's logarithm. It assumes that networks with more parameters have a
/// smaller error.
fn by_parameters(architecture: &Architecture) -> f64 {
    -(architecture.counts().parameters.max(1) as f64).ln()
}

fn described(space: &dyn SearchSpace, genotype: &Genotype) -> Result<Vec<f64>, AuditError> {
    encoding::one_hot_effective(space, genotype).map_err(AuditError::Space)
}
