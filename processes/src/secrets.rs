//! Hides secrets of the environment in what programs print.

use std::borrow::Cow;
use std::env;

/// Parts of names of variables that hold secrets.
const NAMES: [&str; 6] = ["TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "API_KEY", "CREDENTIAL"];
/// Minimum number of characters of a secret. Shorter values would hide parts of ordinary words.
const SHORTEST: usize = 6;

/// Replaces the values of Kiln's own variables that hold secrets, by the names of the variables. A program
/// inherits these variables, and may print them when it fails.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    hidden(
        text,
        env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )
}

fn hidden(text: &str, variables: impl Iterator<Item = (String, String)>) -> Cow<'_, str> {
    let is_secret = |(name, value): &(String, String)| {
        let name = name.to_ascii_uppercase();
        NAMES.iter().any(|part| name.contains(part)) && value.trim().len() >= SHORTEST
    };
    let mut secrets: Vec<(String, String)> = variables.filter(is_secret).collect();
    // A secret may contain another one.
    secrets.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    let mut text = Cow::Borrowed(text);
    for (name, value) in secrets {
        if text.contains(value.trim()) {
            text = Cow::Owned(text.replace(value.trim(), &format!("[{name}]")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_variables_are_replaced_by_their_names() {
        let variables = [
            ("MLFLOW_TRACKING_TOKEN", "abcdef"),
            ("my_password", " abcdefgh\n"),
            ("SHORT_TOKEN", "in"),
            ("HOME", "/home/me"),
        ];
        let hidden = |text| {
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            hidden(text, variables.into_iter()).into_owned()
        };
        let found = hidden("Bearer abcdef, abcdefgh in /home/me");
        assert_eq!(found, "Bearer [MLFLOW_TRACKING_TOKEN], [my_password] in /home/me");
        assert!(matches!(super::hidden("plain", std::iter::empty()), Cow::Borrowed("plain")));
    }
}
