//! The only place of this crate that opens a network connection. It sends JSON to an address that the config
//! names.
//!
//! Requests follow no redirects and use no proxy, so nothing reaches another address. Messages contain
//! neither headers nor bodies, because these could contain a token.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderValue, Uri};

/// Limits of a request: to connect, and as a whole.
const CONNECT: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(5);
/// Maximum size of an answer in bytes.
const LONGEST: u64 = 32 << 20;

/// The base address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    /// Parses an address such as `http://localhost:5000`. The errors state what was found, without secrets
    /// that the address may contain, and what is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        const PLAIN: &str = "an address such as `http://localhost:5000`";
        // Text before an `@` may be a password, and a query may contain a token.
        if text.contains('@') || text.contains('?') || text.contains('#') {
            let found = "an address with a user name, a query or a fragment".to_owned();
            return Err((found, "a plain address; a token belongs into the environment"));
        }
        let uri: Uri = text.parse().map_err(|_| (format!("`{text}`"), PLAIN))?;
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        match uri.scheme_str() {
            Some("http") if has_host => {}
            Some("https") if has_host && cfg!(feature = "https") => {}
            Some("https") if has_host => {
                return Err((format!("`{text}`"), "`http://`: this program was built without `https`"));
            }
            _ => return Err((format!("`{text}`"), PLAIN)),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret that is sent with each request. It has no `Debug` and no `Display`.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

impl Token {
    /// Returns `None` for a text that cannot be part of a header.
    pub(crate) fn new(secret: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing answers, or not in time.
    Unreachable(&'static str),
    /// The server answered with this status, and with an error code if it is one that the caller knows.
    Status(u16, Option<&'static str>),
    /// The answer is not what the server's protocol says.
    Unexpected,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(how) => f.write_str(how),
            Self::Status(401 | 403, _) => f.write_str("the server refuses the token, or needs one"),
            Self::Status(status, Some(code)) => write!(f, "the server answered {status} ({code})"),
            Self::Status(status, None) => write!(f, "the server answered {status}"),
            Self::Unexpected => f.write_str("the server's answer is not that of the protocol"),
        }
    }
}

/// What a request sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent<'a> {
    /// `GET` with a query of one name and value.
    Query(&'a str, &'a str),
    /// `POST` with a JSON body.
    Body(&'a Value),
}

/// Sends requests to one server.
pub(crate) struct Client {
    agent: Agent,
    address: Address,
    token: Option<Token>,
    /// Error codes of the server that messages may contain.
    codes: &'static [&'static str],
}

impl Client {
    /// Creates a client. It connects with the first request. `codes` are the values of `error_code` that
    /// messages may contain: a server could put a secret into any other text.
    pub(crate) fn new(address: Address, token: Option<Token>, codes: &'static [&'static str]) -> Self {
        let config = Agent::config_builder();
        #[cfg(feature = "https")]
        let config = {
            use ureq::tls::{RootCerts, TlsConfig};
            config.tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        };
        let agent = config
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WHOLE))
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, address, token, codes }
    }

    /// Sends a request and returns the JSON of the answer.
    pub(crate) fn send(&self, path: &str, sent: Sent<'_>) -> Result<Value, Refusal> {
        let address = format!("{}{path}", self.address);
        let answer = match sent {
            Sent::Query(name, value) => {
                let request = self.agent.get(&address).query(name, value);
                match &self.token {
                    Some(Token(token)) => request.header("authorization", token.clone()).call(),
                    None => request.call(),
                }
            }
            Sent::Body(body) => {
                let request = self.agent.post(&address).content_type("application/json");
                match &self.token {
                    Some(Token(token)) => {
                        request.header("authorization", token.clone()).send(body.to_string())
                    }
                    None => request.send(body.to_string()),
                }
            }
        };
        let mut answer = answer.map_err(|error| refusal(&error))?;
        let status = answer.status().as_u16();
        let text =
            answer.body_mut().with_config().limit(LONGEST).read_to_vec().map_err(|error| refusal(&error))?;
        let value = serde_json::from_slice::<Value>(&text);
        if (200..300).contains(&status) {
            return value.map_err(|_| Refusal::Unexpected);
        }
        let said = value.unwrap_or_default();
        let code = said["error_code"].as_str();
        Err(Refusal::Status(status, self.codes.iter().find(|known| code == Some(**known)).copied()))
    }
}

/// Says in own words why a request failed. The library's words could contain parts of the request.
fn refusal(error: &ureq::Error) -> Refusal {
    Refusal::Unreachable(match error {
        ureq::Error::Timeout(_) => "the server does not answer in time",
        ureq::Error::HostNotFound => "no host has this name",
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => "nothing listens there",
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "the connection failed",
        ureq::Error::Tls(_) => "no secure connection can be made",
        ureq::Error::BodyExceedsLimit(_) => return Refusal::Unexpected,
        _ => "the server does not speak HTTP",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_secrets_are_refused_without_repeating_them() {
        for text in ["http://me:s3cret@host", "http://host/?token=s3cret", "http://host/#s3cret"] {
            let (found, expected) = Address::parse(text).unwrap_err();
            assert!(!found.contains("s3cret") && !expected.contains("s3cret"), "{found}");
        }
    }

    #[test]
    fn only_web_addresses_are_accepted() {
        let plain = |text: &str| Address::parse(text).map(|address| address.to_string());
        assert_eq!(plain("http://localhost:5000/").unwrap(), "http://localhost:5000");
        assert_eq!(plain("http://[::1]:5000/mlflow").unwrap(), "http://[::1]:5000/mlflow");
        for text in ["", "localhost:5000", "file:///tmp/x", "http://", "http://a b", "http://a\nb", "ftp://a"]
        {
            assert!(plain(text).is_err(), "{text:?}");
        }
        assert_eq!(plain("https://host").is_ok(), cfg!(feature = "https"));
    }

    /// The server speaks no TLS, so the request fails. It must not panic: the library needs a provider of
    /// ciphers and the system's certificates.
    #[cfg(feature = "https")]
    #[test]
    fn server_without_tls_is_refused() {
        use std::io::Write;

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
            }
        });
        let refusal = Client::new(address, None, &[]).send("/", Sent::Query("a", "b")).unwrap_err();
        assert!(matches!(refusal, Refusal::Unreachable(_)), "{refusal}");
    }

    #[test]
    fn token_with_line_end_is_refused() {
        assert!(Token::new("abc").is_some());
        assert!(Token::new("abc\r\nx: y").is_none());
    }
}
