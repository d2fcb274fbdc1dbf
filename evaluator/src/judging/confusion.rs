//! The confusion matrix of a network, and the metrics computed from it: precision, recall, F1 and balanced
//! error.
//!
//! The definitions are the same as in scikit-learn with `zero_division=0`: a ratio with denominator 0 is 0.

use std::collections::BTreeMap;

use kiln_export::{ClassResult, Confused, TestResults};

use crate::data::{DataSet, Split};
use crate::judging::judgement;

/// Maximum length of the list of confusions that replaces the matrix if there are too many classes.
const CONFUSED: usize = 1000;

/// Counts of examples by true class and predicted class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confusion {
    /// Number of examples for each pair of true class and predicted class that occurs.
    cells: BTreeMap<(usize, usize), u64>,
    /// Number of examples of each true class.
    support: Vec<u64>,
    /// Number of examples for which the network predicts each class.
    given: Vec<u64>,
}

impl Confusion {
    /// Computes the confusion matrix from the logits of a whole split, in the order of the split. Each
    /// example has `classes` logits. The logit of the data set's class `i` has the index `places[i]`.
    pub(crate) fn of(
        outputs: &[f32],
        data: &DataSet,
        split: Split,
        (classes, places): (usize, &[usize]),
    ) -> Self {
        let rows = outputs.chunks_exact(classes.max(1)).zip(data.split(split));
        let pair =
            |(row, example): (&[f32], &u32)| (places[data.label(*example) as usize], judgement::top(row));
        Self::new(classes, rows.map(pair))
    }

    /// Computes the confusion matrix from pairs of true class and predicted class.
    pub(crate) fn new(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut found = Self { cells: BTreeMap::new(), support: vec![0; classes], given: vec![0; classes] };
        for (class, given) in pairs {
            *found.cells.entry((class, given)).or_default() += 1;
            found.support[class] += 1;
            found.given[given] += 1;
        }
        found
    }

    fn right(&self, class: usize) -> f64 {
        self.cells.get(&(class, class)).map_or(0.0, |count| *count as f64)
    }

    fn precision(&self, class: usize) -> f64 {
        share(self.right(class), self.given[class])
    }

    fn recall(&self, class: usize) -> f64 {
        share(self.right(class), self.support[class])
    }

    /// The F1 score, which is the harmonic mean of precision and recall. It is twice the number of correct
    /// predictions, divided by the number of the class's examples plus the number of the class's predictions.
    fn f1(&self, class: usize) -> f64 {
        share(2.0 * self.right(class), self.support[class] + self.given[class])
    }

    /// 100 minus the mean recall of the classes that have examples (`balanced_accuracy_score`).
    pub(crate) fn balanced_error_percent(&self) -> f64 {
        let present = (0..self.support.len()).filter(|class| self.support[*class] > 0);
        100.0 * (1.0 - mean(present.map(|class| self.recall(class))))
    }

    /// 100 minus the mean F1 of the classes that have examples or are predicted at least once (`f1_score`
    /// with `average="macro"`).
    pub(crate) fn macro_f1_error_percent(&self) -> f64 {
        let known = (0..self.support.len()).filter(|class| self.support[*class] + self.given[*class] > 0);
        100.0 * (1.0 - mean(known.map(|class| self.f1(class))))
    }

    /// Results for each class.
    pub(crate) fn results(&self, names: &[String]) -> TestResults {
        let class = |(class, name): (usize, &String)| ClassResult {
            name: name.clone(),
            precision_percent: 100.0 * self.precision(class),
            recall_percent: 100.0 * self.recall(class),
            f1_percent: 100.0 * self.f1(class),
            support: self.support[class],
        };
        let is_small = names.len() <= TestResults::MATRIX_MAX;
        let count = |row: usize, column: usize| self.cells.get(&(row, column)).copied().unwrap_or(0);
        let row = |row: usize| (0..names.len()).map(|column| count(row, column)).collect();
        TestResults {
            examples: self.support.iter().sum(),
            classes: names.iter().enumerate().map(class).collect(),
            confusion: if is_small { (0..names.len()).map(row).collect() } else { Vec::new() },
            confused: if is_small { Vec::new() } else { self.confused(names) },
            values: Vec::new(),
        }
    }

    /// The most frequent confusions. Ties are in the order of the classes.
    fn confused(&self, names: &[String]) -> Vec<Confused> {
        let mut wrong: Vec<_> = self.cells.iter().filter(|((class, given), _)| class != given).collect();
        wrong.sort_by_key(|(pair, count)| (u64::MAX - **count, **pair));
        let named = |((class, given), count): (&(usize, usize), &u64)| Confused {
            class: names[*class].clone(),
            predicted: names[*given].clone(),
            examples: *count,
        };
        wrong.into_iter().take(CONFUSED).map(named).collect()
    }
}

/// Divides `part` by `of`. Returns 0 if `of` is 0.
fn share(part: f64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part / of as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    share(sum, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("c{class}")).collect()
    }

    /// Ten examples: 6 of class 0 (4 correct, 2 predicted as 1), 3 of class 1 (1 correct, 1 predicted as 0, 1
    /// predicted as 3), 1 of class 2 (predicted as 0). Class 3 has no example but is predicted once. Class 4
    /// has no example and is never predicted.
    fn example() -> Confusion {
        let pairs = [(0, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 1), (1, 1), (1, 0), (1, 3), (2, 0)];
        Confusion::new(5, pairs)
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn results_by_class_match_numbers_by_hand() {
        let results = example().results(&names(5));
        assert_eq!(results.examples, 10);
        assert_eq!(results.confusion[0], [4, 2, 0, 0, 0]);
        assert_eq!(results.confusion[1], [1, 1, 0, 1, 0]);
        assert_eq!(results.confusion[2], [1, 0, 0, 0, 0]);
        assert_eq!(results.confusion[3..], [[0; 5], [0; 5]]);
        // sklearn.metrics.precision_recall_fscore_support(..., labels=range(5), zero_division=0)
        let expected = [
            (4.0 / 6.0, 4.0 / 6.0, 4.0 / 6.0, 6),
            (1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 3),
            (0.0, 0.0, 0.0, 1),
            (0.0, 0.0, 0.0, 0),
            (0.0, 0.0, 0.0, 0),
        ];
        for (class, (precision, recall, f1, support)) in results.classes.iter().zip(expected) {
            near(class.precision_percent, 100.0 * precision);
            near(class.recall_percent, 100.0 * recall);
            near(class.f1_percent, 100.0 * f1);
            assert_eq!(class.support, support);
        }
        results.check(&names(5)).unwrap();
    }

    #[test]
    fn balanced_error_averages_classes_with_examples() {
        // The recalls are 2/3, 1/3 and 0. The two classes without examples do not count.
        near(example().balanced_error_percent(), 100.0 * (1.0 - 1.0 / 3.0));
        let all_right = Confusion::new(3, [(0, 0), (2, 2)]);
        near(all_right.balanced_error_percent(), 0.0);
        // Nine of ten examples belong to class 0. Always predicting class 0 has an error of 10 % and a
        // balanced error of 50 %.
        let guessing = Confusion::new(2, (0..10).map(|example| (usize::from(example == 0), 0)));
        near(guessing.balanced_error_percent(), 50.0);
    }

    #[test]
    fn macro_f1_averages_classes_that_have_examples_or_are_given() {
        // The classes with examples have F1 scores of 2/3, 1/3 and 0. The class that is predicted but has no
        // example has an F1 of 0.
        near(example().macro_f1_error_percent(), 100.0 * (1.0 - 0.25));
        near(Confusion::new(3, [(0, 0), (2, 2)]).macro_f1_error_percent(), 0.0);
        // Precision 9/10 and recall 1 make an F1 of 18/19. The other class has an F1 of 0.
        let guessing = Confusion::new(2, (0..10).map(|example| (usize::from(example == 0), 0)));
        near(guessing.macro_f1_error_percent(), 100.0 * (1.0 - 9.0 / 19.0));
    }

    #[test]
    fn many_classes_give_a_list_of_the_most_frequent_confusions() {
        let pairs = (0..150).map(|class| (class, class)).chain([(7, 8), (3, 120), (7, 8)]);
        let results = Confusion::new(150, pairs).results(&names(150));
        assert!(results.confusion.is_empty());
        let said: Vec<_> = results
            .confused
            .iter()
            .map(|confused| (&*confused.class, &*confused.predicted, confused.examples))
            .collect();
        assert_eq!(said, [("c7", "c8", 2), ("c3", "c120", 1)]);
        results.check(&names(150)).unwrap();
    }
}
