//! Damaged and repeated weights in narrow formats.

use kiln_space::{ActivationKind, ArchitectureBuilder, Shape};
use prost::Message as _;

use super::{changed, export, node, tensor};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{ModelProto, TensorProto};
use crate::{TrainedModel, testing};

/// A network of a few hundred weights in one format.
pub(super) fn narrow(kind: &str) -> TrainedModel {
    sized(kind, [40, 11])
}

fn sized(kind: &str, [inputs, outputs]: [usize; 2]) -> TrainedModel {
    let mut b = ArchitectureBuilder::new(Shape::vector(inputs));
    let x = b.linear("wide", b.input(), outputs).unwrap();
    let x = b.activation("act", x, ActivationKind::Relu).unwrap();
    b.linear("head", x, 3).unwrap();
    let model = testing::model(b.finish().unwrap(), 4);
    testing::narrow(&model).into_iter().find(|(name, _)| *name == kind).unwrap().1
}

/// The first initializer of this type that has so many axes.
fn first(file: &mut ModelProto, kind: DataType, axes: usize) -> &mut TensorProto {
    let tensors = &mut file.graph.as_mut().unwrap().initializer;
    tensors.iter_mut().find(|it| it.data_type() == kind as i32 && it.dims.len() == axes).unwrap()
}

#[test]
fn damaged_weights_in_narrow_formats_are_refused() {
    let refused = |kind: &str, change: &dyn Fn(&mut ModelProto)| {
        let bytes = export(&narrow(kind));
        TrainedModel::from_onnx(&bytes).unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        TrainedModel::from_onnx(&changed(&bytes, change)).expect_err("the change is found").to_string()
    };
    let message = refused("int4", &|file| file.opset_import[0].version = Some(17));
    assert_eq!(message, "the ONNX file uses version 17 of the operator set `ai.onnx`, expected `ai.onnx` 21");
    let message = refused("symmetric", &|file| first(file, DataType::Int8, 0).raw_data = Some(vec![5]));
    assert!(message.ends_with("expected an unsigned 8-bit scalar, or a signed zero"), "{message}");
    let lowest = |file: &mut ModelProto, kind| {
        first(file, kind, 2).raw_data.as_mut().unwrap()[0] = 0x88;
        first(file, kind, 2).raw_data.as_mut().unwrap()[1] = 0x80;
    };
    for (kind, format) in [
        ("int8-weights", DataType::Int8),
        ("symmetric", DataType::Int8),
        ("int4-weights", DataType::Int4),
        ("int4", DataType::Int4),
    ] {
        let message = refused(kind, &|file| lowest(file, format));
        assert!(message.starts_with("the integers of layer `wide` cannot be read"), "{kind}: {message}");
    }
    for kind in ["codebook-2", "codebook-4", "codebook-16"] {
        let values = "a codebook, and positions in it of the fewest bits that suffice";
        let message = refused(kind, &|file| {
            // A codebook of one value.
            let mut nodes = file.graph.as_ref().unwrap().node.iter();
            let name = nodes.find(|node| node.op_type() == "Gather").unwrap().input[0].clone();
            tensor(file, &name).dims = vec![1];
            tensor(file, &name).raw_data.as_mut().unwrap().truncate(4);
        });
        assert!(message.contains(values), "{kind}: {message}");
        let message = refused(kind, &|file| {
            let node = file.graph.as_mut().unwrap().node.iter_mut().find(|node| node.op_type() == "BitShift");
            node.unwrap().attribute[0].s = Some(b"LEFT".to_vec());
        });
        assert!(message.contains("attribute `direction` of the `BitShift` node"), "{kind}: {message}");
    }
    let message = refused("f16-weights", &|file| node(file, "act").name = None);
    assert!(message.ends_with("expected a name, which is that of its layer"), "{message}");
}

#[test]
fn equal_weights_are_shared_up_to_a_limit() {
    let mut file = ModelProto::decode(export(&sized("int8-weights", [400, 20])).as_slice()).unwrap();
    let graph = file.graph.as_mut().unwrap();
    let index = graph.node.iter().position(|node| node.op_type() == "DequantizeLinear").unwrap();
    let dequantize = graph.node[index].clone();
    let size = graph.initializer.iter().find(|it| it.name() == dequantize.input[0]).unwrap().raw_data().len();
    let mut repeated = |count: usize| {
        let graph = file.graph.as_mut().unwrap();
        for copy in 0..count {
            let mut node = dequantize.clone();
            node.output = vec![format!("copy.{}.{copy}", graph.node.len())];
            graph.node.insert(index, node);
        }
        TrainedModel::from_onnx(&file.encode_to_vec())
    };
    repeated(3).unwrap();
    let message = repeated((1 << 24) / size).unwrap_err().to_string();
    assert!(message.contains("as number of bytes of weights that several layers share"), "{message}");
}
