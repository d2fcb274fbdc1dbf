//! Identifies a file's content by its length and the hash of its bytes.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FileError;
use crate::reader::open;

/// A BLAKE3 hash, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(blake3::Hash);

impl ContentHash {
    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

/// The error for a text that is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a BLAKE3 hash, expected 64 digits out of `0123456789abcdef`")]
pub struct NotAHash;

impl FromStr for ContentHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        // Each hash has exactly one spelling, so upper-case digits are refused.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotAHash);
        }
        blake3::Hash::from_hex(text).map(Self).map_err(|_| NotAHash)
    }
}

impl TryFrom<String> for ContentHash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        text.parse()
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

/// Length and hash of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Length in bytes.
    pub bytes: u64,
    /// Hash of all bytes.
    pub blake3: ContentHash,
}

impl Content {
    /// Computes the length and hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, blake3: ContentHash::of(bytes) }
    }

    /// Computes the length and hash of a file of any length. The function reads the file in pieces, so the
    /// file need not fit into memory.
    ///
    /// # Errors
    /// [`FileError`] when the path cannot be read or is not a file.
    pub fn of_file(path: &Path) -> Result<Self, FileError> {
        let (mut file, _) = open(path, u64::MAX)?;
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Self { bytes, blake3: ContentHash(hasher.finalize()) }),
                Ok(read) => {
                    hasher.update(&piece[..read]);
                    bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FileError::io(path, "read")(source)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_file_equals_content_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let content = Content::of_file(&path).unwrap();
        assert_eq!(content, Content::of(&bytes));
        let text = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&text).unwrap(), content);
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(ContentHash::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(ContentHash::of(b"")));
        for wrong in ["", "af", &empty.to_uppercase(), &format!("{empty}0"), &empty.replace('a', "g")] {
            assert_eq!(wrong.parse::<ContentHash>(), Err(NotAHash), "{wrong}");
        }
    }
}
