//! Converts panics of evaluations into errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// A caught panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Panicked {
    /// The message of the panic.
    pub message: String,
}

/// Messages of panics on any thread, collected while [`overhear`] runs.
static OVERHEARD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Runs `work`. If `work` panics, the panic is logged with its source location and returned. It is not
/// printed.
///
/// # Errors
/// [`Panicked`] with the message of the panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    keep_quiet_while_catching();
    CATCHING.set(true);
    // The contract of evaluators requires that shared state stays usable after a panic.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.map_err(|payload| Panicked { message: message(payload.as_ref()) })
}

/// Runs `work`. Also returns the message of the first panic during that time on any thread that does not
/// catch its own panics. These panics are logged instead of printed. When a library fails, its threads often
/// panic one after the other, and only the first message states the reason.
pub fn overhear<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    keep_quiet_while_catching();
    let overheard = || OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner);
    *overheard() = Some(Vec::new());
    let result = work();
    let first = overheard().take().and_then(|messages| messages.into_iter().next());
    (result, first)
}

/// Installs a panic hook that runs before the existing hook, once per process.
fn keep_quiet_while_catching() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                tracing::warn!("an evaluation panicked: {info}");
                return;
            }
            match OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(messages) => {
                    tracing::warn!("{info}");
                    messages.push(message(info.payload()));
                }
                None => before(info),
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caught_panic_has_its_message() {
        let message = |caught: Result<(), Panicked>| caught.unwrap_err().message;
        assert_eq!(catch(|| 1), Ok(1));
        let number = 7;
        assert_eq!(message(catch(|| panic!("number {number}"))), "number 7");
        assert_eq!(message(catch(|| panic!("plain"))), "plain");
        assert_eq!(message(catch(|| panic::panic_any(3))), "a panic without a message");
    }

    #[test]
    fn overhear_returns_the_first_panic_of_other_threads() {
        let fail = |text: &'static str| std::thread::spawn(move || panic!("{text}")).join().is_err();
        let (failed, first) = overhear(|| fail("no driver") && fail("no device"));
        assert!(failed);
        assert_eq!(first.as_deref(), Some("no driver"));
        assert_eq!(overhear(|| 1), (1, None));
    }
}
