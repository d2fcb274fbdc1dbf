//! The clock of a measuring session, so that tests can bring their own.

use std::thread;
use std::time::{Duration, Instant};

use super::yardstick::yardstick_us;

/// Tells how much time has passed since some moment.
pub trait Clock {
    /// Time since that moment.
    fn now(&self) -> Duration;

    /// Waits.
    fn wait(&self, time: Duration);

    /// Returns the time in microseconds of a fixed computation on this machine. It is longer while other
    /// programs slow the processor down.
    fn pace_us(&self) -> f64;
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

    fn wait(&self, time: Duration) {
        thread::sleep(time);
    }

    fn pace_us(&self) -> f64 {
        yardstick_us()
    }
}
