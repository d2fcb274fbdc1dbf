//! Data sets: examples in memory, their splits, normalization and augmentation, and a reader for each kind of files.

mod augment;
mod batch;
mod cifar;
mod csv_table;
mod data_set;
mod digits;
mod error;
mod idx;
mod images;
mod input_file;
mod normalization;
mod npy;
mod preparation;
mod registry;
mod split;
mod targets;

pub use augment::Augmentation;
pub use batch::{Batch, BatchTargets, Batcher};
pub use data_set::{DataSet, RawData};
pub use error::DataError;
pub use registry::{DataBuilder, DataRegistry};
pub use split::{Sizes, Split};
pub use targets::Targets;
