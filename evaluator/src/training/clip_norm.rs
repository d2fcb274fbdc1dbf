//! The setting `clip_norm`: the longest gradient, none, or what the task usually needs.

use kiln_space::{Scalar, deserialize_scalar};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The norm to which gradients of a regression are clipped where nothing else is said. One far target among
/// those of a batch gives a gradient as long as it is far, and a few such steps throw a training off.
/// Deviations of targets are about 1, and so are usual gradients: at 1 a step is as long as a usual one at
/// most.
const OF_REGRESSIONS: f64 = 1.0;
const EXPECTED: &str = "a number above 0, or `false` for gradients as they are";

/// What a config says about the length of gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum ClipNorm {
    /// Nothing.
    #[default]
    Unstated,
    /// `false` or 0: gradients stay as they are.
    Off,
    /// They have at most this norm, over all weights together.
    At(f64),
}

impl ClipNorm {
    /// The same with the default of the task, where nothing is said: regressions are clipped, classifications
    /// are not.
    pub(crate) const fn resolved(self, is_regression: bool) -> Self {
        match self {
            Self::Unstated if is_regression => Self::At(OF_REGRESSIONS),
            stated => stated,
        }
    }

    /// The norm, if there is one.
    pub(crate) const fn norm(self) -> Option<f64> {
        match self {
            Self::At(norm) => Some(norm),
            Self::Unstated | Self::Off => None,
        }
    }

    /// The norm, `inherited` where nothing is said.
    pub(crate) const fn or(self, inherited: Option<f64>) -> Option<f64> {
        match self {
            Self::Unstated => inherited,
            stated => stated.norm(),
        }
    }
}

/// As an optional number, so that fingerprints are those of before where nothing is clipped.
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
    fn regressions_are_clipped_unless_something_else_is_said() {
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
    fn fingerprints_of_classifications_hold_what_they_held() {
        let written = |clip_norm: ClipNorm| serde_json::to_string(&Table { clip_norm }).unwrap();
        assert_eq!(written(ClipNorm::Unstated.resolved(false)), r#"{"clip_norm":null}"#);
        assert_eq!(written(ClipNorm::Unstated.resolved(true)), r#"{"clip_norm":1.0}"#);
        assert_eq!(written(ClipNorm::Off), r#"{"clip_norm":null}"#);
    }
}
