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
    /// The nodes, attributes and types are those that [`crate::Onnx`] writes, or those that earlier builds
    /// wrote: with names of all nodes, and with shapes. The nodes that normalize the raw input may be absent;
    /// the mean is then 0 and the deviation 1.
    ///
    /// The network computes the outputs of the exported network. Layers that compute in integers have the
    /// integers of the file. Weights in narrow formats have the values that the file stores, and
    /// [`TrainedModel::weight_codes`] states the steps that do not follow from these values.
    ///
    /// # What a file does not say
    /// - Layers that the output does not depend on are absent from the file. If it does not depend on the
    ///   input at all, neither do mean and deviation appear.
    /// - Layers that only pass a value on are absent: sums and concatenations of one value, pooling of single
    ///   values, flattening of vectors. So are zeros in sums. If such a layer rounds to a grid of its own, a
    ///   layer named `rounded_<number>` replaces it.
    /// - A batch normalization that is folded into the layer before it ([`crate::folded`]). Its effect is in
    ///   that layer's weights and bias.
    /// - The input of a layer of zeros and its stride. The reader uses the latest earlier layer that fits and
    ///   that integer runtimes do not fuse with another, with the smallest stride.
    /// - Sparsity and shared weights. Every layer is dense and has weights of its own, under its own name.
    /// - Whether a layer that computes in integers had a bias. It is read with one.
    /// - The single-precision weights of a layer whose weights are in a narrow format. They are read as the
    ///   values that the file stores.
    /// - Whether an operation between rounded values computes in 8 bits. It is read as an 8-bit layer. If no
    ///   choice of 8-bit layers gives the file's roundings, layers named `rounded_<number>` express them.
    /// - Grids that no value of the file is rounded to.
    /// - A `Mul` whose second input is a `Sigmoid` of the first is read as `silu` if the node of the `Sigmoid`
    ///   has no name. In files of earlier builds it is named `<layer>.sigmoid`. Likewise, a `Flatten` of a
    ///   vector is no layer if its node has no name, or is named `<layer>.vector` in such files.
    /// - Most of the card. Name, genotype, classes, data, training, seed and preprocessing are read; the
    ///   version of the reading rules is not in the file.
    ///
    /// # Exporting again
    /// [`crate::Onnx`] writes the same bytes, except in these cases, in which the new file computes the same:
    /// - The exported network had zeros, layers that are not in the file, or a second batch normalization
    ///   after a folded one. Without them, one more batch normalization may be folded.
    /// - A vector was rearranged for a layer that only passed it on. The new file does not rearrange it.
    /// - The network has 8-bit layers beside others. Its roundings may come in another order.
    /// - A batch normalization was folded into a channel with a single 8-bit weight. The step of that weight
    ///   may differ in its last place.
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
