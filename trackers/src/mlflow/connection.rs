//! Sends requests to an `MLflow` server.

use std::fmt;
use std::time::Duration;

use kiln_http::{Address, Client, Limits, Request, Roots, Token};
use serde_json::Value;

const LIMITS: Limits =
    Limits { connect: Duration::from_secs(2), whole: Duration::from_secs(5), answer_bytes: 32 << 20 };
/// Error codes that messages may contain.
const CODES: [&str; 9] = [
    "BAD_REQUEST",
    "ENDPOINT_NOT_FOUND",
    "INTERNAL_ERROR",
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
];

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server answered with this status, and with this error code if it is one of [`CODES`].
    Status(u16, Option<&'static str>),
    /// The answer is not what `MLflow`'s interface says.
    Unexpected,
    /// There is no answer.
    Other(kiln_http::Refusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, Some(code)) => write!(f, "the server answered {status} ({code})"),
            Self::Status(status, None) => kiln_http::Refusal::Status(*status, Vec::new()).fmt(f),
            Self::Unexpected => kiln_http::Refusal::Unexpected.fmt(f),
            Self::Other(refusal) => refusal.fmt(f),
        }
    }
}

impl From<kiln_http::Refusal> for Refusal {
    fn from(refusal: kiln_http::Refusal) -> Self {
        match refusal {
            kiln_http::Refusal::Status(status, body) => {
                let said: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code = said["error_code"].as_str();
                let is_shown = !matches!(status, 401 | 403);
                let known = CODES.into_iter().find(|known| is_shown && code == Some(known));
                Self::Status(status, known)
            }
            kiln_http::Refusal::Unexpected => Self::Unexpected,
            other => Self::Other(other),
        }
    }
}

/// What sends requests to a server.
pub(super) struct Connection(Client);

impl Connection {
    /// Connects with the first request.
    pub(super) fn new(address: Address, token: Option<Token>) -> Self {
        Self(Client::new(address, token, LIMITS, Roots::default()))
    }

    /// Sends a request and returns the JSON of the answer.
    pub(super) fn send(&self, request: Request<'_>) -> Result<Value, Refusal> {
        Ok(self.0.send(request)?)
    }
}
