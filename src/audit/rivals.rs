//! Two alternatives to a corrected estimate: the uncorrected estimate, and a prediction from the number of
//! parameters that uses the same anchors.

use std::path::Path;

use kiln_evaluator::data::DataSet;
use kiln_evaluator::{Anchor, Built, Correction, CorrectionPoint, anchors, logarithm};
use kiln_search::{Outcome, Progress};
use kiln_space::{Architecture, Genotype, SearchSpace, encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AuditError;

/// Key of `[evaluator]` for the networks that correct a supernet's estimates.
const ANCHORS: &str = "anchors";

/// Alternatives to a corrected estimate. The corrected estimate should rank better than both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rivals {
    /// The outcome measured with the shared weights, without correction.
    pub shared: Outcome,
    /// The metric that ranks the networks, predicted from the number of parameters with the same anchors and
    /// the same correction.
    pub parameters: f64,
}

/// Returns the anchors that correct a prepared supernet's estimates. Reads them from the supernet's run
/// folder. Returns no anchors if the settings name none.
pub(super) fn correcting(settings: &Map<String, Value>, run: &Path) -> Result<Vec<Anchor>, AuditError> {
    let networks = settings.get(ANCHORS).and_then(|anchors| anchors.get("networks")).and_then(Value::as_u64);
    let wanted = networks.and_then(|networks| usize::try_from(networks).ok()).unwrap_or(0);
    // The user was already warned of anchors from an older build when the supernet was prepared.
    let mut found = if wanted > 0 { anchors(run)?.content } else { Vec::new() };
    // The file may contain more anchors than requested, from a run that used more.
    found.truncate(wanted);
    Ok(found)
}

/// The inputs from which the rivals of an estimate are computed.
pub(super) struct RivalSources {
    shared: Built,
    parameters: Correction,
}

impl RivalSources {
    /// Prepares the inputs for a prepared supernet whose run folder contains the anchors. Returns `None` if
    /// the supernet has no anchors. `settings` are the supernet's settings, and `build` builds a supernet.
    /// `anchors` are the anchors that correct its estimates.
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

    /// Computes the rivals of an estimate. `judge` evaluates the network with an evaluator.
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

/// Roughly predicts the metric's logarithm: more parameters mean less error.
fn by_parameters(architecture: &Architecture) -> f64 {
    -(architecture.counts().parameters.max(1) as f64).ln()
}

fn described(space: &dyn SearchSpace, genotype: &Genotype) -> Result<Vec<f64>, AuditError> {
    encoding::one_hot_effective(space, genotype).map_err(AuditError::Space)
}
