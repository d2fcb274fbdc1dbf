//! Tests of pruning, by topic.

mod exactness;
mod masks;
mod planning;
mod scoring;
