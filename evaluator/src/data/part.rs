//! The registry entry of a kind of data set.

use kiln_space::Registration;

use super::{DataError, DataSet, Opening};

/// Opens a data set from its settings and the folder given on the command line.
pub type DataBuilder = fn(&Opening<'_>) -> Result<DataSet, DataError>;

/// The registry entry of a kind of data set.
pub type DataPart = Registration<DataBuilder, DataSample>;

/// A small data set with which tests check the laws of data sets.
#[derive(Clone, Copy, Debug)]
pub struct DataSample {
    /// The table `[data]` without its key `kind`, as a JSON object.
    pub settings: &'static str,
    /// Returns path and content of each file in the folder.
    pub files: fn() -> Vec<(String, Vec<u8>)>,
}
