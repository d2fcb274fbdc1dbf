//! Measures latencies on a device: chooses networks of a space, and runs them until the medians are settled.
//! It knows no file formats of networks: a [`Runtime`] loads a file that its caller wrote.

mod clock;
mod command;
mod course;
mod disturbance;
mod interval;
mod plan;
mod probes;
mod report;
mod runtime;
mod session;
mod surroundings;
mod visit;

pub use clock::{Clock, SystemClock};
pub use command::{CommandError, CommandLine, CommandRuntime, OutputError, OutputRule, TimeUnit};
pub use disturbance::{Summary, summarize};
pub use interval::MedianInterval;
pub use plan::MeasuringPlan;
pub use probes::choose_probes;
pub use report::{HeldOut, MeasuringReport};
pub use runtime::{LoadedModel, NotALatency, Runtime, RuntimeError};
pub use session::{Ending, Session};
pub use surroundings::Surroundings;
pub use visit::{Place, Visit, VisitOutcome};
