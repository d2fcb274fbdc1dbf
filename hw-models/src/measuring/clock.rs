//! The clock of a measuring session, so that tests can bring their own.

use std::time::{Duration, Instant};

/// Tells how much time has passed since some moment.
pub trait Clock {
    /// Time since that moment.
    fn now(&self) -> Duration;
}

/// The clock of the system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
