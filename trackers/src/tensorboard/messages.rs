//! The messages of event files: the part of TensorBoard's `event.proto`, `summary.proto` and `tensor.proto`
//! that Kiln writes.

/// `DT_STRING` of `types.proto`.
const STRING: i32 = 7;

/// One record of an event file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    /// Seconds since the Unix epoch.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SummaryValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
    #[prost(message, optional, tag = "8")]
    pub(super) tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorProto {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) tensor_shape: Option<TensorShape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    pub(super) dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Dimension {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub(super) plugin_name: String,
}

impl Event {
    /// Creates the first record of every file.
    pub(super) fn version(wall_time: f64) -> Self {
        Self { wall_time, step: 0, file_version: Some("brain.Event:2".to_owned()), summary: None }
    }

    /// Creates a point of a series. The format has single precision.
    pub(super) fn scalar(wall_time: f64, step: i64, tag: &str, value: f64) -> Self {
        let value =
            SummaryValue { tag: tag.to_owned(), simple_value: Some(value as f32), ..SummaryValue::default() };
        Self { wall_time, step, file_version: None, summary: Some(Summary { value: vec![value] }) }
    }

    /// Creates a text in Markdown.
    pub(super) fn text(wall_time: f64, tag: &str, text: &str) -> Self {
        let tensor = TensorProto {
            dtype: STRING,
            tensor_shape: Some(TensorShape { dim: vec![Dimension { size: 1 }] }),
            string_val: vec![text.as_bytes().to_vec()],
        };
        let plugin_data = Some(PluginData { plugin_name: "text".to_owned() });
        let value = SummaryValue {
            tag: tag.to_owned(),
            tensor: Some(tensor),
            metadata: Some(Metadata { plugin_data }),
            ..SummaryValue::default()
        };
        Self { wall_time, step: 0, file_version: None, summary: Some(Summary { value: vec![value] }) }
    }

    /// Returns the names of the series of which the record has a point.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        let values = self.summary.iter().flat_map(|summary| &summary.value);
        values.filter(|value| value.simple_value.is_some()).map(|value| value.tag.as_str())
    }
}
