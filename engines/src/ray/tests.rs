//! The engine against a small server that answers as Ray does, or as it should not. The real cluster is
//! `benches/ray/cluster.py`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, PoisonError};

use super::*;

/// A request: method and path, and body.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    body: String,
}

type Answer = (u16, String);

/// Serves HTTP on the loopback interface. `answer` has the number of the request, from 0.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn new(answer: impl Fn(usize, &Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut line, mut length) = (String::new(), 0);
                reader.read_line(&mut line).unwrap();
                loop {
                    let mut header = String::new();
                    if reader.read_line(&mut header).unwrap() <= 2 {
                        break;
                    }
                    let header = header.to_ascii_lowercase();
                    if let Some(value) = header.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let line = line.trim_end_matches(" HTTP/1.1\r\n").to_owned();
                let asked = Asked { line, body: String::from_utf8(body).unwrap() };
                let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let (status, text) = answer(all.len(), &asked);
                all.push(asked);
                drop(all);
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    text.len()
                );
                let _ = stream.write_all((head + &text).as_bytes());
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

fn engine(mut settings: Value, address: &str) -> Result<Box<dyn Engine>, SettingsError> {
    settings["address"] = json!(address);
    let Value::Object(table) = settings else { panic!("a table") };
    let (plan, own) = Plan::read(&Settings::new("engine", table))?;
    build(&own, &plan)
}

fn submit(engine: &dyn Engine, attempt: u32) -> Result<Handle, EngineError> {
    let arguments = ["/bin/kiln", "work", "/run/jobs/0003"].map(OsString::from);
    let log = Path::new("/run/jobs/0003/log");
    engine.submit(&Launch { name: "kiln-0003", arguments: &arguments, log, attempt, avoid: &[] })
}

fn job(name: &str, status: &str) -> Value {
    json!({ "type": "SUBMISSION", "submission_id": name, "status": status, "message": "m" })
}

#[test]
fn request_has_all_that_the_config_asks_for() {
    let server = Server::new(|_, _| (200, "{}".to_owned()));
    let settings = json!({
        "cpus": 2.5, "gpus": 1, "memory_bytes": 1000, "memory_growth": 1.5, "resources": { "a100": 1 },
        "runtime_env": { "env_vars": { "A": "b" } }, "program": "/opt/kiln",
    });
    let engine = engine(settings, &server.address).unwrap();
    let handle = submit(engine.as_ref(), 3).unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /api/jobs/");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["submission_id"], handle.0.as_str());
    assert!(handle.0.starts_with("kiln-0003-") && is_name(&handle.0), "{handle:?}");
    assert_eq!((&body["entrypoint_num_cpus"], &body["entrypoint_num_gpus"]), (&json!(2.5), &json!(1.0)));
    assert_eq!(body["entrypoint_memory"], 2250, "1000 · 1.5 · 1.5");
    assert_eq!(body["entrypoint_resources"], json!({ "a100": 1.0 }));
    assert_eq!(body["runtime_env"], json!({ "env_vars": { "A": "b" } }));
    let line = body["entrypoint"].as_str().unwrap();
    assert!(line.ends_with("RAYON_NUM_THREADS=2; exec '/opt/kiln' 'work' '/run/jobs/0003'"), "{line}");
    assert_ne!(submit(engine.as_ref(), 1).unwrap(), handle);
}

/// The cluster starts the job, but its answer is an error. Asking by name finds the job.
#[test]
fn job_that_was_submitted_despite_an_error_is_not_submitted_again() {
    let server = Server::new(|number, asked| match number {
        0 => (500, "Traceback\nsome trouble".to_owned()),
        _ => (200, job(asked.line.rsplit('/').next().unwrap(), "PENDING").to_string()),
    });
    let engine = engine(json!({}), &server.address).unwrap();
    let handle = submit(engine.as_ref(), 1).unwrap();
    assert_eq!(server.lines(), ["POST /api/jobs/".to_owned(), format!("GET /api/jobs/{}", handle.0)]);
}

#[test]
fn job_that_was_not_submitted_is_submitted_again_under_the_same_name() {
    let server = Server::new(|number, _| match number {
        0 => (500, "trouble".to_owned()),
        1 => (404, "no such job".to_owned()),
        _ => (200, "{}".to_owned()),
    });
    let engine = engine(json!({}), &server.address).unwrap();
    let handle = submit(engine.as_ref(), 1).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    for index in [0, 2] {
        let body: Value = serde_json::from_str(&asked[index].body).unwrap();
        assert_eq!(body["submission_id"], handle.0.as_str());
    }
}

#[test]
fn refused_request_has_the_reason_of_the_cluster() {
    let server = Server::new(|_, asked| {
        if asked.line.starts_with("POST") {
            (500, "Traceback\n  x\nValueError: no such field `nonsense`\n".to_owned())
        } else {
            (404, String::new())
        }
    });
    let engine = engine(json!({}), &server.address).unwrap();
    let error = submit(engine.as_ref(), 1).unwrap_err().to_string();
    let expected = format!(
        "Ray at `{}`: the cluster answered 500: ValueError: no such field `nonsense`",
        server.address
    );
    assert_eq!(error, expected);
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("POST")).count(), TRIES as usize);
}

#[test]
fn refused_token_is_an_error_with_advice() {
    for status in [401, 403] {
        let server = Server::new(move |_, _| (status, "Forbidden".to_owned()));
        let engine = engine(json!({}), &server.address).unwrap();
        let error = submit(engine.as_ref(), 1).unwrap_err().to_string();
        assert!(error.contains("refuses the token") && error.contains("`RAY_AUTH_TOKEN`"), "{error}");
        assert_eq!(server.lines().len(), 1, "one try");
    }
}

#[test]
fn address_without_a_server_is_an_error() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://127.0.0.1:{port}");
    let engine = engine(json!({}), &address).unwrap();
    let error = engine.status(&Handle("kiln-1".to_owned())).unwrap_err().to_string();
    assert_eq!(error, format!("Ray at `{address}`: nothing listens there"));
}

#[test]
fn many_questions_need_one_list() {
    let server = Server::new(|_, asked| match asked.line.as_str() {
        "GET /api/jobs/" => {
            let mut all = vec![json!({ "type": "DRIVER", "submission_id": null, "status": "RUNNING" })];
            all.extend((0..100).map(|index| job(&format!("kiln-{index}"), "RUNNING")));
            (200, Value::from(all).to_string())
        }
        "GET /api/jobs/kiln-other" => (404, String::new()),
        other => panic!("{other}"),
    });
    let engine = engine(json!({}), &server.address).unwrap();
    for index in 0..100 {
        let state = engine.status(&Handle(format!("kiln-{index}"))).unwrap();
        assert_eq!(state, JobState::Running);
    }
    assert_eq!(server.lines(), ["GET /api/jobs/"]);
    let gone = engine.status(&Handle("kiln-other".to_owned())).unwrap();
    assert_eq!(gone, JobState::Ended(JobEnd::Gone));
}

#[test]
fn new_job_that_the_last_list_cannot_have_waits() {
    let server = Server::new(|_, asked| match asked.line.as_str() {
        "GET /api/jobs/" => (200, "[]".to_owned()),
        "POST /api/jobs/" => (200, "{}".to_owned()),
        _ => (404, String::new()),
    });
    let engine = engine(json!({}), &server.address).unwrap();
    let first = submit(engine.as_ref(), 1).unwrap();
    // This list was asked for after the job was submitted, and the cluster does not know its name.
    assert_eq!(engine.status(&first).unwrap(), JobState::Ended(JobEnd::Gone));
    let second = submit(engine.as_ref(), 1).unwrap();
    assert_eq!(engine.status(&second).unwrap(), JobState::Waiting);
}

#[test]
fn job_is_stopped_once() {
    let server = Server::new(|_, _| (200, r#"{"stopped": true}"#.to_owned()));
    let engine = engine(json!({}), &server.address).unwrap();
    for _ in 0..5 {
        engine.cancel(&Handle("kiln-7".to_owned())).unwrap();
    }
    assert_eq!(server.lines(), ["POST /api/jobs/kiln-7/stop"]);
}

#[test]
fn handles_of_a_foreign_run_folder_reach_no_other_address() {
    let server = Server::new(|_, _| (200, "{}".to_owned()));
    let engine = engine(json!({}), &server.address).unwrap();
    for name in ["../nodes", "kiln-/../..", "kiln-a?b", "raysubmit_1", "kiln-a\r\nx: y"] {
        let handle = Handle(name.to_owned());
        assert!(matches!(engine.status(&handle), Err(EngineError::Unknown(_))), "{name}");
        assert!(matches!(engine.cancel(&handle), Err(EngineError::Unknown(_))), "{name}");
        assert_eq!(engine.logs(&handle, Path::new("/no/such/log")), "");
    }
    assert!(server.lines().is_empty());
}

#[test]
fn impossible_settings_are_refused_with_their_keys() {
    for (settings, key) in [
        (json!({ "cpus": 0 }), "cpus"),
        (json!({ "gpus": -1 }), "gpus"),
        (json!({ "memory_bytes": 0 }), "memory_bytes"),
        (json!({ "memory_bytes": 5, "memory_growth": 0.5 }), "memory_growth"),
        (json!({ "memory_growth": 2 }), "memory_growth"),
        (json!({ "resources": { "GPU": 1 } }), "resources"),
        (json!({ "resources": { "a100": 0 } }), "resources"),
        (json!({ "ca_file": "/no/such/file" }), "ca_file"),
        (json!({ "token": "x" }), "token"),
    ] {
        let error = engine(settings, "http://localhost:8265").err().unwrap().to_string();
        assert!(error.starts_with(&format!("`engine.{key}`: ")), "{error}");
    }
    let error = engine(json!({}), "localhost").err().unwrap().to_string();
    assert!(error.starts_with("`engine.address`: "), "{error}");
}

#[cfg(feature = "https")]
#[test]
fn file_without_certificates_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for text in [None, Some("no certificate")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let error = engine(json!({ "ca_file": file }), "https://localhost").err().unwrap().to_string();
        assert!(error.starts_with("`engine.ca_file`: ") && error.contains("ca.pem"), "{error}");
    }
}
