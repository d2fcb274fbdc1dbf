//! Counts the effort that a study has spent at each fidelity. This module also checks that the evaluator
//! supports the strategy's fidelities and that the budget is large enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kiln_space::Genotype;
use serde::{Deserialize, Serialize};

use super::settings::StudySettings;
use crate::contracts::Strategy;
use crate::error::StudyError;
use crate::trials::{FailureKind, Fidelities, Fidelity, Outcome, Trial};

/// Number of networks that a study evaluated with one fidelity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// The fidelity.
    pub fidelity: Fidelity,
    /// Number of networks that were measured. Each network counts once.
    pub networks: u64,
    /// Number of networks that failed. Each network counts once.
    pub failed: u64,
}

/// The effort that a study has spent, and the number of networks at each fidelity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Number of networks for each requested fidelity, lowest fidelity first.
    pub rungs: Vec<Rung>,
    /// Number of epochs of all trials. Repeated evaluations, and networks that cannot be built, count zero
    /// epochs.
    pub epochs: u64,
    /// Number of epochs in a full training. It is 0 if the evaluator trains no networks, or if the run folder
    /// does not record the number.
    pub full_epochs: u32,
}

impl Spent {
    /// Counts the effort of these trials. `full_epochs` is the number of epochs in the evaluator's whole
    /// schedule.
    #[must_use]
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>, full_epochs: u32) -> Self {
        let mut seen: BTreeSet<(&Genotype, Fidelity)> = BTreeSet::new();
        let mut rungs: BTreeMap<Fidelity, Rung> = BTreeMap::new();
        let mut epochs = 0;
        for trial in trials {
            let fidelity = trial.proposal.fidelity;
            if !seen.insert((&trial.proposal.genotype, fidelity)) {
                continue;
            }
            let rung = rungs.entry(fidelity).or_insert(Rung { fidelity, networks: 0, failed: 0 });
            match trial.outcome {
                Outcome::Measured(_) => rung.networks += 1,
                Outcome::Failed { .. } => rung.failed += 1,
            }
            if !matches!(trial.outcome, Outcome::Failed { kind: FailureKind::Invalid, .. }) {
                epochs += epochs_of(fidelity, full_epochs);
            }
        }
        Self { rungs: rungs.into_values().collect(), epochs, full_epochs }
    }

    /// Whether any trial requested less than full fidelity.
    #[must_use]
    pub fn has_rungs(&self) -> bool {
        self.rungs.iter().any(|rung| rung.fidelity != Fidelity::Full)
    }

    /// Returns the highest fidelity at which a network was measured.
    #[must_use]
    pub fn highest(&self) -> Option<Fidelity> {
        self.rungs.iter().rev().find(|rung| rung.networks > 0).map(|rung| rung.fidelity)
    }

    /// Returns the spent epochs, divided by the epochs of a full training. Returns `None` if the number of
    /// epochs in a full training is not known.
    #[must_use]
    pub fn full_trainings(&self) -> Option<f64> {
        (self.full_epochs > 0).then(|| self.epochs as f64 / f64::from(self.full_epochs))
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(trainings) = self.full_trainings() {
            write!(f, "{} epochs ({trainings:.1} full trainings); ", self.epochs)?;
        }
        f.write_str("networks judged: ")?;
        let none = Rung { fidelity: Fidelity::Full, networks: 0, failed: 0 };
        let has_full = self.rungs.last().is_some_and(|rung| rung.fidelity == Fidelity::Full);
        let rungs = self.rungs.iter().chain((!has_full).then_some(&none));
        for (at, Rung { fidelity, networks, failed }) in rungs.enumerate() {
            let how = fidelity.qualifier(self.full_epochs).unwrap_or_else(|| "with full effort".to_owned());
            write!(f, "{}{networks} {how}", if at > 0 { ", " } else { "" })?;
            if *failed > 0 {
                write!(f, " ({failed} failed)")?;
            }
        }
        Ok(())
    }
}

/// Returns the number of epochs in an evaluation.
pub(super) fn epochs_of(fidelity: Fidelity, full_epochs: u32) -> u64 {
    u64::from(Fidelities::of_schedule(full_epochs).epochs(fidelity))
}

/// Refuses a strategy that requests unsupported fidelities, and a budget that is too small to evaluate any
/// network with full fidelity.
pub(super) fn check(
    settings: &StudySettings,
    strategy: &dyn Strategy,
    answered: Fidelities,
) -> Result<(), StudyError> {
    let asked = strategy.fidelities(answered);
    if let Some(fidelity) = asked.iter().copied().find(|fidelity| !answered.answers(*fidelity)) {
        return Err(StudyError::Fidelity { fidelity, answered });
    }
    if settings.epochs.is_some() && answered.full_epochs == 0 {
        let found = settings.epochs.unwrap_or_default().to_string();
        let expected = "no such budget: the trials of this evaluator train nothing";
        return Err(StudyError::Setting { key: "epochs", found, expected });
    }
    let needs = strategy.needs(answered, settings.in_flight).ok_or(StudyError::NeverFull)?;
    let budgets = [("trials", settings.trials, needs.trials), ("epochs", settings.epochs, needs.epochs)];
    for (key, found, needed) in budgets {
        if let Some(found) = found.filter(|found| *found < needed) {
            return Err(StudyError::Budget { key, found, needed, in_flight: settings.in_flight });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::{Costs, Objectives, Origin, Proposal};

    fn trial(id: u64, gene: u8, fidelity: Fidelity, failed: Option<FailureKind>) -> Trial {
        let outcome = match failed {
            Some(kind) => Outcome::Failed { kind, reason: String::new() },
            None => Outcome::from_metrics([("error_percent".to_owned(), 1.0)].into()),
        };
        let proposal = Proposal { genotype: Genotype::new([gene]), fidelity, origin: Origin::default() };
        let (costs, objectives) = (Costs::default(), Objectives::default());
        Trial { id, proposal, outcome, costs, objectives, violation: 0.0 }
    }

    #[test]
    fn spent_counts_epochs_and_networks_of_each_rung_once() {
        let [one, three] = [1, 3].map(Fidelity::Epochs);
        let trials = [
            trial(0, 0, Fidelity::Proxy, None),
            trial(1, 0, one, None),
            trial(2, 1, one, Some(FailureKind::Diverged)),
            trial(3, 2, one, Some(FailureKind::Invalid)),
            trial(4, 0, three, None),
            trial(5, 0, three, None),
            trial(6, 0, Fidelity::Full, None),
        ];
        let spent = Spent::of(&trials, 20);
        let rung = |fidelity, networks, failed| Rung { fidelity, networks, failed };
        let rungs =
            [rung(Fidelity::Proxy, 1, 0), rung(one, 1, 2), rung(three, 1, 0), rung(Fidelity::Full, 1, 0)];
        assert_eq!(spent.rungs, rungs);
        // The trials that count have 1, 1, 3 and 20 epochs. One of the trainings with one epoch diverged.
        assert_eq!((spent.epochs, spent.full_trainings()), (25, Some(1.25)));
        assert!(spent.has_rungs() && spent.highest() == Some(Fidelity::Full));
        assert_eq!(Spent::of(&trials[..3], 0).highest(), Some(one));
        assert!(!Spent::of(&trials[6..], 0).has_rungs());
        assert_eq!(Spent::of(&trials[6..], 0).full_trainings(), None);
        assert_eq!(
            spent.to_string(),
            "25 epochs (1.2 full trainings); networks judged: 1 by a zero-cost proxy, 1 after 1 of 20 epochs \
             (2 failed), 1 after 3 of 20 epochs, 1 with full effort"
        );
        assert_eq!(
            Spent::of(&trials[..1], 0).to_string(),
            "networks judged: 1 by a zero-cost proxy, 0 with full effort"
        );
    }
}
