//! One stage of a study, with its progress and its remaining time. All times in arguments are durations since
//! the same instant.

use std::time::Duration;

/// Names of the stage that finishes networks, and of the inner stage that trains each of them.
const FINISH: &str = "finish";
const NETWORK: &str = "network";
/// Number of steps that represent the finishing of one network.
const NETWORK_STEPS: u64 = 1000;

/// Remaining times longer than this are not shown.
const LONGEST: Duration = Duration::from_hours(876_600);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    name: String,
    note: String,
    began: Duration,
    done: u64,
    total: u64,
    /// Number of completed steps, and the time, at the start of the speed measurement. Earlier steps do not
    /// influence the speed.
    counted_from: Option<(u64, Duration)>,
}

impl Stage {
    pub(crate) fn new(name: &str, now: Duration) -> Self {
        let name = if name == NETWORK { FINISH } else { name };
        Self { name: name.to_owned(), note: String::new(), began: now, done: 0, total: 0, counted_from: None }
    }

    /// Whether progress reported under `name` belongs to this stage.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.name == name || (self.name == FINISH && name == NETWORK)
    }

    pub(crate) fn update(&mut self, name: &str, done: u64, total: u64, note: &str, now: Duration) {
        if self.name == FINISH && name == FINISH {
            self.done = done.saturating_mul(NETWORK_STEPS);
            self.total = total.saturating_mul(NETWORK_STEPS);
        } else if name == NETWORK {
            let whole = self.done / NETWORK_STEPS * NETWORK_STEPS;
            // After a network's training, the study still has to write the network's files. The study reports
            // the network as finished only after that.
            let part = share(done, total, NETWORK_STEPS - 1);
            self.done = whole.saturating_add(part.min(NETWORK_STEPS - 1));
            self.total = self.total.max(NETWORK_STEPS);
        } else {
            self.done = done;
            self.total = total;
        }
        note.clone_into(&mut self.note);
        self.counted_from.get_or_insert((self.done, now));
    }

    /// Excludes all work up to `now` from the speed.
    pub(crate) fn discount(&mut self, now: Duration) {
        self.counted_from = Some((self.done.saturating_add(1), now));
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn note(&self) -> &str {
        &self.note
    }

    pub(crate) const fn done(&self) -> u64 {
        self.done
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.done >= self.total
    }

    pub(crate) fn percent(&self) -> u64 {
        if self.total == 0 { 0 } else { share(self.done, self.total, 100) }
    }

    /// Formats the progress in percent. If the total is unknown, formats the number of steps.
    pub(crate) fn progress(&self) -> String {
        if self.total == 0 { self.done.to_string() } else { format!("{} %", self.percent()) }
    }

    /// Formats the number of completed trials, if this stage is the search.
    pub(crate) fn trials(&self) -> String {
        if self.total == 0 {
            format!("{} trials", self.done)
        } else {
            format!("{} of {} trials", self.done, self.total)
        }
    }

    pub(crate) fn elapsed(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    /// Estimates the remaining time from the speed so far. Returns `None` until the speed is known.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        let (from, since) = self.counted_from.filter(|_| self.total > 0)?;
        let counted = self.done.checked_sub(from).filter(|counted| *counted > 0)?;
        let each = now.saturating_sub(since).as_secs_f64() / counted as f64;
        let left = each * self.total.saturating_sub(self.done) as f64;
        // Very long times are not shown.
        Duration::try_from_secs_f64(left).ok().filter(|left| *left < LONGEST)
    }
}

/// Returns the fraction `done / total` of `whole`. The arguments may come from a journal and may have any
/// value.
fn share(done: u64, total: u64, whole: u64) -> u64 {
    let part = u128::from(done) * u128::from(whole) / u128::from(total.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: Option<Duration>, seconds: f64) -> bool {
        left.is_some_and(|left| (left.as_secs_f64() - seconds).abs() < 1e-6)
    }

    #[test]
    fn remaining_time_follows_speed_since_counting_began() {
        let start = Duration::ZERO;
        let at = Duration::from_secs;
        let mut stage = Stage::new("supernet", start);
        stage.update("supernet", 400, 1000, "", at(0));
        assert_eq!(stage.left(at(1)), None);
        stage.update("supernet", 500, 1000, "", at(10));
        assert!(close(stage.left(at(10)), 50.0));
        assert_eq!(stage.percent(), 50);
    }

    #[test]
    fn stored_outcomes_do_not_count_for_speed() {
        let start = Duration::ZERO;
        let at = Duration::from_secs;
        let mut stage = Stage::new("search", start);
        for done in 0..50 {
            stage.update("search", done, 100, "", at(0));
            stage.discount(at(0));
        }
        stage.update("search", 60, 100, "", at(20));
        assert!(close(stage.left(at(20)), 80.0));
    }

    #[test]
    fn largest_counts_do_not_overflow() {
        let at = Duration::from_secs;
        for name in ["finish", "network", "search"] {
            let mut stage = Stage::new(name, at(0));
            stage.update(name, 0, u64::MAX, "", at(0));
            stage.update("network", u64::MAX, 1, "", at(1));
            stage.update(name, u64::MAX - 1, u64::MAX, "", at(u64::MAX));
            stage.discount(at(u64::MAX));
            assert!(
                stage.percent() <= 100 && stage.left(at(u64::MAX)).is_none_or(|left| left < Duration::MAX)
            );
        }
    }

    #[test]
    fn stage_without_total_shows_count() {
        let mut stage = Stage::new("search", Duration::ZERO);
        stage.update("search", 7, 0, "", Duration::ZERO);
        stage.update("search", 12, 0, "", Duration::from_secs(3));
        assert_eq!((stage.progress(), stage.trials()), ("12".to_owned(), "12 trials".to_owned()));
        assert_eq!((stage.percent(), stage.left(Duration::from_secs(3))), (0, None));
        stage.update("search", 12, u64::MAX, "", Duration::from_secs(4));
        assert_eq!(stage.left(Duration::from_secs(1_000_000_000)), None, "longer than a century");
    }

    #[test]
    fn network_training_advances_finish_stage() {
        let now = Duration::from_secs(5);
        let mut stage = Stage::new("finish", now);
        stage.update("finish", 1, 4, "", now);
        assert!(stage.covers("network"));
        stage.update("network", 50, 100, "loss 0.1", now);
        assert_eq!(stage.percent(), 37);
        stage.update("network", 100, 100, "trained", now);
        assert_eq!(stage.percent(), 49);
        stage.update("finish", 4, 4, "", now);
        assert!(stage.is_done());
    }
}
