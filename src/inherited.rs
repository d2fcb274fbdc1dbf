//! Detects signals that this process inherited as ignored. `nohup` ignores `SIGHUP`, and a shell ignores
//! `SIGINT` and `SIGQUIT` for a background job. Kiln continues to ignore such signals.

use std::process::{Command, Stdio};

/// Whether this signal was ignored when the process started. Call this function before you install a handler.
pub(crate) fn is_ignored(signal: i32) -> bool {
    from_status(signal).unwrap_or_else(|| from_shell(signal))
}

/// Reads the ignored signals from `/proc/self/status`. Returns `None` on systems without this file.
fn from_status(signal: i32) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some((mask >> (signal - 1)) & 1 == 1)
}

/// Starts a shell, which inherits this process's ignored signals. POSIX forbids a shell to trap a signal that
/// was ignored when the shell started. If the shell sends itself such a signal, the shell continues. Without
/// `/proc`, every other method needs `unsafe`.
fn from_shell(signal: i32) -> bool {
    let script = format!("trap 'exit 1' {signal}; kill -{signal} $$; exit 0");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without a shell, the function returns false, because most programs start without ignored signals.
    shell.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_and_shell_agree_on_ignored_signals() {
        use signal_hook::consts::{SIGHUP, SIGPIPE, SIGTERM, SIGUSR2};
        // Rust programs ignore SIGPIPE, but reset it for their child processes.
        if let Some(ignored) = from_status(SIGPIPE) {
            assert!(ignored);
            for signal in [SIGHUP, SIGTERM, SIGUSR2] {
                assert_eq!(from_status(signal), Some(from_shell(signal)), "signal {signal}");
            }
        }
        let nohup = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).status().unwrap().success()
        };
        let probe = "trap 'exit 1' 1; kill -1 $$; exit 0";
        assert!(nohup(&format!("trap '' 1; exec sh -c \"{}\"", probe.replace('$', "\\$"))));
        assert!(
            !nohup(&format!("trap - 1; exec sh -c \"{}\"", probe.replace('$', "\\$"))) || from_shell(SIGHUP)
        );
    }
}
