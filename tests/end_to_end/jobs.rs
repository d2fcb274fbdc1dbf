//! Studies whose evaluations run as jobs: equal results, crashes of every process, failures, and what the
//! user sees of the jobs.

mod kills;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::sandbox::{Sandbox, SmallStudy, set, tiny_quickstart};

/// Trials of networks that are trained on their own.
fn scratch(trials: usize, engine: &str) -> String {
    trained(3, trials, engine)
}

/// Trials of networks that are trained on their own for this many epochs.
fn trained(epochs: usize, trials: usize, engine: &str) -> String {
    let search = format!("strategy = \"nsga2\"\ntrials = {trials}\nin_flight = 4");
    let evaluator = format!("kind = \"scratch\"\nepochs = {epochs}\nbatch = 16\ncheckpoint_steps = 20");
    let more = format!("\n[finish]\nnetworks = 2\nepochs = 1\n{engine}");
    let width = "[8, 16, 24, 32]";
    SmallStudy {
        name: "small",
        width,
        evaluator: &evaluator,
        search: &search,
        more: &more,
        ..SmallStudy::default()
    }
    .text()
}

fn engine(more: &str) -> String {
    format!("\n[engine]\nkind = \"local\"\n{more}\n")
}

/// Hashes of the files of finished networks are in the journal, so equal facts mean equal files.
fn assert_same(facts: &[String], expected: &[String], what: &str) {
    assert_eq!(facts.len(), expected.len(), "{what}");
    for (one, other) in facts.iter().zip(expected) {
        assert_eq!(one, other, "{what}");
    }
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The folders of all jobs, the oldest first.
fn jobs(sandbox: &Sandbox, study: &str) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(sandbox.run(study).root().join("jobs")) else { return Vec::new() };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.join("job.json").exists());
    found.sort();
    found
}

/// A request: its key, whether the job began with it, and when it was made.
struct Request {
    key: String,
    begun: bool,
    made: SystemTime,
}

fn requests(job: &Path) -> Vec<Request> {
    let mut found = Vec::new();
    for number in 1.. {
        let path = job.join("requests").join(format!("{number}.json"));
        let Some(request) = read(&path) else { break };
        let Some(key) = request["work"]["key"].as_str() else { break };
        let begun = path.with_extension("begun").exists();
        found.push(Request {
            key: key.to_owned(),
            begun,
            made: path.metadata().unwrap().modified().unwrap(),
        });
    }
    found
}

#[test]
fn jobs_of_any_number_give_the_same_journal() {
    let whole = Sandbox::new(&scratch(8, ""));
    let expected = whole.search(&["--workers", "2"]);
    let facts = whole.facts("small");
    for more in ["jobs = 1", "jobs = 2\ntrials_per_job = 1", "jobs = 4\ntrials_per_job = 3"] {
        let sandbox = Sandbox::new(&scratch(8, &engine(more)));
        let report = sandbox.search(&[]);
        assert_eq!(report["front"], expected["front"], "{more}");
        assert_same(&sandbox.facts("small"), &facts, more);
        let jobs = jobs(&sandbox, "small");
        let begun: Vec<usize> = jobs.iter().map(|job| requests(job).len()).collect();
        let most = if more.contains("per_job = 1") { 1 } else { 3 };
        assert!(begun.iter().all(|count| *count <= most || more == "jobs = 1"), "{more}: {begun:?}");
        assert!(
            !sandbox.run("small").root().join("jobs").join("results").exists(),
            "{more}: results are gone"
        );
    }
}

#[test]
fn supernet_with_anchors_evaluates_and_finishes_in_jobs() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "finish", "networks", 2.into());
    let anchors: toml::Table = "networks = 6\nepochs = 1".parse().unwrap();
    set(&mut config, "evaluator", "anchors", anchors.into());
    let whole = Sandbox::new(&config.to_string());
    let expected = whole.search(&[]);
    let engine = "kind = \"local\"\njobs = 2\ntraining = { memory_max_bytes = 4_000_000_000 }";
    let engine: toml::Table = engine.parse().unwrap();
    config.insert("engine".to_owned(), engine.into());
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    assert_eq!(report["front"], expected["front"]);
    assert_same(&sandbox.facts("tiny"), &whole.facts("tiny"), "supernet");
    let shown = sandbox.kiln(&["jobs", "tiny", "--json"]).json();
    let done: u64 = shown["jobs"].as_array().unwrap().iter().map(|job| job["done"].as_u64().unwrap()).sum();
    let evaluated = 1 + 12 + 6 + 2;
    assert!((evaluated - 4..=evaluated).contains(&done), "{done}: equal genotypes are evaluated once");

    // An audit trains in jobs too, with the same results.
    let audit = |sandbox: &Sandbox| {
        let said =
            sandbox.kiln(&["supernet", "audit", "runs/tiny", "--networks", "3", "--epochs", "1", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()["audit"].clone()
    };
    assert_eq!(audit(&sandbox), audit(&whole));
}

fn start(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["search", "study.toml", "--plain"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Names that a shell would interpret reach jobs as they are.
#[cfg(unix)]
#[test]
fn folders_with_any_names_run_nothing() {
    let sandbox = Sandbox::new(&scratch(2, &engine("jobs = 2")));
    for name in
        ["a b", "'quote'", "\"double\"", "$(touch ran)", "`touch ran`", "x; touch ran", "line\nbreak", "-rf"]
    {
        let folder = sandbox.path(name);
        fs::create_dir(&folder).unwrap();
        fs::copy(sandbox.path("study.toml"), folder.join("study.toml")).unwrap();
        let mut command = sandbox.command(&["search", "study.toml", "--plain", "--runs", "run; touch ran"]);
        let output = command.current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(folder.join("run; touch ran").join("small").join("jobs").join("0001").exists(), "{name}");
        let jobs =
            sandbox.command(&["jobs", "small", "--runs", "run; touch ran"]).current_dir(&folder).output();
        assert!(jobs.unwrap().status.success(), "{name}");
        assert!(!folder.join("ran").exists() && !sandbox.path("ran").exists(), "{name}");
    }
}

/// Outcomes of the trials in the journal, as text.
fn outcomes(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.events("small").into_iter();
    let outcome = |event| match event {
        kiln_search::Event::Trial { trial, .. } => Some(serde_json::to_string(&trial.outcome).unwrap()),
        _ => None,
    };
    events.filter_map(outcome).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn trial_that_kills_its_job_fails_and_the_study_goes_on() {
    // The parent of the program is the job.
    let evaluator = "kind = \"command\"\ncommand = [\"sh\", \"-c\", \"echo last words >&2; kill -9 $PPID\", \
                     \"{architecture}\", \"{result}\"]\nmetrics = [\"error_percent\"]";
    let more = engine("jobs = 2\nattempts = 2");
    let config = SmallStudy { evaluator, more: &more, ..SmallStudy::default() };
    let sandbox = Sandbox::new(&config.text());
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let outcomes = outcomes(&sandbox);
    let expected =
        "its job ended 2 times before it had a result | killed (signal 9), as the system does when";
    assert!(outcomes.len() == 4 && outcomes.iter().all(|outcome| outcome.contains(expected)), "{outcomes:?}");
    let shown = sandbox.kiln(&["jobs", "small"]);
    assert!(shown.err.contains("8 jobs ended too early"), "{}", shown.err);
    assert_eq!(
        shown.out.lines().filter(|line| line.contains("killed (signal 9)")).count(),
        8,
        "{}",
        shown.out
    );

    // The user may ask for another try.
    let retried = sandbox.kiln(&["search", "study.toml", "--retry-failed"]);
    assert_eq!(retried.code, 1, "{}", retried.err);
    let shown = sandbox.kiln(&["jobs", "small"]);
    assert!(shown.err.contains("16 jobs ended too early"), "{}", shown.err);
}

#[cfg(target_os = "linux")]
#[test]
fn job_above_its_memory_is_ended_and_its_trial_fails() {
    // A training of minutes, and no process of Kiln fits into this memory.
    let config = trained(3000, 2, &engine("jobs = 1\nattempts = 2\nmemory_max_bytes = 2_000_000"));
    let sandbox = Sandbox::new(&config);
    let said = sandbox.kiln(&["search", "study.toml"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let outcomes = outcomes(&sandbox);
    let is_told =
        |outcome: &String| outcome.contains("killed: it used ") && outcome.contains(" MB of memory");
    assert!(outcomes.len() == 2 && outcomes.iter().all(is_told), "{outcomes:?}");
}

#[test]
fn job_says_what_is_wrong_and_ends_the_study() {
    let sandbox = Sandbox::new(&scratch(4, &engine("jobs = 1")));
    let mut study = start(&sandbox);
    let began = Instant::now();
    // Once the run folder has its config, damage it, so that the next job cannot read it.
    while jobs(&sandbox, "small").is_empty() && began.elapsed() < Duration::from_mins(1) {
        thread::sleep(Duration::from_millis(1));
    }
    fs::write(sandbox.run("small").config(), "[study]\nname = 3\n").unwrap();
    let ended = study.wait().unwrap();
    let log = fs::read_to_string(sandbox.run("small").log()).unwrap();
    assert!(!ended.success() || sandbox.events("small").len() > 4, "{log}");
    if !ended.success() {
        assert!(log.contains("the job failed: ") && log.contains("`space`: missing"), "{log}");
    }
}

#[test]
fn jobs_are_listed() {
    let sandbox = Sandbox::new(&scratch(3, &engine("jobs = 1")));
    sandbox.search(&[]);
    let said = sandbox.kiln(&["jobs", "small", "--all"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("done") && said.err.contains("0 jobs ended too early"),
        "{}{}",
        said.out,
        said.err
    );
    let shown = sandbox.kiln(&["jobs", "small", "--json"]).json();
    let first = &shown["jobs"][0];
    assert_eq!((first["job"].as_str(), first["is_ended"].as_bool()), (Some("0001"), Some(true)), "{shown}");
    let without = Sandbox::new(&scratch(2, ""));
    without.search(&[]);
    let said = without.kiln(&["jobs", "small"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(said.err.contains("no table `[engine]`"), "{}", said.err);
}

#[test]
fn damaged_files_of_jobs_stop_nothing() {
    let sandbox = Sandbox::new(&scratch(3, &engine("jobs = 1")));
    let report = sandbox.search(&[]);
    let job = jobs(&sandbox, "small").remove(0);
    let mut files: Vec<_> = fs::read_dir(&job).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(job.join("requests").join("1.json"));
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let again = sandbox.search(&[]);
        assert_eq!(again["front"], report["front"], "{}", path.display());
        let shown = sandbox.kiln(&["jobs", "small", "--all"]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn engine_is_refused_with_its_key() {
    for (more, expected) in [
        ("kind = \"slurn\"", "`engine.kind`"),
        ("kind = \"local\"\njobs = 0", "`engine.jobs`"),
        ("kind = \"local\"\njbs = 2", "`engine.jbs`"),
    ] {
        let sandbox = Sandbox::new(&scratch(2, &format!("\n[engine]\n{more}\n")));
        let said = sandbox.kiln(&["search", "study.toml"]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(expected), "{}", said.err);
        assert!(!sandbox.run("small").root().exists());
    }
}

/// The config of a run folder may come from somebody else.
#[cfg(unix)]
#[test]
fn engine_of_a_run_folder_is_used_only_if_the_user_asks() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = Sandbox::new(&SmallStudy::default().text());
    sandbox.search(&[]);
    let config = sandbox.run("small").config();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n[engine]\nkind = \"slurm\"\njobs = 1\nsetup = [\"touch ran\"]\n").unwrap();
    // A program in place of Slurm's, which notes that it ran.
    let (bin, ran) = (sandbox.path("bin"), sandbox.path("ran"));
    fs::create_dir(&bin).unwrap();
    let program =
        format!("#!/bin/sh\necho ran >>'{}'\necho 'no such partition' >&2\nexit 1\n", ran.display());
    for name in ["sbatch", "squeue", "scontrol", "scancel"] {
        fs::write(bin.join(name), &program).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let finish = |more: &[&str]| {
        let arguments = [&["finish", "small"], more, &["--epochs", "1"]].concat();
        let output = sandbox.command(&arguments).env("PATH", &path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = finish(&["1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no jobs are started; `--engine` starts them"), "{said}");
    assert!(!ran.exists());
    let (code, said) = finish(&["2", "--engine"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`sbatch`: no such partition") && ran.exists(), "{said}");
}

#[test]
fn detaching_needs_jobs_to_leave_running() {
    let sandbox = Sandbox::new(&scratch(2, ""));
    let said = sandbox.kiln(&["search", "study.toml", "--detach"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("has no table `[engine]`"), "{}", said.err);
}
