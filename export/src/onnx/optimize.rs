//! Makes a graph smaller without changing what it computes: removes identities, sums with zeros, repeated
//! rounding, unread and repeated constants, default attributes, stated shapes, and names that only cost
//! bytes.
//!
//! Batch normalizations are folded before the graph is built ([`crate::folded`]).

use std::collections::{BTreeMap, BTreeSet};

use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension;
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

/// Optimizes a graph. Constants named in `keep` keep their names, and nodes named in `nodes` theirs.
pub(super) fn optimize(graph: &mut GraphProto, keep: &BTreeSet<String>, nodes: &BTreeSet<String>) {
    let shapes = shapes(graph);
    while remove_one_kind(graph, &shapes) {}
    share_constants(graph, keep);
    remove_defaults(graph);
    graph.value_info.clear();
    shorten_names(graph, keep, nodes);
}

/// Removes what is found first. Returns whether something was removed.
fn remove_one_kind(graph: &mut GraphProto, shapes: &BTreeMap<String, Vec<i64>>) -> bool {
    let replaced = drop_zeros(graph) | bypass(graph, shapes);
    remove_unread(graph) | replaced
}

/// The sizes of each value without the batch axis.
fn shapes(graph: &GraphProto) -> BTreeMap<String, Vec<i64>> {
    let sizes = |value: &ValueInfoProto| -> Option<Vec<i64>> {
        let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
        let sizes = tensor.shape.as_ref()?.dim.iter().skip(1).map(|size| match size.value {
            Some(dimension::Value::DimValue(size)) => Some(size),
            _ => None,
        });
        sizes.collect()
    };
    let values = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
    values.filter_map(|value| Some((value.name().to_owned(), sizes(value)?))).collect()
}

/// Removes the terms of sums that are constant zeros. If all terms are, one of them stays.
fn drop_zeros(graph: &mut GraphProto) -> bool {
    let zeros: BTreeSet<String> = graph
        .node
        .iter()
        .filter(|node| node.op_type() == "ConstantOfShape")
        .flat_map(|node| node.output.clone())
        .collect();
    let mut found = false;
    for node in graph.node.iter_mut().filter(|node| matches!(node.op_type(), "Add" | "Sum")) {
        let before = node.input.len();
        let all = node.input.clone();
        node.input.retain(|input| !zeros.contains(input));
        if node.input.is_empty() {
            node.input.push(all[0].clone());
        }
        if node.input.len() != before {
            found = true;
            node.op_type = Some(if node.input.len() == 2 { "Add" } else { "Sum" }.to_owned());
        }
    }
    found
}

/// Removes one identity. Its readers then read its input. If its output is the graph's output, the node
/// before it writes that output instead, unless other nodes read from that node too.
fn bypass(graph: &mut GraphProto, shapes: &BTreeMap<String, Vec<i64>>) -> bool {
    let outputs: BTreeSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
    let constants: BTreeMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let makers: BTreeMap<&str, &NodeProto> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node)))
        .collect();
    let readers =
        |name: &str| graph.node.iter().flat_map(|node| &node.input).filter(|input| *input == name).count();
    let found = graph.node.iter().enumerate().find_map(|(index, node)| {
        let from = identity_of(node, shapes, &constants, &makers)?;
        let output = node.output.first()?.clone();
        if !outputs.contains(output.as_str()) {
            return Some((index, output, from));
        }
        let is_alone = makers.contains_key(from.as_str()) && readers(&from) == 1;
        is_alone.then_some((index, from, output))
    });
    let Some((index, old, new)) = found else { return false };
    graph.node.remove(index);
    for name in graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
        if *name == old {
            name.clone_from(&new);
        }
    }
    true
}

/// If a node only passes a value on, returns the name of that value.
fn identity_of(
    node: &NodeProto,
    shapes: &BTreeMap<String, Vec<i64>>,
    constants: &BTreeMap<&str, &TensorProto>,
    makers: &BTreeMap<&str, &NodeProto>,
) -> Option<String> {
    let input = node.input.first()?;
    let (before, after) = (shapes.get(input), shapes.get(node.output.first()?));
    let is_same_shape = before.is_some() && before == after;
    let all = |input: usize, value: f32| {
        let constant = constants.get(node.input.get(input)?.as_str())?;
        let is_float = constant.data_type() == i32::from(DataType::Float);
        let values = constant.raw_data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        (is_float && values.into_iter().all(|found| found.total_cmp(&value).is_eq())).then_some(())
    };
    let is_identity = match node.op_type() {
        "Flatten" | "GlobalAveragePool" => is_same_shape,
        "Sum" | "Concat" => node.input.len() == 1 && is_same_shape,
        "Sub" => is_same_shape && all(1, 0.0).is_some(),
        "Div" => is_same_shape && all(1, 1.0).is_some(),
        "MaxPool" | "AveragePool" => {
            is_same_shape && ints(node, "kernel_shape").is_some_and(|sizes| sizes == [1, 1])
        }
        // Rounding to the grid on which the value already is.
        "QuantizeLinear" => {
            let maker = makers.get(input.as_str()).filter(|maker| maker.op_type() == "DequantizeLinear")?;
            if maker.input.get(1..) == node.input.get(1..) {
                return maker.input.first().cloned();
            }
            false
        }
        _ => false,
    };
    is_identity.then(|| input.clone())
}

/// Removes nodes and constants that nothing reads. Returns whether there were any.
fn remove_unread(graph: &mut GraphProto) -> bool {
    let mut found = false;
    loop {
        let read: BTreeSet<String> = graph
            .node
            .iter()
            .flat_map(|node| node.input.iter().cloned())
            .chain(graph.output.iter().map(|value| value.name().to_owned()))
            .collect();
        let before = graph.node.len() + graph.initializer.len();
        graph.node.retain(|node| node.output.iter().any(|output| read.contains(output)));
        graph.initializer.retain(|tensor| read.contains(tensor.name()));
        if graph.node.len() + graph.initializer.len() == before {
            return found;
        }
        found = true;
    }
}

/// Lets nodes share equal constants. Constants named in `keep` are not shared.
fn share_constants(graph: &mut GraphProto, keep: &BTreeSet<String>) {
    let mut first: BTreeMap<(i32, Vec<i64>, Vec<u8>), String> = BTreeMap::new();
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    graph.initializer.retain(|tensor| {
        let name = tensor.name().to_owned();
        if keep.contains(&name) {
            return true;
        }
        let content = (tensor.data_type(), tensor.dims.clone(), tensor.raw_data().to_vec());
        let kept = first.entry(content).or_insert_with(|| name.clone()).clone();
        if kept == name {
            return true;
        }
        renamed.insert(name, kept);
        false
    });
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(kept) = renamed.get(input) {
            input.clone_from(kept);
        }
    }
}

/// Removes attributes that state the default of the operator.
fn remove_defaults(graph: &mut GraphProto) {
    for node in &mut graph.node {
        let op_type = node.op_type().to_owned();
        let is_default = |attribute: &AttributeProto| match (op_type.as_str(), attribute.name()) {
            ("Conv" | "MaxPool" | "AveragePool", "strides") => {
                attribute.ints.iter().all(|stride| *stride == 1)
            }
            ("Conv" | "MaxPool" | "AveragePool", "pads") => attribute.ints.iter().all(|pad| *pad == 0),
            ("Conv", "group") | ("Flatten", "axis") => attribute.i() == 1,
            ("AveragePool", "count_include_pad") => attribute.i() == 0,
            ("BatchNormalization", "epsilon") => attribute.f().total_cmp(&1e-5).is_eq(),
            _ => false,
        };
        node.attribute.retain(|attribute| !is_default(attribute));
    }
}

/// Replaces the names of values and constants by short numbers, and removes the names of nodes. The names of
/// constants in `keep`, of nodes in `nodes`, and of the graph's input and output stay.
fn shorten_names(graph: &mut GraphProto, keep: &BTreeSet<String>, nodes: &BTreeSet<String>) {
    let ends = graph.input.iter().chain(&graph.output).map(|value| value.name().to_owned());
    let kept: BTreeSet<String> = ends.chain(keep.iter().cloned()).collect();
    let mut short: BTreeMap<String, String> = BTreeMap::new();
    let mut next = (0..).map(number).filter(|name| !kept.contains(name));
    let mut shorten = |name: &mut String| {
        if !(kept.contains(name) || name.is_empty()) {
            let short =
                short.entry(name.clone()).or_insert_with(|| next.next().unwrap_or_else(|| name.clone()));
            name.clone_from(short);
        }
    };
    for tensor in &mut graph.initializer {
        let mut name = tensor.name().to_owned();
        shorten(&mut name);
        tensor.name = Some(name);
    }
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(&mut shorten);
        if !nodes.contains(node.name()) {
            node.name = None;
        }
    }
}

/// Writes a number with 36 digits: `0` to `9`, then `a` to `z`.
fn number(number: u32) -> String {
    const DIGITS: u32 = 36;
    let digit = char::from_digit(number % DIGITS, DIGITS).unwrap_or('0');
    if number < DIGITS { digit.to_string() } else { format!("{}{digit}", self::number(number / DIGITS)) }
}

fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    let attribute = node.attribute.iter().find(|attribute| attribute.name() == name)?;
    (attribute.r#type() == AttributeType::Ints).then_some(attribute.ints.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(op_type.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    fn text(graph: &GraphProto) -> Vec<String> {
        let line =
            |node: &NodeProto| format!("{} = {}({})", node.output[0], node.op_type(), node.input.join(", "));
        graph.node.iter().map(line).collect()
    }

    fn graph(nodes: Vec<NodeProto>) -> GraphProto {
        let value = |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
        GraphProto {
            node: nodes,
            input: vec![value("input")],
            output: vec![value("logits")],
            ..GraphProto::default()
        }
    }

    #[test]
    fn zeros_repeated_rounding_and_unread_nodes_disappear() {
        let mut found = graph(vec![
            node("QuantizeLinear", &["input", "s", "z"], "q"),
            node("DequantizeLinear", &["q", "s", "z"], "d"),
            node("QuantizeLinear", &["d", "s", "z"], "q2"),
            node("DequantizeLinear", &["q2", "s", "z"], "d2"),
            node("ConstantOfShape", &["shape"], "zeros"),
            node("Relu", &["zeros"], "unread"),
            node("Sum", &["d2", "zeros", "d"], "sum"),
            node("QuantizeLinear", &["sum", "t", "z"], "q3"),
            node("DequantizeLinear", &["q3", "t", "z"], "logits"),
        ]);
        let keep = BTreeSet::from(["s".to_owned(), "t".to_owned(), "z".to_owned()]);
        optimize(&mut found, &keep, &BTreeSet::new());
        assert_eq!(
            text(&found),
            [
                "0 = QuantizeLinear(input, s, z)",
                "1 = DequantizeLinear(0, s, z)",
                "2 = DequantizeLinear(0, s, z)",
                "3 = Add(2, 1)",
                "4 = QuantizeLinear(3, t, z)",
                "logits = DequantizeLinear(4, t, z)"
            ]
        );
    }

    #[test]
    fn identity_before_output_lets_the_node_before_it_write_the_output() {
        let mut found = graph(vec![node("Relu", &["input"], "a"), node("Concat", &["a"], "logits")]);
        let shapes = BTreeMap::from(["a", "logits"].map(|name| (name.to_owned(), vec![3])));
        assert!(bypass(&mut found, &shapes) && !bypass(&mut found, &shapes));
        assert_eq!(text(&found), ["logits = Relu(input)"]);
        // The output must not be the input.
        let mut found = graph(vec![node("Concat", &["input"], "logits")]);
        let shapes = BTreeMap::from(["input", "logits"].map(|name| (name.to_owned(), vec![3])));
        assert!(!bypass(&mut found, &shapes));
    }

    #[test]
    fn numbers_are_short_and_unique() {
        assert_eq!([0, 9, 10, 35, 36, 1295, 1296].map(number), ["0", "9", "a", "z", "10", "zz", "100"]);
        let all: BTreeSet<String> = (0..5000).map(number).collect();
        assert_eq!(all.len(), 5000);
    }
}
