//! Deserializes plain values and returns typed errors. The deserializer of `serde_json` returns errors that
//! are only text.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::SettingsProblem;

/// A JSON value that serde can deserialize into a type.
pub(super) struct Values(pub(super) Value);

impl IntoDeserializer<'_, SettingsProblem> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Returns the entries of a table, for deserializing it as a map.
fn entries(
    table: Map<String, Value>,
) -> MapDeserializer<'static, impl Iterator<Item = (String, Values)>, SettingsProblem> {
    MapDeserializer::new(table.into_iter().map(|(key, value)| (key, Values(value))))
}

impl<'de> Deserializer<'de> for Values {
    type Error = SettingsProblem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsProblem> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(values) => {
                let length = values.len();
                let mut list = SeqDeserializer::new(values.into_iter().map(Values));
                let read = visitor.visit_seq(&mut list)?;
                let is_read = list.size_hint() == Some(0);
                is_read
                    .then_some(read)
                    .ok_or_else(|| SettingsProblem::invalid_length(length, &"fewer elements in array"))
            }
            Value::Object(table) => visitor.visit_map(entries(table)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsProblem> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingsProblem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsProblem> {
        let found = match self.0 {
            Value::String(variant) => return visitor.visit_enum(variant.into_deserializer()),
            Value::Object(table) if table.len() == 1 => {
                return visitor.visit_enum(MapAccessDeserializer::new(entries(table)));
            }
            Value::Object(_) => {
                let expected = "map with a single key";
                return Err(SettingsProblem::invalid_value(Unexpected::Map, &expected));
            }
            ref other => unexpected(other),
        };
        Err(SettingsProblem::invalid_type(found, &"string or map"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// Describes, for the error message, a value that cannot name an enum variant.
fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), ..) => Unexpected::Unsigned(value),
            (_, Some(value), _) => Unexpected::Signed(value),
            (.., value) => Unexpected::Float(value.unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}
