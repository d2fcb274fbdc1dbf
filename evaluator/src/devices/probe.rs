//! Whether a device works: found out by its first operation, and by comparing what training is made of with the CPU, on a
//! thread that may hang or panic.

mod comparison;
mod operations;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use kiln_search::{catch_panic, overhear_panics};

/// A driver that has not answered by then will not. Compiling the first kernel takes some seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The same for all operations that are compared: a slow driver compiles some hundred kernels.
const COMPARISON_LIMIT: Duration = Duration::from_mins(5);

/// Opens a device, adds on it, and compares what it computes with the CPU.
///
/// # Errors
/// Why it cannot be used, for people: what went wrong first, which is often on a thread of the driver's, or which operation gives
/// something else than on the CPU.
pub(crate) fn probe(open: impl FnOnce() -> Device + Send + 'static) -> Result<Device, String> {
    let (result, first) = overhear_panics(|| {
        let device = within(LIMIT, move || {
            let device = open();
            let sum = Tensor::<1>::ones([64], &device).sum().into_data().try_to_vec::<f32>();
            match sum.as_deref() {
                Ok([sum]) if (sum - 64.0).abs() < 1e-3 => Ok(device),
                other => Err(format!("64 ones add up to {other:?} there")),
            }
        })?;
        let compared = device.clone();
        attempt("its comparison with the CPU", COMPARISON_LIMIT, move || {
            let on = |device: Device| move |operation: &operations::Operation| (operation.run)(&device);
            comparison::compare(on(compared), on(Device::flex())).map_err(|wrong| wrong.to_string())
        })?;
        Ok(device)
    });
    result.map_err(|problem: String| {
        first.map_or(problem, |first| format!("its first operations failed: {}", beginning(&first)))
    })
}

/// The beginning of what a driver says, which may name every file that it has looked for.
fn beginning(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ..", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a first operation gives, unless it panics or takes longer than `limit`. A thread that hangs is left to itself.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    attempt("its first operation", limit, work)
}

fn attempt<T: Send + 'static>(
    what: &str,
    limit: Duration,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (answers, answer) = channel();
    let started = thread::Builder::new().name("probe".to_owned()).spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = answers.send(catch_panic(work));
    });
    started.map_err(|error| format!("no thread to try it on: {error}"))?;
    match answer.recv_timeout(limit) {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(format!("{what} failed: {panic}")),
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("{what} gave no result within {} s", limit.as_secs_f64()))
        }
        Err(RecvTimeoutError::Disconnected) => Err(format!("{what} ended without a result")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_works() {
        probe(Device::flex).unwrap();
    }

    #[test]
    fn what_fails_first_is_the_reason_in_short() {
        let open = || {
            let driver = || panic!("no driver{}", ", not there either".repeat(30));
            let failed = std::thread::spawn(driver).join().is_err();
            assert!(!failed, "the driver's thread is gone");
            Device::flex()
        };
        let reason = probe(open).unwrap_err();
        assert!(reason.starts_with("its first operations failed: no driver, not there either"), "{reason}");
        assert!(reason.len() < 200 && reason.ends_with(".."), "{reason}");
    }

    #[test]
    fn a_device_that_panics_hangs_or_errs_is_said_to() {
        let second = Duration::from_secs(30);
        let panicked = within::<()>(second, || panic!("no driver")).unwrap_err();
        assert_eq!(panicked, "its first operation failed: no driver");
        assert_eq!(within::<()>(second, || Err("odd".to_owned())).unwrap_err(), "odd");
        let (keep, wait) = channel::<()>();
        let hung = within(Duration::from_millis(50), move || {
            // Returns when the test has ended.
            let _ = wait.recv();
            Ok(())
        });
        assert!(hung.unwrap_err().contains("within 0.05 s"));
        drop(keep);
    }
}
