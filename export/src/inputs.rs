//! What each number is that a network takes, so that another program can make it from a table or an image.

use serde::{Deserialize, Serialize};

/// One input of a network: a column of a table, a name that a column may hold, or a channel of an image.
///
/// The value of an input is made in double precision, its offset is taken off, and the rest is given to the
/// network in single precision: `raw[i] = (value - offset) as f32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// Name for people, such as `age` or `soil=clay`; no two inputs of a network have the same.
    pub name: String,
    /// What its value is.
    #[serde(flatten)]
    pub kind: InputKind,
    /// Unit of the value, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What is taken off the value in double precision before the network takes it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: f64,
}

/// What the value of an input is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputKind {
    /// The number in a column, `true` as 1 and `false` as 0.
    Number {
        /// The column.
        column: String,
        /// The value where the cell is missing; without it such a row cannot be used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fill: Option<f64>,
    },
    /// 1 where a column holds this name, else 0.
    Category {
        /// The column.
        column: String,
        /// The name.
        category: String,
        /// Whether this is what a missing cell counts as.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fill: bool,
    },
    /// 1 where a column holds a name that the training split did not have, else 0.
    Unseen {
        /// The column.
        column: String,
    },
    /// 1 where the cell of a column is missing, else 0.
    Missing {
        /// The column.
        column: String,
    },
    /// A channel of an image, or of another array.
    Channel,
}

impl InputKind {
    /// The column of a table that it is made from.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Number { column, .. }
            | Self::Category { column, .. }
            | Self::Unseen { column }
            | Self::Missing { column } => Some(column),
            Self::Channel => None,
        }
    }
}

impl InputRecord {
    /// A channel with this name.
    #[must_use]
    pub fn channel(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: InputKind::Channel, unit: None, offset: 0.0 }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(offset: &f64) -> bool {
    *offset == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_one_flat_object_that_reads_back() {
        let kind = InputKind::Number { column: "age".to_owned(), fill: Some(3.5) };
        let input = InputRecord { name: "age".to_owned(), kind, unit: Some("years".to_owned()), offset: 0.0 };
        let text = serde_json::to_string(&input).unwrap();
        assert_eq!(text, r#"{"name":"age","kind":"number","column":"age","fill":3.5,"unit":"years"}"#);
        assert_eq!(serde_json::from_str::<InputRecord>(&text).unwrap(), input);
    }
}
