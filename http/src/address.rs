//! The address of a server.

use std::fmt;

use ureq::http::Uri;

/// The base address of a server, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

/// An address that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongAddress {
    /// What was found, without secrets that the text may contain.
    pub found: String,
    /// What is expected.
    pub expected: String,
}

impl Address {
    /// Parses an address. `example` is one that the error shows, such as `http://localhost:5000`.
    ///
    /// # Errors
    /// [`WrongAddress`] for a text that is no address of `http` or, with the feature, `https`, and for one
    /// that may contain a secret.
    ///
    /// # Example
    /// ```
    /// use kiln_http::Address;
    ///
    /// let address = Address::parse("http://localhost:5000/", "http://localhost:5000").unwrap();
    /// assert_eq!(address.to_string(), "http://localhost:5000");
    /// ```
    pub fn parse(text: &str, example: &str) -> Result<Self, WrongAddress> {
        let wrong = |found: String, expected: &str| WrongAddress { found, expected: expected.to_owned() };
        // Text before an `@` may be a password, and a query may contain a token.
        if text.contains('@') || text.contains('?') || text.contains('#') {
            let found = "an address with a user name, a query or a fragment".to_owned();
            return Err(wrong(found, "a plain address; a token belongs in the environment"));
        }
        let found = || format!("`{text}`");
        let plain = || wrong(found(), &format!("an address such as `{example}`"));
        let uri: Uri = text.parse().map_err(|_| plain())?;
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        match uri.scheme_str() {
            Some("http") if has_host => {}
            Some("https") if has_host && cfg!(feature = "https") => {}
            Some("https") if has_host => {
                return Err(wrong(found(), "`http://`: this program was built without `https`"));
            }
            _ => return Err(plain()),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// Whether connections to the server are encrypted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "http://localhost:5000";

    #[test]
    fn addresses_with_secrets_are_refused_without_repeating_them() {
        for text in ["http://me:s3cret@host", "http://host/?token=s3cret", "http://host/#s3cret"] {
            let WrongAddress { found, expected } = Address::parse(text, EXAMPLE).unwrap_err();
            assert!(!found.contains("s3cret") && !expected.contains("s3cret"), "{found}");
        }
    }

    #[test]
    fn only_web_addresses_are_accepted() {
        let plain = |text: &str| Address::parse(text, EXAMPLE).map(|address| address.to_string());
        assert_eq!(plain("http://localhost:8265/").unwrap(), "http://localhost:8265");
        assert_eq!(plain("http://[::1]:8265/ray").unwrap(), "http://[::1]:8265/ray");
        for text in [
            "",
            "localhost:5000",
            "file:///tmp/x",
            "http://",
            "http://a b",
            "http://a\nb",
            "ftp://a",
            "ray://localhost:10001",
        ] {
            let expected = plain(text).unwrap_err().expected;
            assert_eq!(expected, "an address such as `http://localhost:5000`", "{text:?}");
        }
        assert_eq!(plain("https://host").is_ok(), cfg!(feature = "https"));
    }
}
