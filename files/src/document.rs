//! JSON documents whose last key, `check`, is the hash of the text before it.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::{ContentHash, Damage, FileError, reader, whole_file};

/// The fixed text around the hash, and the end of the object that this text replaces.
struct Form {
    before: &'static [u8],
    behind: &'static [u8],
    /// The last characters of an object without `check`. Sealing replaces them by `check` and a new ending.
    close: &'static [u8],
}

const DOCUMENT: Form = Form { before: b",\n  \"check\": \"", behind: b"\"\n}\n", close: b"\n}" };
const LINE: Form = Form { before: b",\"check\":\"", behind: b"\"}", close: b"}" };
const DIGITS: usize = 64;

/// Content that was read, and whether its text carried a valid hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<T> {
    /// The deserialized content.
    pub content: T,
    /// Whether the text carried a hash. Texts from older builds carry none. A wrong hash is an error instead.
    pub is_checked: bool,
}

impl<T> Checked<T> {
    /// Returns an error if the text carried no hash and `is_required` is set. Callers set `is_required` if
    /// the text has a version that always carries a hash.
    ///
    /// # Errors
    /// [`FileError::Damaged`], which names the file `path`.
    pub fn required(self, path: &Path, is_required: bool) -> Result<Self, FileError> {
        if self.is_checked || !is_required {
            return Ok(self);
        }
        Err(FileError::Damaged { path: path.to_owned(), problem: Damage::MissingCheck })
    }
}

/// Returns the text of a document. [`read_document`] reads such a text.
///
/// # Panics
/// When `content` does not serialize to an object with at least one field.
#[must_use]
pub fn seal_document(content: &impl Serialize) -> Vec<u8> {
    DOCUMENT.seal(serde_json::to_vec_pretty(content).expect("a document is plain data"))
}

/// Returns the text of a line without its line break. [`parse_line`] reads such a text.
///
/// # Panics
/// When `content` does not serialize to an object with at least one field.
#[must_use]
pub fn seal_line(content: &impl Serialize) -> Vec<u8> {
    LINE.seal(serde_json::to_vec(content).expect("a line is plain data"))
}

/// Writes a document completely or not at all.
///
/// # Errors
/// [`FileError`]. The old file is then unchanged.
pub fn write_document(place: &Path, content: &impl Serialize) -> Result<(), FileError> {
    whole_file::write(place, &seal_document(content))
}

/// Reads a document of at most `limit` bytes.
///
/// # Errors
/// [`FileError`] when the file cannot be read, its hash is wrong, or its JSON does not match `T`.
pub fn read_document<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<Checked<T>, FileError> {
    parse_document(path, &reader::read(path, limit)?)
}

/// Parses a document from a file's bytes. Errors name the file `path`.
///
/// # Errors
/// [`FileError::Damaged`] when the hash is wrong or the JSON does not match `T`.
pub fn parse_document<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Checked<T>, FileError> {
    let parsed = DOCUMENT.parse(bytes);
    parsed.map_err(|problem| FileError::Damaged { path: path.to_owned(), problem })
}

/// Parses a line without its line break.
///
/// # Errors
/// [`Damage`] when the hash is wrong or the JSON does not match `T`.
pub fn parse_line<T: DeserializeOwned>(bytes: &[u8]) -> Result<Checked<T>, Damage> {
    LINE.parse(bytes)
}

impl Form {
    fn seal(&self, mut text: Vec<u8>) -> Vec<u8> {
        assert!(text.ends_with(self.close) && text.len() > self.close.len() + 1, "an object with fields");
        text.truncate(text.len() - self.close.len());
        let hash = ContentHash::of(&text).to_string();
        [&text, self.before, hash.as_bytes(), self.behind].concat()
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<Checked<T>, Damage> {
        let Some((body, hash)) = self.split(bytes) else {
            // The text has a `check`, but in another form. So somebody changed the text. Report the change
            // instead of accepting the text as one without a hash.
            if has_check(bytes) {
                return Err(Damage::ChangedCheck);
            }
            return Ok(Checked { content: serde_json::from_slice(bytes)?, is_checked: false });
        };
        if ContentHash::of(body).to_string().as_bytes() != hash {
            return Err(Damage::ChangedContent);
        }
        Ok(Checked { content: serde_json::from_slice(&[body, self.close].concat())?, is_checked: true })
    }

    /// Splits a text into its body and its hash. Returns `None` if the text does not end in the fixed form.
    fn split<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let rest = bytes.strip_suffix(self.behind)?;
        let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        Some((rest.strip_suffix(self.before)?, hash))
    }
}

/// Returns whether the text is an object with a key `check`.
fn has_check(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Check {
        #[serde(rename = "check")]
        _check: IgnoredAny,
    }
    serde_json::from_slice::<Check>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        version: u32,
        values: Vec<f64>,
        name: String,
    }

    fn content() -> Content {
        Content { version: 2, values: vec![0.1, -3.0], name: "ä".to_owned() }
    }

    #[test]
    fn written_document_reads_back_and_ends_with_check() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_document(&path, &content()).unwrap();
        let read = read_document(&path, 1 << 10).unwrap();
        assert_eq!(read, Checked { content: content(), is_checked: true });
        let text = std::fs::read_to_string(&path).unwrap();
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let body = text.split_once(",\n  \"check\"").unwrap().0;
        assert_eq!(object["check"], ContentHash::of(body.as_bytes()).to_string());
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let (document, line) = (seal_document(&content()), seal_line(&content()));
        for bit in 0..8 * document.len() {
            let mut flipped = document.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = parse_document::<Content>(Path::new("a.json"), &flipped).unwrap_err().to_string();
            assert!(error.starts_with("a.json: damaged ("), "bit {bit}: {error}");
        }
        for bit in 0..8 * line.len() {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_line::<Content>(&flipped).is_err(), "bit {bit}");
        }
        assert_eq!(parse_line(&line).unwrap(), Checked { content: content(), is_checked: true });
    }

    #[test]
    fn document_without_check_reads_as_unchecked() {
        let old = serde_json::to_vec_pretty(&content()).unwrap();
        let read = parse_document(Path::new("a.json"), &old).unwrap();
        assert_eq!(read, Checked { content: content(), is_checked: false });
        let other = serde_json::json!({ "version": 1, "values": [], "name": "", "check": "?" }).to_string();
        let error = parse_document::<Content>(Path::new("a.json"), other.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("its `check` is not as Kiln writes it"), "{error}");
    }

    #[test]
    fn parser_of_damaged_documents_never_panics() {
        let documents = [seal_document(&content()), serde_json::to_vec(&content()).unwrap()];
        kiln_damage::check_damaged(&documents, |bytes| {
            drop(parse_document::<Content>(Path::new("a.json"), bytes));
            drop(parse_line::<Content>(bytes));
        });
    }
}
