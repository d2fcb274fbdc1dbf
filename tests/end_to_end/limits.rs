//! Limits of the system: file size, open files, read-only folders. The study stops and names the operation
//! that the system refused. Nothing is lost or reported as damaged. The study continues when the limit is
//! gone.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Stdio};

use crate::sandbox::{DATE, Said, Sandbox, set, tiny_quickstart};

fn config() -> String {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 16.into());
    config.to_string()
}

/// Runs the study under a limit that the shell sets.
fn limited(sandbox: &Sandbox, limit: &str) -> Said {
    let script = format!("{limit}; exec \"$0\" search study.toml --plain --workers 2");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_kiln")]).current_dir(sandbox.path(""));
    shell.env(DATE.0, DATE.1);
    Said::new(shell.stdin(Stdio::null()).output().unwrap())
}

/// Resumes a study that was stopped, and checks that it gives the same result as an undisturbed one.
fn goes_on(sandbox: &Sandbox, whole: &Sandbox, what: &str) {
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 0, "{what}: {}", said.err);
    assert!(!said.err.contains("rebuilt"), "{what}: {}", said.err);
    assert_eq!(sandbox.facts("tiny"), whole.facts("tiny"), "{what}");
}

/// Runs a study under each limit, and then to its end without a limit. Returns how often a limit stopped the
/// study. `check` receives all messages of each stop, and the last message.
fn stopped_by(limits: impl IntoIterator<Item = String>, check: impl Fn(&str, &str)) -> usize {
    let whole = Sandbox::new(&config());
    whole.search(&[]);
    let mut stopped = 0;
    for limit in limits {
        let sandbox = Sandbox::new(&config());
        let said = limited(&sandbox, &limit);
        if said.code != 0 {
            stopped += 1;
            assert_eq!(said.code, 1, "{limit}: {}", said.err);
            check(&said.err, said.err.lines().last().unwrap_or_default());
        }
        goes_on(&sandbox, &whole, &limit);
    }
    stopped
}

#[test]
fn file_size_limit_is_reported_as_full_disk() {
    let limits = [1, 8, 40, 150, 400, 1000, 1100].map(|blocks| format!("ulimit -f {blocks}"));
    let stopped = stopped_by(limits, |all, last| {
        let advice = "raise it (`ulimit -f`), then run the same command again";
        assert!(last.contains(advice) && !all.contains("damaged"), "{all}");
    });
    assert!(stopped >= 4, "{stopped}");
}

#[test]
fn open_file_limit_is_reported() {
    let limits = [7, 8, 9, 10, 11, 12, 14, 16].map(|open| format!("ulimit -n {open}"));
    let stopped = stopped_by(limits, |_, last| {
        assert!(last.contains("Too many open files") && last.contains("`ulimit -n`"), "{last}");
        assert!(!last.contains("damaged"), "{last}");
    });
    assert!(stopped >= 3, "{stopped}");
}

/// Runs a script in a namespace in which any user may mount disks. If mounting is not possible, prints the
/// reason and returns `None`.
fn mounted(test: &str, sandbox: &Sandbox, script: &str) -> Option<Said> {
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-eu", "-c", script, env!("CARGO_BIN_EXE_kiln")]);
        command.current_dir(sandbox.path("")).env(DATE.0, DATE.1).output()
    };
    let probe = run("mkdir probe; mount -t tmpfs kiln probe");
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        eprintln!("{test}: skipped, nothing can be mounted here: {probe:?}");
        return None;
    }
    Some(Said::new(run(script).unwrap()))
}

#[test]
fn read_only_store_is_not_reported_as_damaged() {
    let sandbox = Sandbox::new(&config());
    sandbox.search(&[]);
    let before = sandbox.facts("tiny");
    let script = "
        mount --bind runs/tiny/store runs/tiny/store; mount -o remount,ro,bind runs/tiny/store
        exec \"$0\" search study.toml";
    let Some(said) = mounted("a_store_that_may_not_be_written", &sandbox, script) else { return };
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("store") && said.err.contains("Read-only file system"), "{}", said.err);
    assert!(!said.err.contains("damaged") && !said.err.contains("remove"), "{}", said.err);
    goes_on(&sandbox, &sandbox, "may be written again");
    assert_eq!(sandbox.facts("tiny"), before);
}

#[test]
fn unremovable_damaged_store_is_reported_with_both_reasons() {
    let sandbox = Sandbox::new(&config());
    sandbox.search(&[]);
    fs::write(sandbox.path("runs/tiny/store/conf"), "no configuration of a store").unwrap();
    let script = "mount --bind runs/tiny/store runs/tiny/store; exec \"$0\" search study.toml";
    let Some(said) = mounted("a_damaged_store_that_cannot_be_removed", &sandbox, script) else { return };
    assert_eq!(said.code, 1, "{}", said.err);
    let last = said.err.lines().last().unwrap_or_default();
    for part in ["the store is damaged (", "the store failed", "it cannot be removed", "busy"] {
        assert!(last.contains(part), "{last}");
    }
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn read_only_run_folder_is_reported() {
    let sandbox = Sandbox::new(&config());
    sandbox.search(&[]);
    let script = "
        mount --bind runs/tiny runs/tiny; mount -o remount,ro,bind runs/tiny
        exec \"$0\" search study.toml";
    let Some(said) = mounted("a_run_folder_that_may_not_be_written", &sandbox, script) else { return };
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(
        said.err.contains("runs/tiny/lock") && said.err.contains("Read-only file system"),
        "{}",
        said.err
    );
}

#[test]
fn closed_or_full_outputs_end_command_with_right_code() {
    let sandbox = Sandbox::new(&config());
    sandbox.search(&[]);
    let run = |redirection: &str| {
        let script = format!("\"$0\" front tiny {redirection}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_kiln")]).current_dir(sandbox.path(""));
        shell.env(DATE.0, DATE.1);
        Said::new(shell.output().unwrap())
    };
    assert_eq!(run(">&-").code, 0);
    assert_eq!(run("2>&-").code, 0);
    assert_eq!(run("<&- >&- 2>&-").code, 0);
    let full = run("> /dev/full");
    assert_eq!(full.code, 1, "{}", full.err);
    assert!(full.err.contains("the disk is full"), "{}", full.err);
}

#[test]
fn watch_ends_when_reader_is_gone() {
    let sandbox = Sandbox::new(&config());
    sandbox.search(&[]);
    // The journal has no entry for the study's end, as if the study had been killed.
    let journal = sandbox.run("tiny").journal();
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&journal, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    for arguments in [&["watch", "tiny", "--json"][..], &["watch", "tiny", "--plain"]] {
        let mut command = sandbox.command(arguments);
        let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((watch.stdout.take(), watch.stderr.take()));
        assert_eq!(watch.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}
