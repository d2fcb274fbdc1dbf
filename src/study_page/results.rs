//! Shows the test results of finished networks by class or by value, from the networks' cards.

use std::collections::BTreeMap;
use std::fmt::Write;

use kiln_export::page::{Cell, Part, Section, Table};
use kiln_export::{ClassResult, ModelCard, TestResults, ValueResult};
use kiln_search::TrialId;

use crate::finished_files::CardError;
use crate::units;

/// Maximum number of classes for a confusion matrix.
const MATRIX: usize = 30;
/// A table with more classes than this is collapsed.
const OPEN: usize = 30;
/// Number of confusions to list if the confusion matrix is too large to show.
const CONFUSIONS: usize = 20;

/// Makes the section for these cards. Returns `None` if no card contains test results. Cards of older builds
/// contain none.
pub(super) fn section(cards: &BTreeMap<TrialId, Result<ModelCard, CardError>>) -> Option<Section> {
    let mut parts = Vec::new();
    for (trial, card) in cards {
        match card {
            Ok(card) => parts.extend(card.test.iter().flat_map(|test| of_network(*trial, card, test))),
            Err(problem) => {
                parts.push(Part::Text(format!("The card of trial {trial} cannot be read: {problem}.")));
            }
        }
    }
    (!parts.is_empty()).then(|| Section { title: "Test results of finished networks".to_owned(), parts })
}

fn of_network(trial: TrialId, card: &ModelCard, test: &TestResults) -> Vec<Part> {
    let said = |metric: &&kiln_export::MetricRecord| metric.name.starts_with("test_");
    let metrics: Vec<String> = card
        .metrics
        .iter()
        .filter(said)
        .map(|metric| {
            let (heading, value) = units::shown(&metric.name, metric.value);
            format!("{heading} {value}")
        })
        .collect();
    let mut text = format!(
        "Trial {trial}, measured once on {} examples of the test split: {}.",
        test.examples,
        metrics.join(", ")
    );
    if !card.class_weights.is_empty() {
        let weights = card
            .class_weights
            .iter()
            .map(|(class, weight)| format!("{class} {}", units::significant(*weight)));
        let weights: Vec<String> = weights.take(OPEN).collect();
        let more = if card.class_weights.len() > OPEN { ", ..." } else { "" };
        let weights = weights.join(", ");
        let _ = write!(text, " Classes were weighted in the loss of training, not here: {weights}{more}.");
    }
    let mut parts = vec![Part::Text(text)];
    if !test.classes.is_empty() {
        let table = Part::Table(classes(trial, &test.classes));
        parts.push(if test.classes.len() > OPEN {
            let summary = format!("The {} classes", test.classes.len());
            Part::Folded { summary, part: Box::new(table) }
        } else {
            table
        });
        parts.push(Part::Table(confusions(trial, test)));
    }
    if !test.values.is_empty() {
        parts.push(Part::Table(values(trial, &test.values)));
    }
    parts
}

fn number(value: f64) -> Cell {
    Cell::Number(format!("{value:.2}"))
}

fn classes(trial: TrialId, classes: &[ClassResult]) -> Table {
    let row = |class: &ClassResult| {
        vec![
            Cell::Text(class.name.clone()),
            number(class.precision_percent),
            number(class.recall_percent),
            number(class.f1_percent),
            Cell::Number(class.support.to_string()),
        ]
    };
    Table {
        caption: format!("Results of trial {trial} by class; support is the number of its test examples"),
        headings: ["class", "precision %", "recall %", "F1 %", "support"].map(str::to_owned).to_vec(),
        rows: classes.iter().map(row).collect(),
    }
}

/// Makes the confusion matrix. If the matrix is too large, lists the most frequent confusions instead.
fn confusions(trial: TrialId, test: &TestResults) -> Table {
    if test.confusion.len() == test.classes.len() && test.classes.len() <= MATRIX {
        let row = |(class, row): (&ClassResult, &Vec<u64>)| {
            let counts = row.iter().map(|count| Cell::Number(count.to_string()));
            std::iter::once(Cell::Text(class.name.clone())).chain(counts).collect()
        };
        let names = test.classes.iter().map(|class| class.name.clone());
        return Table {
            caption: format!("Confusion matrix of trial {trial}: rows are classes, columns are predictions"),
            headings: std::iter::once("class".to_owned()).chain(names).collect(),
            rows: test.classes.iter().zip(&test.confusion).map(row).collect(),
        };
    }
    let row = |confused: kiln_export::Confused| {
        vec![
            Cell::Text(confused.class),
            Cell::Text(confused.predicted),
            Cell::Number(confused.examples.to_string()),
        ]
    };
    Table {
        caption: format!("The most frequent confusions of trial {trial}"),
        headings: ["class", "given", "examples"].map(str::to_owned).to_vec(),
        rows: test.most_confused(CONFUSIONS).into_iter().map(row).collect(),
    }
}

fn values(trial: TrialId, values: &[ValueResult]) -> Table {
    let row = |value: &ValueResult| {
        let errors = [
            value.mean_absolute_error,
            value.mean_squared_error.sqrt(),
            value.mean_squared_error_of_training_mean.sqrt(),
            value.r2,
        ];
        let errors = errors.map(|error| Cell::Number(units::significant(error)));
        std::iter::once(Cell::Text(value.name.clone())).chain(errors).collect()
    };
    let headings =
        ["value", "mean absolute error", "root mean squared error", "the same for the training mean", "R²"];
    Table {
        caption: format!("Results of trial {trial} by value, each in its own unit"),
        headings: headings.map(str::to_owned).to_vec(),
        rows: values.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use kiln_files::FileError;

    use super::*;
    use crate::test_results::tests::of_classes;

    #[test]
    fn card_gives_tables_and_old_card_gives_none() {
        let mut card = ModelCard {
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            class_weights: [("dog".to_owned(), 2.5)].into(),
            ..ModelCard::default()
        };
        assert!(section(&[(3, Ok(card.clone()))].into()).is_none());
        card.test = Some(of_classes());
        let missing = FileError::TooLarge { path: "card.json".into(), bytes: 2, limit: 1 };
        let parts = section(&[(3, Ok(card)), (4, Err(missing.into()))].into()).unwrap().parts;
        let [Part::Text(text), Part::Table(classes), Part::Table(matrix), Part::Text(problem)] = &parts[..]
        else {
            panic!("{parts:?}")
        };
        assert!(text.contains("4 examples") && text.contains("dog 2.500"), "{text}");
        assert_eq!(
            classes.rows[1][1..],
            [number(50.0), number(100.0), number(200.0 / 3.0), Cell::Number("1".to_owned())]
        );
        assert_eq!(matrix.headings, ["class", "cat", "dog"]);
        let count = |count: &str| Cell::Number(count.to_owned());
        assert_eq!(matrix.rows[0], [Cell::Text("cat".to_owned()), count("2"), count("1")]);
        assert!(problem.contains("trial 4 cannot be read"), "{problem}");
    }
}
