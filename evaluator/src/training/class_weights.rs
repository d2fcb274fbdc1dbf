//! The setting `class_weights`: the weight of each class in the loss of a training.
//!
//! Kiln scales the weights to a mean of 1 over the training split, so the same learning rate fits with and
//! without class weights. Metrics do not use class weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::{DataSet, Split, Targets};

const KEY: &str = "class_weights";
const BALANCED: &str = "balanced";
const EXPECTED: &str = "`\"balanced\"`, a table of weights by class such as `{ rare = 5.0 }`, or `false`";
/// The smallest weight that a config may contain.
const SMALLEST: f64 = 1e-6;
const LARGEST: f64 = 1e6;
/// Maximum number of class names that an error lists.
const LISTED: usize = 100;

/// The weights of classes: either the value in the config, or the weights resolved for a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub(crate) enum ClassWeights {
    /// The config does not contain the setting.
    #[default]
    Unstated,
    /// The value in the config.
    Stated(Value),
    /// The config contains `false`: all classes have the same weight.
    Equal,
    /// A weight for each class, in the order of the classes.
    Each(Arc<[f32]>),
}

impl From<Value> for ClassWeights {
    fn from(stated: Value) -> Self {
        Self::Stated(stated)
    }
}

impl From<ClassWeights> for Value {
    fn from(weights: ClassWeights) -> Self {
        match weights {
            ClassWeights::Unstated => Self::Null,
            ClassWeights::Stated(stated) => stated,
            ClassWeights::Equal => Self::Bool(false),
            ClassWeights::Each(weights) => weights.iter().copied().collect(),
        }
    }
}

impl ClassWeights {
    /// Whether all classes have the same weight. Fingerprints then omit the weights.
    pub(crate) const fn is_equal(&self) -> bool {
        matches!(self, Self::Unstated | Self::Equal)
    }

    /// Returns the weights, or `None` if all classes have the same weight.
    pub(crate) fn each(&self) -> Option<&[f32]> {
        match self {
            Self::Each(weights) => Some(weights),
            Self::Unstated | Self::Stated(_) | Self::Equal => None,
        }
    }

    /// Returns these weights, or `inherited` if the config does not contain the setting.
    pub(crate) fn or(self, inherited: &Self) -> Self {
        if self == Self::Unstated { inherited.clone() } else { self }
    }

    /// Resolves the weights for a data set. `settings` is the table that contains the setting.
    ///
    /// # Errors
    /// [`SettingsError`] for a value of another type, an unknown class, a weight out of range, and for a
    /// regression.
    pub(crate) fn resolved(&self, settings: &Settings, data: &DataSet) -> Result<Self, SettingsError> {
        let Self::Stated(stated) = self else { return Ok(self.clone()) };
        let refuse =
            |found: String, expected: &str| Err(SettingsError::value(settings.key(KEY), found, expected));
        if *stated == Value::Bool(false) {
            return Ok(Self::Equal);
        }
        let Targets::Classes { names, labels } = data.targets() else {
            return refuse(shown(stated), "no such key: the targets are numbers, not classes");
        };
        let mut counts = vec![0_usize; names.len()];
        for example in data.split(Split::Train) {
            counts[labels[*example as usize] as usize] += 1;
        }
        let weights = match stated {
            Value::String(word) if word == BALANCED => balanced(&counts),
            Value::Object(table) => by_name(table, names, settings)?,
            _ => return refuse(shown(stated), EXPECTED),
        };
        Ok(Self::Each(normalized(&weights, &counts).into()))
    }

    /// Returns the weight of each class by name. The map is empty if all classes have the same weight.
    pub(crate) fn by_name(&self, data: &DataSet) -> BTreeMap<String, f64> {
        let names = data.targets().names().iter().cloned();
        let weights = self.each().unwrap_or_default().iter().map(|weight| f64::from(*weight));
        names.zip(weights).collect()
    }

    /// Returns the weight of each example in a batch with these labels, `[batch, 1]`. Returns `None` if all
    /// classes have the same weight.
    pub(crate) fn of_examples(&self, labels: &Tensor<1, Int>, device: &Device) -> Option<Tensor<2>> {
        let weights = self.each()?;
        let weights = TensorData::new(weights.to_vec(), [weights.len()]);
        let weights: Tensor<1> = Tensor::from_data(weights, device);
        Some(weights.select(0, labels.clone()).unsqueeze_dim(1))
    }
}

/// Computes weights inversely proportional to the number of examples of each class (`class_weight="balanced"`
/// in scikit-learn). A class without training examples has weight 1.
fn balanced(counts: &[usize]) -> Vec<f64> {
    let present = counts.iter().filter(|count| **count > 0).count();
    let all: usize = counts.iter().sum();
    let of = |count: &usize| if *count == 0 { 1.0 } else { all as f64 / (present * count) as f64 };
    counts.iter().map(of).collect()
}

/// Reads the weights from a table. A class that the table does not name has weight 1.
fn by_name(
    table: &Map<String, Value>,
    names: &[String],
    settings: &Settings,
) -> Result<Vec<f64>, SettingsError> {
    let key = |name: &str| format!("{}.{name}", settings.key(KEY));
    let mut weights = vec![1.0; names.len()];
    for (name, stated) in table {
        let Some(class) = names.iter().position(|known| known == name) else {
            let listed: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
            let more = if names.len() > LISTED { ", ..." } else { "" };
            let expected = format!("a class of the data: {}{more}", listed.join(", "));
            return Err(SettingsError::value(key(name), format!("`{name}`"), &expected));
        };
        match stated.as_f64() {
            Some(weight) if (SMALLEST..=LARGEST).contains(&weight) => weights[class] = weight,
            _ => {
                let expected = "a number above 0, from 0.000001 to 1000000";
                return Err(SettingsError::value(key(name), shown(stated), expected));
            }
        }
    }
    Ok(weights)
}

/// Divides the weights by their mean over all examples. `counts` contains the number of examples of each
/// class.
fn normalized(weights: &[f64], counts: &[usize]) -> Vec<f32> {
    let all: usize = counts.iter().sum();
    let sum: f64 = weights.iter().zip(counts).map(|(weight, count)| weight * *count as f64).sum();
    let mean = sum / all.max(1) as f64;
    weights.iter().map(|weight| (weight / mean) as f32).collect()
}

fn shown(value: &Value) -> String {
    format!("`{value}`")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::Sizes;
    use crate::data::testing::of_targets;

    fn data(targets: Targets) -> DataSet {
        of_targets(targets, 0, &Sizes { test: 0.1, validation: 0.1, seed: 0, limit: None })
    }

    /// 80 examples of `many`, 20 of `few`, none of `none`. The training split contains 65 of `many` and 16 of
    /// `few`.
    fn uneven() -> DataSet {
        let names = ["many", "few", "none"].map(str::to_owned).to_vec();
        data(Targets::Classes { names, labels: (0..100).map(|i| u32::from(i % 5 == 0)).collect() })
    }

    fn resolved(stated: Value, data: &DataSet) -> Result<ClassWeights, String> {
        let settings = Settings::new("evaluator", Map::new());
        ClassWeights::from(stated).resolved(&settings, data).map_err(|error| error.to_string())
    }

    fn near(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn balanced_weights_equal_those_of_scikit_learn() {
        let data = uneven();
        let train = data.split(Split::Train);
        let few = train.iter().filter(|example| data.label(**example) == 1).count();
        assert_eq!((train.len(), few), (81, 16));
        let weights = resolved(json!("balanced"), &data).unwrap();
        near(weights.each().unwrap(), &[81.0 / (2.0 * 65.0), 81.0 / (2.0 * 16.0), 1.0]);
    }

    #[test]
    fn stated_weights_keep_their_ratios_and_have_a_mean_of_one() {
        let data = uneven();
        let weights = resolved(json!({ "few": 5 }), &data).unwrap();
        let mean = (65.0 + 5.0 * 16.0) / 81.0;
        near(weights.each().unwrap(), &[1.0 / mean, 5.0 / mean, 1.0 / mean]);
        let same = resolved(json!({ "few": 10.0, "many": 2.0, "none": 2.0 }), &data).unwrap();
        near(same.each().unwrap(), &[1.0 / mean, 5.0 / mean, 1.0 / mean]);
        assert!((weights.by_name(&data)["few"] - 5.0 / mean).abs() < 1e-6);
    }

    #[test]
    fn errors_name_the_key_and_the_accepted_values() {
        let data = uneven();
        let refused = |stated: Value| resolved(stated, &data).unwrap_err();
        assert_eq!(
            refused(json!({ "fwe": 2.0 })),
            "`evaluator.class_weights.fwe`: found `fwe`, expected a class of the data: `many`, `few`, `none`"
        );
        for weight in [json!(0), json!(-1.5), json!(1e7), json!("2"), json!(null)] {
            let expected = format!(
                "`evaluator.class_weights.few`: found `{weight}`, expected a number above 0, from 0.000001 \
                 to 1000000"
            );
            assert_eq!(refused(json!({ "few": weight })), expected);
        }
        for wrong in [json!("balance"), json!(true), json!([1, 2]), json!(3)] {
            let said = refused(wrong);
            assert!(
                said.starts_with("`evaluator.class_weights`: found") && said.contains(EXPECTED),
                "{said}"
            );
        }
        let values = Targets::Values {
            names: vec!["a".to_owned()],
            values: (0..20_u8).map(f32::from).collect(),
            offsets: Vec::new(),
        };
        let said = resolved(json!("balanced"), &self::data(values)).unwrap_err();
        assert!(said.ends_with("the targets are numbers, not classes"), "{said}");
    }

    #[test]
    fn unstated_weights_inherit_and_false_means_equal_weights() {
        let data = uneven();
        assert!(ClassWeights::default().is_equal() && resolved(json!(false), &data).unwrap().is_equal());
        let inherited = resolved(json!("balanced"), &data).unwrap();
        assert_eq!(ClassWeights::default().or(&inherited), inherited);
        assert!(ClassWeights::Equal.or(&inherited).is_equal());
        assert!(inherited.by_name(&data).len() == 3 && ClassWeights::default().by_name(&data).is_empty());
    }
}
