//! Taking the terminal of this process, and giving it back however the program goes on.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// Whether the screen has the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// Whether it ever had.
static WAS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether there is a terminal for a screen: both outputs are one, and it is not a plain one.
pub(crate) fn is_possible() -> bool {
    let plain = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && io::stderr().is_terminal() && !plain
}

/// Whether the screen has the terminal now, so that nothing else may write there.
pub(crate) fn is_shown() -> bool {
    SHOWN.load(Ordering::SeqCst)
}

/// Whether the screen has the terminal, or had it until the terminal was closed or given back.
pub(crate) fn was_shown() -> bool {
    WAS_SHOWN.load(Ordering::SeqCst)
}

/// Whether the screen has a terminal to draw on: nobody took it back, and it was not closed.
pub(super) fn is_usable() -> bool {
    is_shown() && io::stdout().is_terminal()
}

/// Takes the terminal.
pub(super) fn take() -> io::Result<()> {
    restore_after_panics();
    SHOWN.store(true, Ordering::SeqCst);
    WAS_SHOWN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen));
    if taken.is_err() {
        restore();
    }
    taken
}

/// Gives the terminal back, if the screen has it. May be called from any thread, and more than once.
pub(crate) fn restore() {
    if SHOWN.swap(false, Ordering::SeqCst) {
        // A terminal that has gone cannot be restored, and need not be.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = io::stdout().flush();
    }
}

/// Has a panic that ends the program, or the screen, give the terminal back before its message is printed.
///
/// A panic on another thread than these two may be caught where its work was asked for, and the screen goes on; it goes
/// to the log. If it is not caught, it reaches the main thread, and the terminal is given back while that unwinds.
fn restore_after_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ends = matches!(thread::current().name(), Some("main" | super::screen::THREAD));
            if ends {
                restore();
            }
            if is_shown() {
                tracing::error!("{info}");
            } else {
                before(info);
            }
        }));
    });
}
