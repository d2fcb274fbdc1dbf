//! The header of a `.npy` file: type of the elements, order and shape.
//!
//! Source: NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays", versions 1.0 to 3.0.

use half::f16;

use crate::data::DataError;
use crate::data::input_file::InputFile;

/// Maximum size of a header in bytes. NumPy writes 128.
const HEADER_LIMIT: u64 = 65_536;
const EXPECTED: &str = "a header `{'descr': '<f4', 'fortran_order': False, 'shape': (n, ...), }`";

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) kind: Kind,
    /// Bytes per element.
    pub(super) size: usize,
    pub(super) is_big_endian: bool,
}

/// Kinds of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
    /// Text of four-byte characters.
    Unicode,
    /// Text of bytes.
    Bytes,
}

/// Maximum length of a name in characters.
const MAX_CHARACTERS: usize = 4096;

impl Element {
    /// Parses a type such as `<f4`.
    fn parse(text: &str) -> Option<Self> {
        let mut characters = text.chars();
        let order = characters.next()?;
        let kind = match characters.next()? {
            'b' => Kind::Bool,
            'u' => Kind::Unsigned,
            'i' => Kind::Signed,
            'f' => Kind::Float,
            'U' => Kind::Unicode,
            'S' | 'a' => Kind::Bytes,
            _ => return None,
        };
        let stated = characters.as_str().parse().ok()?;
        let known = match kind {
            Kind::Bool => stated == 1,
            Kind::Unsigned | Kind::Signed => matches!(stated, 1 | 2 | 4 | 8),
            Kind::Float => matches!(stated, 2 | 4 | 8),
            Kind::Unicode | Kind::Bytes => (1..=MAX_CHARACTERS).contains(&stated),
        };
        let size = if kind == Kind::Unicode { 4 * stated } else { stated };
        let ordered = matches!(order, '<' | '>') || (order == '|' && (stated == 1 || kind == Kind::Bytes));
        (known && ordered).then_some(Self { kind, size, is_big_endian: order == '>' })
    }

    /// Whether the elements are text.
    pub(super) const fn is_text(self) -> bool {
        matches!(self.kind, Kind::Unicode | Kind::Bytes)
    }

    /// Whether single precision represents every number of this type exactly.
    pub(super) const fn is_single(self) -> bool {
        match self.kind {
            Kind::Bool => true,
            Kind::Unsigned | Kind::Signed => self.size <= 2,
            Kind::Float => self.size <= 4,
            Kind::Unicode | Kind::Bytes => false,
        }
    }

    /// Decodes a number. `bytes` has length [`Self::size`].
    pub(super) fn value(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        let wide = &mut wide[..self.size];
        wide.copy_from_slice(bytes);
        if self.is_big_endian {
            wide.reverse();
        }
        let mut word = [0; 8];
        word[..self.size].copy_from_slice(wide);
        let word = u64::from_le_bytes(word);
        match (self.kind, self.size) {
            (Kind::Bool, _) => f64::from(u8::from(word != 0)),
            (Kind::Unsigned, _) => word as f64,
            (Kind::Signed, size) => {
                let unused = 64 - 8 * size as u32;
                (((word << unused) as i64) >> unused) as f64
            }
            (Kind::Float, 2) => f16::from_bits(word as u16).to_f64(),
            (Kind::Float, 4) => f64::from(f32::from_bits(word as u32)),
            (Kind::Float, _) => f64::from_bits(word),
            (Kind::Unicode | Kind::Bytes, _) => f64::NAN,
        }
    }

    /// Decodes a text without its zero padding. Returns `None` if the text is not valid.
    pub(super) fn text(self, bytes: &[u8]) -> Option<String> {
        let text = if self.kind == Kind::Bytes {
            std::str::from_utf8(bytes).ok()?.to_owned()
        } else {
            let number = |bytes: &[u8; 4]| {
                if self.is_big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) }
            };
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| char::from_u32(number(bytes)))
                .collect::<Option<String>>()?
        };
        Some(text.trim_end_matches('\0').to_owned())
    }
}

/// The content of a header.
pub(super) struct Header {
    pub(super) element: Element,
    /// Whether the first axis varies fastest.
    pub(super) is_fortran: bool,
    pub(super) shape: Vec<usize>,
}

/// Reads the header at the start of the file.
pub(super) fn read(file: &mut InputFile) -> Result<Header, DataError> {
    let start = file.exactly(8, "the start of a `.npy` file")?;
    if start.starts_with(b"PK") {
        let expected = "one array; call an archive `FILE.npz`, and name an array in it by `FILE.npz:NAME`";
        return Err(file.content("byte 0", "an archive of several arrays (`.npz`)", expected));
    }
    if &start[..6] != b"\x93NUMPY" {
        return Err(file.content(
            "byte 0",
            format!("{:02x?}", &start[..6]),
            "`\\x93NUMPY`, as `numpy.save` writes it",
        ));
    }
    let length = match start[6] {
        1 => {
            let bytes = file.exactly(2, "the length of the header")?;
            u64::from(u16::from_le_bytes([bytes[0], bytes[1]]))
        }
        2 | 3 => {
            let bytes = file.exactly(4, "the length of the header")?;
            u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }
        version => return Err(file.content("byte 6", format!("version {version}"), "version 1, 2 or 3")),
    };
    if length > HEADER_LIMIT {
        return Err(file.content(
            "byte 8",
            format!("a header of {length} bytes"),
            format!("at most {HEADER_LIMIT}"),
        ));
    }
    let text = file.exactly(length, "the header")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some(described) = described(&text) else {
        return Err(file.content("header", format!("`{}`", shortened(&text)), EXPECTED));
    };
    let Some(element) = Element::parse(described.element) else {
        let found = format!("elements `{}`", shortened(described.element));
        let expected = if described.element.ends_with('O') {
            "numbers or text, not Python objects; convert names to text with `astype(str)`"
        } else {
            "numbers (`f2`, `f4`, `f8`, `i1` to `i8`, `u1` to `u8`, `b1`) or text (`U`, `S`); convert \
             numbers with `astype(numpy.float64)`"
        };
        return Err(file.content("header", found, expected));
    };
    let Described { is_fortran, shape, .. } = described;
    Ok(Header { element, is_fortran, shape })
}

/// The three values of a header's dictionary.
struct Described<'a> {
    element: &'a str,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// Parses the dictionary of a header. Searching for the keys is safe, because no value can contain a key.
fn described(text: &str) -> Option<Described<'_>> {
    let after = |key: &str| {
        let (_, rest) =
            text.split_once(&format!("'{key}'")).or_else(|| text.split_once(&format!("\"{key}\"")))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    };
    let quoted = after("descr")?;
    let quote = quoted.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let (element, _) = quoted[1..].split_once(quote)?;
    let order = after("fortran_order")?;
    let is_fortran = order.starts_with("True");
    if !is_fortran && !order.starts_with("False") {
        return None;
    }
    let (sizes, _) = after("shape")?.strip_prefix('(')?.split_once(')')?;
    let shape = sizes
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.strip_suffix('L').unwrap_or(size).parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    Some(Described { element, is_fortran, shape })
}

fn shortened(text: &str) -> String {
    text.trim_end().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_decodes_numbers_of_every_kind() {
        let cases: [(&str, &[u8], f64); 11] = [
            ("<f4", &1.5_f32.to_le_bytes(), 1.5),
            (">f4", &1.5_f32.to_be_bytes(), 1.5),
            ("<f8", &(-0.25_f64).to_le_bytes(), -0.25),
            ("|b1", &[1], 1.0),
            ("|u1", &[200], 200.0),
            ("|i1", &[200], -56.0),
            ("<i2", &(-300_i16).to_le_bytes(), -300.0),
            (">i4", &70_000_i32.to_be_bytes(), 70_000.0),
            ("<f2", &0x3555_u16.to_le_bytes(), 0.333_251_953_125),
            (">f2", &0x8001_u16.to_be_bytes(), -5.960_464_477_539_063e-8),
            ("<u8", &(1_u64 << 40).to_le_bytes(), 1_099_511_627_776.0),
        ];
        for (text, bytes, expected) in cases {
            let element = Element::parse(text).unwrap();
            assert_eq!(element.value(bytes).to_bits(), expected.to_bits(), "{text}");
        }
        for text in ["", "f4", "<c8", "|O", "<U0", "|f4", "<f16", "<i3", "<M8[ns]"] {
            assert_eq!(Element::parse(text), None, "{text}");
        }
        let half = |bits: u16| Element::parse("<f2").unwrap().value(&bits.to_le_bytes());
        assert!(half(0x7C00).is_infinite() && half(0x7E00).is_nan());
    }

    #[test]
    fn element_decodes_text_without_padding() {
        let wide = |text: &str| text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(Element::parse("<U4").unwrap().text(&wide("bé\0\0")).unwrap(), "bé");
        assert_eq!(Element::parse("|S4").unwrap().text(b"bus\0").unwrap(), "bus");
        assert_eq!(Element::parse("|S2").unwrap().text(&[0xC3, 0x28]), None);
        assert_eq!(Element::parse("<U1").unwrap().text(&[0, 0xD8, 0, 0]), None, "half of a pair");
    }
}
