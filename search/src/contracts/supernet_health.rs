//! The result of a short check of a trained supernet. The evaluator measures the supernet and decides; these
//! types only store the result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The result of the checks that test, before the search, whether estimates with shared weights can rank
/// networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupernetHealth {
    /// Whether every check passed.
    pub healthy: bool,
    /// The checks, in the order in which they ran.
    pub checks: Vec<HealthCheck>,
    /// Advice for the user. Empty for a healthy supernet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

/// One check of the shared weights: a question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The question.
    pub question: HealthQuestion,
    /// Whether this is the answer expected of a well-trained supernet.
    pub passed: bool,
    /// Measured numbers. Each name includes the unit.
    pub numbers: BTreeMap<String, f64>,
    /// The answer as a text to display, including the numbers.
    pub answer: String,
}

/// The questions about shared weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthQuestion {
    /// Does the largest subnet fit the training data at least as well as the smallest one?
    LargestBeatsSmallest,
    /// Does a subnet with shared weights do at least as well as after a short separate training, relative to
    /// random guessing?
    BeatsShortTraining,
    /// Do subnets differ by more than the noise over the validation examples?
    EstimatesRepeat,
}

impl SupernetHealth {
    /// Creates the health that follows from these checks. `advice` is kept only if a check failed.
    #[must_use]
    pub fn new(checks: Vec<HealthCheck>, advice: String) -> Self {
        let healthy = checks.iter().all(|check| check.passed);
        Self { healthy, checks, advice: if healthy { String::new() } else { advice } }
    }

    /// Returns one line to display. For a healthy supernet it lists all answers. Otherwise it lists the
    /// failed answers and the advice.
    #[must_use]
    pub fn message(&self) -> String {
        let shown = self.checks.iter().filter(|check| self.healthy || !check.passed);
        let answers: Vec<&str> = shown.map(|check| check.answer.as_str()).collect();
        let answers = answers.join("; ");
        if self.healthy {
            format!("supernet: healthy: {answers}")
        } else {
            format!("the supernet's estimates may mislead the search: {answers}; {}", self.advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(question: HealthQuestion, passed: bool, answer: &str) -> HealthCheck {
        let numbers = [("tau".to_owned(), 0.5)].into();
        HealthCheck { question, passed, numbers, answer: answer.to_owned() }
    }

    #[test]
    fn health_with_one_failed_check_shows_that_answer_and_the_advice() {
        let passed = check(HealthQuestion::EstimatesRepeat, true, "they repeat");
        let failed = check(HealthQuestion::LargestBeatsSmallest, false, "small wins");
        let healthy = SupernetHealth::new(vec![passed.clone()], "train longer".to_owned());
        assert!(healthy.healthy && healthy.advice.is_empty());
        assert_eq!(healthy.message(), "supernet: healthy: they repeat");
        let unhealthy = SupernetHealth::new(vec![passed, failed], "train longer".to_owned());
        assert!(!unhealthy.healthy);
        let message = unhealthy.message();
        assert!(message.ends_with("small wins; train longer") && !message.contains("repeat"), "{message}");
        let text = serde_json::to_string(&unhealthy).unwrap();
        assert!(text.contains(r#""question":"largest_beats_smallest","passed":false"#), "{text}");
        assert_eq!(serde_json::from_str::<SupernetHealth>(&text).unwrap(), unhealthy);
    }
}
