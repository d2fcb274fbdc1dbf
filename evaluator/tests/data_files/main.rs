//! Data sets from files: every supported format, the errors for wrong files, and damaged files.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod damaged;
mod divisions;
mod folder;
mod images;
mod labels;
mod mistakes;
mod read;
mod real;
mod splits;
mod tables;
