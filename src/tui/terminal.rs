//! Takes over this process's terminal, and restores the terminal in whichever way the program ends.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// Whether the terminal UI owns the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// Whether the terminal UI has ever owned the terminal.
static WAS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether a terminal UI is possible. Both outputs must be terminals, and `TERM` must not name a dumb
/// terminal.
pub(crate) fn is_possible() -> bool {
    let plain = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && io::stderr().is_terminal() && !plain
}

/// Whether the terminal UI owns the terminal now. While it does, no other code may write to the terminal.
pub(crate) fn is_shown() -> bool {
    SHOWN.load(Ordering::SeqCst)
}

/// Whether the terminal UI has ever owned the terminal, even if the terminal was closed or restored since
/// then.
pub(crate) fn was_shown() -> bool {
    WAS_SHOWN.load(Ordering::SeqCst)
}

/// Whether the terminal UI can draw. It must own the terminal, and the terminal must not be closed.
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

/// Restores the terminal if the terminal UI owns it. Any thread may call this function, any number of times.
pub(crate) fn restore() {
    if SHOWN.swap(false, Ordering::SeqCst) {
        // A closed terminal cannot be restored and does not need to be restored.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = io::stdout().flush();
    }
}

/// Installs a panic hook. If the main thread or the terminal UI's thread panics, the hook restores the
/// terminal before the panic message is printed.
///
/// On any other thread, the code that started the thread's work may catch the panic. The terminal UI then
/// continues, and the panic message goes to the log. If no code catches the panic, the panic reaches the main
/// thread, and the terminal is restored while the main thread unwinds.
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
