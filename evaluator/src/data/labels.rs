//! Converts whole-number labels, starting at 0 or 1, to classes.

use kiln_space::{Settings, SettingsError};

use super::input_file::MAX_CLASSES;
use super::{ReadingRules, Targets};

/// Maximum number of labels in a note.
const LISTED: usize = 10;

/// Targets with notes, one sentence each.
pub(super) struct Labeled {
    pub(super) targets: Targets,
    pub(super) notes: Vec<String>,
}

/// Converts labels to classes. Labels `1..=n`, as in data from Matlab and EMNIST Letters, are shifted to
/// `0..n`. `names` are the class names from the setting `key`; without names the classes are numbers.
///
/// # Errors
/// [`SettingsError`] when the number of names differs from the number of classes.
pub(super) fn classes(
    labels: Vec<u32>,
    names: Vec<String>,
    (settings, key): (&Settings, &str),
    rules: ReadingRules,
) -> Result<Labeled, SettingsError> {
    let smallest = labels.iter().min().copied().unwrap_or_default();
    let largest = labels.iter().max().copied().unwrap_or_default();
    let from = match rules {
        ReadingRules::First => 0,
        // If the names are for labels `0..=n`, label 0 is a class, although no example has it.
        ReadingRules::Second if names.len() == largest as usize + 1 => 0,
        ReadingRules::Second => u32::from(smallest == 1),
    };
    let count = (largest + 1 - from) as usize;
    let fits = match rules {
        // The first rules allowed names for classes without examples.
        ReadingRules::First => names.len() >= count,
        ReadingRules::Second => names.len() == count,
    };
    let names = if names.is_empty() {
        (from..=largest).map(|class| class.to_string()).collect()
    } else if fits {
        names
    } else {
        let expected = format!("{count} names: labels run from {from} to {largest}");
        return Err(SettingsError::value(settings.key(key), format!("{} names", names.len()), &expected));
    };
    let mut seen = vec![false; names.len()];
    for label in &labels {
        seen[(label - from) as usize] = true;
    }
    let mut notes = Vec::new();
    if from > 0 {
        notes.push(format!("labels run from 1 to {largest}: they are read as {count} classes"));
    }
    let unused: Vec<u32> = (from..).zip(&seen).filter(|(_, seen)| !**seen).map(|(label, _)| label).collect();
    if !unused.is_empty() {
        let listed: Vec<String> = unused.iter().take(LISTED).map(u32::to_string).collect();
        let more = if unused.len() > LISTED { ", ..." } else { "" };
        notes.push(format!(
            "no example has the label {}{more}: {} of {} classes cannot be learned",
            listed.join(", "),
            unused.len(),
            names.len()
        ));
    }
    let labels = labels.into_iter().map(|label| label - from).collect();
    Ok(Labeled { targets: Targets::Classes { names, labels }, notes })
}

/// Whether a number is a valid label.
pub(super) fn is_label(value: f64) -> bool {
    value.fract() == 0.0 && (0.0..MAX_CLASSES as f64).contains(&value)
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    /// Class names, labels, and notes.
    type Found = (Vec<String>, Vec<u32>, Vec<String>);

    fn read(labels: &[u32], names: &[&str]) -> Result<Found, String> {
        let settings = Settings::new("data", Map::new());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let found = classes(labels.to_vec(), names, (&settings, "classes"), ReadingRules::CURRENT);
        let Labeled { targets, notes } = found.map_err(|error| error.to_string())?;
        match targets {
            Targets::Classes { names, labels } => Ok((names, labels, notes)),
            Targets::Values { .. } => panic!("labels are classes"),
        }
    }

    #[test]
    fn labels_from_1_to_n_give_n_classes() {
        let (names, labels, notes) = read(&[1, 3, 2, 1], &[]).unwrap();
        assert_eq!((names.join(" ").as_str(), labels), ("1 2 3", vec![0, 2, 1, 0]));
        assert_eq!(notes, ["labels run from 1 to 3: they are read as 3 classes"]);
        let (names, labels, _) = read(&[1, 3, 2, 1], &["A", "B", "C"]).unwrap();
        assert_eq!((names.join(" ").as_str(), labels[1]), ("A B C", 2));
    }

    #[test]
    fn names_with_class_0_keep_it_and_note_reports_the_gap() {
        let (names, labels, notes) = read(&[1, 3, 2], &["none", "A", "B", "C"]).unwrap();
        assert_eq!((names.len(), labels), (4, vec![1, 3, 2]));
        assert_eq!(notes, ["no example has the label 0: 1 of 4 classes cannot be learned"]);
        let (_, _, notes) = read(&[0, 4], &[]).unwrap();
        assert_eq!(notes, ["no example has the label 1, 2, 3: 3 of 5 classes cannot be learned"]);
    }

    #[test]
    fn wrong_number_of_names_is_refused_with_label_range() {
        let said = read(&[1, 2, 3], &["A", "B"]).unwrap_err();
        assert_eq!(said, "`data.classes`: found 2 names, expected 3 names: labels run from 1 to 3");
        assert!(read(&[0, 1], &["A", "B", "C"]).is_err());
    }
}
