#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::*;

/// A runtime whose command is a script, with the model as its first argument.
fn scripted(script: &str, copy: Option<&str>, time_out: Duration) -> CommandRuntime {
    let shell = |script: &str| {
        let arguments = ["sh", "-c", script, "sh", "{model}", "{threads}", "{batch}"];
        CommandLine::new(arguments.map(str::to_owned).to_vec()).unwrap()
    };
    let (command, copy) = (shell(script), copy.map(shell));
    CommandRuntime::new(command, copy, OutputRule::Json, [4, 2], time_out, Arc::default()).unwrap()
}

fn measured(script: &str, copy: Option<&str>, model: &Path) -> Result<Vec<f64>, RuntimeError> {
    scripted(script, copy, Duration::from_secs(20)).load(model)?.run()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn command_reads_the_model_whatever_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("a b'c\"d $HOME;x.onnx");
    fs::write(&model, "123").unwrap();
    let found =
        measured("echo loading; echo \"{\\\"latency_us\\\": $(cat \"$1\")$2$3}\"", None, &model).unwrap();
    assert_eq!(found, [12324.0]);
}

#[test]
fn copy_runs_before_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    fs::write(&model, "5").unwrap();
    let copied = folder.path().join("board");
    let copy = format!("cp \"$1\" '{}'", copied.display());
    let script = format!("echo \"{{\\\"latencies_us\\\": [$(cat '{}')]}}\"", copied.display());
    assert_eq!(measured(&script, Some(&copy), &model).unwrap(), [5.0]);
    let error = measured(&script, Some("echo no route >&2; exit 3"), &model).unwrap_err().to_string();
    assert_eq!(error, "`sh` failed (exit status: 3); its last line is `no route`");
}

#[test]
fn rubbish_failure_and_missing_program_are_told_apart() {
    let model = Path::new("net.onnx");
    let rubbish = measured("printf 'a\\033[2Jb\\n'", None, model).unwrap_err();
    assert!(matches!(&rubbish, RuntimeError::Network(_)));
    assert!(rubbish.to_string().starts_with("the command printed `a\u{1b}[2Jb`, expected"), "{rubbish}");
    let failed = measured("echo warming up; kill -9 $$", None, model).unwrap_err().to_string();
    assert!(failed.contains("signal: 9") && failed.ends_with("`warming up`"), "{failed}");
    let command = CommandLine::new(vec!["/no/such/program".to_owned(), "{model}".to_owned()]).unwrap();
    let runtime =
        CommandRuntime::new(command.clone(), None, OutputRule::Json, [1, 1], LONG, Arc::default()).unwrap();
    let missing = runtime.load(model).unwrap().run().unwrap_err();
    assert!(matches!(missing, RuntimeError::Unusable(_)), "{missing}");
    let plain = CommandLine::new(vec!["true".to_owned()]).unwrap();
    let error = CommandRuntime::new(plain, None, OutputRule::Json, [1, 1], LONG, Arc::default()).unwrap_err();
    assert!(error.to_string().contains("no argument contains `{model}`"), "{error}");
}

#[test]
fn hanging_command_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    // The child of the script would write the file later, and holds the output open.
    let script = format!("(sleep 2; echo > '{}') & sleep 60", alive.display());
    let runtime = scripted(&script, None, Duration::from_millis(300));
    let begin = Instant::now();
    let error = runtime.load(Path::new("net.onnx")).unwrap().run().unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(error.to_string(), "`sh` did not end within 0 s and was killed");
    thread_sleep(2500);
    assert!(!alive.exists());
}

#[test]
fn stop_ends_a_running_command() {
    let runtime = scripted("sleep 60", None, LONG);
    runtime.stop.store(true, Ordering::SeqCst);
    let error = runtime.load(Path::new("net.onnx")).unwrap().run().unwrap_err();
    assert!(matches!(error, RuntimeError::Stopped), "{error}");
}

#[test]
fn program_that_prints_without_end_does_not_fill_the_memory() {
    let error = measured("head -c 20000000 /dev/zero | tr '\\0' x", None, Path::new("net.onnx")).unwrap_err();
    assert!(error.to_string().len() < 1000, "{error}");
}

fn thread_sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
