//! A folder with small files of every format.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ImageFormat, RgbImage};
use kiln_evaluator::data::{DataError, DataRegistry, DataSet, Opening};
use kiln_space::Settings;
use npyz::WriterBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder of data files.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn open(&self, settings: &Value) -> Result<Arc<DataSet>, DataError> {
        open(settings, Some(self.path()))
    }

    /// Returns the message of the error for data that cannot be opened. The folder's path is removed from the
    /// message.
    pub(crate) fn refused(&self, settings: &Value) -> String {
        let error = self.open(settings).unwrap_err();
        let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        format!("{error}{source}").replace(&format!("{}/", self.path().display()), "")
    }
}

/// Opens a data set with these settings, which include `kind`.
pub(crate) fn open(settings: &Value, folder: Option<&Path>) -> Result<Arc<DataSet>, DataError> {
    let mut table = settings.as_object().unwrap().clone();
    let kind = table.remove("kind").unwrap();
    let settings = Settings::new("data", table);
    DataRegistry::builtin().open(kind.as_str().unwrap(), &Opening::new(&settings, folder))
}

/// CIFAR-10 records with these labels. Record `i` has the pixels `i`, `i + 1` and so on.
pub(crate) fn cifar10(labels: &[u8]) -> Vec<u8> {
    let record = |(index, label): (usize, &u8)| {
        [*label].into_iter().chain((0..3072).map(move |pixel| ((index + pixel) % 256) as u8))
    };
    labels.iter().enumerate().flat_map(record).collect()
}

/// CIFAR-100 records with these coarse and fine labels.
pub(crate) fn cifar100(labels: &[[u8; 2]]) -> Vec<u8> {
    let record = |(index, labels): (usize, &[u8; 2])| {
        labels.iter().copied().chain([index as u8; 3072]).collect::<Vec<_>>()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

/// An image of one color, as a file.
pub(crate) fn image(height: u32, width: u32, color: [u8; 3], format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, image::Rgb(color)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// An array as NumPy writes it.
pub(crate) fn npy<T: npyz::AutoSerialize>(shape: &[u64], values: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values).unwrap();
    writer.finish().unwrap();
    bytes
}

/// IDX images of `side` x `side` and their labels.
pub(crate) fn idx(labels: &[u8], side: u32) -> [Vec<u8>; 2] {
    let header =
        |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let count = labels.len() as u32;
    let mut images = header(&[0x0803, count, side, side]);
    images.extend((0..count * side * side).map(|value| (value % 251) as u8));
    let mut file = header(&[0x0801, count]);
    file.extend_from_slice(labels);
    [images, file]
}

/// An archive of arrays as NumPy's `savez` writes it, or `savez_compressed` if `is_deflated` is set. Local
/// headers have the 64-bit field that NumPy always writes.
pub(crate) fn npz(arrays: &[(&str, Vec<u8>)], is_deflated: bool) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in arrays {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let packed = if is_deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            bytes.clone()
        };
        let name = format!("{name}.npy");
        let method = if is_deflated { 8_u16 } else { 0 };
        let sizes = [packed.len() as u32, bytes.len() as u32];
        let offset = archive.len() as u32;
        let start = |extra: u16| {
            let mut fields = [45_u16, 0, method, 0, 33].map(u16::to_le_bytes).concat();
            fields.extend(crc.sum().to_le_bytes());
            fields.extend(if extra > 0 { [u32::MAX; 2] } else { sizes }.map(u32::to_le_bytes).concat());
            fields.extend([name.len() as u16, extra].map(u16::to_le_bytes).concat());
            fields
        };
        archive.extend(b"PK\x03\x04");
        archive.extend(start(20));
        archive.extend(name.bytes());
        archive.extend([1_u16, 16].map(u16::to_le_bytes).concat());
        archive.extend([bytes.len() as u64, packed.len() as u64].map(u64::to_le_bytes).concat());
        archive.extend(&packed);
        directory.extend(b"PK\x01\x02\x2d\x03");
        directory.extend(start(0));
        directory.extend([0_u16; 4].map(u16::to_le_bytes).concat());
        directory.extend([0_u16].map(u16::to_le_bytes).concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
    }
    let end = [directory.len() as u32, archive.len() as u32].map(u32::to_le_bytes).concat();
    let count = (arrays.len() as u16).to_le_bytes();
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].concat());
    archive.extend(end);
    archive.extend([0, 0]);
    archive
}
