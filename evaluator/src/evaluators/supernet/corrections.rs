//! Corrects the estimates of the supernet with anchors.

use std::collections::BTreeMap;

use kiln_search::{EvalError, FailureKind, Measurement, Outcome, Progress, tau_b};
use kiln_space::{Genotype, SearchSpace, SpaceError, encoding};

use super::anchors::{self, Anchor};
use super::correction::{Correction, CorrectionPoint, FEWEST_POINTS};
use crate::evaluators::context::Context;
use crate::judging::judgement::{LARGEST_ERROR, is_error, logarithm};
use crate::judging::metrics::Asked;

/// A correction for each metric. Corrections apply to logarithms of metrics, because the errors of shared
/// weights are factors, not differences.
pub(super) struct Corrections(BTreeMap<String, Correction>);

impl Corrections {
    /// Fits corrections to the anchors' metrics and to the estimates of the anchors with shared weights.
    /// Reports how well the two rankings agree.
    pub(super) fn learned(
        context: &Context,
        metrics: &Asked,
        (anchors, guesses): (&[Anchor], &[Outcome]),
        progress: &dyn Progress,
    ) -> Result<Self, EvalError> {
        let space = context.space.as_ref();
        let total = anchors.len() as u64;
        let mut corrections = BTreeMap::new();
        let mut note = String::new();
        for metric in metrics.names(&context.data) {
            let logarithm = |outcome: &Outcome| logarithm(outcome, &metric, &context.data);
            let mut points = Vec::new();
            for (anchor, guess) in anchors.iter().zip(guesses) {
                if let (Some(measured), Some(guess)) = (logarithm(&anchor.trained), logarithm(guess)) {
                    let description = description(space, &anchor.genotype)?;
                    points.push(CorrectionPoint { description, guess, measured });
                }
            }
            let correction = Correction::fit(&points).ok_or_else(|| too_few(context, anchors, guesses))?;
            let (guesses, trained): (Vec<f64>, Vec<f64>) =
                points.iter().map(|point| (point.guess, point.measured)).unzip();
            if let (Some(tau), true) = (tau_b(&guesses, &trained), note.is_empty()) {
                note = format!("order of shared weights by {metric}: tau {tau:.2}");
            }
            corrections.insert(metric, correction);
        }
        progress.report("anchors", total, total, &note);
        tracing::info!("{total} anchors trained; {note}");
        Ok(Self(corrections))
    }

    /// Predicts the metrics that a network would have after the same training as the anchors.
    pub(super) fn corrected(
        &self,
        context: &Context,
        genotype: &Genotype,
        judged: Outcome,
    ) -> Result<Outcome, EvalError> {
        if judged.measurement().is_none() {
            return Ok(judged);
        }
        let description = description(context.space.as_ref(), genotype)?;
        let expected = self.0.iter().map(|(metric, correction)| {
            let guess = logarithm(&judged, metric, &context.data);
            let guess = guess.expect("a network is judged by the metrics of the data");
            let largest = if is_error(metric) { LARGEST_ERROR } else { f64::MAX };
            (metric.clone(), correction.corrected(guess, &description).exp().min(largest))
        });
        Ok(Measurement::new(expected.collect()).map_or_else(
            |error| Outcome::Failed { kind: FailureKind::Diverged, reason: error.to_string() },
            Outcome::Measured,
        ))
    }
}

/// The error for too few usable anchors. An anchor is not usable if its training diverged, or if its estimate
/// with shared weights is not finite.
fn too_few(context: &Context, anchors: &[Anchor], guesses: &[Outcome]) -> EvalError {
    let total = anchors.len();
    let measured = |outcomes: &mut dyn Iterator<Item = &Outcome>| {
        outcomes.filter(|outcome| outcome.measurement().is_some()).count()
    };
    let trained = measured(&mut anchors.iter().map(|anchor| &anchor.trained));
    let judged = measured(&mut guesses.iter());
    let (done, key) = if trained < FEWEST_POINTS {
        (
            format!("{trained} of {total} anchors could be trained"),
            "evaluator.anchors.optimizer.learning_rate",
        )
    } else {
        (
            format!("shared weights give outputs that are finite for {judged} of {total} anchors"),
            "evaluator.optimizer.learning_rate",
        )
    };
    EvalError::Data {
        path: context.folder.join(anchors::FILE),
        problem: format!("{done}, and {FEWEST_POINTS} are needed; lower `{key}`"),
    }
}

fn description(space: &dyn SearchSpace, genotype: &Genotype) -> Result<Vec<f64>, EvalError> {
    let broken = |source: SpaceError| EvalError::Space { what: "a description of a network", source };
    encoding::one_hot_effective(space, genotype).map_err(broken)
}
