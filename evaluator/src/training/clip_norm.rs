//! The setting `clip_norm`: the largest norm of a gradient, or `false` for no limit. Its default depends on
//! the task.

use kiln_space::{Scalar, deserialize_scalar};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The default limit for regressions. An outlier among the targets produces a gradient whose norm is
/// proportional to the outlier's distance. A few such steps can ruin a training. Targets are standardized for
/// training, so a typical gradient has a norm of about 1. This limit leaves such a gradient unchanged.
const OF_REGRESSIONS: f64 = 1.0;
const EXPECTED: &str = "a number above 0, or `false` for gradients as they are";

/// The value of the setting in a config.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum ClipNorm {
    /// The config does not contain the setting.
    #[default]
    Unstated,
    /// The value is `false` or 0: gradients are not clipped.
    Off,
    /// Gradients are scaled down to this norm, computed over all weights together.
    At(f64),
}

impl ClipNorm {
    /// Returns the setting, or the task's default if the config does not contain the setting. By default,
    /// regressions are clipped and classifications are not.
    pub(crate) const fn resolved(self, is_regression: bool) -> Self {
        match self {
            Self::Unstated if is_regression => Self::At(OF_REGRESSIONS),
            stated => stated,
        }
    }

    /// Returns the limit if there is one.
    pub(crate) const fn norm(self) -> Option<f64> {
        match self {
            Self::At(norm) => Some(norm),
            Self::Unstated | Self::Off => None,
        }
    }

    /// Returns the limit, or `inherited` if the config does not contain the setting.
    pub(crate) const fn or(self, inherited: Option<f64>) -> Option<f64> {
        match self {
            Self::Unstated => inherited,
            stated => stated.norm(),
        }
    }
}

/// Serializes as an optional number. Fingerprints include this form, so it must not change.
impl Serialize for ClipNorm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.norm().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ClipNorm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_scalar(deserializer, EXPECTED, |written| match written {
            Scalar::Bool(false) => Some(Self::Off),
            Scalar::Number(norm) if norm.abs() < f64::MIN_POSITIVE => Some(Self::Off),
            Scalar::Number(norm) => Some(Self::At(norm)),
            Scalar::Bool(true) | Scalar::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    struct Table {
        #[serde(default)]
        clip_norm: ClipNorm,
    }

    fn read(table: Value) -> ClipNorm {
        serde_json::from_value::<Table>(table).unwrap().clip_norm
    }

    #[test]
    fn regressions_are_clipped_unless_the_config_says_otherwise() {
        for (table, classes, values) in [
            (json!({}), None, Some(1.0)),
            (json!({ "clip_norm": false }), None, None),
            (json!({ "clip_norm": 0 }), None, None),
            (json!({ "clip_norm": 0.0 }), None, None),
            (json!({ "clip_norm": 5 }), Some(5.0), Some(5.0)),
            (json!({ "clip_norm": 0.5 }), Some(0.5), Some(0.5)),
        ] {
            let found = read(table.clone());
            assert_eq!(
                (found.resolved(false).norm(), found.resolved(true).norm()),
                (classes, values),
                "{table}"
            );
        }
        assert!(serde_json::from_value::<Table>(json!({ "clip_norm": true })).is_err());
        let found = read(json!({})).or(Some(3.0));
        assert_eq!((found, read(json!({ "clip_norm": 0 })).or(Some(3.0))), (Some(3.0), None));
    }

    #[test]
    fn serialized_form_is_an_optional_number() {
        let written = |clip_norm: ClipNorm| serde_json::to_string(&Table { clip_norm }).unwrap();
        assert_eq!(written(ClipNorm::Unstated.resolved(false)), r#"{"clip_norm":null}"#);
        assert_eq!(written(ClipNorm::Unstated.resolved(true)), r#"{"clip_norm":1.0}"#);
        assert_eq!(written(ClipNorm::Off), r#"{"clip_norm":null}"#);
    }
}
