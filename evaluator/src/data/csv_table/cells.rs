//! The cells of a table's columns.

use super::columns::Column;
use crate::data::categories::Categories;

/// Most names in a column of features.
pub(super) const MAX_CATEGORIES: usize = 1000;
/// The number of a name where there is none.
pub(super) const NO_NAME: u32 = u32::MAX;

/// The cells of one column.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) column: Column,
    /// Numbers, NaN where there is none; empty for columns of names.
    pub(super) numbers: Vec<f64>,
    /// Names by number, [`NO_NAME`] where there is none; empty for columns of numbers.
    pub(super) ids: Vec<u32>,
    /// The names of a column of names, or the texts among numbers, as far as there are few.
    pub(super) names: Categories,
    /// Cells without a value.
    pub(super) missing: Met,
    /// Cells of text in a column of numbers.
    pub(super) texts: Met,
    /// The first of these texts.
    pub(super) text: String,
}

/// How often something was met, and where first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) count: usize,
    /// The number of the file, and the byte of the record.
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
