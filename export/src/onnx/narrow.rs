//! Exports weights that are stored in a narrow format while their layer computes in single precision. Nodes
//! widen them: `Cast` for half precision, `DequantizeLinear` for integers, `Gather` for codebooks. All inputs
//! of these nodes are constants. ONNX Runtime computes `Cast` and `Gather` once, when it loads the file.
//!
//! Half precision is stored and not computed with. ONNX Runtime has few kernels in half precision for CPUs:
//! it would insert a `Cast` around each of the others, and the file would not become smaller by it.

use kiln_space::{LayerId, NumberFormat};

use super::graph::int;
use super::layers::Layers;
use super::proto::AttributeProto;
use super::proto::tensor_proto::DataType;
use crate::{StoredWeights, index_bits, pack};

impl Layers<'_> {
    /// Adds the stored weights of a layer and the nodes that widen them. Returns the name of the widened
    /// weights. Returns `None` for a layer whose weights are in single precision.
    pub(super) fn narrow(&mut self, id: LayerId) -> Option<String> {
        let stored = self.stored.get(&id)?.clone();
        let layer = self.model.architecture.layer(id).name.clone();
        let shape = self.model.arrays[&format!("{layer}.weight")].shape.clone();
        let widened = self.graph.unique(&format!("{layer}.weight_value"));
        match stored {
            StoredWeights::Half(bits) => {
                let half = self.graph.unique(&format!("{layer}.weight_f16"));
                self.graph.half(&half, &shape, &bits);
                self.graph.node("Cast", &widened, &[&half], &widened, vec![to(DataType::Float)]);
            }
            StoredWeights::Integers { format, integers, steps } => {
                let weight = self.graph.unique(&format!("{layer}.weight_{format}"));
                let step = self.graph.unique(&format!("{layer}.weight_step"));
                self.weight_integers(format, &weight, &shape, &integers);
                self.graph.array(&step, &[steps.len()], &steps);
                let axis = vec![int("axis", 0)];
                self.graph.node("DequantizeLinear", &widened, &[&weight, &step], &widened, axis);
            }
            StoredWeights::Codebook { indices, values } => {
                self.codebook(&layer, &shape, &indices, &values, &widened);
            }
            StoredWeights::Brain(_) => unreachable!("brain floating point was refused"),
        }
        Some(widened)
    }

    /// Adds integer weights.
    pub(super) fn weight_integers(
        &mut self,
        format: NumberFormat,
        name: &str,
        shape: &[usize],
        integers: &[i8],
    ) {
        match format {
            NumberFormat::Int4 => self.graph.nibbles(name, shape, integers),
            _ => self.graph.bytes(name, shape, integers),
        }
    }

    /// Adds the indices and the values of a codebook. Indices of less than 8 bits are packed: the shifts and
    /// the remainder extract a plane of indices from each byte. Operator set 17 has no smaller integers.
    fn codebook(&mut self, layer: &str, shape: &[usize], indices: &[u8], values: &[f32], widened: &str) {
        let bits = index_bits(values.len());
        let planes = 8 / bits;
        let packed = pack(indices, bits);
        let [bytes, codebook, positions] = ["weight_indices", "weight_codebook", "weight_positions"]
            .map(|part| self.graph.unique(&format!("{layer}.{part}")));
        self.graph.array(&codebook, &[values.len()], values);
        if planes == 1 {
            self.graph.unsigned(&bytes, shape, &packed);
            self.graph.node("Cast", &positions, &[&bytes], &positions, vec![to(DataType::Int32)]);
            self.graph.node("Gather", widened, &[&codebook, &positions], widened, Vec::new());
            return;
        }
        let [shifted, plane, planed] = ["weight_shifted", "weight_plane", "weight_planes"]
            .map(|part| self.graph.unique(&format!("{layer}.{part}")));
        self.graph.unsigned(&bytes, &[1, packed.len()], &packed);
        let shifts: Vec<u8> = (0..planes).map(|plane| (plane * bits) as u8).collect();
        let shifts = self.graph.shared_bytes(&format!("constant.shifts_{bits}"), &[planes, 1], &shifts);
        let levels = self.graph.shared_bytes(&format!("constant.levels_{bits}"), &[], &[1 << bits]);
        self.graph.node(
            "BitShift",
            &shifted,
            &[&bytes, &shifts],
            &shifted,
            vec![super::graph::text("direction", "RIGHT")],
        );
        self.graph.node("Mod", &plane, &[&shifted, &levels], &plane, Vec::new());
        self.graph.node("Cast", &positions, &[&plane], &positions, vec![to(DataType::Int32)]);
        self.graph.node("Gather", &planed, &[&codebook, &positions], &planed, Vec::new());
        let mut last = planed;
        if packed.len() * planes != indices.len() {
            // The last bytes are filled up, so the superfluous values are cut off.
            let [row, cut] =
                ["weight_row", "weight_cut"].map(|part| self.graph.unique(&format!("{layer}.{part}")));
            let flat = self.graph.shared_integers("constant.flat", &[-1]);
            let start = self.graph.shared_integers("constant.start", &[0]);
            let end = self.graph.unique(&format!("{layer}.weight_end"));
            self.graph.integers(&end, &[indices.len() as i64]);
            self.graph.node("Reshape", &row, &[&last, &flat], &row, Vec::new());
            self.graph.node("Slice", &cut, &[&row, &start, &end], &cut, Vec::new());
            last = cut;
        }
        let sizes: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let target = self.graph.unique(&format!("{layer}.weight_shape"));
        self.graph.integers(&target, &sizes);
        self.graph.node("Reshape", widened, &[&last, &target], widened, Vec::new());
    }
}

fn to(kind: DataType) -> AttributeProto {
    int("to", i64::from(i32::from(kind)))
}
