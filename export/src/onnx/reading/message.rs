//! The messages of an ONNX file, as far as Kiln writes them. Numbers and counts have limits.
//!
//! Source: `onnx/onnx.proto` of ONNX (the ONNX Project Contributors, Apache-2.0).

use std::collections::BTreeMap;

use super::error::OnnxError;
use super::wire::{Content, Fields, packed};

/// Maximum number of nodes, of initializers, and of names that nodes read. Each of the entries takes less
/// than a kilobyte of memory.
const ENTRIES: usize = 1 << 16;
/// Maximum number of sizes in a shape, of attributes of a node, and of integers in an attribute.
const FEW: usize = 8;

/// An ONNX file.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) operator_sets: Vec<(&'a str, i64)>,
    pub(super) metadata: BTreeMap<&'a str, &'a str>,
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<Info<'a>>,
    pub(super) outputs: Vec<Info<'a>>,
    pub(super) infos: Vec<Info<'a>>,
}

/// A node of the graph. Without a name, it is an intermediate step of a layer.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) operation: &'a str,
    pub(super) domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) attributes: Vec<Attribute<'a>>,
}

/// An attribute of a node.
#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) int: Option<i64>,
    pub(super) float: Option<f32>,
    pub(super) ints: Vec<i64>,
    pub(super) text: Option<&'a [u8]>,
    pub(super) tensor: Option<Tensor<'a>>,
    /// Whether the attribute has a value of another kind.
    pub(super) is_other: bool,
}

/// An array whose values are raw little-endian bytes.
#[derive(Debug, Default)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) kind: u64,
    pub(super) dims: Vec<u64>,
    /// `None` if the values are stored in another way.
    pub(super) raw: Option<&'a [u8]>,
}

/// Name, type and shape of a value. A size without a number is `None`.
#[derive(Debug, Default)]
pub(super) struct Info<'a> {
    pub(super) name: &'a str,
    pub(super) kind: u64,
    pub(super) sizes: Vec<Option<u64>>,
}

impl<'a> Message<'a> {
    /// Reads the messages of a file.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let mut message = Self::default();
        let mut graphs = 0;
        for field in Fields::new(bytes, "model") {
            match field? {
                (8, Content::Bytes(bytes)) => {
                    limit("number of operator sets", message.operator_sets.len(), FEW)?;
                    message.operator_sets.push(operator_set(bytes)?);
                }
                (14, Content::Bytes(bytes)) => {
                    limit("number of metadata entries", message.metadata.len(), ENTRIES)?;
                    let (key, value) = entry(bytes)?;
                    message.metadata.insert(key, value);
                }
                (7, Content::Bytes(bytes)) => {
                    graphs += 1;
                    message.graph(bytes)?;
                }
                _ => {}
            }
        }
        if graphs != 1 {
            let problem = if graphs == 0 { "it has no graph" } else { "it has several graphs" };
            return Err(OnnxError::Damaged { part: "model", problem });
        }
        Ok(message)
    }

    fn graph(&mut self, bytes: &'a [u8]) -> Result<(), OnnxError> {
        let mut names = 0;
        for field in Fields::new(bytes, "graph") {
            match field? {
                (1, Content::Bytes(bytes)) => {
                    limit("number of nodes", self.nodes.len(), ENTRIES)?;
                    let node = Node::read(bytes, ENTRIES - names)?;
                    names += node.inputs.len();
                    self.nodes.push(node);
                }
                (5, Content::Bytes(bytes)) => {
                    limit("number of initializers", self.tensors.len(), ENTRIES)?;
                    self.tensors.push(Tensor::read(bytes)?);
                }
                (number @ 11..=13, Content::Bytes(bytes)) => {
                    let infos = match number {
                        11 => &mut self.inputs,
                        12 => &mut self.outputs,
                        _ => &mut self.infos,
                    };
                    limit("number of declared values", infos.len(), ENTRIES)?;
                    infos.push(Info::read(bytes)?);
                }
                (15, _) => {
                    return Err(OnnxError::Damaged {
                        part: "graph",
                        problem: "it has sparse initializers, which Kiln does not read",
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8], names: usize) -> Result<Self, OnnxError> {
        let mut node = Self::default();
        for field in Fields::new(bytes, "node") {
            match field? {
                (1, Content::Bytes(bytes)) => {
                    limit("number of inputs of nodes", node.inputs.len(), names)?;
                    node.inputs.push(text(bytes)?);
                }
                (2, Content::Bytes(bytes)) => {
                    limit("number of outputs of a node", node.outputs.len(), FEW)?;
                    node.outputs.push(text(bytes)?);
                }
                (3, Content::Bytes(bytes)) => node.name = text(bytes)?,
                (4, Content::Bytes(bytes)) => node.operation = text(bytes)?,
                (5, Content::Bytes(bytes)) => {
                    limit("number of attributes of a node", node.attributes.len(), FEW)?;
                    node.attributes.push(Attribute::read(bytes)?);
                }
                (7, Content::Bytes(bytes)) => node.domain = text(bytes)?,
                _ => {}
            }
        }
        Ok(node)
    }
}

impl<'a> Attribute<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let mut attribute = Self::default();
        for field in Fields::new(bytes, "attribute") {
            match field? {
                (1, Content::Bytes(bytes)) => attribute.name = text(bytes)?,
                (2, Content::Word(word)) => attribute.float = Some(f32::from_le_bytes(word)),
                (3, Content::Number(number)) => attribute.int = Some(number.cast_signed()),
                (4, Content::Bytes(bytes)) => attribute.text = Some(bytes),
                (5, Content::Bytes(bytes)) => attribute.tensor = Some(Tensor::read(bytes)?),
                (8, content) => numbers(content, "attribute", &mut |number| {
                    limit("number of integers of an attribute", attribute.ints.len(), FEW)?;
                    attribute.ints.push(number.cast_signed());
                    Ok(())
                })?,
                // A description and the kind of the value, which the value itself shows.
                (13 | 20, _) => {}
                _ => attribute.is_other = true,
            }
        }
        Ok(attribute)
    }
}

impl<'a> Tensor<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let mut tensor = Self::default();
        let mut is_other = false;
        for field in Fields::new(bytes, "initializer") {
            match field? {
                (1, content) => numbers(content, "initializer", &mut |size| {
                    limit("number of sizes of a shape", tensor.dims.len(), FEW)?;
                    tensor.dims.push(size);
                    Ok(())
                })?,
                (2, Content::Number(kind)) => tensor.kind = kind,
                (8, Content::Bytes(bytes)) => tensor.name = text(bytes)?,
                (9, Content::Bytes(bytes)) => tensor.raw = Some(bytes),
                // A description and metadata.
                (12 | 16, _) => {}
                _ => is_other = true,
            }
        }
        if is_other {
            tensor.raw = None;
        }
        Ok(tensor)
    }
}

impl<'a> Info<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let mut info = Self::default();
        for field in Fields::new(bytes, "declared value") {
            match field? {
                (1, Content::Bytes(bytes)) => info.name = text(bytes)?,
                (2, Content::Bytes(bytes)) => info.read_type(bytes)?,
                _ => {}
            }
        }
        Ok(info)
    }

    fn read_type(&mut self, bytes: &'a [u8]) -> Result<(), OnnxError> {
        let part = "type of a declared value";
        for field in Fields::new(bytes, part) {
            let (1, Content::Bytes(bytes)) = field? else { continue };
            for field in Fields::new(bytes, part) {
                match field? {
                    (1, Content::Number(kind)) => self.kind = kind,
                    (2, Content::Bytes(bytes)) => {
                        for field in Fields::new(bytes, part) {
                            let (1, Content::Bytes(bytes)) = field? else { continue };
                            limit("number of sizes of a shape", self.sizes.len(), FEW)?;
                            let mut size = None;
                            for field in Fields::new(bytes, part) {
                                if let (1, Content::Number(number)) = field? {
                                    size = Some(number);
                                }
                            }
                            self.sizes.push(size);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn operator_set(bytes: &[u8]) -> Result<(&str, i64), OnnxError> {
    let mut found = ("", 0);
    for field in Fields::new(bytes, "operator set") {
        match field? {
            (1, Content::Bytes(bytes)) => found.0 = text(bytes)?,
            (2, Content::Number(version)) => found.1 = version.cast_signed(),
            _ => {}
        }
    }
    Ok(found)
}

fn entry(bytes: &[u8]) -> Result<(&str, &str), OnnxError> {
    let mut found = ("", "");
    for field in Fields::new(bytes, "metadata") {
        match field? {
            (1, Content::Bytes(bytes)) => found.0 = text(bytes)?,
            (2, Content::Bytes(bytes)) => found.1 = text(bytes)?,
            _ => {}
        }
    }
    Ok(found)
}

/// Passes the numbers of a repeated field on, packed or not.
fn numbers(
    content: Content<'_>,
    part: &'static str,
    add: &mut dyn FnMut(u64) -> Result<(), OnnxError>,
) -> Result<(), OnnxError> {
    match content {
        Content::Number(number) => add(number),
        Content::Bytes(bytes) => packed(bytes, part).try_for_each(|number| add(number?)),
        Content::Word(_) | Content::Double => {
            Err(OnnxError::Damaged { part, problem: "an integer has the kind of a float" })
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, OnnxError> {
    std::str::from_utf8(bytes)
        .map_err(|_| OnnxError::Damaged { part: "names and texts", problem: "one of them is not UTF-8" })
}

/// Refuses one more entry when there are `count` of at most `limit`.
const fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), OnnxError> {
    if count < limit {
        return Ok(());
    }
    Err(OnnxError::TooLarge { what, found: count as u64 + 1, limit: limit as u64 })
}
