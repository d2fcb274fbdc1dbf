//! Takes over the terminal of this process, and restores it however the program ends.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// Whether the screen owns the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// Whether the screen has ever owned the terminal.
static WAS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether a screen is possible: both outputs are terminals, and `TERM` does not name a dumb terminal.
pub(crate) fn is_possible() -> bool {
    let plain = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && io::stderr().is_terminal() && !plain
}

/// Whether the screen owns the terminal now. While it does, nothing else may write to the terminal.
pub(crate) fn is_shown() -> bool {
    SHOWN.load(Ordering::SeqCst)
}

/// Whether the screen owns the terminal, or owned it until the terminal was closed or restored.
pub(crate) fn was_shown() -> bool {
    WAS_SHOWN.load(Ordering::SeqCst)
}

/// Whether the screen can draw: it owns the terminal, and the terminal is not closed.
pub(super) fn is_usable() -> bool {
    is_shown() && io::stdout().is_terminal()
}

/// Takes over the terminal.
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

/// Restores the terminal if the screen owns it. Any thread may call this function, repeatedly.
pub(crate) fn restore() {
    if SHOWN.swap(false, Ordering::SeqCst) {
        // A closed terminal cannot be restored, and this is not necessary.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = io::stdout().flush();
    }
}

/// Installs a panic hook. If the panic ends the program or the screen, the hook restores the terminal before
/// the message is printed.
///
/// On any other thread, the caller of the thread's work may catch the panic. The screen then continues, and
/// the message goes to the log. If nobody catches the panic, it reaches the main thread, and the terminal is
/// restored while that thread unwinds.
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
