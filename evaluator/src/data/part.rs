//! How a kind of data set is registered.

use kiln_space::Registration;

use super::{DataError, DataSet, Opening};

/// Opens a data set from its settings and the folder given on the command line.
pub type DataBuilder = fn(&Opening<'_>) -> Result<DataSet, DataError>;

/// A kind of data set as it is registered.
pub type DataPart = Registration<DataBuilder, DataSample>;

/// A small data set, under which tests check the laws.
#[derive(Clone, Copy, Debug)]
pub struct DataSample {
    /// The table `[data]` without its key `kind`, as a JSON object.
    pub settings: &'static str,
    /// The files in the folder: path and content of each.
    pub files: fn() -> Vec<(String, Vec<u8>)>,
}
