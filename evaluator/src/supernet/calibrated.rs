//! Estimates that are corrected by anchors.

use std::collections::BTreeMap;

use kiln_search::{EvalError, Measurement, Outcome, Progress, tau_b};
use kiln_space::{Genotype, SearchSpace, SpaceError, encoding};

use super::anchors::Anchor;
use super::correction::{Correction, LEAST};
use crate::{Context, judgement};

/// Smallest value whose logarithm is taken: errors of nothing are none that could be told from it.
const SMALLEST: f64 = 1e-6;
/// Largest error.
const ALL_PERCENT: f64 = 100.0;

/// For each metric, what is learned from the anchors, in logarithms: shared weights are wrong by factors.
pub(super) struct Calibrated(BTreeMap<String, Correction>);

impl Calibrated {
    /// Learns from anchors and what shared weights say of each, and tells how far the two agree.
    pub(super) fn new(
        context: &Context,
        anchors: &[Anchor],
        guesses: &[Outcome],
        progress: &dyn Progress,
    ) -> Result<Self, EvalError> {
        let space = context.space.as_ref();
        let total = anchors.len() as u64;
        let mut corrections = BTreeMap::new();
        let mut note = String::new();
        for metric in judgement::metrics(&context.data) {
            let mut points = Vec::new();
            for (anchor, guess) in anchors.iter().zip(guesses) {
                if let (Some(trained), Some(guess)) =
                    (logarithm(&anchor.trained, &metric), logarithm(guess, &metric))
                {
                    points.push((description(space, &anchor.genotype)?, guess, trained));
                }
            }
            let correction = Correction::fit(&points).ok_or_else(|| EvalError::Data {
                path: context.folder.join("anchors.json"),
                problem: format!(
                    "{} of {total} anchors could be trained and judged, and {LEAST} are needed; lower \
                     `evaluator.anchors.optimizer.learning_rate`",
                    points.len()
                ),
            })?;
            let (guesses, trained): (Vec<f64>, Vec<f64>) =
                points.iter().map(|(_, guess, trained)| (*guess, *trained)).unzip();
            if let (Some(tau), true) = (tau_b(&guesses, &trained), note.is_empty()) {
                note = format!("order of shared weights by {metric}: tau {tau:.2}");
            }
            corrections.insert(metric, correction);
        }
        progress.report("anchors", total, total, &note);
        tracing::info!("{total} anchors trained; {note}");
        Ok(Self(corrections))
    }

    /// What a network is expected to measure when it is trained as anchors are.
    pub(super) fn corrected(
        &self,
        space: &dyn SearchSpace,
        genotype: &Genotype,
        judged: Outcome,
    ) -> Result<Outcome, EvalError> {
        let Outcome::Measured(measured) = &judged else { return Ok(judged) };
        let description = description(space, genotype)?;
        let expected = self.0.iter().map(|(metric, correction)| {
            let guess = measured.get(metric).unwrap_or_default().max(SMALLEST).ln();
            let expected = correction.corrected(guess, &description).exp();
            let is_share = metric == "error_percent";
            (metric.clone(), if is_share { expected.min(ALL_PERCENT) } else { expected })
        });
        Ok(Measurement::new(expected.collect()).map_or(judged, Outcome::Measured))
    }
}

fn logarithm(outcome: &Outcome, metric: &str) -> Option<f64> {
    let value = outcome.measurement()?.get(metric)?;
    Some(value.max(SMALLEST).ln())
}

fn description(space: &dyn SearchSpace, genotype: &Genotype) -> Result<Vec<f64>, EvalError> {
    let broken = |source: SpaceError| EvalError::Space { what: "a description of a network", source };
    encoding::one_hot_effective(space, genotype).map_err(broken)
}
