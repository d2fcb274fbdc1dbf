//! The cells of a table's columns.

use super::columns::Column;
use crate::data::categories::Categories;

/// Maximum number of categories in a feature.
pub(super) const MAX_CATEGORIES: usize = 1000;
/// Category number that marks a missing cell.
pub(super) const NO_NAME: u32 = u32::MAX;

/// The cells of one column.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) column: Column,
    /// Numbers, with NaN for missing cells. Empty for categorical columns.
    pub(super) numbers: Vec<f64>,
    /// Category numbers, with [`NO_NAME`] for missing cells. Empty for numeric columns.
    pub(super) ids: Vec<u32>,
    /// The categories of a categorical column, or the texts in a numeric column (up to a limit).
    pub(super) names: Categories,
    /// Occurrences of missing cells.
    pub(super) missing: Met,
    /// Occurrences of text in a numeric column.
    pub(super) texts: Met,
    /// The first text in a numeric column.
    pub(super) text: String,
}

/// Number of occurrences, and the position of the first occurrence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) count: usize,
    /// The index of the file, and the byte offset of the record.
    pub(super) file: usize,
    pub(super) byte: u64,
}

impl Cells {
    pub(super) fn new(column: Column) -> Self {
        Self {
            column,
            numbers: Vec::new(),
            ids: Vec::new(),
            names: Categories::default(),
            missing: Met::default(),
            texts: Met::default(),
            text: String::new(),
        }
    }
}
