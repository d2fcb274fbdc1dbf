//! Sends requests to a Ray cluster, and says in Ray's words why one was refused.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use kiln_http::{Address, Client, Limits, Request, Roots, Token};
use serde_json::Value;

use super::text::one_line;

/// Environment variable with the token. Ray's own programs read the same variable.
pub(super) const TOKEN: &str = "RAY_AUTH_TOKEN";
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(3), whole: Duration::from_secs(15), answer_bytes: 64 << 20 };

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing answers, or not in time.
    Unreachable(&'static str),
    /// The cluster refuses the token, or needs one.
    Token,
    /// The token of the environment cannot be part of a header.
    TokenText,
    /// The file with certificates cannot be used.
    Certificates(PathBuf, &'static str),
    /// The cluster answered with this status and reason.
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
    client: Client,
    token: Option<Token>,
}

/// A Ray cluster.
pub(super) struct Cluster {
    pub(super) address: Address,
    certificates: Option<PathBuf>,
    open: OnceLock<Result<Open, Refusal>>,
}

impl Cluster {
    /// Connects with the first request, which also reads the token and the file with certificates.
    pub(super) const fn new(address: Address, certificates: Option<PathBuf>) -> Self {
        Self { address, certificates, open: OnceLock::new() }
    }

    fn open(&self) -> Result<Open, Refusal> {
        let token = match env::var(TOKEN).unwrap_or_default().trim() {
            "" => None,
            secret => Some(Token::new(secret).ok_or(Refusal::TokenText)?),
        };
        let roots = self.certificates.as_deref().map(Roots::of_file).transpose();
        let roots = roots.map_err(|refusal| own(refusal, None))?.unwrap_or_default();
        Ok(Open { client: Client::new(self.address.clone(), token.clone(), LIMITS, roots), token })
    }

    /// Checks what can be checked without a connection: the token's characters and the certificates.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.opened().map(drop)
    }

    fn opened(&self) -> Result<&Open, Refusal> {
        self.open.get_or_init(|| self.open()).as_ref().map_err(Clone::clone)
    }

    /// Sends a request and returns the JSON of the answer.
    pub(super) fn send(&self, request: Request<'_>) -> Result<Value, Refusal> {
        let Open { client, token } = self.opened()?;
        client.send(request).map_err(|refusal| own(refusal, token.as_ref()))
    }
}

fn own(refusal: kiln_http::Refusal, token: Option<&Token>) -> Refusal {
    match refusal {
        kiln_http::Refusal::Unreachable(how) => Refusal::Unreachable(how),
        kiln_http::Refusal::Certificates(path, problem) => Refusal::Certificates(path, problem),
        kiln_http::Refusal::Status(401 | 403, _) => Refusal::Token,
        kiln_http::Refusal::Status(status, text) => {
            Refusal::Status(status, reason(&String::from_utf8_lossy(&text), token))
        }
        kiln_http::Refusal::Unexpected => Refusal::Unexpected,
    }
}

/// Returns the last line of an answer, without the token. Ray answers with tracebacks, whose last line has
/// the reason.
fn reason(text: &str, token: Option<&Token>) -> String {
    let text = token.map_or_else(|| text.to_owned(), |token| token.hidden_in(text));
    one_line(kiln_processes::last_line(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_cluster_are_shown_without_the_token() {
        let text = "Traceback\n  File x\nValueError: a \u{1b}[31m token s3cret\n\n";
        let shown = reason(text, Token::new("s3cret").as_ref());
        assert!(shown.starts_with("ValueError: a ") && !shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(reason(text, None).ends_with("token s3cret"));
    }
}
