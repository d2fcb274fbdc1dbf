//! Checks whether a device works. It runs a first operation, and then compares all operations of training
//! with the CPU. Both run on a separate thread, because a driver may hang or panic.

mod comparison;
mod operations;
mod probe_error;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use kiln_search::{catch_panic, overhear_panics};

pub(crate) use self::probe_error::ProbeError;

/// Time limit for the first operation. Compiling the first kernel takes some seconds. A driver that needs
/// longer than this limit is assumed to hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Time limit for the comparison, in which a slow driver may compile more than a hundred kernels.
const COMPARISON_LIMIT: Duration = Duration::from_mins(5);

/// Opens a device, computes a sum on it, and compares its operations with the CPU.
///
/// # Errors
/// [`ProbeError`] with the reason: the first panic, which is often on a thread of the driver, or the
/// operation that differs from the CPU.
pub(crate) fn probe(open: impl FnOnce() -> Device + Send + 'static) -> Result<Device, ProbeError> {
    let (result, first) = overhear_panics(|| {
        let device = within(LIMIT, move || {
            let device = open();
            let found = Tensor::<1>::ones([64], &device).sum().into_data().try_to_vec::<f32>()?;
            match found.as_slice() {
                [sum] if (sum - 64.0).abs() < 1e-3 => Ok(device),
                _ => Err(ProbeError::Sum { found }),
            }
        })?;
        let compared = device.clone();
        attempt("its comparison with the CPU", COMPARISON_LIMIT, move || {
            let on = |device: Device| move |operation: &operations::Operation| (operation.run)(&device);
            Ok(comparison::compare(on(compared), on(Device::flex()))?)
        })?;
        Ok(device)
    });
    result.map_err(|error: ProbeError| match first {
        Some(panic) => ProbeError::Panicked { panic: beginning(&panic) },
        None => error,
    })
}

/// Shortens a driver's message, which may name every file that the driver looked for.
fn beginning(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ..", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the result of a first operation, unless it panics or takes longer than `limit`. A thread that
/// hangs is abandoned.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, ProbeError> + Send + 'static,
) -> Result<T, ProbeError> {
    attempt("its first operation", limit, work)
}

fn attempt<T: Send + 'static>(
    what: &'static str,
    limit: Duration,
    work: impl FnOnce() -> Result<T, ProbeError> + Send + 'static,
) -> Result<T, ProbeError> {
    let (answers, answer) = channel();
    let started = thread::Builder::new().name("probe".to_owned()).spawn(move || {
        // After the time limit, the receiver is gone and the send fails.
        let _ = answers.send(catch_panic(work));
    });
    started.map_err(ProbeError::Thread)?;
    match answer.recv_timeout(limit) {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(ProbeError::Failed { what, panic }),
        Err(RecvTimeoutError::Timeout) => Err(ProbeError::Timeout { what, limit }),
        Err(RecvTimeoutError::Disconnected) => Err(ProbeError::NoResult { what }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_passes_the_probe() {
        probe(Device::flex).unwrap();
    }

    #[test]
    fn first_panic_is_the_reason_and_is_cut() {
        let open = || {
            let driver = || panic!("no driver{}", ", not there either".repeat(30));
            let failed = std::thread::spawn(driver).join().is_err();
            assert!(!failed, "the driver's thread is gone");
            Device::flex()
        };
        let reason = probe(open).unwrap_err().to_string();
        assert!(reason.starts_with("its first operations failed: no driver, not there either"), "{reason}");
        assert!(reason.len() < 200 && reason.ends_with(".."), "{reason}");
    }

    #[test]
    fn panics_errors_and_hangs_are_reported() {
        let second = Duration::from_secs(30);
        let panicked = within::<()>(second, || panic!("no driver")).unwrap_err();
        assert_eq!(panicked.to_string(), "its first operation failed: no driver");
        let wrong = within::<()>(second, || Err(ProbeError::Sum { found: vec![63.0] })).unwrap_err();
        assert_eq!(wrong.to_string(), "64 ones add up to [63.0] there");
        let (keep, wait) = channel::<()>();
        let hung = within(Duration::from_millis(50), move || {
            // Blocks until the test has ended.
            let _ = wait.recv();
            Ok(())
        });
        assert!(hung.unwrap_err().to_string().contains("within 0.05 s"));
        drop(keep);
    }
}
