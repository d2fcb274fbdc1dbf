//! Computes the verdict of the health check from measurements, by significance tests. The computation needs
//! no weights and no data.

use std::collections::BTreeMap;

use kiln_search::{HealthCheck, HealthQuestion, SupernetHealth, tau_b};

use crate::judging::judgement::ExampleJudgement;

/// A difference is significant if it exceeds this number of standard errors. The one-sided significance level
/// is about 2 %.
const STANDARD_ERRORS: f64 = 2.0;
/// The gain of shared weights over guessing must reach this fraction of the gain of a short training. The
/// fraction is below 1 because the weights serve many subnets at once, so each subnet may be slightly worse
/// than after its own training.
const SHARE: f64 = 0.75;
/// Maximum factor by which the advice lengthens a training.
const MOST_LONGER: f64 = 20.0;

/// Results of a subnet with shared weights, example by example.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Probe {
    pub(super) training: Vec<ExampleJudgement>,
    pub(super) validation: Vec<ExampleJudgement>,
}

/// Results of a subnet after a short training on its own, on the validation split. They are `None` if the
/// training diverged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShortTraining {
    /// Index of the subnet in `Measured::probes`.
    pub(super) network: usize,
    pub(super) alone: Option<Vec<ExampleJudgement>>,
}

/// The measurements that the verdict is computed from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) is_regression: bool,
    /// Results of the largest subnet, the smallest subnet, and then the other subnets. An entry is `None` if
    /// an output of its subnet is not finite.
    pub(super) probes: Vec<Option<Probe>>,
    /// Mean error of a constant prediction that ignores the input.
    pub(super) guessing: f64,
    /// Number of steps of the short trainings.
    pub(super) steps: u64,
    pub(super) trained: Vec<ShortTraining>,
    /// Number of epochs of the supernet's training.
    pub(super) epochs: u32,
}

/// Answers the three questions of the health check.
pub(super) fn verdict(measured: &Measured) -> SupernetHealth {
    let short = beats_short_training(measured);
    let advice = advice(measured, &short);
    let checks = [largest_beats_smallest(measured), Some(short), Some(estimates_repeat(measured))];
    SupernetHealth::new(checks.into_iter().flatten().collect(), advice)
}

/// Compares the training losses of the largest and the smallest subnet. Returns `None` if both subnets have
/// the same results.
fn largest_beats_smallest(measured: &Measured) -> Option<HealthCheck> {
    let question = HealthQuestion::LargestBeatsSmallest;
    let [Some(largest), Some(smallest), ..] = measured.probes.as_slice() else {
        let answer = "the largest or the smallest subnet gives outputs that are not finite".to_owned();
        return Some(HealthCheck { question, passed: false, numbers: BTreeMap::new(), answer });
    };
    if largest == smallest {
        return None;
    }
    // Compare losses on training examples. A well-trained network with more weights fits training examples at
    // least as well as a smaller network. On other examples, a network with more weights may overfit.
    let losses = |probe: &Probe| -> Vec<f64> { probe.training.iter().map(|example| example.loss).collect() };
    let (large, small) = (losses(largest), losses(smallest));
    let difference = Difference::of(&large, &small);
    let passed = !difference.is_above_zero();
    let (large, small) = (mean(&large), mean(&small));
    let than = if passed {
        "fits training examples at least as well as"
    } else {
        "fits training examples worse than"
    };
    let answer = format!(
        "the largest subnet {than} the smallest (loss {large:.3} and {small:.3}, difference {:.3} ± {:.3})",
        difference.mean, difference.error
    );
    let numbers = [
        ("largest_training_loss", large),
        ("smallest_training_loss", small),
        ("difference_standard_error", difference.error),
    ];
    Some(HealthCheck { question, passed, numbers: named(numbers), answer })
}

fn beats_short_training(measured: &Measured) -> HealthCheck {
    let question = HealthQuestion::BeatsShortTraining;
    let steps = measured.steps;
    let mut pairs = Vec::new();
    for trained in &measured.trained {
        let Some(alone) = &trained.alone else { continue };
        let Some(shared) = &measured.probes[trained.network] else {
            let answer =
                format!("a subnet that {steps} steps alone can train gives outputs that are not finite");
            return HealthCheck { question, passed: false, numbers: BTreeMap::new(), answer };
        };
        pairs.push((&shared.validation, alone));
    }
    if pairs.is_empty() {
        let answer =
            format!("no subnet could be trained alone for {steps} steps, so nothing was held against it");
        return HealthCheck { question, passed: true, numbers: BTreeMap::new(), answer };
    }
    let (shared, alone): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let (shared, alone) = (mean_errors(&shared), mean_errors(&alone));
    let demanded: Vec<f64> =
        alone.iter().map(|alone| measured.guessing - SHARE * (measured.guessing - alone)).collect();
    let difference = Difference::of(&shared, &demanded);
    let passed = !difference.is_above_zero();
    let (shared, alone) = (mean(&shared), mean(&alone));
    let (said_shared, said_alone) = (said(measured, shared), said(measured, alone));
    let networks = pairs.len();
    let answer = format!(
        "{networks} middling subnets have {said_shared} with shared weights, {said_alone} after {steps} \
         steps alone, {} by guessing{}",
        said(measured, measured.guessing),
        if passed { "" } else { ": shared weights gain too little of that" }
    );
    let [shared_name, alone_name, guessing_name] = if measured.is_regression {
        ["shared_rmse_deviations", "alone_rmse_deviations", "guessing_rmse_deviations"]
    } else {
        ["shared_error_percent", "alone_error_percent", "guessing_error_percent"]
    };
    let numbers = [
        (shared_name, shown(measured, shared)),
        (alone_name, shown(measured, alone)),
        (guessing_name, shown(measured, measured.guessing)),
        ("steps_alone", steps as f64),
    ];
    HealthCheck { question, passed, numbers: named(numbers), answer }
}

/// Averages, for each example, the errors of several networks. Results of networks on the same examples are
/// not independent, so the sample size is the number of examples.
fn mean_errors(networks: &[&Vec<ExampleJudgement>]) -> Vec<f64> {
    let examples = networks.iter().map(|network| network.len()).min().unwrap_or(0);
    let mean = |example: usize| networks.iter().map(|network| network[example].error).sum::<f64>();
    (0..examples).map(|example| mean(example) / networks.len() as f64).collect()
}

/// Tests whether estimates of subnets differ by more than noise, by an analysis of variance with subnets and
/// examples as factors.
fn estimates_repeat(measured: &Measured) -> HealthCheck {
    let question = HealthQuestion::EstimatesRepeat;
    let finite: Vec<&Probe> = measured.probes.iter().flatten().collect();
    let missing = measured.probes.len() - finite.len();
    if missing > 0 {
        let answer =
            format!("{missing} of {} subnets give outputs that are not finite", measured.probes.len());
        return HealthCheck { question, passed: false, numbers: BTreeMap::new(), answer };
    }
    let losses: Vec<Vec<f64>> =
        finite.iter().map(|probe| probe.validation.iter().map(|example| example.loss).collect()).collect();
    let half = |from: usize| -> Vec<f64> {
        let every_second =
            |losses: &Vec<f64>| mean(&losses.iter().copied().skip(from).step_by(2).collect::<Vec<f64>>());
        losses.iter().map(every_second).collect()
    };
    let tau = tau_b(&half(0), &half(1));
    let ratio = variance_ratio(&losses);
    let passed = losses.len() < 2 || ratio > critical_ratio(losses.len());
    let tau_said =
        tau.map_or_else(String::new, |tau| format!(", tau {tau:.2} between two halves of the split"));
    let answer = format!(
        "estimates of {} subnets {}{tau_said}",
        losses.len(),
        if passed { "repeat" } else { "differ by no more than noise" }
    );
    let numbers = [("variance_ratio", ratio)].into_iter().chain(tau.map(|tau| ("tau_of_halves", tau)));
    HealthCheck { question, passed, numbers: named(numbers), answer }
}

/// The variance between networks divided by the residual variance. Each sum of squares is first divided by
/// its degrees of freedom. Returns 0 for a single network.
fn variance_ratio(losses: &[Vec<f64>]) -> f64 {
    if losses.len() < 2 {
        return 0.0;
    }
    let (networks, examples) = (losses.len() as f64, losses[0].len() as f64);
    let of_networks: Vec<f64> = losses.iter().map(|row| mean(row)).collect();
    let whole = mean(&of_networks);
    let of_example = |index: usize| losses.iter().map(|row| row[index]).sum::<f64>() / networks;
    let of_examples: Vec<f64> = (0..losses[0].len()).map(of_example).collect();
    let between =
        examples * of_networks.iter().map(|mean| (mean - whole).powi(2)).sum::<f64>() / (networks - 1.0);
    let mut left = 0.0;
    for (row, of_network) in losses.iter().zip(&of_networks) {
        for (value, of_example) in row.iter().zip(&of_examples) {
            left += (value - of_network - of_example + whole).powi(2);
        }
    }
    let left = left / ((networks - 1.0) * (examples - 1.0)).max(1.0);
    if left > 0.0 {
        between / left
    } else if between > 0.0 {
        f64::MAX
    } else {
        0.0
    }
}

/// The critical variance ratio at a significance level of 0.01. It is computed from the chi-square
/// distribution, because there are far more examples than networks.
///
/// Source: E. B. Wilson, M. M. Hilferty, "The Distribution of Chi-square", PNAS 17, 1931.
fn critical_ratio(networks: usize) -> f64 {
    let degrees = networks as f64 - 1.0;
    let spread = 2.0 / (9.0 * degrees);
    (1.0 - spread + 2.326 * spread.sqrt()).powi(3)
}

/// Recommends what to change if a check fails.
fn advice(measured: &Measured, short: &HealthCheck) -> String {
    // Assumes that the error falls with the square root of the training length.
    let number =
        |part: &str| short.numbers.iter().find(|(name, _)| name.starts_with(part)).map(|(_, value)| *value);
    let longer = match (number("shared_"), number("alone_")) {
        (Some(shared), Some(alone)) if alone > 0.0 => (shared / alone).powi(2),
        _ => MOST_LONGER,
    };
    let longer = longer.clamp(2.0, MOST_LONGER);
    let epochs = (f64::from(measured.epochs) * longer).ceil();
    format!(
        "train the supernet longer (`epochs` about {epochs} instead of {}), or at another `learning_rate` \
         (higher where the loss in `kiln report` falls slowly, lower where it jumps), or let `[space]` vary \
         less",
        measured.epochs
    )
}

/// The mean difference of paired numbers, with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    mean: f64,
    error: f64,
}

impl Difference {
    fn of(a: &[f64], b: &[f64]) -> Self {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let center = mean(&differences);
        let squares = differences.iter().map(|difference| (difference - center).powi(2)).sum::<f64>();
        let count = differences.len() as f64;
        Self { mean: center, error: (squares / (count - 1.0).max(1.0) / count.max(1.0)).sqrt() }
    }

    /// Whether the difference is significantly above zero.
    fn is_above_zero(self) -> bool {
        self.mean > STANDARD_ERRORS * self.error && self.mean > 0.0
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}

/// Converts a mean error to the unit in which it is shown: percent in a classification, or standard
/// deviations in a regression.
fn shown(measured: &Measured, error: f64) -> f64 {
    if measured.is_regression { error.sqrt() } else { 100.0 * error }
}

fn said(measured: &Measured, error: f64) -> String {
    let shown = shown(measured, error);
    if measured.is_regression {
        format!("an error of {shown:.3} deviations")
    } else {
        format!("{shown:.1} % errors")
    }
}

fn named<'a>(numbers: impl IntoIterator<Item = (&'a str, f64)>) -> BTreeMap<String, f64> {
    numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: usize = 200;

    /// Results of a network with this fraction of wrong predictions and this mean loss. The loss varies from
    /// example to example.
    fn network(error: f64, loss: f64) -> Vec<ExampleJudgement> {
        let example = |index: usize| ExampleJudgement {
            error: f64::from(u8::from((index * 37 % EXAMPLES) as f64 + 0.5 < error * EXAMPLES as f64)),
            loss: loss * (0.5 + (index % 11) as f64 / 10.0),
        };
        (0..EXAMPLES).map(example).collect()
    }

    fn probe(error: f64) -> Probe {
        Probe { training: network(error, 3.0 * error), validation: network(error, 3.0 * error) }
    }

    /// Measurements of a largest and a smallest network, and of one between them whose error after a short
    /// training is `alone`.
    fn measured(largest: f64, smallest: f64, between: f64, alone: f64) -> Measured {
        Measured {
            is_regression: false,
            guessing: 0.9,
            probes: [largest, smallest, between].map(|error| Some(probe(error))).to_vec(),
            steps: 50,
            trained: vec![ShortTraining { network: 2, alone: Some(network(alone, 3.0 * alone)) }],
            epochs: 10,
        }
    }

    fn failed(measured: &Measured) -> Vec<HealthQuestion> {
        let checks = verdict(measured).checks;
        checks.into_iter().filter(|check| !check.passed).map(|check| check.question).collect()
    }

    #[test]
    fn trained_supernet_passes_and_gives_no_advice() {
        let health = verdict(&measured(0.05, 0.10, 0.08, 0.40));
        assert!(health.healthy && health.advice.is_empty(), "{health:?}");
        assert_eq!(health.checks.len(), 3);
        let short = &health.checks[1];
        assert!((short.numbers["shared_error_percent"] - 8.0).abs() < 1e-9, "{short:?}");
        assert!((short.numbers["alone_error_percent"] - 40.0).abs() < 1e-9, "{short:?}");
    }

    #[test]
    fn smallest_subnet_that_fits_better_than_the_largest_fails() {
        assert_eq!(failed(&measured(0.30, 0.20, 0.25, 0.40)), [HealthQuestion::LargestBeatsSmallest]);
        assert_eq!(failed(&measured(0.20, 0.20, 0.21, 0.40)), [], "equally good subnets pass");
    }

    #[test]
    fn shared_weights_below_a_short_training_fail_with_advice_in_epochs() {
        let health = verdict(&measured(0.50, 0.60, 0.60, 0.20));
        let failed: Vec<_> = health.checks.iter().filter(|check| !check.passed).collect();
        let [check] = failed.as_slice() else { panic!("{health:?}") };
        assert_eq!(check.question, HealthQuestion::BeatsShortTraining);
        assert!(
            check.answer.contains("60.0 % errors") && check.answer.contains("20.0 % errors"),
            "{check:?}"
        );
        // An error three times as large needs nine times the training length.
        assert!(health.advice.contains("about 90 instead of 10"), "{}", health.advice);
        assert!(health.advice.contains("learning_rate"), "{}", health.advice);
    }

    #[test]
    fn difference_within_chance_passes() {
        // An error of 0.45 (90 of 200) reaches three quarters of the gain from 0.90 to 0.30. With 91 errors,
        // the difference is still within chance.
        assert_eq!(failed(&measured(0.10, 0.60, 0.455, 0.30)), []);
        assert_eq!(failed(&measured(0.10, 0.60, 0.55, 0.30)), [HealthQuestion::BeatsShortTraining]);
    }

    #[test]
    fn short_training_without_gain_over_guessing_demands_nothing() {
        assert_eq!(failed(&measured(0.80, 0.90, 0.89, 0.90)), []);
    }

    #[test]
    fn equal_estimates_of_all_subnets_fail_to_repeat() {
        let mut same = measured(0.2, 0.2, 0.2, 0.9);
        assert_eq!(failed(&same), [HealthQuestion::EstimatesRepeat]);
        same.probes[2] = None;
        let health = verdict(&same);
        let answer = &health.checks.last().unwrap().answer;
        assert!(!health.healthy && answer.contains("not finite"), "{health:?}");
    }

    #[test]
    fn diverged_short_training_is_ignored() {
        let mut diverged = measured(0.05, 0.10, 0.80, 0.20);
        diverged.trained[0].alone = None;
        assert_eq!(failed(&diverged), []);
    }

    #[test]
    fn regression_errors_are_shown_in_deviations() {
        let mut values = measured(0.04, 0.16, 0.16, 0.36);
        values.is_regression = true;
        let health = verdict(&values);
        assert!((health.checks[1].numbers["shared_rmse_deviations"] - 0.4).abs() < 1e-9, "{health:?}");
        assert!(health.checks[1].answer.contains("0.400 deviations"), "{health:?}");
    }

    #[test]
    fn variance_ratio_matches_numbers_by_hand() {
        // The means are 1 and 3.25 for the networks, 1 and 3.25 for the examples, and 2.125 overall. Each of
        // the four residuals is 0.125.
        let ratio = variance_ratio(&[vec![0.0, 2.0], vec![2.0, 4.5]]);
        let whole = 8.5 / 4.0;
        let means = [1.0_f64, 3.25];
        let between = 2.0 * means.iter().map(|mean| (mean - whole).powi(2)).sum::<f64>();
        let left = 4.0 * 0.125_f64.powi(2);
        assert!((ratio - between / left).abs() < 1e-9, "{ratio}");
        // The chi-square quantile with 13 degrees of freedom at level 0.01 is 27.69.
        assert!((critical_ratio(14) - 27.69 / 13.0).abs() < 0.01, "{}", critical_ratio(14));
    }
}
