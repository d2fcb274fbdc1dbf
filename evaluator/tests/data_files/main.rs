//! Data sets from files: every form that users have, what is said of wrong ones, and damaged ones.

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
