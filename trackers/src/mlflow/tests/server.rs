//! A server that answers like MLflow.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    Works,
    /// Does what every seventh request asks, and then closes the connection without an answer.
    FailsEverySeventh,
    /// Never answers.
    Hangs,
    /// Answers with this status and error code, and with an address to which it redirects.
    Refuses(u16, &'static str),
    /// Answers with text that is no JSON.
    Babbles,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) authorization: String,
    pub(super) body: String,
}

impl Request {
    pub(super) fn path(&self) -> &str {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// The query's value, decoded.
    fn query(&self) -> String {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        let value = target.split_once('=').map_or("", |(_, value)| value);
        let mut bytes = Vec::new();
        let mut rest = value.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct ServedRun {
    pub(super) name: String,
    tags: Value,
    pub(super) metrics: Vec<Value>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) status: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) requests: Vec<Request>,
    pub(super) experiments: Vec<String>,
    pub(super) runs: Vec<ServedRun>,
}

pub(super) struct Server {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Starts a server, which ends with the process.
    pub(super) fn start(behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                thread::spawn(move || serve(&stream, behavior, &state));
            }
        });
        Self { at, state }
    }

    pub(super) fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(stream: &TcpStream, behavior: Behavior, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        if behavior == Behavior::Hangs {
            thread::sleep(Duration::from_mins(1));
            return;
        }
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        let (status, text) = match behavior {
            Behavior::Refuses(status, code) => {
                (status, json!({ "error_code": code, "message": "s3cret-t0ken" }).to_string())
            }
            Behavior::Babbles => (200, "<html>".to_owned()),
            _ => {
                let (status, answer) = answer(&request, &mut state);
                (status, answer.to_string())
            }
        };
        if behavior == Behavior::FailsEverySeventh && state.requests.len().is_multiple_of(7) {
            return;
        }
        drop(state);
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        let mut out = stream;
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut request = Request::default();
    let mut length = 0;
    if reader.read_line(&mut request.line).ok()? == 0 {
        return None;
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => value.clone_into(&mut request.authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

fn answer(request: &Request, state: &mut State) -> (u16, Value) {
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let run = |state: &State| {
        let id = body["run_id"].as_str().unwrap().strip_prefix("run-").unwrap().parse::<usize>().unwrap();
        assert!(id < state.runs.len());
        id
    };
    match request.path().strip_prefix("/api/2.0/mlflow/").unwrap() {
        "experiments/get-by-name" => match state.experiments.iter().position(|name| *name == request.query())
        {
            Some(id) => (200, json!({ "experiment": { "experiment_id": id.to_string() } })),
            None => (404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST" })),
        },
        "experiments/create" => {
            state.experiments.push(body["name"].as_str().unwrap().to_owned());
            (200, json!({ "experiment_id": (state.experiments.len() - 1).to_string() }))
        }
        "runs/search" => {
            let filter = body["filter"].as_str().unwrap();
            let wanted = |run: &ServedRun| {
                let key = run.tags[0]["value"].as_str().unwrap();
                filter == format!("tags.`kiln.study` = '{key}'")
            };
            let found = state.runs.iter().enumerate().filter(|(_, run)| wanted(run));
            let runs: Vec<Value> = found.map(|(id, run)| described(id, run)).collect();
            (200, json!({ "runs": runs }))
        }
        "runs/create" => {
            state.runs.push(ServedRun {
                name: body["run_name"].as_str().unwrap().to_owned(),
                tags: body["tags"].clone(),
                status: vec!["RUNNING".to_owned()],
                ..ServedRun::default()
            });
            let id = state.runs.len() - 1;
            (200, json!({ "run": described(id, &state.runs[id]) }))
        }
        "runs/log-batch" => {
            let id = run(state);
            let metrics = body["metrics"].as_array().cloned().unwrap_or_default();
            assert!(metrics.len() <= 1000);
            state.runs[id].metrics.extend(metrics);
            for parameter in body["params"].as_array().into_iter().flatten() {
                let text = |name: &str| parameter[name].as_str().unwrap().to_owned();
                state.runs[id].parameters.push((text("key"), text("value")));
            }
            (200, json!({}))
        }
        "runs/update" => {
            let id = run(state);
            state.runs[id].status.push(body["status"].as_str().unwrap().to_owned());
            (200, json!({}))
        }
        other => panic!("{other}"),
    }
}

/// A run as the server describes it: with the latest value of each metric.
fn described(id: usize, run: &ServedRun) -> Value {
    let latest: Vec<Value> =
        run.metrics.iter().max_by_key(|metric| metric["step"].as_u64()).into_iter().cloned().collect();
    let params: Vec<Value> =
        run.parameters.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    json!({ "info": { "run_id": format!("run-{id}") }, "data": { "metrics": latest, "params": params } })
}
