//! A fixed computation whose time shows how fast this processor is at the moment.
//!
//! A network's own latency cannot show it: a program on the other thread of the same core, or on another
//! virtual machine, may slow most visits to a network down by the same factor.

use std::hint::black_box;
use std::time::Instant;

/// Number of values, few enough for the fastest cache.
const VALUES: usize = 1024;
/// Number of passes over the values: about a quarter of a millisecond.
const PASSES: usize = 1000;
/// Number of repetitions, of which the median counts.
const REPETITIONS: usize = 5;

/// Times the computation on the current thread.
///
/// # Units
/// Microseconds.
pub(super) fn yardstick_us() -> f64 {
    let scales: Vec<f32> = (0..VALUES).map(|i| 0.5 + i as f32 / (4 * VALUES) as f32).collect();
    let mut values = vec![1.0_f32; VALUES];
    let mut times: Vec<f64> = (0..REPETITIONS)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..PASSES {
                for (value, scale) in values.iter_mut().zip(black_box(&scales)) {
                    *value = *value * scale + 1.0;
                }
            }
            black_box(&values);
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[REPETITIONS / 2]
}

#[cfg(test)]
mod tests {
    use super::yardstick_us;

    #[test]
    fn computation_takes_a_measurable_time() {
        // A million multiply-adds take between 20 microseconds and a tenth of a second on any processor.
        let time_us = yardstick_us();
        assert!((20.0..100_000.0).contains(&time_us), "{time_us}");
    }
}
