//! A secret that is sent with each request.

use ureq::http::HeaderValue;

/// A secret that is sent with each request. It has no `Debug` and no `Display`.
#[derive(Clone)]
pub struct Token {
    pub(crate) header: HeaderValue,
    secret: String,
}

impl Token {
    /// Returns `None` for an empty text and for one that cannot be part of a header.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
        header.set_sensitive(true);
        Some(Self { header, secret: secret.to_owned() })
    }

    /// Returns a text without the secret.
    #[must_use]
    pub fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.secret, "…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_that_is_empty_or_has_a_line_end_is_refused() {
        assert!(Token::new("abc").is_some());
        assert!(Token::new("").is_none() && Token::new("abc\r\nx: y").is_none());
    }

    #[test]
    fn secret_is_hidden_in_texts() {
        let token = Token::new("s3cret").unwrap();
        assert_eq!(token.hidden_in("a s3cret, s3cret"), "a …, …");
    }
}
