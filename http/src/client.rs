//! Sends requests to one server.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::address::Address;
use crate::refusal::Refusal;
use crate::roots::Roots;
use crate::token::Token;

/// The limits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time to connect.
    pub connect: Duration,
    /// Time of the whole request.
    pub whole: Duration,
    /// Maximum size of an answer in bytes.
    pub answer_bytes: u64,
}

/// What is asked of a server. Each path begins with a slash.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// `GET`.
    Get(&'a str),
    /// `GET` with a query of one name and value.
    Query(&'a str, (&'a str, &'a str)),
    /// `POST` with a JSON body, or with none.
    Post(&'a str, Option<&'a Value>),
    /// `DELETE`.
    Delete(&'a str),
}

/// Sends requests to one server.
pub struct Client {
    agent: Agent,
    address: Address,
    token: Option<Token>,
    answer_bytes: u64,
}

impl Client {
    /// Creates a client. It connects with the first request.
    #[must_use]
    pub fn new(address: Address, token: Option<Token>, limits: Limits, roots: Roots) -> Self {
        let config = roots.apply(Agent::config_builder());
        let Limits { connect, whole, answer_bytes } = limits;
        let agent = config
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(connect))
            .timeout_global(Some(whole))
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, address, token, answer_bytes }
    }

    /// Sends a request and returns the JSON of the answer.
    ///
    /// # Errors
    /// [`Refusal`] if there is no answer, or one of another status than success.
    pub fn send(&self, request: Request<'_>) -> Result<Value, Refusal> {
        let header = self.token.as_ref().map(|token| ("authorization", &token.header));
        // The library has two types of requests.
        macro_rules! with_token {
            ($request:expr) => {
                match header {
                    Some((name, value)) => $request.header(name, value),
                    None => $request,
                }
            };
        }
        let at = |path: &str| format!("{}{path}", self.address);
        let answer = match request {
            Request::Get(path) => with_token!(self.agent.get(at(path))).call(),
            Request::Query(path, (name, value)) => {
                with_token!(self.agent.get(at(path)).query(name, value)).call()
            }
            Request::Post(path, None) => with_token!(self.agent.post(at(path))).send_empty(),
            Request::Post(path, Some(body)) => {
                let request = self.agent.post(at(path)).content_type("application/json");
                with_token!(request).send(body.to_string())
            }
            Request::Delete(path) => with_token!(self.agent.delete(at(path))).call(),
        };
        let mut answer = answer?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(self.answer_bytes).read_to_vec()?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&text).map_err(|_| Refusal::Unexpected);
        }
        Err(Refusal::Status(status, text))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use serde_json::json;

    use super::*;

    const LIMITS: Limits =
        Limits { connect: Duration::from_secs(5), whole: Duration::from_secs(20), answer_bytes: 100 };

    /// A server that gives each connection the next answer. Returns its port, and the requests that it gets.
    fn server(answers: Vec<String>) -> (u16, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, asked) = mpsc::channel();
        thread::spawn(move || {
            for (answer, stream) in answers.iter().zip(listener.incoming()) {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut head, mut length) = (String::new(), 0);
                while stream.read_line(&mut head).unwrap() > 2 {
                    let line = head.lines().next_back().unwrap().to_lowercase();
                    if let Some(found) = line.strip_prefix("content-length: ") {
                        length = found.parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                told.send(head + &String::from_utf8(body).unwrap()).unwrap();
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        (port, asked)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn client(port: u16, token: Option<&str>) -> Client {
        let address = Address::parse(&format!("http://127.0.0.1:{port}/a"), "").unwrap();
        Client::new(address, token.and_then(Token::new), LIMITS, Roots::default())
    }

    #[test]
    fn requests_have_token_query_and_body() {
        let (port, asked) = server(vec![answer("200 OK", "{\"x\":1}"); 5]);
        let client = client(port, Some("s3cret"));
        let body = json!({ "y": 2 });
        for (request, first, last) in [
            (Request::Get("/b"), "GET /a/b HTTP/1.1", ""),
            (Request::Query("/b", ("n", "v &")), "GET /a/b?n=v%20%26 HTTP/1.1", ""),
            (Request::Post("/b", None), "POST /a/b HTTP/1.1", ""),
            (Request::Post("/b", Some(&body)), "POST /a/b HTTP/1.1", "{\"y\":2}"),
            (Request::Delete("/b"), "DELETE /a/b HTTP/1.1", ""),
        ] {
            assert_eq!(client.send(request).unwrap(), json!({ "x": 1 }), "{request:?}");
            let asked = asked.recv().unwrap();
            assert!(asked.starts_with(first) && asked.ends_with(last), "{asked}");
            assert!(asked.to_lowercase().contains("authorization: bearer s3cret\r\n"), "{asked}");
        }
    }

    #[test]
    fn answers_other_than_json_of_success_are_refused() {
        let long = format!("\"{}\"", "x".repeat(200));
        let moved =
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned();
        let (port, _asked) = server(vec![
            answer("403 Forbidden", "s3cret"),
            answer("200 OK", "<html>"),
            answer("200 OK", &long),
            moved,
            "no answer".to_owned(),
        ]);
        let client = client(port, None);
        let refused = || client.send(Request::Get("/")).unwrap_err();
        let forbidden = refused();
        assert_eq!(forbidden, Refusal::Status(403, b"s3cret".to_vec()));
        assert_eq!(forbidden.to_string(), "the server refuses the token, or needs one");
        assert_eq!((refused(), refused()), (Refusal::Unexpected, Refusal::Unexpected));
        assert_eq!(refused(), Refusal::Status(302, Vec::new()), "no redirect is followed");
        assert!(matches!(refused(), Refusal::Unreachable(_)));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refused = self::client(closed, None).send(Request::Get("/")).unwrap_err();
        assert_eq!(refused, Refusal::Unreachable("nothing listens there"));
    }

    /// The server speaks no TLS, so the request fails. It must not panic: the library needs a provider of
    /// ciphers and the system's certificates.
    #[cfg(feature = "https")]
    #[test]
    fn server_without_tls_is_refused() {
        let (port, _asked) = server(Vec::new());
        let address = Address::parse(&format!("https://127.0.0.1:{port}"), "").unwrap();
        let client = Client::new(address, None, LIMITS, Roots::default());
        let refused = client.send(Request::Get("/")).unwrap_err();
        assert!(matches!(refused, Refusal::Unreachable(_)), "{refused}");
    }
}
