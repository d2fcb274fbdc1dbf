//! What a short check of trained shared weights found. Plain data: the evaluator measures and judges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether estimates by shared weights can order networks: a few questions with their numbers, asked before
/// the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupernetHealth {
    /// Whether every question was answered with yes.
    pub healthy: bool,
    /// The questions, in the order in which they were asked.
    pub checks: Vec<HealthCheck>,
    /// What to do; empty for a healthy supernet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

/// One question to the shared weights, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What was asked.
    pub question: HealthQuestion,
    /// Whether the answer is the one of a trained supernet.
    pub passed: bool,
    /// What was measured, by name with unit.
    pub numbers: BTreeMap<String, f64>,
    /// The answer with its numbers, for people.
    pub answer: String,
}

/// Questions to shared weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthQuestion {
    /// Does the largest subnet fit the training data at least as well as the smallest?
    LargestBeatsSmallest,
    /// Does a subnet with shared weights beat guessing by what a short training of it alone reaches?
    BeatsShortTraining,
    /// Do subnets differ by more than noise over the validation examples?
    EstimatesRepeat,
}

impl SupernetHealth {
    /// The health that these answers say. `advice` is kept where one of them is no.
    #[must_use]
    pub fn new(checks: Vec<HealthCheck>, advice: String) -> Self {
        let healthy = checks.iter().all(|check| check.passed);
        Self { healthy, checks, advice: if healthy { String::new() } else { advice } }
    }

    /// One line for people: of a healthy supernet all answers, otherwise those that are wrong and what to do.
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
