//! Studies whose process and whose jobs are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use kiln_search::seed;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{assert_same, engine, jobs, read, requests, start, trained};
use crate::sandbox::{Sandbox, set, tiny_quickstart};

#[cfg(target_os = "linux")]
#[test]
fn killed_training_of_a_supernet_goes_on() {
    let mut config = tiny_quickstart("small");
    set(&mut config, "evaluator", "epochs", 10.into());
    set(&mut config, "evaluator", "checkpoint_steps", 4.into());
    let whole = Sandbox::new(&config.to_string());
    whole.search(&[]);
    let engine: toml::Table = "kind = \"local\"\njobs = 1".parse().unwrap();
    config.insert("engine".to_owned(), engine.into());
    let sandbox = Sandbox::new(&config.to_string());
    // The newest checkpoint of the training, and its job.
    let trained = || {
        let files = fs::read_dir(sandbox.run("small").root().join("supernet")).into_iter().flatten();
        let name = |file: std::io::Result<fs::DirEntry>| file.ok()?.file_name().into_string().ok();
        files.filter_map(name).filter(|name| name.starts_with("step-")).max()
    };
    let wait_for_more = |than: Option<String>| {
        let began = Instant::now();
        while trained() <= than {
            assert!(began.elapsed() < Duration::from_mins(2), "there is no checkpoint after {than:?}");
            thread::sleep(Duration::from_millis(2));
        }
    };
    let mut study = start(&sandbox);
    wait_for_more(None);
    study.kill().unwrap();
    study.wait().unwrap();
    // The job trains on, and the next study waits for it.
    let before = running(&sandbox);
    assert_eq!(before.len(), 1, "the supernet is trained in a job");
    let mut study = start(&sandbox);
    wait_for_more(trained());
    assert_eq!(running(&sandbox), before);
    kill(&before[0]);
    assert!(study.wait().unwrap().success());
    assert_same(&sandbox.facts("small"), &whole.facts("small"), "after kills");
    let of_supernet = jobs(&sandbox, "small").into_iter().filter(|job| {
        read(&job.join("requests").join("1.json"))
            .is_some_and(|request| request["work"]["work"]["kind"] == "supernet")
    });
    assert_eq!(of_supernet.count(), 2, "one was killed, the other went on");
}

/// What the random killer kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Study,
    Job,
    AllJobs,
}

/// Process ids of jobs that have not ended.
fn running(sandbox: &Sandbox) -> Vec<String> {
    let jobs = jobs(sandbox, "small").into_iter();
    let open = jobs.filter(|job| !job.join("ended.json").exists());
    let handle = |job: std::path::PathBuf| {
        let submitted = read(&job.join("submitted.json"))?;
        let pid = submitted["handle"].as_str()?.split(':').next()?.to_owned();
        // The system may have given the id to another program since.
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains("jobs").then_some(pid)
    };
    open.filter_map(handle).collect()
}

fn kill(pid: &str) {
    let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
}

/// Keys of the results that are stored.
fn results(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let folders = fs::read_dir(sandbox.run("small").root().join("jobs").join("results"));
    for folder in folders.into_iter().flatten().filter_map(Result::ok) {
        for entry in fs::read_dir(folder.path()).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().into_string().unwrap();
            if let Some(key) = name.strip_suffix(".json").filter(|name| !name.starts_with('.')) {
                found.insert(key.to_owned());
            }
        }
    }
    found
}

/// Kills the study, single jobs and all jobs at random moments, `kills` times, and compares the result with
/// that of an undisturbed run.
fn survives(epochs: usize, trials: usize, kills: usize) {
    let whole = Sandbox::new(&trained(epochs, trials, ""));
    let expected = whole.search(&["--workers", "2"]);
    let facts = whole.facts("small");
    let more = "jobs = 2\ntrials_per_job = 2\nattempts = 1000";
    let sandbox = Sandbox::new(&trained(epochs, trials, &engine(more)));
    let mut rng = seed::generator(2026, "kills of jobs", &[]);
    let mut seen: BTreeMap<String, SystemTime> = BTreeMap::new();
    let mut killed: BTreeMap<Victim, usize> = BTreeMap::new();
    let mut study = start(&sandbox);
    let began = Instant::now();
    while killed.values().sum::<usize>() < kills && began.elapsed() < Duration::from_mins(20) {
        thread::sleep(Duration::from_millis(rng.random_range(10..400)));
        // A result that is there at this moment must not be worked for again.
        let found = results(&sandbox);
        let now = SystemTime::now();
        for key in found {
            seen.entry(key).or_insert(now);
        }
        if study.try_wait().unwrap().is_some() {
            break;
        }
        let victim = [Victim::Study, Victim::Job, Victim::Job, Victim::AllJobs].choose(&mut rng).unwrap();
        let jobs = running(&sandbox);
        match victim {
            Victim::Study => {
                study.kill().unwrap();
                study.wait().unwrap();
                thread::sleep(Duration::from_millis(rng.random_range(0..100)));
                study = start(&sandbox);
            }
            _ if jobs.is_empty() => continue,
            Victim::Job => kill(jobs.choose(&mut rng).unwrap()),
            Victim::AllJobs => jobs.iter().for_each(|pid| kill(pid)),
        }
        *killed.entry(*victim).or_default() += 1;
    }
    let status = study.wait().unwrap();
    let report = sandbox.search(&[]);
    eprintln!("killed {killed:?}, last study ended with {status}, {} jobs", jobs(&sandbox, "small").len());
    assert!(killed.values().sum::<usize>() >= kills.min(5), "{killed:?}");
    assert_eq!(report["front"], expected["front"]);
    assert_eq!(report["finished"], expected["finished"]);
    assert_same(&sandbox.facts("small"), &facts, "after kills");

    let mut complete: BTreeMap<String, usize> = BTreeMap::new();
    let mut cut_off: BTreeSet<String> = BTreeSet::new();
    for job in jobs(&sandbox, "small") {
        let requests = requests(&job);
        let last_begun = requests.iter().rposition(|request| request.begun);
        let end = read(&job.join("ended.json")).map(|ended| ended["end"]["how"].as_str().unwrap().to_owned());
        for (index, request) in requests.iter().enumerate() {
            if let Some(seen) = seen.get(&request.key) {
                assert!(request.made <= *seen, "{}: asked again for {}", job.display(), request.key);
            }
            if !request.begun {
                continue;
            }
            let is_last = last_begun == Some(index);
            match end.as_deref() {
                Some("killed" | "gone") if is_last => drop(cut_off.insert(request.key.clone())),
                Some("done" | "killed" | "gone") => *complete.entry(request.key.clone()).or_default() += 1,
                other => panic!("{}: an attempt without an explanation: {other:?}", job.display()),
            }
        }
    }
    for (key, count) in &complete {
        assert_eq!(*count, 1, "{key} was evaluated again");
    }
    assert!(!complete.is_empty() && (kills < 5 || !cut_off.is_empty()));
}

/// `KILN_JOB_KILLS=100` kills that often, in a longer study.
#[cfg(target_os = "linux")]
#[test]
fn killed_study_and_jobs_give_the_same_result() {
    let kills = std::env::var("KILN_JOB_KILLS").map_or(5, |kills| kills.parse().unwrap());
    if kills > 5 { survives(200, 24, kills) } else { survives(200, 6, kills) }
}
