//! Why a request has no usable answer.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Why a request has no usable answer. Messages are in own words, since those of a server or a library could
/// contain secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing answers, or not in time.
    Unreachable(&'static str),
    /// The file with certificates cannot be used.
    Certificates(PathBuf, &'static str),
    /// The server answered with this status and body. The message does not contain the body.
    Status(u16, Vec<u8>),
    /// The answer is not what the server's protocol says.
    Unexpected,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(how) => f.write_str(how),
            Self::Certificates(path, problem) => write!(f, "`{}`: {problem}", path.display()),
            Self::Status(401 | 403, _) => f.write_str("the server refuses the token, or needs one"),
            Self::Status(status, _) => write!(f, "the server answered {status}"),
            Self::Unexpected => f.write_str("the server's answer is not that of the protocol"),
        }
    }
}

impl From<ureq::Error> for Refusal {
    fn from(error: ureq::Error) -> Self {
        Self::Unreachable(match error {
            ureq::Error::Timeout(_) => "the server does not answer in time",
            ureq::Error::HostNotFound => "no host has this name",
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => "nothing listens there",
            ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
                "no secure connection can be made; is its certificate known, and its name right?"
            }
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "the connection failed",
            ureq::Error::Tls(_) => "no secure connection can be made",
            ureq::Error::BodyExceedsLimit(_) => return Self::Unexpected,
            _ => "the server does not speak HTTP",
        })
    }
}
