//! Reads protobuf messages field by field, without copies. A length in the file is compared with the bytes
//! that are there, so no damaged length leads to an allocation.
//!
//! Source: Protocol Buffers documentation, "Encoding", <https://protobuf.dev/programming-guides/encoding>.

use super::error::OnnxError;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Content<'a> {
    /// A variable-length integer.
    Number(u64),
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Word([u8; 4]),
    /// Eight bytes, which no field that Kiln reads has.
    Double,
}

/// The fields of one message, in the order of the file.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Fields<'a> {
    /// The fields of the message `bytes`. Errors name it as `part`.
    pub(super) const fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { rest: bytes, part }
    }

    const fn damaged(&self, problem: &'static str) -> OnnxError {
        OnnxError::Damaged { part: self.part, problem }
    }

    fn number(&mut self) -> Result<u64, OnnxError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(|| self.damaged("it ends early"))?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number has more than ten bytes"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], OnnxError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
        let length = length.ok_or_else(|| self.damaged("it ends early"))?;
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Content<'a>), OnnxError> {
        let key = self.number()?;
        let content = match key & 7 {
            0 => Content::Number(self.number()?),
            1 => self.take(8).map(|_| Content::Double)?,
            2 => {
                let length = self.number()?;
                Content::Bytes(self.take(length)?)
            }
            5 => {
                let word = self.take(4)?.try_into().expect("four bytes were taken");
                Content::Word(word)
            }
            _ => return Err(self.damaged("a field has a kind that protobuf does not have")),
        };
        Ok((key >> 3, content))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Content<'a>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The numbers of a packed field.
pub(super) fn packed(bytes: &[u8], part: &'static str) -> impl Iterator<Item = Result<u64, OnnxError>> {
    let mut fields = Fields::new(bytes, part);
    std::iter::from_fn(move || {
        if fields.rest.is_empty() {
            return None;
        }
        let number = fields.number();
        if number.is_err() {
            fields.rest = &[];
        }
        Some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, Content<'_>)>, OnnxError> {
        Fields::new(bytes, "graph").collect()
    }

    #[test]
    fn fields_match_the_examples_of_the_documentation() {
        // The documentation's examples: field 1 is 150, and field 2 is `testing`.
        assert_eq!(read(&[0x08, 0x96, 0x01]).unwrap(), [(1, Content::Number(150))]);
        let text = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(read(&text).unwrap(), [(2, Content::Bytes(b"testing"))]);
        assert_eq!(read(&[0x15, 0, 0, 0x80, 0x3f]).unwrap(), [(2, Content::Word([0, 0, 0x80, 0x3f]))]);
        let minus_two = [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&minus_two).unwrap(), [(1, Content::Number((-2_i64).cast_unsigned()))]);
    }

    #[test]
    fn lengths_beyond_the_end_and_unknown_kinds_are_refused() {
        for bytes in
            [&[0x12, 0x08, 0x74][..], &[0x08], &[0x08, 0x80], &[0x0b, 0x00], &[0x09, 1, 2], &[0xff; 11]]
        {
            assert!(matches!(read(bytes), Err(OnnxError::Damaged { part: "graph", .. })), "{bytes:?}");
        }
        let long = [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 7];
        assert!(read(&long).is_err());
        assert_eq!(packed(&[1, 0x96, 0x01], "dims").collect::<Result<Vec<_>, _>>().unwrap(), [1, 150]);
    }
}
