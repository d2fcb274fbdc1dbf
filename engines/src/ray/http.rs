//! Sends JSON to the address of a Ray cluster.
//!
//! Requests follow no redirects and use no proxy, so nothing reaches another address. Messages contain no
//! headers, and the token is removed from what they repeat of an answer.

use std::env;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderValue, Method, Request, Uri};
use ureq::{Agent, Body};

use super::{TOKEN, one_line};

/// Limits of a request: to connect, and as a whole.
const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(15);
/// Maximum size of an answer in bytes.
const LONGEST: u64 = 64 << 20;

/// The base address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(String);

impl Address {
    /// Parses an address such as `http://127.0.0.1:8265`. The errors state what was found, without secrets
    /// that the address may contain, and what is expected.
    pub(super) fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        const PLAIN: &str = "an address such as `http://127.0.0.1:8265`";
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

    pub(super) fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing answers, or not in time.
    Unreachable(&'static str),
    /// The server refuses the token, or needs one.
    Token,
    /// The token of the environment cannot be part of a header.
    TokenText,
    /// The file with certificates cannot be used.
    #[cfg_attr(not(feature = "https"), allow(dead_code, reason = "only `https` has certificates"))]
    Certificates(PathBuf, &'static str),
    /// The server answered with this status and text.
    Status(u16, String),
    /// The answer is not what Ray's interface says.
    Unexpected,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(how) => f.write_str(how),
            Self::Token => write!(
                f,
                "the cluster refuses the token, or needs one; set the environment variable `{TOKEN}` to what \
                 `ray get-auth-token` prints there"
            ),
            Self::TokenText => {
                write!(f, "the environment variable `{TOKEN}` contains characters that no token has")
            }
            Self::Certificates(path, problem) => write!(f, "`{}`: {problem}", path.display()),
            Self::Status(status, text) if text.is_empty() => write!(f, "the cluster answered {status}"),
            Self::Status(status, text) => write!(f, "the cluster answered {status}: {text}"),
            Self::Unexpected => f.write_str("the answer is not that of Ray's Jobs interface"),
        }
    }
}

/// What the first request makes.
struct Open {
    agent: Agent,
    /// The header with the token. It is marked as secret.
    header: Option<HeaderValue>,
    /// The token, to remove it from texts.
    secret: String,
}

/// Sends requests to one server.
pub(super) struct Client {
    pub(super) address: Address,
    #[cfg_attr(not(feature = "https"), allow(dead_code, reason = "only `https` has certificates"))]
    certificates: Option<PathBuf>,
    open: OnceLock<Result<Open, Refusal>>,
}

impl Client {
    /// Creates a client. It connects with the first request, which also reads the token and the file with
    /// certificates.
    pub(super) const fn new(address: Address, certificates: Option<PathBuf>) -> Self {
        Self { address, certificates, open: OnceLock::new() }
    }

    #[cfg_attr(not(feature = "https"), allow(clippy::unused_self, reason = "only `https` has certificates"))]
    fn open(&self) -> Result<Open, Refusal> {
        let secret = env::var(TOKEN).unwrap_or_default().trim().to_owned();
        let header = match secret.as_str() {
            "" => None,
            secret => {
                let text = format!("Bearer {secret}");
                let mut value = HeaderValue::from_str(&text).map_err(|_| Refusal::TokenText)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let config = Agent::config_builder();
        #[cfg(feature = "https")]
        let config = config.tls_config(self.tls()?);
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
        Ok(Open { agent, header, secret })
    }

    /// Trusts the certificates of the file, or else those of the operating system.
    #[cfg(feature = "https")]
    fn tls(&self) -> Result<ureq::tls::TlsConfig, Refusal> {
        use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

        const MAX: u64 = 16 << 20;
        let roots = match &self.certificates {
            None => RootCerts::PlatformVerifier,
            Some(path) => {
                let wrong = |problem| Refusal::Certificates(path.clone(), problem);
                let text = kiln_files::read(path, MAX).map_err(|_| wrong("this file cannot be read"))?;
                let mut found = Vec::new();
                for item in parse_pem(&text) {
                    if let PemItem::Certificate(certificate) =
                        item.map_err(|_| wrong("this file is damaged"))?
                    {
                        found.push(certificate);
                    }
                }
                if found.is_empty() {
                    return Err(wrong("no certificates in PEM form"));
                }
                RootCerts::Specific(std::sync::Arc::new(found))
            }
        };
        Ok(TlsConfig::builder().root_certs(roots).build())
    }

    /// Checks what can be checked without a connection: the token's characters and the certificates.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.opened().map(drop)
    }

    fn opened(&self) -> Result<&Open, Refusal> {
        self.open.get_or_init(|| self.open()).as_ref().map_err(Clone::clone)
    }

    /// Sends a request and returns the JSON of the answer. `path` begins with a slash.
    pub(super) fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let open = self.opened()?;
        let uri = format!("{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(header) = &open.header {
            request = request.header("authorization", header.clone());
        }
        let answer = match body {
            None => open.agent.run(request.body(()).map_err(|_| Refusal::Unexpected)?),
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                open.agent.run(request.map_err(|_| Refusal::Unexpected)?)
            }
        };
        let mut answer = answer.map_err(|error| refusal(&error))?;
        let status = answer.status().as_u16();
        let text = read(answer.body_mut())?;
        match status {
            200..300 => serde_json::from_slice(&text).map_err(|_| Refusal::Unexpected),
            401 | 403 => Err(Refusal::Token),
            _ => Err(Refusal::Status(status, open.shown(&String::from_utf8_lossy(&text)))),
        }
    }
}

impl Open {
    /// Returns the last line of a text of the server, without the token. Ray answers with tracebacks, whose
    /// last line has the reason.
    fn shown(&self, text: &str) -> String {
        let text = if self.secret.is_empty() { text.to_owned() } else { text.replace(&self.secret, "…") };
        one_line(kiln_processes::last_line(&text))
    }
}

fn read(body: &mut Body) -> Result<Vec<u8>, Refusal> {
    body.with_config().limit(LONGEST).read_to_vec().map_err(|error| refusal(&error))
}

/// Says in own words why a request failed. The library's words could contain parts of the request.
fn refusal(error: &ureq::Error) -> Refusal {
    Refusal::Unreachable(match error {
        ureq::Error::Timeout(_) => "it does not answer in time",
        ureq::Error::HostNotFound => "no host has this name",
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => "nothing listens there",
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            "no secure connection can be made; is its certificate known, and its name right?"
        }
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "the connection failed",
        ureq::Error::Tls(_) => "no secure connection can be made",
        ureq::Error::BodyExceedsLimit(_) => return Refusal::Unexpected,
        _ => "it does not speak HTTP",
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
        assert_eq!(plain("http://localhost:8265/").unwrap(), "http://localhost:8265");
        assert_eq!(plain("http://[::1]:8265/ray").unwrap(), "http://[::1]:8265/ray");
        for text in ["", "localhost:8265", "ray://localhost:10001", "http://", "http://a b", "http://a\nb"] {
            assert!(plain(text).is_err(), "{text:?}");
        }
        assert_eq!(plain("https://host").is_ok(), cfg!(feature = "https"));
    }

    #[test]
    fn texts_of_the_server_are_shown_without_the_token() {
        let agent = Agent::new_with_defaults();
        let open = Open { agent, header: None, secret: "s3cret".to_owned() };
        let text = "Traceback\n  File x\nValueError: a \u{1b}[31m token s3cret\n\n";
        let shown = open.shown(text);
        assert!(shown.starts_with("ValueError: a ") && !shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}
