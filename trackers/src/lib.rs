#![doc = include_str!("../README.md")]

// Each module uses only modules before it in this order.
mod mlflow;
mod point;
mod registry;
mod series;
mod tensorboard;
mod tracker;
mod tracking;

pub use point::{Point, Steps};
pub use registry::TrackerRegistry;
pub use series::Gauge;
pub use tracker::{
    Ending, TrackedStudy, Tracker, TrackerBuilder, TrackerError, TrackerPart, TrackerSetting, Warn,
};
pub use tracking::Tracking;
