//! The points that wait to be sent. The queue is bounded: what does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::point::Point;
use crate::tracker::Ending;

/// Maximum number of points that wait. A study of days gives fewer.
const WAITING_MAX: usize = 20_000;
/// Longest time for which the end of a study waits for the server.
const END: Duration = Duration::from_secs(6);

/// Points on their way from the study to the sender.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    points: VecDeque<Point>,
    /// Number of points that are being sent.
    underway: usize,
    /// Number of points that were dropped.
    dropped: u64,
    ending: Option<Ending>,
    /// Whether the sender has ended.
    is_over: bool,
}

impl Queue {
    /// Adds points. Never waits. When the queue is full, the new points are dropped and not the old ones: the
    /// server then has a series up to some step, and a resumed study sends the rest.
    pub(super) fn put(&self, points: &[Point]) {
        let mut state = self.state();
        let room = WAITING_MAX.saturating_sub(state.points.len()).min(points.len());
        state.points.extend(points[..room].iter().cloned());
        state.dropped += (points.len() - room) as u64;
        self.changed.notify_all();
    }

    /// Waits for `pause`, then until there are points, but no longer than to the end of the study.
    pub(super) fn wait(&self, pause: Duration) -> Option<Ending> {
        let from = Instant::now();
        let mut state = self.state();
        loop {
            if state.ending.is_some() {
                return state.ending;
            }
            let left = pause.saturating_sub(from.elapsed());
            state = if !left.is_zero() {
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            } else if state.points.is_empty() {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                return None;
            };
        }
    }

    /// Takes at most `count` points out. The caller reports what became of them to [`Queue::sent`] or
    /// [`Queue::put_back`].
    pub(super) fn take(&self, count: usize) -> Vec<Point> {
        let mut state = self.state();
        let count = count.min(state.points.len());
        let points: Vec<Point> = state.points.drain(..count).collect();
        state.underway = count;
        points
    }

    /// Returns points that could not be sent.
    pub(super) fn put_back(&self, points: Vec<Point>) {
        let mut state = self.state();
        state.underway = 0;
        for point in points.into_iter().rev() {
            state.points.push_front(point);
        }
    }

    /// Records that the points that were taken are settled, and how many of them the server refused.
    pub(super) fn sent(&self, refused: u64) {
        let mut state = self.state();
        state.underway = 0;
        state.dropped += refused;
    }

    /// Records that the sender has ended.
    pub(super) fn finish(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    /// Tells the sender that the study ends, and waits a few seconds for it. Returns the number of points
    /// that were not sent.
    pub(super) fn end(&self, ending: Ending) -> u64 {
        let mut state = self.state();
        state.ending = Some(ending);
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, END, |state| !state.is_over);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.dropped + (state.points.len() + state.underway) as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: usize) -> Vec<Point> {
        let point = |step| Point { series: "a".to_owned(), step, value: 1.0, unix_s: 0.0 };
        (0..count as u64).map(point).collect()
    }

    #[test]
    fn full_queue_keeps_the_first_points_and_counts_the_others() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.put(&points(9_000));
        }
        let first = queue.take(10);
        assert_eq!(first, points(10));
        queue.put_back(first);
        assert_eq!(queue.take(20), points(20), "the order is kept");
        queue.sent(5);
        queue.finish();
        assert_eq!(queue.end(Ending::Finished), 7_000 + 5 + 20_000 - 20);
    }

    #[test]
    fn wait_ends_with_the_study_without_its_pause() {
        let queue = Queue::default();
        queue.finish();
        assert_eq!(queue.end(Ending::Stopped), 0);
        assert_eq!(queue.wait(Duration::from_hours(1)), Some(Ending::Stopped));
    }
}
