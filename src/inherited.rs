//! Signals that the starter of this process had it ignore: `nohup` does so with `SIGHUP`, a shell with
//! `SIGINT` and `SIGQUIT` for a job in the background. They stay ignored.

use std::process::{Command, Stdio};

/// Whether this signal was ignored when the process began. Ask before a handler of it is installed.
pub(crate) fn is_ignored(signal: i32) -> bool {
    from_status(signal).unwrap_or_else(|| from_shell(signal))
}

/// What the kernel says, where there is a `/proc` of Linux.
fn from_status(signal: i32) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some((mask >> (signal - 1)) & 1 == 1)
}

/// Asks a shell that inherits the signals of this process. POSIX lets a shell trap no signal that was ignored
/// on entry, so it survives when it sends itself such a signal. This is for systems that do not tell
/// otherwise without `unsafe`.
fn from_shell(signal: i32) -> bool {
    let script = format!("trap 'exit 1' {signal}; kill -{signal} $$; exit 0");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without a shell nothing is known, and most programs are started with no signal ignored.
    shell.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_and_shell_agree_about_signals_that_are_ignored_and_those_that_are_not() {
        use signal_hook::consts::{SIGHUP, SIGPIPE, SIGTERM, SIGUSR2};
        // Programs in Rust ignore SIGPIPE from their start, but have their children not do so.
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
