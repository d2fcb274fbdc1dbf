//! The measuring loop.

use std::path::PathBuf;
use std::time::Duration;

use super::clock::Clock;
use super::course::{Step, next};
use super::interval::MedianInterval;
use super::plan::MeasuringPlan;
use super::runtime::{NotALatency, Runtime, RuntimeError};
use super::visit::{Place, Visit, VisitOutcome};

/// Failures in a row after which a network that ran before is tried.
const CHECK_AFTER: usize = 2;
/// Failures in a row after which the device counts as gone, if no network ran before.
const GONE_AFTER: usize = 3;
/// Minimum time of warming up, for runtimes that need it: clocks rise within milliseconds.
const WARM_UP: Duration = Duration::from_millis(20);

/// Measures networks until their medians are settled or the time is up.
pub struct Session<'a> {
    /// What runs the networks.
    pub runtime: &'a dyn Runtime,
    /// The clock of limits. Latencies come from the runtime.
    pub clock: &'a dyn Clock,
    /// Bounds.
    pub plan: MeasuringPlan,
    /// A model file for each network.
    pub models: &'a [PathBuf],
    /// Whether the user asked to stop.
    pub is_stopped: &'a dyn Fn() -> bool,
}

/// How a session ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// Everything was measured.
    Complete,
    /// The time of the plan is up.
    TimeUp,
    /// The user stopped it.
    Stopped,
    /// Networks failed in a row, and so did one that ran before. These failures are not among the visits:
    /// they say nothing about the networks.
    DeviceGone {
        /// Number of failures in a row.
        failures: usize,
        /// The last of them.
        reason: String,
    },
    /// The runtime cannot run any network.
    Unusable(RuntimeError),
}

impl Session<'_> {
    /// Goes on from `visits` and adds to them. `on_visit` hears of every change, so that it can be kept.
    ///
    /// # Errors
    /// Those of `on_visit`, which end the session.
    pub fn run<E>(
        &self,
        visits: &mut Vec<Visit>,
        mut on_visit: impl FnMut(&[Visit]) -> Result<(), E>,
    ) -> Result<Ending, E> {
        let mut failures = 0;
        loop {
            if (self.is_stopped)() {
                return Ok(Ending::Stopped);
            }
            let Some(step) = self.next(visits, failures) else { return Ok(Ending::Complete) };
            let spent_s: f64 = visits.iter().map(|visit| visit.took_s).sum();
            if spent_s >= self.plan.total.as_secs_f64() {
                return Ok(Ending::TimeUp);
            }
            let begin = self.clock.now();
            let outcome = match self.visit(step.network) {
                Ok(found) => {
                    failures = 0;
                    let MedianInterval { median, low, high, values } = found;
                    VisitOutcome::Measured { median_us: median, low_us: low, high_us: high, runs: values }
                }
                Err(RuntimeError::Network(error)) => {
                    failures += 1;
                    VisitOutcome::Failed { reason: error.to_string() }
                }
                Err(RuntimeError::Stopped) => return Ok(Ending::Stopped),
                Err(error) => return Ok(Ending::Unusable(error)),
            };
            let Step { network, round, place } = step;
            let took_s = self.clock.now().saturating_sub(begin).as_secs_f64();
            visits.push(Visit { network, round, place, took_s, outcome });
            if let Some(reason) = Self::gone(visits, failures) {
                visits.truncate(visits.len() - failures);
                on_visit(visits)?;
                return Ok(Ending::DeviceGone { failures, reason });
            }
            on_visit(visits)?;
        }
    }

    /// Whether nothing is left to measure, apart from limits of time.
    #[must_use]
    pub fn is_complete(&self, visits: &[Visit]) -> bool {
        next(self.models.len(), &self.plan, visits).is_none()
    }

    /// The next visit. After failures in a row it is one to a network that ran before.
    fn next(&self, visits: &[Visit], failures: usize) -> Option<Step> {
        let step = next(self.models.len(), &self.plan, visits)?;
        let healthy = healthy(visits).filter(|_| failures >= CHECK_AFTER);
        Some(healthy.map_or(step, |network| Step { network, place: Place::Check, ..step }))
    }

    /// The reason of the last failure, if the failures show that the device does not work any more.
    fn gone(visits: &[Visit], failures: usize) -> Option<String> {
        let Some(Visit { place, outcome: VisitOutcome::Failed { reason }, .. }) = visits.last() else {
            return None;
        };
        let nothing_ran = healthy(visits).is_none() && failures >= GONE_AFTER;
        (*place == Place::Check || nothing_ran).then(|| reason.clone())
    }

    /// Loads a network and runs it until the median is settled.
    fn visit(&self, network: usize) -> Result<MedianInterval, RuntimeError> {
        let MeasuringPlan { tolerance, runs_min, runs_max, visit_min, visit_max, .. } = self.plan;
        let mut loaded = self.runtime.load(&self.models[network])?;
        let warm_ups = self.runtime.warm_ups();
        // A runtime that warms up by itself decides by itself how long it runs.
        let visit_min = if warm_ups == 0 { Duration::ZERO } else { visit_min };
        let begin = self.clock.now();
        let passed = |begin: Duration| self.clock.now().saturating_sub(begin);
        let mut runs = 0;
        while warm_ups > 0 && (runs < warm_ups || passed(begin) < WARM_UP) && passed(begin) < visit_max {
            Self::latencies(loaded.run()?)?;
            runs += 1;
        }
        let begin = self.clock.now();
        let mut all = Vec::new();
        // Sorting after each run would disturb the next one.
        let mut look_at = runs_min.max(1);
        loop {
            all.extend(Self::latencies(loaded.run()?)?);
            if (self.is_stopped)() {
                return Err(RuntimeError::Stopped);
            }
            let time = passed(begin);
            let is_over = time >= visit_max || all.len() >= runs_max;
            if !is_over && (all.len() < look_at || time < visit_min) {
                continue;
            }
            look_at = all.len() + all.len().div_ceil(8);
            if let Some(found) = MedianInterval::of(&all)
                && (is_over || found.relative_half_width() <= tolerance)
            {
                return Ok(found);
            }
        }
    }

    /// Checks what a runtime returned.
    fn latencies(found: Vec<f64>) -> Result<Vec<f64>, RuntimeError> {
        let is_wrong = |value: &&f64| !(value.is_finite() && **value > 0.0);
        let wrong = found.iter().find(is_wrong).copied();
        match wrong.or_else(|| found.is_empty().then_some(f64::NAN)) {
            Some(found) => Err(RuntimeError::network(NotALatency { found })),
            None => Ok(found),
        }
    }
}

/// A network that ran and never failed.
fn healthy(visits: &[Visit]) -> Option<usize> {
    let has_failed = |network| visits.iter().any(|visit| visit.network == network && visit.is_failed());
    let mut ran = visits.iter().filter(|visit| !visit.is_failed()).map(|visit| visit.network);
    ran.find(|&network| !has_failed(network))
}

#[cfg(test)]
mod tests;
