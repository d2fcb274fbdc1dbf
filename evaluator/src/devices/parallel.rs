//! Runs independent tasks on their own threads, and returns the results in order.
//!
//! These threads are not workers of rayon's common pool. A worker that waits inside a tensor operation starts
//! other work. That work could then wait for an autodiff lock that the same worker has already taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Idle thread pools, each with one thread.
static IDLE: Mutex<Vec<ThreadPool>> = Mutex::new(Vec::new());

/// Runs `work` with all its tensor operations on one thread. Several such tasks in parallel finish sooner
/// than tasks whose operations are spread over all cores, because no operation waits for another. Results do
/// not depend on the number of threads.
///
/// The pool has a single thread, so the thread starts no other work while it waits.
pub(crate) fn on_one_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() && rayon::current_num_threads() == 1 {
        return work();
    }
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let pooled = idle().pop();
    let made = pooled.map_or_else(|| ThreadPoolBuilder::new().num_threads(1).build(), Ok);
    // If the system cannot create more threads, the work runs on the current thread.
    let Ok(pool) = made else { return work() };
    let result = pool.install(work);
    idle().push(pool);
    result
}

/// Applies `work` to every item, on as many threads as the machine has cores.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    map_on(thread::available_parallelism().map_or(1, usize::from), items, work)
}

/// Applies `work` to every item, on at most `threads` threads. A thread takes the next item when it has
/// finished the previous one.
pub(crate) fn map_on<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    side_by_side(threads.min(items.len()), |_| {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(index, item)));
        }
    })
}

/// Applies `work` to every item, with one thread for each lane. Item `i` runs in lane `i` modulo `lanes`.
pub(crate) fn map_in_lanes<T: Sync, R: Send>(
    items: &[T],
    lanes: usize,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    side_by_side(lanes.min(items.len()), |lane| {
        let mine = items.iter().enumerate().skip(lane).step_by(lanes);
        mine.map(|(index, item)| (index, work(index, item))).collect()
    })
}

/// Runs each lane on one thread, and sorts the results by their indices. A single lane may use all cores.
fn side_by_side<R: Send>(lanes: usize, run: impl Fn(usize) -> Vec<(usize, R)> + Sync) -> Vec<R> {
    if lanes < 2 {
        return run(0).into_iter().map(|(_, result)| result).collect();
    }
    let run = &|lane| on_one_thread(|| run(lane));
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let running: Vec<_> = (1..lanes).map(|lane| scope.spawn(move || run(lane))).collect();
        let mut done = run(0);
        for thread in running {
            match thread.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_have_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let expected: Vec<u64> = (0..100).map(|i| 2 * i).collect();
        assert_eq!(super::map(&items, |index, item| index as u64 + item), expected);
        assert_eq!(super::map_on(3, &items, |index, item| index as u64 + item), expected);
        for lanes in [1, 3, 200] {
            assert_eq!(super::map_in_lanes(&items, lanes, |index, item| index as u64 + item), expected);
        }
        assert!(super::map_in_lanes(&[] as &[u64], 2, |_, item| *item).is_empty());
    }

    #[test]
    fn each_piece_of_work_side_by_side_has_one_thread() {
        let threads = super::map_in_lanes(&[(), ()], 2, |_, ()| rayon::current_num_threads());
        assert_eq!(threads, [1, 1]);
        assert_eq!(super::on_one_thread(rayon::current_num_threads), 1);
    }
}
