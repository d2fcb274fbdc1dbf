#![doc = include_str!("../README.md")]

pub mod assembly;
pub mod audit;
pub mod config;
pub mod estimate;
pub mod memory;
pub mod survey;

/// The example of the guide, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide/src/library.md")]
mod guide {}
