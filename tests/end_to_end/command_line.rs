//! The version that the program prints, and its scripts for shell completion.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::sandbox::Sandbox;

/// Names of all commands that `kiln help` lists.
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = sandbox.kiln(&["help"]).out;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let name = |line: &str| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    };
    listed.lines().filter_map(name).collect()
}

#[test]
fn version_names_release_features_and_instruction_set() {
    let sandbox = Sandbox::new("");
    let said = sandbox.kiln(&["--version"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let release = format!("kiln {}\n", env!("CARGO_PKG_VERSION"));
    assert!(said.out.starts_with(&release), "{}", said.out);
    let value = |key: &str| {
        let line = said.out.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("`{key}` is in {}", said.out)).to_owned()
    };
    let on = [("cuda", cfg!(feature = "cuda")), ("wgpu", cfg!(feature = "wgpu"))];
    let features = value("features: ");
    assert!(on.iter().all(|(name, is_on)| features.contains(name) == *is_on), "{features}");
    assert!(["portable", "avx2", "avx512"].contains(&value("instruction set: ").as_str()));
    assert_eq!(sandbox.kiln(&["-V"]).out, release);
}

#[test]
fn version_names_commit_of_repository() {
    let package = env!("CARGO_MANIFEST_DIR");
    let git = |argument: &str| {
        let output = Command::new("git").current_dir(package).args(["rev-parse", argument, "HEAD"]).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).unwrap().lines().next()?.to_owned())
    };
    // A copy of the package inside another repository has no commit there.
    let canonical = |path: &str| std::fs::canonicalize(path).ok();
    let is_own = git("--show-toplevel").is_some_and(|top| canonical(&top) == canonical(package));
    let commit = git("--short=12").filter(|_| is_own);
    let said = Sandbox::new("").kiln(&["--version"]).out;
    match commit {
        Some(commit) => assert!(said.contains(&format!("commit: {commit}\n")), "{said}"),
        None => assert!(!said.contains("commit"), "{said}"),
    }
}

#[test]
fn completion_scripts_name_every_command() {
    let sandbox = Sandbox::new("");
    let commands = commands(&sandbox);
    assert!(commands.len() > 15 && commands.contains(&"completions".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = sandbox.kiln(&["completions", shell]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        for command in &commands {
            assert!(said.out.contains(command.as_str()), "`{command}` is in the script for {shell}");
        }
        // Fish writes long options without their dashes.
        assert!(said.out.contains("retry-failed"), "options are in the script for {shell}");
    }
}

#[test]
fn completion_script_for_bash_is_valid_bash() {
    let script = Sandbox::new("").kiln(&["completions", "bash"]).out;
    let checked = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut bash) = checked else {
        eprintln!("skipped: there is no `bash`");
        return;
    };
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
