//! Panics of evaluations and the like, turned into values.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it is not printed but gives its message. It goes to the log with its place.
///
/// # Errors
/// The message of the panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    keep_quiet_while_catching();
    CATCHING.set(true);
    // What an evaluator shares between evaluations is its own to keep whole: it is told so in its contract.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.map_err(|payload| message(payload.as_ref()))
}

/// Puts a hook before the one in place, once per process.
fn keep_quiet_while_catching() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                tracing::warn!("an evaluation panicked: {info}");
            } else {
                before(info);
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
    fn a_panic_gives_its_message() {
        assert_eq!(catch(|| 1), Ok(1));
        let number = 7;
        assert_eq!(catch(|| panic!("number {number}")), Err::<(), _>("number 7".to_owned()));
        assert_eq!(catch(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
        let odd: Result<(), _> = catch(|| panic::panic_any(3));
        assert_eq!(odd, Err("a panic without a message".to_owned()));
    }
}
