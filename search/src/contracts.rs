//! The traits of a study's parts (strategies, evaluators, finishers and observers), and the order in which
//! trials are reported to the strategy.

mod end;
mod evaluator;
mod event;
mod finished;
mod measuring;
mod schedule;
mod strategy;
mod supernet_health;

pub use self::end::SearchEnd;
pub use self::evaluator::{EvalError, Evaluator, Finisher, OpenAnchor, Progress, Request, Silent, Watch};
pub use self::event::{Event, Observer};
pub use self::finished::{FileMismatch, Finished, FinishedFile};
pub use self::measuring::{LatencyOutcome, MeasuredLatency, MeasuredUnder, Measurer, NetworkToMeasure};
pub(crate) use self::schedule::{MAX_IN_FLIGHT, Schedule};
pub use self::strategy::{Ask, Needs, Strategy, StrategyBuilder, StrategyPart};
pub use self::supernet_health::{HealthCheck, HealthQuestion, SupernetHealth};
