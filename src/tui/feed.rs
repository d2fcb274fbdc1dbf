//! A queue from the study to the terminal UI. The study never waits for the queue.
//!
//! Only the latest progress event is queued: it replaces an older progress event that the terminal UI has not
//! taken yet. If too many events are waiting, progress events are dropped. All other events are kept, for
//! example trials. The study keeps these events in memory anyway, so the study's budget bounds their number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kiln_search::{Event, Observer};

/// Progress events are dropped while at least this many events are waiting.
pub(crate) const CAPACITY: usize = 256;

/// An event with its time.
pub(crate) type Timed = (Event, Duration);

#[derive(Debug, Default)]
struct Pending {
    events: VecDeque<Timed>,
    /// The latest progress event. This event is newer than all queued events.
    progress: Option<Timed>,
    /// Whether the study has ended.
    closed: bool,
    /// Whether the receiver was dropped.
    abandoned: bool,
}

#[derive(Debug)]
struct Queue {
    pending: Mutex<Pending>,
    began: Instant,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end of the queue. As an observer, it only puts events into the queue.
#[derive(Debug)]
pub(crate) struct Feed(Arc<Queue>);

/// The receiving end of the queue.
#[derive(Debug)]
pub(crate) struct Tap(Arc<Queue>);

/// Creates a queue and returns its sending and its receiving end.
pub(crate) fn channel() -> (Feed, Tap) {
    let queue = Arc::new(Queue { pending: Mutex::default(), began: Instant::now() });
    (Feed(Arc::clone(&queue)), Tap(queue))
}

impl Observer for Feed {
    fn on_event(&mut self, event: &Event) {
        let at = self.0.began.elapsed();
        let mut pending = self.0.lock();
        if pending.abandoned {
            return;
        }
        match event {
            Event::Progress { stage, .. } => {
                let last = pending.progress.as_ref().map(|(event, _)| event);
                let same = matches!(last, Some(Event::Progress { stage: last, .. }) if last == stage);
                if !same {
                    pending.settle_progress();
                }
                pending.progress = Some((event.clone(), at));
            }
            Event::Rejections { .. } if pending.events.len() >= CAPACITY => {}
            _ => {
                pending.settle_progress();
                pending.events.push_back((event.clone(), at));
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.lock().closed = true;
    }
}

impl Pending {
    /// Appends the latest progress event to the queue, if there is room.
    fn settle_progress(&mut self) {
        if let Some(progress) = self.progress.take().filter(|_| self.events.len() < CAPACITY) {
            self.events.push_back(progress);
        }
    }
}

impl Tap {
    /// Takes all waiting events out of the queue. Also returns whether the study has ended.
    pub(crate) fn take(&self) -> (VecDeque<Timed>, bool) {
        let mut pending = self.0.lock();
        let mut events = std::mem::take(&mut pending.events);
        events.extend(pending.progress.take());
        (events, pending.closed)
    }

    /// Returns the time since the queue was created.
    pub(crate) fn now(&self) -> Duration {
        self.0.began.elapsed()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut pending = self.0.lock();
        *pending = Pending { abandoned: true, ..Pending::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(stage: &str, done: u64) -> Event {
        Event::Progress { stage: stage.to_owned(), done, total: 1_000_000, note: String::new() }
    }

    fn warning(number: usize) -> Event {
        Event::Warning { message: number.to_string() }
    }

    #[test]
    fn newer_progress_replaces_older_and_other_events_stay() {
        let (mut feed, tap) = channel();
        for done in 0..1000 {
            feed.on_event(&progress("supernet", done));
        }
        feed.on_event(&warning(0));
        feed.on_event(&progress("search", 1));
        let (events, closed) = tap.take();
        let events: Vec<Event> = events.into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, [progress("supernet", 999), warning(0), progress("search", 1)]);
        assert!(!closed);
    }

    #[test]
    fn full_queue_drops_progress_only() {
        let (mut feed, tap) = channel();
        for number in 0..10_000 {
            feed.on_event(&warning(number));
            feed.on_event(&progress("search", number as u64));
        }
        drop(feed);
        let (events, closed) = tap.take();
        let warnings = events.iter().filter(|(event, _)| matches!(event, Event::Warning { .. })).count();
        assert_eq!(warnings, 10_000);
        assert!(events.len() - warnings <= CAPACITY / 2 + 1, "{}", events.len());
        assert_eq!(events.back().map(|(event, _)| event), Some(&progress("search", 9999)));
        assert!(closed);
    }

    #[test]
    fn feed_keeps_nothing_after_receiver_is_gone() {
        let (mut feed, tap) = channel();
        drop(tap);
        feed.on_event(&warning(0));
        assert!(feed.0.lock().events.is_empty());
    }
}
