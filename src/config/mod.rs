//! The config file: the user's values, the place of each value, and errors. [`crate::assembly`] looks up
//! names and opens files.

#[cfg(test)]
mod damaged;
mod difference;
mod document;
mod error;
mod explain;
mod measuring;
mod part_keys;
mod schema;
mod tables;
#[cfg(test)]
mod tests;

pub use difference::{Difference, difference};
pub use document::Document;
pub use error::{ConfigError, Place};
pub use explain::nearest;
pub use measuring::{FinishMeasure, HardwareMeasure, LocalRuntime, MeasureCommand};
pub use schema::schema;
pub(crate) use tables::{ENGINE, TRACK};
pub use tables::{
    FinishTable, HardwareTable, Part, READING_RULES, RESOLVED, RunConfig, SearchTable, StudyTable,
};
