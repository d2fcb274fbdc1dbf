//! Trains one network at two fidelities at the same time, with any number of workers. Kills the study at
//! random moments.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use kiln_search::{Event, Fidelity, Outcome, Seconds, seed};
use rand::{Rng, RngExt};

use crate::sandbox::{Sandbox, SmallStudy};

/// Environment variable for the total number of kills.
const KILLS: &str = "KILN_KILLS";
/// Default number of kills.
const FEW: usize = 10;
/// Maximum number of kills per study. Less work remains after each restart.
const OF_ONE: usize = 4;

/// The first network starts a full training. During this training, the strategy proposes the same network
/// with a short training.
fn config(epochs: u32, checkpoint_steps: u32) -> String {
    SmallStudy {
        name: "coll",
        seed: 7,
        data: "kind = \"digits\"\nlimit = 300",
        layers: "1",
        width: "[8, 16, 24]",
        evaluator: &format!(
            "kind = \"scratch\"\nepochs = {epochs}\nbatch = 32\ncalibration = 64\n\
             checkpoint_steps = {checkpoint_steps}"
        ),
        search: "strategy = { kind = \"asha\", epochs = [1, 3], start = [[0], [1], [2]] }\n\
                 trials = 9\nin_flight = 6",
        ..SmallStudy::default()
    }
    .text()
}

/// Outcomes by genotype and fidelity.
fn outcomes(sandbox: &Sandbox) -> BTreeMap<(String, Fidelity), Outcome> {
    let events = sandbox.events("coll");
    let of = |event: Event| match event {
        Event::Trial { trial, .. } => {
            Some(((trial.proposal.genotype.to_string(), trial.proposal.fidelity), trial.outcome))
        }
        _ => None,
    };
    events.into_iter().filter_map(of).collect()
}

/// Returns the files in the run folder of an ended study. Content is included unless it contains times.
fn files(sandbox: &Sandbox) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let root = sandbox.run("coll").root().to_owned();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            // The store's files belong to its library.
            if name == "store" {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let is_told = matches!(name.as_str(), "journal.jsonl" | "kiln.log" | "lock");
                found.insert(name, (!is_told).then(|| fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Number of folders in which trials are trained.
fn trainings(folder: &Path) -> usize {
    // The folders appear and disappear while the study runs.
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("trial-")).count()
}

/// Starts the study and kills it after this time, unless it has ended by then. Returns whether it was killed,
/// and the largest observed number of simultaneous trainings.
fn kill_after(sandbox: &Sandbox, workers: usize, time: Duration) -> (bool, usize) {
    let workers = workers.to_string();
    let mut command = sandbox.command(&["search", "study.toml", "--workers", &workers]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let folder = sandbox.run("coll").trainings();
    let mut most = 0;
    while began.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return (false, most);
        }
        most = most.max(trainings(&folder));
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    // If the study ended just before the kill, it must have succeeded.
    (!status.success(), most)
}

#[test]
fn simultaneous_fidelities_equal_separate_trainings() {
    let config = config(9, 1);
    let sandboxes: Vec<Sandbox> = (1..=4).map(|_| Sandbox::new(&config)).collect();
    for (sandbox, workers) in sandboxes.iter().zip(1..) {
        sandbox.search(&["--workers", &workers.to_string()]);
        assert!(!sandbox.run("coll").trainings().exists(), "{workers} workers leave nothing of trainings");
    }
    let [first, others @ ..] = sandboxes.as_slice() else { panic!("four runs") };
    for other in others {
        assert_eq!(other.facts("coll"), first.facts("coll"));
        assert_eq!(files(other), files(first));
    }
    let found = outcomes(first);
    let fidelities = |genotype: &str| found.keys().filter(|(other, _)| other == genotype).count();
    assert!(fidelities("0") > 1, "one network has several fidelities: {found:?}");

    // With one pending proposal, two trainings never run at the same time.
    let alone = Sandbox::new(&config.replace("in_flight = 6", "in_flight = 1"));
    alone.search(&[]);
    let alone = outcomes(&alone);
    let both: Vec<_> = found.iter().filter_map(|(key, outcome)| Some((outcome, alone.get(key)?))).collect();
    assert!(both.len() >= 3, "{} trials of both", both.len());
    for (together, alone) in both {
        assert_eq!(together, alone);
    }
}

#[test]
fn killed_simultaneous_fidelities_resume_with_any_workers() {
    let kills = env::var(KILLS).map_or(FEW, |kills| kills.parse().expect("KILN_KILLS is a number"));
    let config = config(60, 5);
    let whole = Sandbox::new(&config);
    let began = Instant::now();
    whole.search(&["--workers", "2"]);
    let took = began.elapsed();
    let (facts, kept) = (whole.facts("coll"), files(&whole));

    let mut rng = seed::generator(2026, "kills of trainings", &[]);
    let (mut killed, mut met, mut study) = (0, 0, 0);
    while killed < kills {
        let sandbox = Sandbox::new(&config);
        study += 1;
        assert!(study <= 3 * kills + 10, "{killed} kills in {study} studies: they end too soon");
        for _ in 0..OF_ONE.min(kills - killed) {
            let (workers, time) = (rng.random_range(1..=4), moment(took, &mut rng));
            let (was_killed, most) = kill_after(&sandbox, workers, time);
            met += usize::from(was_killed && most > 1);
            killed += usize::from(was_killed);
            if !was_killed {
                break;
            }
        }
        let workers = rng.random_range(1..=4).to_string();
        sandbox.search(&["--workers", &workers]);
        assert_eq!(sandbox.facts("coll"), facts, "study {study}");
        assert_eq!(files(&sandbox), kept, "study {study}");
    }
    eprintln!("{killed} kills in {study} studies, {met} of them after several trainings at one time");
    assert!(met > 0, "no kill hit several trainings at one time");
}

/// Draws a random moment within the duration of a whole study.
fn moment(took: Duration, rng: &mut impl Rng) -> Duration {
    let share = 0.02 + 0.9 * rng.random::<f64>();
    Seconds::saturating(took.as_secs_f64() * share).duration()
}
