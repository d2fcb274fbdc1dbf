//! The embedded digits: 1,797 grey images of 8 x 8 pixels.
//!
//! Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
//! Repository, 1998, doi:10.24432/C50P49, CC BY 4.0.

use std::io::Read;

use flate2::read::GzDecoder;
use kiln_export::InputRecord;
use kiln_space::Shape;
use serde::Deserialize;

use super::preparation::{self, FIFTH, Offer, Preparation};
use super::{DataError, DataPart, DataSample, DataSet, Given, Opening, RawData, Targets};

static DIGITS: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// The table `[data]` with `kind = "digits"`. It has no settings of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Digits {}

/// The registry entry of this kind of data set.
pub(super) const PART: DataPart = DataPart::new("1,797 grey images of digits, which Kiln brings", open)
    .with_keys(&[preparation::KEYS, preparation::TEST_KEYS, preparation::AUGMENT_KEYS])
    .tested_with(DataSample { settings: "{}", files: Vec::new });

fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let offer = Offer { test: true, augment: true, validation: FIFTH };
    let (Digits {}, mut preparation) = Preparation::read(opening, offer)?;
    preparation.hold_out();
    let mut text = String::new();
    GzDecoder::new(DIGITS).read_to_string(&mut text).expect("the embedded digits are valid gzip");
    let (mut examples, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (pixels, label) = line.rsplit_once(',').expect("an embedded line ends with its label");
        examples.extend(pixels.split(',').map(|p| p.parse::<f32>().expect("an embedded pixel is a number")));
        labels.push(label.parse().expect("an embedded label is a number"));
    }
    let raw = RawData {
        name: "digits".to_owned(),
        input: "grey level 0..16".to_owned(),
        shape: Shape::new(1, 8, 8),
        examples,
        targets: Targets::Classes { names: (0..10).map(|digit| digit.to_string()).collect(), labels },
        inputs: ["grey level"].map(InputRecord::channel).to_vec(),
        notes: Vec::new(),
        given: Given::default(),
    };
    preparation.finish(raw)
}
