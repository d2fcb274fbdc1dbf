//! The real binary's terminal UI in a pseudo-terminal, and `kiln watch`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use kiln_search::Event;
use serde_json::Value;

use crate::sandbox::{Said, Sandbox, hearing_signals, set, tiny_quickstart};

/// The escape sequences that switch to the alternate screen and back.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// Returns a command that runs the binary in a pseudo-terminal of 80 x 24. If no program for pseudo-terminals
/// is installed, prints a message and returns `None`.
fn terminal(sandbox: &Sandbox, arguments: &str) -> Option<Command> {
    shell_in_terminal(sandbox, &format!("{} {arguments}", env!("CARGO_BIN_EXE_kiln")))
}

/// Returns a command that runs a shell command in such a terminal.
fn shell_in_terminal(sandbox: &Sandbox, line: &str) -> Option<Command> {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: there is no `script` (util-linux) to make a terminal");
        return None;
    }
    let line = format!("stty rows 24 cols 80; {line}");
    let mut command = hearing_signals("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(sandbox.path("")).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env_remove("COLORTERM").env("TERM", "xterm-256color");
    Some(command)
}

/// Runs the binary in a terminal to its end.
fn in_terminal(sandbox: &Sandbox, arguments: &str, variables: &[(&str, &str)]) -> Option<Said> {
    let mut command = terminal(sandbox, arguments)?;
    Some(Said::new(command.envs(variables.iter().copied()).output().unwrap()))
}

#[test]
fn search_in_terminal_shows_screen_then_prints_result() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let Some(said) = in_terminal(&sandbox, "search study.toml", &[]) else { return };
    assert_eq!(said.code, 0, "{}", said.out);
    let (before, rest) = said.out.split_once(ENTER).expect("the screen is entered");
    let (screen, after) = rest.split_once(LEAVE).expect("the screen is left");
    assert!(!before.contains("trials"), "{before}");
    assert!(screen.contains("hypervolume") && screen.contains("\u{1b}[38;5;"), "{screen}");
    assert!(after.contains("Pareto front:") && after.contains("Run folder: runs/tiny"), "{after}");
    // The second run has no colors. All outcomes are already in the store.
    let Some(said) = in_terminal(&sandbox, "search study.toml", &[("NO_COLOR", "1")]) else { return };
    assert!(said.out.contains(ENTER) && !said.out.contains("\u{1b}[38;"), "{}", said.out);
}

#[test]
fn export_key_writes_finished_network() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "finish", "formats", toml::Value::Array(vec!["onnx".into(), "rust".into()]));
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    let trial = &report["finished"][0]["trial"];
    let Some(mut command) = terminal(&sandbox, "watch tiny") else { return };
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = command.spawn().unwrap();
    // The list shows finished trials only. The first of them is exported.
    let mut keys = watch.stdin.take().unwrap();
    thread::sleep(Duration::from_millis(300));
    keys.write_all(b"ffe").unwrap();
    let exported = sandbox.path(&format!("tiny-{trial}.onnx"));
    let until = Instant::now() + Duration::from_mins(1);
    while !exported.exists() {
        assert!(Instant::now() < until && watch.try_wait().unwrap().is_none(), "nothing is exported");
        thread::sleep(Duration::from_millis(20));
    }
    keys.write_all(b"q").unwrap();
    let said = Said::new(watch.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}", said.out);
    let (_, after) = said.out.split_once(LEAVE).expect("the screen is left");
    assert!(after.contains(&format!("exported trial {trial}: tiny-{trial}.onnx (")), "{after}");
    let finished = sandbox.run("tiny").root().join(format!("models/{trial}"));
    assert!(fs::read(exported).unwrap() == fs::read(finished.join("model.onnx")).unwrap());
    let source = format!("tiny-{trial}/src/lib.rs");
    assert!(fs::read(sandbox.path(&source)).unwrap() == fs::read(finished.join("rust/src/lib.rs")).unwrap());
}

#[test]
fn dumb_terminal_and_plain_option_give_lines() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    for (arguments, variables) in [
        ("search study.toml --plain", &[][..]),
        ("search study.toml", &[("TERM", "dumb")]),
        ("watch tiny --plain", &[]),
    ] {
        let Some(said) = in_terminal(&sandbox, arguments, variables) else { return };
        assert_eq!(said.code, 0, "{arguments}: {}", said.out);
        assert!(!said.out.contains(ENTER), "{arguments}: {}", said.out);
        assert!(said.out.contains("search: done"), "{arguments}: {}", said.out);
    }
}

/// Returns every file below a folder with the file's content and modification time.
fn files(folder: &Path) -> Vec<(String, SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let written = path.metadata().unwrap().modified().unwrap();
            found.push((path.display().to_string(), written, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Returns a journal's entries without the checks, because a check depends on the preceding lines.
fn lines(text: &str) -> Vec<Value> {
    let entry = |line| {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        entry.as_object_mut().unwrap().remove("check");
        entry
    };
    text.lines().map(entry).collect()
}

#[test]
fn watch_of_ended_study_prints_journal_and_writes_nothing() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    sandbox.search(&[]);
    let before = files(sandbox.run("tiny").root());
    let said = sandbox.kiln(&["watch", "tiny", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let journal = fs::read_to_string(sandbox.run("tiny").journal()).unwrap();
    assert_eq!(lines(&said.out), lines(&journal));
    assert!(files(sandbox.run("tiny").root()) == before, "watching writes nothing");
}

#[test]
fn watch_follows_running_study_to_its_end() {
    let sandbox = Sandbox::new(&tiny_quickstart("tiny").to_string());
    let mut search = sandbox.command(&["search", "study.toml", "--json"]);
    let mut search = search.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !sandbox.run("tiny").journal().exists() {
        assert!(search.try_wait().unwrap().is_none(), "the search ended without a journal");
        thread::sleep(Duration::from_millis(10));
    }
    let said = sandbox.kiln(&["watch", "tiny", "--json"]);
    assert!(search.wait().unwrap().success());
    let journal = fs::read_to_string(sandbox.run("tiny").journal()).unwrap();
    assert_eq!(lines(&said.out), lines(&journal));
}

#[test]
fn watch_refuses_missing_study() {
    let sandbox = Sandbox::new("");
    let said = sandbox.kiln(&["watch", "nothing"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("not a run folder"), "{}", said.err);
}

#[test]
fn closed_terminal_ends_screen_but_not_study() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 200.into());
    let sandbox = Sandbox::new(&config.to_string());
    let Some(mut command) = terminal(&sandbox, "search study.toml") else { return };
    let mut terminal = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let trials =
        || sandbox.events("tiny").iter().filter(|event| matches!(event, Event::Trial { .. })).count();
    let until = Instant::now() + Duration::from_mins(2);
    while trials() == 0 {
        assert!(
            Instant::now() < until && terminal.try_wait().unwrap().is_none(),
            "the search does not begin"
        );
        thread::sleep(Duration::from_millis(20));
    }
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    while sandbox.events("tiny").last() != Some(&Event::Ended) {
        assert!(Instant::now() < until, "the study ended with its terminal");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(trials(), 200);
    let log = fs::read_to_string(sandbox.run("tiny").root().join("kiln.log")).unwrap();
    assert!(log.contains("the terminal was closed"), "{log}");
}

/// Runs this command in a shell and closes the shell's terminal once `is_time` is true. Returns the exit code
/// of the command.
fn closed(sandbox: &Sandbox, trap: &str, arguments: &str, is_time: &dyn Fn() -> bool) -> Option<String> {
    let code = sandbox.path("code");
    let _ = fs::remove_file(&code);
    // The shell survives its terminal, so that it can record the exit code. If the shell traps a signal, its
    // children still receive the signal. If the shell ignores a signal, its children do not receive it.
    let line = format!("trap {trap} HUP; {} {arguments}; echo $? > code", env!("CARGO_BIN_EXE_kiln"));
    let mut command = shell_in_terminal(sandbox, &line)?;
    let mut terminal = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_mins(2);
    let wait = |is_time: &dyn Fn() -> bool| {
        while !is_time() {
            assert!(Instant::now() < until, "{arguments}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    wait(is_time);
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    wait(&|| fs::read_to_string(&code).is_ok_and(|code| code.ends_with('\n')));
    Some(fs::read_to_string(&code).unwrap().trim().to_owned())
}

#[test]
fn command_outliving_its_terminal_exits_0() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "search", "trials", 200.into());
    for (trap, arguments) in [(":", "search study.toml"), ("''", "search study.toml --plain")] {
        let sandbox = Sandbox::new(&config.to_string());
        let has_begun = || sandbox.events("tiny").iter().any(|event| matches!(event, Event::Trial { .. }));
        let Some(code) = closed(&sandbox, trap, arguments, &has_begun) else { return };
        assert_eq!(sandbox.events("tiny").last(), Some(&Event::Ended), "{arguments}");
        assert_eq!(code, "0", "{arguments}");
        // At this point, nobody watches the study.
        let journal = sandbox.run("tiny").journal();
        let text = fs::read_to_string(&journal).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        fs::write(&journal, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
        // The commands detect the closed terminal themselves, because only the shell receives the hang-up
        // signal.
        for watch in ["watch tiny", "watch tiny --plain", "watch tiny --json"] {
            let began = Instant::now();
            let watched = || began.elapsed() > Duration::from_secs(2);
            assert_eq!(closed(&sandbox, trap, watch, &watched).as_deref(), Some("0"), "{watch}");
        }
    }
}
