//! Describes every number that a network takes as input. With this description, another program can compute
//! the numbers from a table or an image.

use serde::{Deserialize, Serialize};

/// One input of a network: a column of a table, a category of a column, or a channel of an image.
///
/// A program computes the value in double precision. The network's input is then `raw[i] = (value - offset)
/// as f32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// Readable name, such as `age` or `soil=clay`; unique within a network.
    pub name: String,
    /// How the value is computed.
    #[serde(flatten)]
    pub kind: InputKind,
    /// Unit of the value, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Offset that is subtracted from the value in double precision.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: f64,
}

/// How the value of an input is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputKind {
    /// The number in a column, where `true` counts as 1 and `false` as 0.
    Number {
        /// The column.
        column: String,
        /// The value that replaces a missing cell. `None` if rows with a missing cell cannot be used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fill: Option<f64>,
    },
    /// 1 if the cell contains this category, and 0 otherwise.
    Category {
        /// The column.
        column: String,
        /// The category.
        category: String,
        /// Whether a missing cell counts as this category.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fill: bool,
    },
    /// 1 if the cell contains a category that does not occur in the training split, and 0 otherwise.
    Unseen {
        /// The column.
        column: String,
    },
    /// 1 if the cell is missing, and 0 otherwise.
    Missing {
        /// The column.
        column: String,
    },
    /// A channel of an image, or of another array.
    Channel,
}

impl InputKind {
    /// Returns the column of the table, or `None` for a channel.
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
    /// Creates a channel with this name.
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
    fn input_record_is_one_flat_object_and_reads_back() {
        let kind = InputKind::Number { column: "age".to_owned(), fill: Some(3.5) };
        let input = InputRecord { name: "age".to_owned(), kind, unit: Some("years".to_owned()), offset: 0.0 };
        let text = serde_json::to_string(&input).unwrap();
        assert_eq!(text, r#"{"name":"age","kind":"number","column":"age","fill":3.5,"unit":"years"}"#);
        assert_eq!(serde_json::from_str::<InputRecord>(&text).unwrap(), input);
    }
}
