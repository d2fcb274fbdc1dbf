//! Reads arrays from an archive that `numpy.savez` wrote: a zip file of `.npy` files, stored or deflated.
//!
//! Source: PKWARE, ".ZIP File Format Specification", version 6.3.9, sections 4.3.7, 4.3.12 and 4.3.14 to
//! 4.3.16.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

use crate::data::DataError;
use crate::data::input_file::InputFile;

/// Maximum size in bytes of the directory's end record: a comment of maximum length plus the fixed fields.
const END_MAX: u64 = 65_535 + 22;
/// Maximum size of the directory in bytes.
const DIRECTORY_MAX: u64 = 16 << 20;
/// Maximum number of names in a message.
const LISTED: usize = 12;

/// A directory entry of one file.
struct Entry {
    name: String,
    is_encrypted: bool,
    method: u16,
    packed: u64,
    header: u64,
}

/// Splits a setting such as `data.npz:x_train` into the file, the name of the array, and whether the setting
/// states that name. The default name is the setting's key.
pub(super) fn place<'a>(setting: &'a str, key: &'a str) -> Option<(&'a str, &'a str, bool)> {
    let is_archive =
        |name: &str| Path::new(name).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"));
    if is_archive(setting) {
        return Some((setting, key, false));
    }
    let (file, name) = setting.rsplit_once(':').filter(|(file, _)| is_archive(file))?;
    Some((file, name, true))
}

/// Opens the array `name` of an archive. If the setting does not state a name and the archive contains a
/// single array, opens that array whatever its name is.
pub(super) fn open(path: &Path, name: &str, is_stated: bool) -> Result<InputFile, DataError> {
    // Reports a path that is missing or not a file.
    drop(InputFile::open(path)?);
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let entries = directory(&mut file).map_err(failed)?.ok_or_else(|| {
        DataError::content(
            path,
            "the end of the file",
            "no directory",
            "a whole archive, as `numpy.savez` writes it",
        )
    })?;
    let only = (!is_stated && entries.len() == 1).then(|| &entries[0]);
    let is_named = |entry: &&Entry| entry.name.strip_suffix(".npy").unwrap_or(&entry.name) == name;
    let Some(entry) = only.or_else(|| entries.iter().find(is_named)) else {
        let known: Vec<&str> = entries
            .iter()
            .take(LISTED)
            .map(|entry| entry.name.strip_suffix(".npy").unwrap_or(&entry.name))
            .collect();
        let expected =
            format!("one of `{}`, such as `FILE.npz:{}`", known.join("`, `"), known.first().unwrap_or(&"x"));
        return Err(DataError::content(path, "the archive", format!("no array `{name}`"), expected));
    };
    let place = format!("array `{}`", entry.name);
    if entry.is_encrypted || !matches!(entry.method, 0 | 8) {
        let found = format!("compression method {}, encrypted: {}", entry.method, entry.is_encrypted);
        return Err(DataError::content(path, place, found, "an array as `numpy.savez` writes it"));
    }
    let Some(start) = start_of(&mut file, entry.header).map_err(failed)? else {
        return Err(DataError::content(path, place, "no local header", "the header of the array"));
    };
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let packed = BufReader::new(file.take(entry.packed));
    let reader: Box<dyn Read> =
        if entry.method == 8 { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
    let mut shown = path.as_os_str().to_owned();
    shown.push(":");
    shown.push(entry.name.strip_suffix(".npy").unwrap_or(&entry.name));
    Ok(InputFile::within(PathBuf::from(shown), reader))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?).into())
}

fn longest(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn read_at(file: &mut File, start: u64, count: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads all directory entries of an archive. Returns `None` if the directory is missing or damaged.
fn directory(file: &mut File) -> std::io::Result<Option<Vec<Entry>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(END_MAX);
    let end = read_at(file, from, END_MAX)?;
    let Some(at) = end.windows(4).rposition(|bytes| bytes == b"PK\x05\x06") else { return Ok(None) };
    let of_end = || Some((long(&end, at + 12)?, long(&end, at + 16)?));
    let Some((mut size, mut start)) = of_end() else { return Ok(None) };
    if size == u64::from(u32::MAX) || start == u64::from(u32::MAX) {
        // The numbers are in a 64-bit record. A locator before the end record points to it.
        let locator = at
            .checked_sub(20)
            .and_then(|at| end.get(at..at + 20))
            .filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
        let Some(record) = locator.and_then(|locator| longest(locator, 8)) else { return Ok(None) };
        let record = read_at(file, record, 56)?;
        let of_record = || Some((longest(&record, 40)?, longest(&record, 48)?));
        let Some(found) = of_record().filter(|_| record.starts_with(b"PK\x06\x06")) else { return Ok(None) };
        (size, start) = found;
    }
    if size > DIRECTORY_MAX {
        return Ok(None);
    }
    let bytes = read_at(file, start, size)?;
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some((entry, length)) = entry(&bytes[at..]) else { return Ok(None) };
        entries.push(entry);
        at += length;
    }
    Ok(Some(entries).filter(|entries| !entries.is_empty()))
}

/// The first entry of a directory, and its length in bytes.
fn entry(bytes: &[u8]) -> Option<(Entry, usize)> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let [name, extra, comment] = [short(bytes, 28)?, short(bytes, 30)?, short(bytes, 32)?].map(usize::from);
    let (mut packed, mut header) = (long(bytes, 20)?, long(bytes, 42)?);
    let extras = bytes.get(46 + name..46 + name + extra)?;
    // The 64-bit field contains only values that did not fit into 32 bits, in the order unpacked size, packed
    // size, offset.
    let wide = |value: u64| value == u64::from(u32::MAX);
    let mut at = field(extras, 1).unwrap_or_default();
    let mut next = || {
        let value = longest(at, 0);
        at = at.get(8..).unwrap_or_default();
        value
    };
    if wide(long(bytes, 24)?) {
        next()?;
    }
    if wide(packed) {
        packed = next()?;
    }
    if wide(header) {
        header = next()?;
    }
    let text = String::from_utf8_lossy(bytes.get(46..46 + name)?).into_owned();
    let entry = Entry {
        name: text,
        is_encrypted: short(bytes, 8)? & 1 == 1,
        method: short(bytes, 10)?,
        packed,
        header,
    };
    Some((entry, 46 + name + extra + comment))
}

/// The extra field with this number.
fn field(mut extras: &[u8], number: u16) -> Option<&[u8]> {
    loop {
        let (found, length) = (short(extras, 0)?, usize::from(short(extras, 2)?));
        let content = extras.get(4..4 + length)?;
        if found == number {
            return Some(content);
        }
        extras = &extras[4 + length..];
    }
}

/// Returns the offset of a file's data. `header` is the offset of the file's local header.
fn start_of(file: &mut File, header: u64) -> std::io::Result<Option<u64>> {
    let bytes = read_at(file, header, 30)?;
    let lengths = || Some(u64::from(short(&bytes, 26)?) + u64::from(short(&bytes, 28)?));
    let is_header = bytes.starts_with(b"PK\x03\x04");
    Ok(lengths().filter(|_| is_header).and_then(|lengths| header.checked_add(30 + lengths)))
}
