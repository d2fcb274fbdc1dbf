//! The model file stores a [`TrainedModel`] compactly and bit for bit. Exporters can later write other
//! formats from the model file.
//!
//! | part | bytes |
//! |---|---|
//! | `KILNMODL` | 8 |
//! | version, little-endian | 4 |
//! | length of the description, little-endian | 8 |
//! | description: JSON of architecture, card, the arrays' names with their shapes, and grids | as stated |
//! | BLAKE3 of all above | 32 |
//! | values of the arrays in the order of their names, little-endian single precision | 4 each |
//! | or, for weights with a codebook, packed positions ([`crate::Safetensors`]) | 1 to 8 bits each |
//! | BLAKE3 of the values | 32 |
//!
//! Version 1 has no quantization grids, because it has no 8-bit layers. Version 2 has no weight codes.
//! Networks without weight codes are written in version 2. This build reads all versions.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use kiln_files::WholeFile;
use kiln_space::Architecture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::quantization::nearest;
use crate::{Array, ExportError, Grid, ModelCard, TrainedModel, WeightCode, index_bits, pack, unpack};

const MAGIC: &[u8; 8] = b"KILNMODL";
const VERSION: u32 = 3;
/// Version of files without weight codes.
const PLAIN: u32 = 2;
/// Oldest version that can be read.
const OLDEST: u32 = 1;
/// Maximum size of the description in bytes.
const DESCRIPTION_LIMIT: u64 = 64 << 20;
/// Maximum size of all values in bytes.
const VALUES_LIMIT: u64 = 4 << 30;
/// Maximum size of the file in bytes. It covers both parts, the checksums and the header.
const FILE_LIMIT: u64 = DESCRIPTION_LIMIT + VALUES_LIMIT + 1024;
/// Maximum of any number in an architecture. The product of three such numbers stays below 2^64.
const NUMBER_LIMIT: u64 = 1 << 21;

#[derive(Serialize)]
struct DescriptionRef<'a> {
    architecture: &'a Architecture,
    card: &'a ModelCard,
    arrays: BTreeMap<&'a str, &'a [usize]>,
    quantization: &'a BTreeMap<String, Grid>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    weight_codes: &'a BTreeMap<String, WeightCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    architecture: Value,
    card: ModelCard,
    arrays: BTreeMap<String, Vec<usize>>,
    #[serde(default)]
    quantization: BTreeMap<String, Grid>,
    #[serde(default)]
    weight_codes: BTreeMap<String, WeightCode>,
}

impl Description {
    /// Returns the codebook of an array, if its values are positions in a codebook.
    fn codebook(&self, array: &str) -> Option<&[f32]> {
        codebook(&self.weight_codes, array)
    }

    /// Returns the number of bytes that an array takes in the file. Saturates instead of overflowing.
    fn bytes(&self, array: &str, shape: &[usize]) -> u64 {
        let values = shape.iter().fold(1, |product: u64, size| product.saturating_mul(*size as u64));
        match self.codebook(array) {
            Some(codebook) => values.saturating_mul(index_bits(codebook.len()) as u64).div_ceil(8),
            None => values.saturating_mul(4),
        }
    }
}

fn codebook<'a>(codes: &'a BTreeMap<String, WeightCode>, array: &str) -> Option<&'a [f32]> {
    match codes.get(array.strip_suffix(".weight")?)? {
        WeightCode::Codebook(values) => Some(values),
        WeightCode::Steps(_) => None,
    }
}

impl TrainedModel {
    /// Checks the model and writes it as a model file.
    ///
    /// # Errors
    /// [`ExportError`] when the model is invalid ([`TrainedModel::check`]) or writing fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), ExportError> {
        self.check()?;
        let arrays =
            self.arrays.iter().map(|(name, array)| (name.as_str(), array.shape.as_slice())).collect();
        let description = DescriptionRef {
            architecture: &self.architecture,
            card: &self.card,
            arrays,
            quantization: &self.quantization,
            weight_codes: &self.weight_codes,
        };
        let description = serde_json::to_vec(&description).map_err(as_description_error)?;
        let mut head = Vec::with_capacity(description.len() + 20);
        head.extend_from_slice(MAGIC);
        let version = if self.weight_codes.is_empty() { PLAIN } else { VERSION };
        head.extend_from_slice(&version.to_le_bytes());
        head.extend_from_slice(&(description.len() as u64).to_le_bytes());
        head.extend_from_slice(&description);
        out.write_all(&head)?;
        out.write_all(blake3::hash(&head).as_bytes())?;
        let mut hasher = blake3::Hasher::new();
        for (name, array) in &self.arrays {
            let bytes: Vec<u8> = match codebook(&self.weight_codes, name) {
                Some(values) => {
                    let indices: Vec<u8> =
                        array.data.iter().map(|weight| nearest(values, *weight) as u8).collect();
                    pack(&indices, index_bits(values.len()))
                }
                None => array.data.iter().flat_map(|value| value.to_le_bytes()).collect(),
            };
            hasher.update(&bytes);
            out.write_all(&bytes)?;
        }
        out.write_all(hasher.finalize().as_bytes())?;
        Ok(())
    }

    /// Reads a model file and checks the model.
    ///
    /// # Errors
    /// [`ExportError`] when the file is of another kind or version, is damaged, or contains an invalid model.
    pub fn read(input: &mut dyn Read) -> Result<Self, ExportError> {
        let mut input = Parts { input, hasher: blake3::Hasher::new(), offset: 0 };
        let mut description = input.description()?;
        let sizes = description.arrays.iter().map(|(name, shape)| description.bytes(name, shape));
        let values = sizes.fold(0, u64::saturating_add);
        if values > VALUES_LIMIT {
            return Err(ExportError::TooLarge {
                format: "the values of the model file",
                bytes: values,
                limit: VALUES_LIMIT,
            });
        }
        if let Some(found) = largest(&description.architecture).filter(|found| *found > NUMBER_LIMIT) {
            return Err(ExportError::ArchitectureNumber { found, limit: NUMBER_LIMIT });
        }
        let architecture =
            serde_json::from_value(description.architecture.take()).map_err(as_description_error)?;
        let mut arrays = BTreeMap::new();
        for (name, shape) in std::mem::take(&mut description.arrays) {
            let values = input.part("values", description.bytes(&name, &shape))?;
            let data = match description.codebook(&name) {
                Some(codebook) => from_indices(codebook, &values, shape.iter().product()),
                None => values.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            };
            arrays.insert(name, Array { shape, data });
        }
        input.checksum("values")?;
        input.end()?;
        let Description { card, quantization, weight_codes, .. } = description;
        let model = Self { architecture, arrays, quantization, weight_codes, card };
        model.check()?;
        Ok(model)
    }

    /// Writes the model file to `path`, completely or not at all.
    ///
    /// # Errors
    /// [`ExportError::Files`] when the file cannot be written. [`ExportError::Unwritable`] when
    /// [`TrainedModel::write`] fails; it contains the path and that error.
    pub fn save(&self, path: &Path) -> Result<(), ExportError> {
        let mut out = WholeFile::create(path)?;
        self.write(&mut out)
            .map_err(|source| ExportError::Unwritable { path: path.to_owned(), source: Box::new(source) })?;
        Ok(out.finish()?)
    }

    /// Reads the model file at `path`.
    ///
    /// # Errors
    /// [`ExportError::Files`] when the path cannot be opened or is not a file. [`ExportError::File`] when
    /// [`TrainedModel::read`] fails; it contains the path and that error.
    pub fn load(path: &Path) -> Result<Self, ExportError> {
        let (file, _) = kiln_files::open(path, FILE_LIMIT)?;
        Self::read(&mut BufReader::new(file)).map_err(|source| at(path, source))
    }
}

fn at(path: &Path, source: ExportError) -> ExportError {
    ExportError::File { path: path.to_owned(), source: Box::new(source) }
}

fn as_description_error(source: serde_json::Error) -> ExportError {
    ExportError::Json { part: "description in the model file", source }
}

/// Reads a file part by part and hashes it.
struct Parts<'a> {
    input: &'a mut dyn Read,
    hasher: blake3::Hasher,
    offset: u64,
}

impl Parts<'_> {
    fn description(&mut self) -> Result<Description, ExportError> {
        let magic = self.part("first bytes", MAGIC.len() as u64)?;
        if magic != MAGIC {
            let problem = "it does not start with `KILNMODL`, so it is not a model file";
            return Err(ExportError::Damaged { part: "first bytes", offset: 0, problem });
        }
        let found = u32::from_le_bytes(self.number("version")?);
        if !(OLDEST..=VERSION).contains(&found) {
            return Err(ExportError::Version { found, expected: VERSION });
        }
        let bytes = u64::from_le_bytes(self.number("length of the description")?);
        if bytes > DESCRIPTION_LIMIT {
            let format = "the description in the model file";
            return Err(ExportError::TooLarge { format, bytes, limit: DESCRIPTION_LIMIT });
        }
        let description = self.part("description", bytes)?;
        self.checksum("description")?;
        serde_json::from_slice(&description).map_err(as_description_error)
    }

    fn number<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], ExportError> {
        let bytes = self.part(part, N as u64)?;
        Ok(bytes.try_into().expect("a part has the length asked for"))
    }

    /// Reads the next `length` bytes. `length` may be damaged, so memory grows only with the bytes that are
    /// actually read.
    fn part(&mut self, part: &'static str, length: u64) -> Result<Vec<u8>, ExportError> {
        let mut bytes = Vec::new();
        self.input.take(length).read_to_end(&mut bytes).map_err(ExportError::Read)?;
        if bytes.len() as u64 != length {
            return Err(ExportError::Damaged { part, offset: self.offset, problem: "the file ends early" });
        }
        self.hasher.update(&bytes);
        self.offset += length;
        Ok(bytes)
    }

    /// Reads the next checksum and compares it with the hash of the bytes since the previous checksum.
    fn checksum(&mut self, part: &'static str) -> Result<(), ExportError> {
        let offset = self.offset;
        let found = self.hasher.finalize();
        let stated: [u8; blake3::OUT_LEN] = self.number(part)?;
        self.hasher.reset();
        if found != stated {
            return Err(ExportError::Damaged { part, offset, problem: "the checksum here does not match" });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ExportError> {
        let mut rest = Vec::new();
        self.input.take(1).read_to_end(&mut rest).map_err(ExportError::Read)?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(ExportError::Damaged {
            part: "end",
            offset: self.offset,
            problem: "there are bytes after the last one",
        })
    }
}

/// Returns the values at packed positions in a codebook. Positions after its end have its last value.
fn from_indices(codebook: &[f32], bytes: &[u8], count: usize) -> Vec<f32> {
    let last = codebook.last().copied().unwrap_or_default();
    let indices = unpack(bytes, index_bits(codebook.len()), count).into_iter();
    indices.map(|index| codebook.get(usize::from(index)).copied().unwrap_or(last)).collect()
}

/// Returns the largest number anywhere in `value`. A number that is negative or not whole counts as
/// `u64::MAX`.
fn largest(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => Some(number.as_u64().unwrap_or(u64::MAX)),
        Value::Array(items) => items.iter().filter_map(largest).max(),
        Value::Object(fields) => fields.values().filter_map(largest).max(),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing;

    fn bytes_of(model: &TrainedModel) -> Vec<u8> {
        let mut bytes = Vec::new();
        model.write(&mut bytes).unwrap();
        bytes
    }

    fn read(mut bytes: &[u8]) -> Result<TrainedModel, ExportError> {
        TrainedModel::read(&mut bytes)
    }

    /// Replaces `from` by `to` in the description of the model file, and adjusts the checksum.
    fn with_description(model: &TrainedModel, from: &str, to: &str) -> Vec<u8> {
        let bytes = bytes_of(model);
        let length = u64::from_le_bytes(bytes[12..20].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&bytes[20..20 + length]).unwrap();
        assert!(text.contains(from));
        let text = text.replacen(from, to, 1);
        let mut out = bytes[..12].to_vec();
        out.extend_from_slice(&(text.len() as u64).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out.extend_from_slice(&bytes[20 + length + 32..]);
        out
    }

    #[test]
    fn model_file_reads_back_bit_for_bit() {
        for (name, model) in testing::sample_models() {
            assert_eq!(read(&bytes_of(&model)).unwrap(), model, "{name}");
        }
        for seed in 0..50 {
            let model = testing::random_model(seed);
            assert_eq!(read(&bytes_of(&model)).unwrap(), model, "seed {seed}");
            let model = testing::quantized(&model, &[]);
            assert_eq!(read(&bytes_of(&model)).unwrap(), model, "seed {seed} in 8 bits");
        }
    }

    #[test]
    fn file_with_codebooks_is_smaller_and_reads_back() {
        let mut b = kiln_space::ArchitectureBuilder::new(kiln_space::Shape::vector(33));
        let x = b.linear("a", b.input(), 31).unwrap();
        b.linear("head", x, 3).unwrap();
        let model = testing::model(b.finish().unwrap(), 4);
        let plain = bytes_of(&model);
        assert_eq!(plain[8], 2, "files without weight codes have the version of earlier builds");
        for (values, bits) in [(2, 1), (4, 2), (16, 4), (17, 8)] {
            let coded = crate::with_codebooks(&model, values).unwrap();
            let bytes = bytes_of(&coded);
            assert_eq!((read(&bytes).unwrap(), bytes[8]), (coded, 3));
            let saved = 4 * 33 * 31 - (33 * 31 * bits as usize).div_ceil(8);
            // The description states the codebook in text.
            assert!(bytes.len() + saved < plain.len() + 250 + values * 28, "{values} values");
        }
    }

    #[test]
    fn read_refuses_every_changed_byte_and_every_truncation() {
        let bytes = bytes_of(&testing::perceptron());
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert!(read(&damaged).is_err(), "byte {place}");
            assert!(matches!(read(&bytes[..place]), Err(ExportError::Damaged { .. })), "cut at {place}");
        }
    }

    #[test]
    fn error_for_damage_names_part_and_offset() {
        let model = testing::perceptron();
        let bytes = bytes_of(&model);
        let values = 4 * model.arrays.values().map(|array| array.data.len()).sum::<usize>();
        let at = bytes.len() - 32;
        let mut damaged = bytes.clone();
        damaged[at - values] ^= 1;
        assert_eq!(
            read(&damaged).unwrap_err().to_string(),
            format!("the model file is damaged in its values (byte {at}): the checksum here does not match")
        );
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(
            read(&longer).unwrap_err().to_string(),
            format!(
                "the model file is damaged in its end (byte {}): there are bytes after the last one",
                bytes.len()
            )
        );
        assert!(read(b"PK\x03\x04 and so on").unwrap_err().to_string().ends_with("it is not a model file"));
        let mut newer = bytes;
        newer[8] = 4;
        assert!(matches!(read(&newer), Err(ExportError::Version { found: 4, expected: 3 })));
    }

    #[test]
    fn read_accepts_version_1_without_grids() {
        let model = testing::perceptron();
        let mut old = with_description(&model, ",\"quantization\":{}", "");
        old[8] = 1;
        let length = u64::from_le_bytes(old[12..20].try_into().unwrap()) as usize;
        let hash = blake3::hash(&old[..20 + length]);
        old[20 + length..][..32].copy_from_slice(hash.as_bytes());
        assert_eq!(read(&old).unwrap(), model);
    }

    #[test]
    fn read_refuses_huge_sizes() {
        let model = testing::perceptron();
        let huge = u64::MAX.to_string();
        let bytes = with_description(&model, "\"out_features\":3", &format!("\"out_features\":{huge}"));
        assert!(matches!(read(&bytes), Err(ExportError::ArchitectureNumber { found: u64::MAX, .. })));
        let bytes = with_description(&model, "\"head.bias\":[3]", &format!("\"head.bias\":[{huge},{huge}]"));
        assert!(matches!(read(&bytes), Err(ExportError::TooLarge { .. })));
        let bytes = with_description(&model, "\"head.bias\":[3]", "\"head.bias\":[300000000]");
        assert!(matches!(read(&bytes), Err(ExportError::Damaged { part: "values", .. })));
        let mut bytes = bytes_of(&model);
        bytes[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(read(&bytes), Err(ExportError::TooLarge { .. })));
    }

    #[test]
    fn saved_model_loads_and_errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.kiln");
        let model = testing::perceptron();
        model.save(&path).unwrap();
        assert_eq!(TrainedModel::load(&path).unwrap(), model);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");

        let missing = folder.path().join("other.kiln");
        let error = TrainedModel::load(&missing).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: cannot read", missing.display()));

        let mut broken = model.clone();
        broken.arrays.clear();
        assert!(broken.save(&missing).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a failed save leaves nothing");
    }
}
