//! Compares strategies on problems with known answers: published tables and synthetic functions.
//!
//! A [`Problem`] consists of a search space, the known result of every architecture, the cost of each
//! evaluation, and a budget. [`compare()`] runs strategies on the problem, all with the same seeds, and
//! summarizes their results. No network is trained.

mod against;
mod chain;
mod choice;
mod compare;
mod comparison;
mod curve;
mod error;
mod flight;
mod functions;
mod hardware;
mod journaled;
mod milestone;
mod paired;
mod plot;
mod problem;
mod proxied;
mod run;
mod statistics;
mod tables;
mod track;

pub use self::against::Against;
pub use self::choice::StrategyChoice;
pub use self::compare::{CompareSettings, compare};
pub use self::comparison::{Comparison, DenoisedReport, StrategyResult};
pub use self::curve::Curve;
pub use self::error::{BenchError, ChoiceFault};
pub use self::functions::{Function, FunctionSettings};
pub use self::hardware::HardwareSettings;
pub use self::journaled::Journaled;
pub use self::milestone::Milestone;
pub use self::paired::{Paired, wilcoxon};
pub use self::plot::{is_svg, svg};
pub use self::problem::{Answer, Goal, Oracle, Problem};
pub use self::proxied::ProxySettings;
pub use self::run::{Run, RunSettings, run};
pub use self::statistics::Sample;
pub use self::tables::{EqualCells, MacroSettings, NasBench201Settings, Protocol};
