//! Tests with a server that stands in for MLflow. `benches/trackers` tries the real one.

mod server;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use kiln_search::{Event, Journal, RunPaths};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use self::server::{Behavior, Server};
use super::*;

const SECRET: &str = "s3cret-t0ken";

fn study(folder: &TempDir, name: &str) -> TrackedStudy {
    let paths = RunPaths::new(folder.path());
    if !paths.journal().exists() {
        let mut journal = Journal::open(&paths.journal()).unwrap().journal;
        journal.append(&Event::Started { study: name.to_owned(), resumed: 0, trials: None }).unwrap();
        journal.sync().unwrap();
    }
    let config = json!({ "study": { "name": name, "seed": 3 } });
    TrackedStudy {
        name: name.to_owned(),
        paths,
        config: config.as_object().cloned().unwrap(),
        config_text: String::new(),
        objectives: vec!["error_percent".to_owned()],
        version: "0.1",
    }
}

fn point(step: u64) -> Point {
    Point { series: "search/best_error_percent".to_owned(), step, value: step as f64 / 2.0, unix_s: 1000.5 }
}

/// What one process did: how long its calls took, and its warnings.
struct Done {
    taking: Duration,
    ending: Duration,
    warnings: Vec<String>,
}

/// Tracks these points as one process.
fn process(address: &str, study: &TrackedStudy, steps: std::ops::Range<u64>, ending: Ending) -> Done {
    let said = Arc::new(Mutex::new(Vec::new()));
    let warn: Warn = Arc::new({
        let said = Arc::clone(&said);
        move |message: &str| said.lock().unwrap().push(message.to_owned())
    });
    let value = Value::from(address);
    let mut tracker = build(TrackerSetting { key: "track.mlflow", value: &value }).unwrap().unwrap();
    tracker.begin(study, &warn).unwrap();
    let from = Instant::now();
    for step in steps {
        tracker.take(&[point(step)]);
    }
    let taking = from.elapsed();
    let from = Instant::now();
    tracker.end(ending);
    let warnings = said.lock().unwrap().clone();
    Done { taking, ending: from.elapsed(), warnings }
}

#[test]
fn run_has_every_point_once_and_the_config_as_parameters() {
    let (server, folder) = (Server::start(Behavior::Works), tempfile::tempdir().unwrap());
    let study = study(&folder, "a");
    let done = process(&server.address(), &study, 1..2501, Ending::Stopped);
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
    let done = process(&server.address(), &study, 1..3001, Ending::Finished);
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
    let state = server.state();
    assert_eq!(state.experiments, ["kiln"]);
    assert_eq!(state.runs.len(), 1, "the second process finds the run of the first");
    let run = &state.runs[0];
    let steps: Vec<u64> = run.metrics.iter().map(|metric| metric["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..3001).collect::<Vec<_>>());
    assert_eq!(run.metrics[2]["value"], 1.5);
    assert_eq!(run.metrics[2]["timestamp"], 1_000_500);
    assert_eq!(run.status, ["RUNNING", "KILLED", "RUNNING", "FINISHED"]);
    assert_eq!(
        run.parameters,
        [("study.name".to_owned(), "a".to_owned()), ("study.seed".to_owned(), "3".to_owned())]
    );
}

#[test]
fn requests_that_fail_after_they_arrived_lose_and_double_nothing() {
    let (server, folder) = (Server::start(Behavior::FailsEverySeventh), tempfile::tempdir().unwrap());
    let study = study(&folder, "a");
    let mut warnings = Vec::new();
    for end in [800, 1600, 2400, 3000, 3000, 3000] {
        warnings.extend(process(&server.address(), &study, 1..end, Ending::Finished).warnings);
    }
    let state = server.state();
    assert_eq!(state.runs.len(), 1);
    let steps: Vec<u64> =
        state.runs[0].metrics.iter().map(|metric| metric["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..3000).collect::<Vec<_>>());
    assert!(!warnings.is_empty());
}

#[test]
fn server_that_is_down_neither_slows_nor_ends_a_study() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(&folder, "a");
    // Nothing listens on a port that was just free.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = process(&format!("http://{free}"), &study, 0..25_000, Ending::Finished);
    assert!(done.taking < Duration::from_secs(1), "{:?}", done.taking);
    assert!(done.ending < Duration::from_secs(3), "{:?}", done.ending);
    assert_eq!(done.warnings.len(), 2, "{:?}", done.warnings);
    let first = format!("mlflow: http://{free}: nothing listens there; the study goes on");
    assert!(done.warnings[0].starts_with(&first), "{}", done.warnings[0]);
    assert!(done.warnings[1].contains("25000 points were not sent"), "{}", done.warnings[1]);
}

#[test]
fn server_that_never_answers_holds_the_end_for_seconds_only() {
    let (server, folder) = (Server::start(Behavior::Hangs), tempfile::tempdir().unwrap());
    let study = study(&folder, "a");
    let done = process(&server.address(), &study, 0..100, Ending::Finished);
    assert!(done.taking < Duration::from_secs(1), "{:?}", done.taking);
    assert!(done.ending < Duration::from_secs(8), "{:?}", done.ending);
    assert!(
        done.warnings.iter().any(|said| said.contains("100 points were not sent")),
        "{:?}",
        done.warnings
    );
}

#[test]
fn refusals_name_status_and_known_code_and_repeat_nothing_else() {
    for (behavior, expected) in [
        (Behavior::Refuses(401, "s3cret-t0ken"), "the server refuses the token, or needs one"),
        (Behavior::Refuses(500, "s3cret-t0ken"), "the server answered 500"),
        (Behavior::Refuses(500, "INTERNAL_ERROR"), "the server answered 500 (INTERNAL_ERROR)"),
        (Behavior::Refuses(302, "s3cret-t0ken"), "the server answered 302"),
        (Behavior::Babbles, "the server's answer is not that of the protocol"),
    ] {
        let (server, folder) = (Server::start(behavior), tempfile::tempdir().unwrap());
        let done = process(&server.address(), &study(&folder, "a"), 0..3, Ending::Finished);
        assert!(done.warnings[0].contains(expected), "{:?}", done.warnings);
        assert!(done.warnings.iter().all(|said| !said.contains(SECRET)), "{:?}", done.warnings);
    }
}

#[test]
fn token_is_in_the_header_only() {
    let server = Server::start(Behavior::Works);
    let address = Address::parse(&server.address(), EXAMPLE).unwrap();
    let connection = Connection::new(address, Token::new(SECRET));
    let api = Api::new(connection, "kiln".to_owned());
    let new = api::NewRun { key: "abc", name: "a", version: "0", unix_s: 1.0 };
    api.open(&new).unwrap();
    let state = server.state();
    assert!(state.requests.iter().all(|request| request.authorization == format!("Bearer {SECRET}")));
    assert!(
        state.requests.iter().all(|request| !format!("{}{}", request.line, request.body).contains(SECRET))
    );
}

#[test]
fn settings_are_an_address_or_a_table() {
    let message = |value: Value| {
        let built = build(TrackerSetting { key: "track.mlflow", value: &value });
        built.err().map(|error| error.to_string())
    };
    assert_eq!(message(json!("http://localhost:5000")), None);
    assert_eq!(message(json!({ "address": "http://localhost:5000", "experiment": "a \"b\"\n" })), None);
    let refused = message(json!("http://me:s3cret-t0ken@host")).unwrap();
    assert!(refused.starts_with("`track.mlflow`: found an address with") && !refused.contains(SECRET));
    for (value, part) in [
        (json!(true), "found `true`, expected an address in quotes"),
        (json!({ "adress": "http://a" }), "`track.mlflow.adress`: unknown field"),
        (json!({ "address": "a" }), "`track.mlflow.address`: found `a`"),
        (json!({ "address": "http://a", "experiment": " " }), "`track.mlflow.experiment`: found ` `"),
    ] {
        let found = message(value).unwrap();
        assert!(found.contains(part), "{found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Names with spaces, quotes, line ends and anything else arrive as they are and change no request.
    #[test]
    fn names_are_data_whatever_they_contain(name in "[ -~\n\r\t'\"`;&?#%]{1,40}|\\PC{1,40}") {
        prop_assume!(!name.trim().is_empty());
        let server = Server::start(Behavior::Works);
        let address = Address::parse(&server.address(), EXAMPLE).unwrap();
        let api = Api::new(Connection::new(address, None), name.clone());
        let new = api::NewRun { key: "abc", name: &name, version: "0", unix_s: 1.0 };
        let run = api.open(&new).unwrap();
        let odd = Point { series: name.clone(), ..point(1) };
        api.log(&run.id, &[&odd]).unwrap();
        let state = server.state();
        prop_assert_eq!(&state.experiments, std::slice::from_ref(&name));
        prop_assert_eq!(&state.runs[0].name, &name);
        let paths: Vec<&str> = state.requests.iter().map(server::Request::path).collect();
        let expected = ["experiments/get-by-name", "experiments/create", "runs/search", "runs/create", "runs/log-batch"];
        let expected = expected.map(|call| format!("/api/2.0/mlflow/{call}"));
        prop_assert_eq!(paths, expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
