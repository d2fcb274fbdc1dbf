//! Data sets: examples in memory with splits, normalization and augmentation, and a reader for each kind of
//! file.

mod augment;
mod batch;
mod categories;
mod cifar;
mod csv_table;
mod data_set;
mod digits;
mod error;
mod examples;
mod findings;
mod idx;
mod images;
mod input_file;
mod labels;
mod new_examples;
mod normalization;
mod npy;
mod offsets;
mod part;
mod preparation;
mod raw_data;
mod reading;
mod registry;
mod split;
mod targets;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use augment::Augmentation;
pub use batch::{Batch, BatchTargets, Batcher};
pub use data_set::DataSet;
pub use error::DataError;
pub use examples::{Example, NewExamples};
pub use images::image_files;
pub use part::{DataBuilder, DataPart, DataSample};
pub use raw_data::RawData;
pub use reading::{NamesFrom, Opening, ReadingProgress, ReadingRules};
pub use registry::DataRegistry;
pub use split::{Division, Given, Sizes, Split};
pub use targets::Targets;
