//! Reads ONNX files that contain Kiln's own operations, as [`super::Onnx`] writes them. Any other node is
//! refused by name.

mod attributes;
mod error;
mod explicit;
mod graph;
mod layers;
mod message;
mod metadata;
mod nodes;
mod rounding;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;
mod wire;

use std::path::Path;

use self::graph::FileGraph;
use self::layers::Reading;
use self::message::Message;
use crate::{ExportError, TrainedModel};

pub use self::error::OnnxError;

impl TrainedModel {
    /// Reads an ONNX file of Kiln's own operations: the architecture, the weights, and as much of the card as
    /// the file's metadata states.
    ///
    /// The nodes, attributes and types are those that [`crate::Onnx`] writes. The nodes that normalize the
    /// raw input may be absent; the mean is then 0 and the deviation 1.
    ///
    /// # What a file does not say
    /// - Layers that the output does not depend on are absent from the file.
    /// - The input of a layer of zeros and its stride. The reader uses the latest earlier layer that fits and
    ///   that integer runtimes do not fuse with another, with the smallest stride.
    /// - Sparsity and shared weights. Every layer is dense and has weights of its own, under its own name.
    /// - A batch normalization that is folded into an 8-bit layer. Its effect is in that layer's weights and
    ///   bias, and every such layer has a bias.
    /// - The single-precision weights of an 8-bit layer. They are read as the values of its integers.
    /// - Whether an operation between rounded values computes in 8 bits. It is read as an 8-bit layer.
    /// - A `Mul` whose second input is a `Sigmoid` of the first is read as `silu` if the node of the `Sigmoid`
    ///   is named `<layer>.sigmoid`. Likewise, a `Flatten` of a vector is no layer if its node is named
    ///   `<layer>.vector`.
    /// - Most of the card. Name, genotype, classes, data, training, seed and preprocessing are read; the
    ///   version of the reading rules is not in the file.
    ///
    /// # Errors
    /// [`ExportError::OnnxFile`] names the node and the operation that cannot be read, or the damaged part.
    /// The errors of [`TrainedModel::check`] when the parts do not fit together.
    ///
    /// # Example
    /// ```
    /// # use std::collections::BTreeMap;
    /// use kiln_export::{Array, Exporter, ModelCard, Onnx, Preprocessing, TrainedModel};
    /// use kiln_space::{ArchitectureBuilder, Shape};
    ///
    /// # let mut b = ArchitectureBuilder::new(Shape::vector(1));
    /// # b.linear("head", b.input(), 1)?;
    /// # let one = |value| Array { shape: vec![1], data: vec![value] };
    /// # let model = TrainedModel {
    /// #     architecture: b.finish()?,
    /// #     arrays: BTreeMap::from([
    /// #         ("head.weight".to_owned(), Array { shape: vec![1, 1], data: vec![2.0] }),
    /// #         ("head.bias".to_owned(), one(0.5)),
    /// #     ]),
    /// #     quantization: BTreeMap::new(),
    /// #     weight_codes: BTreeMap::new(),
    /// #     card: ModelCard {
    /// #         classes: vec!["only".to_owned()],
    /// #         preprocessing: Preprocessing {
    /// #             mean: vec![0.0],
    /// #             deviation: vec![1.0],
    /// #             ..Preprocessing::default()
    /// #         },
    /// #         ..ModelCard::default()
    /// #     },
    /// # };
    /// let mut bytes = Vec::new();
    /// Onnx.export(&model, &mut bytes)?;
    /// let read = TrainedModel::from_onnx(&bytes)?;
    /// assert_eq!(read.architecture, model.architecture);
    /// assert_eq!(read.arrays, model.arrays);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_onnx(bytes: &[u8]) -> Result<Self, ExportError> {
        let message = Message::read(bytes)?;
        let graph = FileGraph::new(&message)?;
        let reading = Reading::of(&graph)?;
        let predicts = reading.predicts();
        let parts = reading.finish()?;
        let card = metadata::card(&message.metadata, &parts, predicts)?;
        let layers::Parts { architecture, arrays, weights, codes, quantization, .. } = parts;
        let mut model = Self { architecture, arrays, quantization, weight_codes: codes, card };
        model.check()?;
        weights::state_codes(&mut model, &weights)?;
        Ok(model)
    }

    /// Reads the ONNX file at `path`, as [`TrainedModel::from_onnx`] does.
    ///
    /// # Errors
    /// [`ExportError::Files`] when the path cannot be opened, is not a file or is too long.
    /// [`ExportError::File`] when the content cannot be read; it contains the path and that error.
    pub fn load_onnx(path: &Path) -> Result<Self, ExportError> {
        let bytes = kiln_files::read(path, super::LIMIT as u64)?;
        Self::from_onnx(&bytes)
            .map_err(|source| ExportError::File { path: path.to_owned(), source: Box::new(source) })
    }
}
