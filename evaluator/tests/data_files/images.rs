//! Tests that images are read as a viewer shows them, in every file format and folder layout.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use kiln_evaluator::data::{DataSet, Split};
use kiln_space::Shape;
use serde_json::{Value, json};

use crate::folder::{Folder, image};

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A folder with classes `a` and `b` of four one-colored images each, 4 x 6 pixels.
fn folder() -> Folder {
    let folder = Folder::new();
    for index in 0..4 {
        folder.put(&format!("train/a/{index}.png"), image(4, 6, [250, index, 0], ImageFormat::Png));
        folder.put(&format!("train/b/{index}.png"), image(4, 6, [0, index, 250], ImageFormat::Png));
    }
    folder
}

fn settings() -> Value {
    json!({ "kind": "images", "test": 0.25, "validation": 0.3 })
}

/// Reads `bytes` from a file with this extension, which is the only example of the test split.
fn read(ending: &str, bytes: &[u8], extra: &Value) -> Vec<f32> {
    let folder = folder();
    folder.put(&format!("test/a/x.{ending}"), bytes);
    let mut settings = json!({ "kind": "images", "validation": 0.3 });
    settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let data = folder.open(&settings).unwrap();
    data.example(data.split(Split::Test)[0]).to_vec()
}

/// A JPEG with an EXIF orientation.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff =
        [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]]
            .concat();
    let exif = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn exif_orientation_is_applied() {
    // A camera in portrait orientation stores these pixels: 6 rows of 4 pixels, the upper half white.
    let stored = RgbImage::from_fn(4, 6, |_, y| Rgb(if y < 3 { [255; 3] } else { [0; 3] }));
    let jpeg = encoded(stored, ImageFormat::Jpeg);
    let gray = json!({ "color": "gray", "size": [4, 6] });
    // Rotated right, the upper half becomes the right half. Rotated left, it becomes the left half.
    for (orientation, left, right) in [(6, 0.0, 255.0), (8, 255.0, 0.0)] {
        let values = read("jpg", &turned(&jpeg, orientation), &gray);
        for row in values.chunks_exact(6) {
            assert!((row[0] - left).abs() < 16.0 && (row[5] - right).abs() < 16.0, "{orientation}: {row:?}");
        }
    }
    // The example has the size of the rotated image.
    let values = read("jpg", &turned(&jpeg, 6), &json!({ "color": "gray" }));
    assert_eq!(values.len(), 24);
}

#[test]
fn transparent_pixels_show_configured_background() {
    // An image that only the alpha channel shows: all pixels are black, and the left half is opaque.
    let drawing = ImageBuffer::from_fn(6, 4, |x, _| Rgba([0, 0, 0, if x < 3 { 255 } else { 0_u8 }]));
    for (ending, format) in
        [("png", ImageFormat::Png), ("webp", ImageFormat::WebP), ("tiff", ImageFormat::Tiff)]
    {
        let bytes = encoded(drawing.clone(), format);
        let white = read(ending, &bytes, &json!({ "background": "white", "color": "gray" }));
        assert_eq!(white[..6], [0.0, 0.0, 0.0, 255.0, 255.0, 255.0], "{ending}");
        let color = read(ending, &bytes, &json!({ "background": [10, 20, 30] }));
        assert_eq!((color[5], color[24 + 5], color[48 + 5]), (10.0, 20.0, 30.0), "{ending}");
        let folder = folder();
        folder.put(&format!("train/a/x.{ending}"), bytes);
        let said = folder.refused(&settings());
        assert!(said.contains(&format!("`train/a/x.{ending}` (it has transparent pixels; say")), "{said}");
    }
    let faint = ImageBuffer::from_pixel(6, 4, LumaA([100_u8, 51]));
    let values = read("png", &encoded(faint, ImageFormat::Png), &json!({ "background": "black" }));
    assert_eq!(values[0].to_bits(), 20_f32.to_bits(), "a fifth of 100");
}

#[test]
fn sixteen_bit_images_keep_precision() {
    let fine = ImageBuffer::from_fn(6, 4, |x, _| Luma([(1000 + x) as u16]));
    let values = read("png", &encoded(fine.clone(), ImageFormat::Png), &json!({ "color": "gray" }));
    let expected: Vec<f32> = (0..6_u16).map(|x| f32::from(1000 + x) / 257.0).collect();
    for (found, expected) in values[..6].iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{values:?}");
    }
    let tiff = read("tif", &encoded(fine, ImageFormat::Tiff), &json!({ "color": "gray" }));
    assert_eq!(tiff, values);
}

/// A TIFF of 6 x 4 pixels with these samples. `tags` adds further tags with their values.
fn tiff(photometric: u16, bits: u16, samples: u16, tags: &[(u16, Vec<u16>)], data: &[u8]) -> Vec<u8> {
    let one = |tag, value: usize| (tag, vec![value as u16]);
    let mut all = vec![one(256, 6), one(257, 4), (258, vec![bits; samples.into()]), one(259, 1)];
    all.extend([
        (262, vec![photometric]),
        one(273, 8),
        (277, vec![samples]),
        one(278, 4),
        one(279, data.len()),
    ]);
    all.extend_from_slice(tags);
    let directory = 8 + data.len().next_multiple_of(2);
    let mut behind = directory + 2 + 12 * all.len() + 4;
    let mut file = b"II*\0".to_vec();
    file.extend((directory as u32).to_le_bytes());
    file.extend(data);
    file.resize(directory, 0);
    file.extend((all.len() as u16).to_le_bytes());
    let mut values = Vec::new();
    for (tag, list) in all {
        let mut bytes: Vec<u8> = list.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.extend([&tag.to_le_bytes()[..], &[3, 0], &(list.len() as u32).to_le_bytes()].concat());
        if bytes.len() > 4 {
            file.extend((behind as u32).to_le_bytes());
            behind += bytes.len();
            values.extend(bytes);
        } else {
            bytes.resize(4, 0);
            file.extend(bytes);
        }
    }
    [file, vec![0; 4], values].concat()
}

#[test]
fn tiff_with_palette_alpha_cmyk_or_few_bits_is_read() {
    // Red, green and blue of two colors, in 16 bits each, and 254 unused entries.
    let mut map = vec![0_u16; 768];
    (map[0], map[257], map[512]) = (0xFFFF, 0x8080, 0x4040);
    let indices: Vec<u8> = (0..24).map(|index| u8::from(index % 6 > 2)).collect();
    let pixel = |values: &[f32], at: usize| [values[at], values[24 + at], values[48 + at]];
    let values = read("tif", &tiff(3, 8, 1, &[(320, map.clone())], &indices), &json!({}));
    assert_eq!((pixel(&values, 0), pixel(&values, 23)), ([255.0, 0.0, 64.0], [0.0, 128.0, 0.0]));
    // The same image with an alpha channel: the last column is transparent.
    let both: Vec<u8> = (0..24).flat_map(|at| [indices[at], if at % 6 == 5 { 0 } else { 255 }]).collect();
    let file = tiff(3, 8, 2, &[(320, map), (338, vec![2])], &both);
    let values = read("tif", &file, &json!({ "background": [1, 2, 3] }));
    assert_eq!((pixel(&values, 4), pixel(&values, 5)), ([0.0, 128.0, 0.0], [1.0, 2.0, 3.0]));
    let values = read("tif", &tiff(1, 8, 2, &[(338, vec![2])], &both), &json!({ "background": "white" }));
    assert_eq!((pixel(&values, 4), pixel(&values, 5)), ([1.0; 3], [255.0; 3]));
    // Two pixels in each byte, 16 levels.
    let values = read("tif", &tiff(1, 4, 1, &[], &[0x0F; 12]), &json!({ "color": "gray" }));
    assert!(values[0].abs() < 1e-6 && (values[1] - 255.0).abs() < 1e-6, "{values:?}");
    let inks = [0, 128, 255, 0].repeat(24);
    let read_inks = read("tif", &tiff(5, 8, 4, &[], &inks), &json!({}));
    let near = pixel(&read_inks, 0).iter().zip([255.0, 127.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near, "{read_inks:?}");
    let folder = folder();
    folder.put("train/a/cut.tif", &tiff(5, 8, 4, &[], &inks)[..60]);
    let said = folder.refused(&settings());
    assert!(said.contains("`train/a/cut.tif` ("), "{said}");
    folder.put("train/a/cut.tif", tiff(8, 8, 3, &[], &[0; 72]));
    let said = folder.refused(&settings());
    assert!(said.contains("`train/a/cut.tif` (TIFF in colors of CIE Lab is not read"), "{said}");
}

#[test]
fn every_image_format_is_read() {
    let picture = RgbImage::from_fn(6, 4, |x, y| Rgb([40 * x as u8, 60 * y as u8, 200]));
    let expected = read("png", &encoded(picture.clone(), ImageFormat::Png), &json!({}));
    assert_eq!((expected[5], expected[24 + 18], expected[48]), (200.0, 180.0, 200.0));
    for (ending, format) in [
        ("bmp", ImageFormat::Bmp),
        ("webp", ImageFormat::WebP),
        ("tiff", ImageFormat::Tiff),
        ("TIF", ImageFormat::Tiff),
    ] {
        assert_eq!(read(ending, &encoded(picture.clone(), format), &json!({})), expected, "{ending}");
    }
    // A GIF has a palette, and its first frame is read.
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for color in [[200, 100, 0, 255], [0, 0, 0, 255]] {
        encoder.encode_frame(image::Frame::new(ImageBuffer::from_pixel(6, 4, Rgba(color)))).unwrap();
    }
    drop(encoder);
    let values = read("gif", &bytes, &json!({}));
    assert_eq!((values[0], values[24], values[48]), (200.0, 100.0, 0.0));
}

#[test]
fn truncated_images_are_listed_in_one_error() {
    let folder = folder();
    let noise =
        RgbImage::from_fn(6, 4, |x, y| Rgb([(37 * x + 91 * y) as u8, (53 * x) as u8, (29 * y) as u8]));
    let formats = [
        ("jpg", ImageFormat::Jpeg),
        ("png", ImageFormat::Png),
        ("bmp", ImageFormat::Bmp),
        ("tiff", ImageFormat::Tiff),
        ("webp", ImageFormat::WebP),
        ("gif", ImageFormat::Gif),
    ];
    for (ending, format) in formats {
        let bytes = encoded(noise.clone(), format);
        folder.put(&format!("train/a/cut.{ending}"), &bytes[..bytes.len() / 2]);
    }
    folder.put("train/b/empty.png", "");
    folder.put("train/b/photo.heic", "x");
    folder.put("train/b/deep/1.png", image(4, 6, [1, 2, 3], ImageFormat::Png));
    let said = folder.refused(&settings());
    assert!(said.contains("9 of 17 files cannot be read: "), "{said}");
    assert!(said.ends_with("; mend or remove them, or set `skip_unreadable = true`"), "{said}");
    for name in [
        "`train/b/deep` (a folder within a class)",
        "`train/b/photo.heic` (an image of a kind that is not read",
    ] {
        assert!(said.contains(name), "{said}");
    }
    let mut skipping = settings();
    skipping["skip_unreadable"] = json!(true);
    let data = folder.open(&skipping).unwrap();
    assert_eq!(data.targets().len(), 8);
    let notes = data.notes();
    assert!(notes[0].starts_with("9 of 17 files are passed over: "), "{notes:?}");
    for (ending, _) in formats {
        let alone = self::folder();
        let bytes = encoded(noise.clone(), ImageFormat::from_extension(ending).unwrap());
        alone.put(&format!("train/a/cut.{ending}"), &bytes[..bytes.len() / 2]);
        let said = alone.refused(&settings());
        assert!(said.contains(&format!("1 of 9 files cannot be read: `train/a/cut.{ending}` (")), "{said}");
    }
}

#[test]
fn system_files_in_image_folders_are_ignored() {
    let folder = folder();
    for name in ["Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", ".hidden/1.png", "__MACOSX/x"] {
        folder.put(&format!("train/a/{name}"), "x");
        folder.put(&format!("train/{name}"), "x");
    }
    assert_eq!(folder.open(&settings()).unwrap().targets().names(), ["a", "b"]);
    folder.put("train/a/notes.txt", "x");
    assert!(
        folder
            .refused(&settings())
            .contains("`train/a/notes.txt` (no image: names of images end with `.png`")
    );
}

#[test]
fn split_folders_in_usual_layouts_are_recognized() {
    let sizes =
        |data: &DataSet| [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split).len());
    let folder = folder();
    for name in ["valid/a/1.png", "valid/b/2.png", "Test/b/1.png"] {
        folder.put(name, image(4, 6, [9, 9, 9], ImageFormat::Png));
    }
    let data = folder.open(&json!({ "kind": "images" })).unwrap();
    assert_eq!((data.shape(), sizes(&data)), (Shape::new(3, 4, 6), [8, 2, 1]));
    for (key, folder_name) in [("test", "Test"), ("validation", "valid")] {
        let mut stated = json!({ "kind": "images" });
        stated[key] = json!(0.2);
        let said = folder.refused(&stated);
        let expected =
            format!("`data.{key}`: found 0.2, expected no share: the folder `{folder_name}` is there");
        assert!(said.starts_with(&expected), "{said}");
    }
    folder.put("val/a/1.png", image(4, 6, [9, 9, 9], ImageFormat::Png));
    assert!(folder.refused(&json!({ "kind": "images" })).contains("`valid` beside `val`"));

    // There are only class folders, without folders for splits.
    let folder = Folder::new();
    for index in 0..5 {
        folder.put(&format!("cat/{index}.png"), image(2, 2, [index, 0, 0], ImageFormat::Png));
        folder.put(&format!("dog/{index}.png"), image(2, 2, [0, index, 0], ImageFormat::Png));
    }
    let data = folder.open(&json!({ "kind": "images", "validation": 0.3 })).unwrap();
    assert_eq!((data.targets().names().join(" ").as_str(), data.split(Split::Test).len()), ("cat dog", 2));
    folder.put("test/cat/1.png", image(2, 2, [1, 0, 0], ImageFormat::Png));
    assert!(folder.refused(&json!({ "kind": "images" })).contains("none for training"));
}

#[test]
fn duplicates_across_splits_and_empty_channels_are_noted() {
    let folder = folder();
    folder.put("test/a/copy.png", image(4, 6, [250, 0, 0], ImageFormat::Png));
    let found = folder.open(&json!({ "kind": "images", "validation": 0.3 })).unwrap().findings().join("\n");
    assert!(found.contains("1 of 1 test examples have exactly the inputs of a "), "{found}");

    // An image that only the alpha channel shows disappears on a black background.
    let folder = Folder::new();
    for index in 0..5 {
        let drawing = ImageBuffer::from_fn(3, 3, |x, _| Rgba([0, 0, 0, if x < index { 255 } else { 0_u8 }]));
        folder.put(&format!("train/a/{index}.png"), encoded(drawing.clone(), ImageFormat::Png));
        folder.put(&format!("train/b/{index}.png"), encoded(drawing, ImageFormat::Png));
    }
    let data = folder.open(&json!({ "kind": "images", "background": "black", "validation": 0.3 })).unwrap();
    let found = data.findings();
    assert!(found[0].starts_with("3 of 3 inputs have one value in the whole training split"), "{found:?}");
}

#[test]
fn image_reading_reports_progress_to_end() {
    use std::sync::Mutex;

    use kiln_evaluator::data::{DataRegistry, Opening};
    use kiln_space::Settings;

    let folder = folder();
    let heard = Mutex::new(Vec::new());
    let hear = |done, total| heard.lock().unwrap().push((done, total));
    let shares = json!({ "test": 0.25, "validation": 0.3 });
    let settings = Settings::new("data", shares.as_object().unwrap().clone());
    let opening = Opening { progress: &hear, ..Opening::new(&settings, Some(folder.path())) };
    DataRegistry::builtin().open("images", &opening).unwrap();
    assert_eq!(*heard.lock().unwrap(), [(0, 8), (8, 8)]);
}
