//! The engine beside programs that answer as Slurm's do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Programs in a folder in place of Slurm's. Each call is noted in `calls`.
struct Fake {
    folder: TempDir,
    engine: Slurm,
}

impl Fake {
    fn new(settings: Value) -> Self {
        let Value::Object(table) = settings else { panic!("a table") };
        let settings = SlurmSettings::read(&Settings::new("engine", table)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let scheduler = Scheduler { programs: Some(folder.path().to_owned()) };
        let mut engine = Slurm::new(settings, scheduler);
        engine.ask_every = Duration::from_millis(50);
        Self { folder, engine }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a program that runs this script.
    fn program(&self, name: &str, script: &str) {
        let text = format!(
            "#!/bin/sh\ncd '{}'\necho {name} \"$@\" >>calls\n{script}\n",
            self.folder.path().display()
        );
        // A program that is being written cannot be run.
        let (path, draft) = (self.path(name), self.path(&format!("{name}.draft")));
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(draft, path).unwrap();
    }

    fn calls(&self, name: &str) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|line| line.starts_with(&format!("{name} "))).map(str::to_owned).collect()
    }

    fn submit(&self) -> Result<Handle, EngineError> {
        let arguments = ["kiln", "work", "a'b"].map(OsString::from);
        let log = self.path("log");
        self.engine.submit(&Launch {
            name: "kiln-0001",
            arguments: &arguments,
            log: &log,
            attempt: 2,
            avoid: &[],
        })
    }

    fn tag(&self) -> String {
        tag(&self.path("log"))
    }

    /// Answers of `squeue` and `scontrol` about a job in this state. Slurm lists only jobs that have not
    /// ended.
    fn state(&self, state: &str, exit: &str) {
        let tag = self.tag();
        let is_listed = matches!(state, "RUNNING" | "PENDING");
        let list = if is_listed { format!("echo '7|{state}|{tag}'") } else { "true".to_owned() };
        self.program("squeue", &list);
        let job = "JobId=7 JobName=kiln-0001";
        let line =
            format!("echo '{job} JobState={state} ExitCode={exit} BatchHost=n1 Comment={tag}  StdOut=/'");
        self.program("scontrol", &line);
    }

    fn wait(&self, handle: &Handle, expected: &JobState) {
        let began = Instant::now();
        while self.engine.status(handle).unwrap() != *expected {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", self.engine.status(handle));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn job_is_submitted_with_its_options_and_followed_to_its_end() {
    let fake =
        Fake::new(json!({ "memory_bytes": 1024, "memory_growth": 2, "settle_s": 1, "setup": ["a $b"] }));
    fake.program("sbatch", "echo '7;cluster'");
    fake.state("PENDING", "0:0");
    let handle = fake.submit().unwrap();
    assert_eq!(handle.0, format!("7:{}", fake.tag()));
    let log = fake.path("log");
    let expected = format!(
        "sbatch --mem=2K --parsable --no-requeue --nodes=1 --ntasks=1 --open-mode=append \
         --job-name=kiln-0001 --comment={} --output={} {}",
        fake.tag(),
        log.display(),
        fake.path("script.sh").display()
    );
    assert_eq!(fake.calls("sbatch"), [expected]);
    let script = fs::read_to_string(fake.path("script.sh")).unwrap();
    assert!(script.ends_with("\na $b\nexec 'kiln' 'work' 'a'\\''b'\n"), "{script}");
    assert!(log.exists(), "a node that cannot open it does not see the folder");
    fake.wait(&handle, &JobState::Waiting);
    fake.state("RUNNING", "0:0");
    fake.wait(&handle, &JobState::Running);
    let asked = fake.calls("scontrol").len();
    fake.state("FAILED", "3:0");
    let ended = Instant::now();
    fake.wait(&handle, &JobState::Ended(JobEnd::Exited { code: 3 }));
    assert!(ended.elapsed() >= Duration::from_secs(1), "late files have time to appear");
    assert_eq!(fake.calls("scontrol").len(), asked + 1, "an end is asked for once");
}

#[test]
fn one_list_serves_many_questions() {
    let mut fake = Fake::new(json!({}));
    fake.engine.ask_every = Duration::from_mins(1);
    fake.program("sbatch", "echo 7");
    fake.state("RUNNING", "0:0");
    let handle = Handle(format!("7:{}", fake.tag()));
    for _ in 0..50 {
        assert_eq!(fake.engine.status(&handle).unwrap(), JobState::Running);
    }
    assert_eq!(fake.calls("squeue").len(), 1);
    // The list is older than this job.
    fake.state("PENDING", "0:0");
    fs::create_dir(fake.path("other")).unwrap();
    let log = fake.path("other/log");
    let launch = Launch { name: "kiln-0002", arguments: &["kiln".into()], log: &log, attempt: 1, avoid: &[] };
    let other = fake.engine.submit(&launch).unwrap();
    assert_eq!(fake.engine.status(&other).unwrap(), JobState::Waiting);
    assert!(fake.calls("scontrol").is_empty());
}

#[test]
fn number_of_another_job_is_not_taken_for_this_one() {
    let fake = Fake::new(json!({ "settle_s": 0 }));
    fake.state("RUNNING", "0:0");
    fake.program("scancel", "true");
    let other = Handle("7:kiln0123".to_owned());
    assert_eq!(fake.engine.status(&other).unwrap(), JobState::Ended(JobEnd::Gone));
    fake.engine.cancel(&other).unwrap();
    assert!(fake.calls("scancel").is_empty());
    let own = Handle(format!("7:{}", fake.tag()));
    for _ in 0..3 {
        fake.engine.cancel(&own).unwrap();
    }
    assert_eq!(fake.calls("scancel"), ["scancel 7"], "not at each question");
    for wrong in ["7", "x:kiln", "7:", "7:a b", ":"] {
        assert!(
            matches!(fake.engine.status(&Handle(wrong.to_owned())), Err(EngineError::Unknown(_))),
            "{wrong}"
        );
    }
}

#[test]
fn forgotten_job_is_gone_or_found_in_the_accounting() {
    for (settings, end) in [
        (json!({ "settle_s": 0 }), JobEnd::Gone),
        (json!({ "settle_s": 0, "accounting": true }), JobEnd::NodeLost { node: "n2".to_owned() }),
    ] {
        let fake = Fake::new(settings);
        fake.program("squeue", "true");
        fake.program("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
        fake.program("sacct", "echo 'NODE_FAIL|0:0|n2'");
        let handle = Handle(format!("7:{}", fake.tag()));
        assert_eq!(fake.engine.status(&handle).unwrap(), JobState::Ended(end));
    }
}

#[test]
fn scheduler_that_does_not_answer_is_an_error_until_it_answers() {
    let fake = Fake::new(json!({}));
    fake.program("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    let handle = Handle(format!("7:{}", fake.tag()));
    let error = fake.engine.status(&handle).unwrap_err().to_string();
    assert_eq!(error, "`squeue`: slurm_load_jobs error: Unable to contact slurm controller");
    fake.state("RUNNING", "0:0");
    thread::sleep(Duration::from_millis(60));
    assert_eq!(fake.engine.status(&handle).unwrap(), JobState::Running);
}

/// The controller may accept a job and fail to say so.
#[test]
fn job_whose_number_was_lost_is_found_and_not_submitted_twice() {
    let fake = Fake::new(json!({}));
    fake.program("sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1");
    fake.state("RUNNING", "0:0");
    assert_eq!(fake.submit().unwrap().0, format!("7:{}", fake.tag()));
    assert_eq!(fake.calls("sbatch").len(), 1);
    // It did not accept this one.
    fake.program("squeue", "true");
    fake.program(
        "sbatch",
        "test -e second && echo 9 && exit; touch second; echo 'connect failure' >&2; exit 1",
    );
    assert_eq!(fake.submit().unwrap().0, format!("9:{}", fake.tag()));
}

#[test]
fn refused_job_is_an_error_with_the_reason() {
    let fake = Fake::new(json!({}));
    fake.program("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1");
    let error = fake.submit().unwrap_err().to_string();
    assert_eq!(error, "`sbatch`: sbatch: error: invalid partition specified: x");
    fake.program("sbatch", "echo Submitted");
    assert!(fake.submit().unwrap_err().to_string().starts_with("`sbatch` printed no number"));
}
