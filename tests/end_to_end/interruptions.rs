//! Ctrl-C, a second process, and config changes between two runs.

#![cfg(unix)]

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sandbox::{DATE, Said, Sandbox, hearing_signals, set, tiny_quickstart};

fn start(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["search", "study.toml"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends the signal that Ctrl-C causes.
fn interrupt(child: &Child) {
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the journal of the study has this many lines.
fn wait_for_lines(sandbox: &Sandbox, study: &str, lines: usize) {
    let began = Instant::now();
    while sandbox.events(study).len() < lines {
        assert!(began.elapsed() < Duration::from_mins(2), "the study does not get on");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn interrupted_study_exits_130_and_resumes() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 120.into());
    let whole = Sandbox::new(&config.to_string());
    let expected = whole.search(&[]);

    let sandbox = Sandbox::new(&config.to_string());
    let child = start(&sandbox);
    wait_for_lines(&sandbox, "tiny", 12);
    interrupt(&child);
    let said = Said::new(child.wait_with_output().unwrap());
    assert_eq!(said.code, 130, "{}", said.err);
    assert!(said.err.contains("run the same command again to continue"), "{}", said.err);
    assert!(said.out.is_empty());
    assert_eq!(sandbox.search(&[])["front"], expected["front"]);
    assert_eq!(sandbox.facts("tiny"), whole.facts("tiny"));
}

#[test]
fn second_interrupt_ends_at_once() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "evaluator", "epochs", 2000.into());
    set(&mut config, "evaluator", "checkpoint_steps", 1_000_000.into());
    let sandbox = Sandbox::new(&config.to_string());
    let child = start(&sandbox);
    wait_for_lines(&sandbox, "tiny", 1);
    interrupt(&child);
    thread::sleep(Duration::from_millis(5));
    interrupt(&child);
    assert_eq!(Said::new(child.wait_with_output().unwrap()).code, 130);
}

#[test]
fn second_process_is_refused_with_id_of_first() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "evaluator", "epochs", 2000.into());
    let sandbox = Sandbox::new(&config.to_string());
    let mut first = start(&sandbox);
    wait_for_lines(&sandbox, "tiny", 1);
    let second = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(second.code, 2);
    assert!(second.err.contains(&format!("in use by process {}", first.id())), "{}", second.err);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn raised_budget_resumes_and_other_changes_are_refused() {
    let mut config = tiny_quickstart("tiny");
    let sandbox = Sandbox::new(&config.to_string());
    sandbox.search(&[]);
    set(&mut config, "search", "trials", 20.into());
    std::fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let longer = sandbox.search(&[]);
    assert_eq!(longer["trials"], 20);
    let at_once = Sandbox::new(&config.to_string()).search(&[]);
    assert_eq!(longer["front"], at_once["front"]);

    set(&mut config, "search", "in_flight", 3.into());
    std::fs::write(sandbox.path("study.toml"), config.to_string()).unwrap();
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("`search.in_flight` was `8` when this study began and is now `3`"),
        "{}",
        said.err
    );
}

/// Starts the study from a shell that first sets up signals.
fn start_after(sandbox: &Sandbox, traps: &str) -> Child {
    let script = format!("{traps}; exec \"$0\" search study.toml");
    let mut shell = hearing_signals("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_kiln")]).current_dir(sandbox.path(""));
    shell.env(DATE.0, DATE.1);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: &str) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

#[test]
fn signals_ignored_at_start_stay_ignored() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 120.into());
    let whole = Sandbox::new(&config.to_string());
    whole.search(&[]);
    // `nohup` ignores signals in this way, and so does a shell for a background job.
    let sandbox = Sandbox::new(&config.to_string());
    let child = start_after(&sandbox, "trap '' HUP INT QUIT TERM");
    wait_for_lines(&sandbox, "tiny", 12);
    for signal in ["HUP", "INT", "QUIT", "TERM"] {
        send(&child, signal);
    }
    let said = Said::new(child.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(sandbox.facts("tiny"), whole.facts("tiny"));
    // An ignored signal does not affect the others.
    for (ignored, signal) in [("HUP", "TERM"), ("HUP", "INT"), ("INT", "HUP"), ("INT", "TERM")] {
        let sandbox = Sandbox::new(&config.to_string());
        let child = start_after(&sandbox, &format!("trap '' {ignored}"));
        wait_for_lines(&sandbox, "tiny", 12);
        send(&child, ignored);
        send(&child, signal);
        let said = Said::new(child.wait_with_output().unwrap());
        assert_eq!(said.code, 130, "{ignored} ignored, {signal} sent: {}", said.err);
    }
}
