//! Tests of the study loop through its public interface. They cover the order of trials, interruptions,
//! failures and the finish stage. The space is small, and the outcomes of the evaluator are known in advance.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod benched;
mod contradictions;
mod effort;
mod failures;
mod finish;
mod health;
mod measuring;
mod parts;
mod processes;
mod resume;
mod stores;
mod trajectory;
