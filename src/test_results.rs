//! Formats test results by class or by value as text.

use kiln_export::{TestResults, ValueResult};

use crate::text_table::{Align, TextTable};
use crate::units;

/// Maximum number of classes for a confusion matrix in a terminal.
const MATRIX: usize = 12;
/// Maximum number of classes in the table. If there are more classes, the table shows the classes with the
/// smallest recall.
const CLASSES: usize = 100;
/// Number of confusions to list if the confusion matrix is too large to show.
const CONFUSIONS: usize = 10;
/// Maximum length of a class name above its column.
const HEADING: usize = 10;

/// Formats the tables. An empty line precedes each table. Returns an empty text if there are no results.
pub(crate) fn text(results: &TestResults) -> String {
    let mut tables = Vec::new();
    if !results.classes.is_empty() {
        tables.push(classes(results));
        tables.push(confusions(results));
    }
    if !results.values.is_empty() {
        tables.push(values(&results.values));
    }
    tables.iter().flat_map(|table| ["\n\n", table.trim_end()]).collect()
}

fn classes(results: &TestResults) -> String {
    let numbers = ["precision %", "recall %", "F1 %", "support"].map(|heading| (heading, Align::Right));
    let mut table = TextTable::new(std::iter::once(("class", Align::Left)).chain(numbers));
    let mut shown: Vec<_> = results.classes.iter().collect();
    let is_long = shown.len() > CLASSES;
    if is_long {
        // Without examples, the recall of a class is undefined.
        shown.retain(|class| class.support > 0);
        shown.sort_by(|a, b| a.recall_percent.total_cmp(&b.recall_percent));
        shown.truncate(CLASSES);
    }
    for class in &shown {
        let shares = [class.precision_percent, class.recall_percent, class.f1_percent];
        let shares = shares.map(|share| format!("{share:.2}"));
        table.row(std::iter::once(class.name.clone()).chain(shares).chain([class.support.to_string()]));
    }
    if is_long {
        let (shown, all) = (shown.len(), results.classes.len());
        return format!("The {shown} of {all} classes with the smallest recall\n{table}");
    }
    table.to_string()
}

fn confusions(results: &TestResults) -> String {
    if results.classes.len() <= MATRIX && !results.confusion.is_empty() {
        let heading = |name: &String| {
            let short: String = name.chars().take(HEADING).collect();
            (short, Align::Right)
        };
        let given = results.classes.iter().map(|class| heading(&class.name));
        let mut table = TextTable::new(std::iter::once((String::new(), Align::Left)).chain(given));
        for (class, row) in results.classes.iter().zip(&results.confusion) {
            table.row(std::iter::once(class.name.clone()).chain(row.iter().map(u64::to_string)));
        }
        return format!("Confusion matrix: rows are classes, columns are predictions\n{table}");
    }
    let confused = results.most_confused(CONFUSIONS);
    if confused.is_empty() {
        return "No example is misclassified".to_owned();
    }
    let mut table =
        TextTable::new([("class", Align::Left), ("given", Align::Left), ("examples", Align::Right)]);
    for confused in confused {
        table.row([confused.class, confused.predicted, confused.examples.to_string()]);
    }
    format!("The most frequent confusions\n{table}")
}

fn values(values: &[ValueResult]) -> String {
    let numbers = ["mean absolute error", "root mean squared error", "by the training mean", "R²"];
    let numbers = numbers.map(|heading| (heading, Align::Right));
    let mut table = TextTable::new(std::iter::once(("value", Align::Left)).chain(numbers));
    for value in values {
        let errors = [
            value.mean_absolute_error,
            value.mean_squared_error.sqrt(),
            value.mean_squared_error_of_training_mean.sqrt(),
        ];
        let errors = errors.map(units::significant);
        let r2 = units::significant(value.r2);
        table.row(std::iter::once(value.name.clone()).chain(errors).chain([r2]));
    }
    table.to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use kiln_export::{ClassResult, Confused};

    use super::*;

    /// Results for two classes: `cat` with three examples and `dog` with one example. One cat is classified
    /// as a dog.
    pub(crate) fn of_classes() -> TestResults {
        let class = |name: &str, precision_percent, recall_percent, f1_percent, support| ClassResult {
            name: name.to_owned(),
            precision_percent,
            recall_percent,
            f1_percent,
            support,
        };
        TestResults {
            examples: 4,
            classes: vec![
                class("cat", 100.0, 200.0 / 3.0, 80.0, 3),
                class("dog", 50.0, 100.0, 200.0 / 3.0, 1),
            ],
            confusion: vec![vec![2, 1], vec![0, 1]],
            ..TestResults::default()
        }
    }

    #[test]
    fn class_results_have_table_and_confusion_matrix() {
        let expected = "

class  precision %  recall %   F1 %  support
cat         100.00     66.67  80.00        3
dog          50.00    100.00  66.67        1

Confusion matrix: rows are classes, columns are predictions
     cat  dog
cat    2    1
dog    0    1";
        assert_eq!(text(&of_classes()), expected);
    }

    #[test]
    fn many_classes_are_cut_to_smallest_recall() {
        let class = |number: u32| ClassResult {
            name: format!("c{number}"),
            precision_percent: 50.0,
            recall_percent: f64::from(number % 101),
            f1_percent: 50.0,
            support: 1,
        };
        let confused = Confused { class: "c5".to_owned(), predicted: "c7".to_owned(), examples: 4 };
        let results = TestResults {
            examples: 200,
            classes: (0..200).map(class).collect(),
            confused: vec![confused],
            ..TestResults::default()
        };
        let said = text(&results);
        assert!(said.contains("The 100 of 200 classes with the smallest recall\n"), "{said}");
        assert!(said.contains("\nc101 ") && !said.contains("\nc100 "), "{said}");
        assert!(said.ends_with("class  given  examples\nc5     c7            4"), "{said}");
    }

    #[test]
    fn value_results_include_error_of_training_mean() {
        let value = ValueResult {
            name: "speed".to_owned(),
            mean_absolute_error: 0.75,
            mean_squared_error: 0.25,
            r2: 0.375,
            mean_squared_error_of_training_mean: 16.0,
        };
        let said = text(&TestResults { examples: 2, values: vec![value], ..TestResults::default() });
        let expected = "

value  mean absolute error  root mean squared error  by the training mean      R²
speed               0.7500                   0.5000                 4.000  0.3750";
        assert_eq!(said, expected);
        assert_eq!(text(&TestResults::default()), "");
    }
}
