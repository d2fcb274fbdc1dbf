//! Studies with `[track]`, and `kiln trials`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kiln_search::Event;
use serde_json::{Value, json};

use crate::old_runs::old;
use crate::sandbox::{Said, Sandbox};

const TOKEN: &str = "s3cret-t0ken";

/// Requests: the last part of the path, and the body.
type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// A study of seconds, whose `[track]` has these lines.
fn config(track: &str) -> String {
    format!(
        "[study]\nname = \"tracked\"\nseed = 5\n[data]\nkind = \"digits\"\n\
         [space]\nkind = \"mlp\"\nlayers = [1, 2]\nwidth = [4, 8]\n\
         [evaluator]\nkind = \"supernet\"\nepochs = 1\n\
         [search]\nstrategy = \"random\"\ntrials = 6\nobjectives = [\"error_percent\", \"parameters\"]\n\
         [finish]\nepochs = 1\nformats = [\"onnx\"]\n{track}"
    )
}

fn search(sandbox: &Sandbox) -> Said {
    let mut command = sandbox.command(&["search", "study.toml", "--json"]);
    Said::new(command.env("MLFLOW_TRACKING_TOKEN", TOKEN).output().unwrap())
}

/// Returns the names of the event files.
fn event_files(sandbox: &Sandbox) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(sandbox.run("tracked").tensorboard()) else { return Vec::new() };
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Serves answers like those of MLflow, and collects the bodies of requests by call.
fn mlflow() -> (String, Calls) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let served = Arc::clone(&calls);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            loop {
                let (mut line, mut length, mut is_allowed) = (String::new(), 0, false);
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                let mut header = String::new();
                while reader.read_line(&mut header).is_ok() && !header.trim().is_empty() {
                    let lower = header.to_lowercase();
                    if let Some(found) = lower.strip_prefix("content-length: ") {
                        length = found.trim().parse().unwrap();
                    }
                    is_allowed |= header.trim().ends_with(&format!("Bearer {TOKEN}"));
                    header.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let path = line.split([' ', '?']).nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
                let answer = match path.as_str() {
                    "get-by-name" => json!({ "experiment": { "experiment_id": "1" } }),
                    "create" => json!({ "run": { "info": { "run_id": "r1" } } }),
                    _ => json!({}),
                };
                let body = serde_json::from_slice(&body).unwrap_or_default();
                served.lock().unwrap().push((path, body));
                let (status, text) = (if is_allowed { 200 } else { 401 }, answer.to_string());
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", text.len());
                let mut out = &stream;
                if out.write_all(format!("{head}{text}").as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, calls)
}

#[test]
fn trackers_change_no_line_of_the_journal() {
    let (plain, tracked) =
        (Sandbox::new(&config("")), Sandbox::new(&config("[track]\ntensorboard = true\n")));
    let (without, with) = (plain.search(&[]), tracked.search(&[]));
    assert_eq!(without["front"], with["front"]);
    assert_eq!(plain.facts("tracked"), tracked.facts("tracked"));
    assert!(!plain.run("tracked").tensorboard().exists());
    let files = event_files(&tracked);
    assert_eq!(files.len(), 1);
    let has = |name: &str| files[0].windows(name.len()).any(|part| part == name.as_bytes());
    for series in [
        "supernet/loss",
        "supernet/learning_rate",
        "search/best_error_percent",
        "search/best_parameters",
        "search/hypervolume_percent",
        "finished/test_accuracy_percent",
        "seconds/prepare",
        "seconds/search",
        "seconds/finish",
        "study/config",
    ] {
        assert!(has(series), "{series}");
    }
}

#[test]
fn trackers_may_begin_when_the_study_has_ended() {
    let sandbox = Sandbox::new(&config(""));
    sandbox.search(&[]);
    std::fs::write(sandbox.path("study.toml"), config("[track]\ntensorboard = true\n")).unwrap();
    sandbox.search(&[]);
    let files = event_files(&sandbox);
    assert_eq!(files.len(), 1);
    for series in ["supernet/loss", "search/best_error_percent", "finished/trial"] {
        assert!(files[0].windows(series.len()).any(|part| part == series.as_bytes()), "{series}");
    }
}

#[test]
fn mlflow_run_has_points_and_the_token_is_nowhere_else() {
    let (address, calls) = mlflow();
    let sandbox = Sandbox::new(&config(&format!("[track]\nmlflow = \"{address}\"\n")));
    let said = search(&sandbox);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.err.contains("mlflow") && !said.err.contains(TOKEN), "{}", said.err);
    let calls = calls.lock().unwrap();
    let metrics: Vec<&str> = calls
        .iter()
        .flat_map(|(_, body)| body["metrics"].as_array().into_iter().flatten())
        .map(|metric| metric["key"].as_str().unwrap())
        .collect();
    for series in ["supernet/loss", "search/best_error_percent", "finished/trial", "seconds/finish"] {
        assert!(metrics.contains(&series), "{series}: {metrics:?}");
    }
    assert_eq!(calls.last().unwrap().1["status"], "FINISHED");
    let mut folders = vec![sandbox.path("runs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(
                    !bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn server_that_is_down_neither_slows_nor_ends_a_study() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let track = format!("[track]\nmlflow = {{ address = \"http://{free}\", experiment = \"a 'b'\" }}\n");
    let (plain, sandbox) = (Sandbox::new(&config("")), Sandbox::new(&config(&track)));
    let began = Instant::now();
    plain.search(&[]);
    let alone = began.elapsed();
    let began = Instant::now();
    let said = search(&sandbox);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(began.elapsed() < alone * 3 + Duration::from_secs(8), "{:?}, {alone:?}", began.elapsed());
    assert_eq!(said.err.matches("nothing listens there").count(), 1, "{}", said.err);
    assert!(said.err.contains("points were not sent"), "{}", said.err);
    assert!(!said.err.contains(TOKEN));
    assert_eq!(plain.facts("tracked"), sandbox.facts("tracked"));
    assert!(!sandbox.events("tracked").iter().any(|event| matches!(event, Event::Warning { .. })));
}

#[test]
fn addresses_with_secrets_are_refused_before_a_run_folder_exists() {
    for (track, part) in [
        ("mlflow = \"http://me:s3cret-t0ken@host\"", "`track.mlflow`: found an address with a user name"),
        ("mlflow = 3", "`track.mlflow`: found `3`"),
        ("tensorbord = true", "did you mean `tensorboard`"),
    ] {
        let sandbox = Sandbox::new(&config(&format!("[track]\n{track}\n")));
        let said = search(&sandbox);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(part) && !said.err.contains(TOKEN), "{}", said.err);
        assert!(!sandbox.run("tracked").root().exists());
    }
}

#[test]
fn trials_lists_every_trial_of_a_run_in_three_forms() {
    let sandbox = Sandbox::new(&config(""));
    sandbox.search(&[]);
    let rows = sandbox.kiln(&["trials", "tracked", "--json"]).json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 6);
    let trials: Vec<u64> = rows.iter().map(|row| row["trial"].as_u64().unwrap()).collect();
    assert_eq!(trials, [0, 1, 2, 3, 4, 5]);
    let front = sandbox.kiln(&["front", "tracked", "--json"]).json();
    for network in front["front"].as_array().unwrap() {
        let row = &rows[network["trial"].as_u64().unwrap() as usize];
        assert_eq!(row["genotype"], network["genotype"]);
        assert_eq!(row["metric.error_percent"], network["metrics"]["error_percent"]);
        assert_eq!(row["cost.parameters"], network["costs"]["parameters"]);
        assert_eq!((&row["front"], &row["outcome"]), (&json!(true), &json!("measured")));
    }
    assert!(rows.iter().any(|row| row["option.layers"] == 1 || row["option.layers"] == 2), "{}", rows[0]);
    let csv = sandbox.kiln(&["trials", "tracked", "--csv"]).out;
    assert_eq!(csv.lines().count(), 7);
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(csv.lines().next().unwrap().split(',').count(), keys.len());
    let table = sandbox.kiln(&["trials", "tracked"]).out;
    assert_eq!(table.lines().count(), 7);
    assert!(table.lines().next().unwrap().contains("genotype"), "{table}");
}

#[test]
fn trials_reads_old_runs_and_unfinished_lines() {
    for study in ["supernet", "scratch", "table"] {
        let sandbox = old(study);
        let said = sandbox.kiln(&["trials", study, "--json"]);
        assert_eq!(said.code, 0, "{study}: {}", said.err);
        let count = said.json().as_array().unwrap().len();
        assert!(count > 0);
        let journal = sandbox.run(study).journal();
        let mut text = std::fs::read(&journal).unwrap();
        text.extend(b"{\"version\":1,\"unix");
        std::fs::write(&journal, text).unwrap();
        let said = sandbox.kiln(&["trials", study, "--csv"]);
        assert_eq!((said.code, said.out.lines().count()), (0, count + 1), "{study}: {}", said.err);
    }
}
