//! Weights by key: one tensor of the largest shape per declared parameter, and what a layer reads of it.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::module::{Module, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, DType, Device, Gradients, Tensor, TensorData};
use kiln_kernels::{WeightSlice, cut};
use kiln_space::{Architecture, Layer, Op, ParameterKind, ParameterSpec, Segment, WeightRef};
use rand::RngExt;

use crate::seed;

/// The tensors themselves, as burn sees them. The vectors (biases, scales, shifts) are kept apart: they do not decay.
#[derive(Module, Debug)]
pub(crate) struct Parameters {
    kernels: Vec<Param<Tensor<4>>>,
    matrices: Vec<Param<Tensor<2>>>,
    vectors: Vec<Param<Tensor<1>>>,
}

impl Parameters {
    /// Ids of the parameters that weight decay leaves alone.
    pub(crate) fn vector_ids(&self) -> Vec<ParamId> {
        self.vectors.iter().map(|vector| vector.id).collect()
    }

    /// Each value moved by `share` of the way to that of `other`. Neither may be part of an autodiff graph.
    pub(crate) fn towards(&self, other: &Self, share: f64) -> Self {
        fn each<const D: usize>(
            from: &[Param<Tensor<D>>],
            to: &[Param<Tensor<D>>],
            share: f64,
        ) -> Vec<Param<Tensor<D>>> {
            let moved = |(from, to): (&Param<Tensor<D>>, &Param<Tensor<D>>)| {
                let value = from.val() * (1.0 - share) + to.val() * share;
                Param::initialized(from.id, value)
            };
            from.iter().zip(to).map(moved).collect()
        }
        Self {
            kernels: each(&self.kernels, &other.kernels, share),
            matrices: each(&self.matrices, &other.matrices, share),
            vectors: each(&self.vectors, &other.vectors, share),
        }
    }

    /// The values as bytes, which [`Parameters::loaded`] reads.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.clone().into_record().into_bytes().expect("weights are serializable").to_vec()
    }

    /// These parameters with the values of [`Parameters::to_bytes`].
    ///
    /// # Errors
    /// What is wrong with the bytes, or that they are those of other parameters.
    pub(crate) fn loaded(self, bytes: Vec<u8>) -> Result<Self, String> {
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
        self.try_load_record(record.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }
}

/// One of the parameters.
#[cfg(feature = "cuda")]
#[derive(Clone, Copy)]
pub(crate) enum ParameterOf<'a> {
    /// Of a convolution.
    Kernel(&'a Param<Tensor<4>>),
    /// Of a fully connected layer.
    Matrix(&'a Param<Tensor<2>>),
    /// A bias, scale or shift.
    Vector(&'a Param<Tensor<1>>),
}

#[cfg(feature = "cuda")]
impl Parameters {
    /// Every parameter, always in the same order.
    pub(crate) fn each(&self) -> impl Iterator<Item = ParameterOf<'_>> {
        let kernels = self.kernels.iter().map(ParameterOf::Kernel);
        let matrices = self.matrices.iter().map(ParameterOf::Matrix);
        kernels.chain(matrices).chain(self.vectors.iter().map(ParameterOf::Vector))
    }
}

#[cfg(feature = "cuda")]
impl ParameterOf<'_> {
    /// Whether there is a gradient of it.
    pub(crate) fn has_gradient(self, gradients: &burn::optim::GradientsParams) -> bool {
        match self {
            Self::Kernel(param) => gradients.get::<4>(param.id).is_some(),
            Self::Matrix(param) => gradients.get::<2>(param.id).is_some(),
            Self::Vector(param) => gradients.get::<1>(param.id).is_some(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Kernel(usize),
    Matrix(usize),
    Vector(usize),
}

/// Named parameters: `<key>.weight`, `<key>.bias`, `<key>.scale`, `<key>.shift`.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) parameters: Parameters,
    slots: BTreeMap<String, Slot>,
}

/// Values of one named parameter, before it becomes a tensor.
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl Weights {
    /// Draws weights for every declared parameter: He initialization, zero biases and shifts, scales of one. Each key has
    /// its own generator, so the values do not depend on which other keys there are.
    ///
    /// Source: K. He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10, with fan-in; fully connected layers
    /// take `1 / sqrt(fan-in)` as deviation.
    pub(crate) fn initialize(specs: &[ParameterSpec], seed: u64, device: &Device) -> Self {
        let named = specs.iter().flat_map(|spec| {
            parts(spec).into_iter().map(move |(part, shape, fill)| {
                let name = format!("{}.{part}", spec.key);
                let size = shape.iter().product();
                let data = match fill {
                    Fill::Constant(value) => vec![value; size],
                    Fill::Normal(deviation) => normal(seed, &name, size, deviation),
                };
                (name, Values { shape, data })
            })
        });
        Self::from_values(named, device)
    }

    /// Weights with the given values.
    pub(crate) fn from_values(named: impl IntoIterator<Item = (String, Values)>, device: &Device) -> Self {
        let mut parameters = Parameters { kernels: Vec::new(), matrices: Vec::new(), vectors: Vec::new() };
        let mut slots = BTreeMap::new();
        for (number, (name, values)) in named.into_iter().enumerate() {
            let id = ParamId::from(number as u64 + 1);
            let data = TensorData::new(values.data, values.shape.clone());
            let slot = match values.shape.len() {
                4 => {
                    let tensor = leaf::<4>(data, device);
                    parameters.kernels.push(Param::initialized(id, tensor));
                    Slot::Kernel(parameters.kernels.len() - 1)
                }
                2 => {
                    let tensor = leaf::<2>(data, device);
                    parameters.matrices.push(Param::initialized(id, tensor));
                    Slot::Matrix(parameters.matrices.len() - 1)
                }
                _ => {
                    let tensor = leaf::<1>(data, device);
                    parameters.vectors.push(Param::initialized(id, tensor));
                    Slot::Vector(parameters.vectors.len() - 1)
                }
            };
            slots.insert(name, slot);
        }
        Self { parameters, slots }
    }

    /// The same weights outside any autodiff graph.
    pub(crate) fn detached(&self) -> Self {
        Self { parameters: self.parameters.valid(), slots: self.slots.clone() }
    }

    /// The same values and ids as leaves of a new autodiff graph. Threads must not share a graph: burn-autodiff 0.22.1 takes its
    /// locks in opposite orders in `backward` and when graphs meet, and stands still.
    pub(crate) fn forked(&self, device: &Device) -> Self {
        Self { parameters: self.parameters.clone().fork(device), slots: self.slots.clone() }
    }

    /// The same values on another device, outside any autodiff graph.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self { parameters: self.parameters.valid().to_device(device), slots: self.slots.clone() }
    }

    /// The shape of each named parameter of these specifications.
    pub(crate) fn declared(specs: &[ParameterSpec]) -> BTreeMap<String, Vec<usize>> {
        let named = |spec: &ParameterSpec| {
            let key = spec.key.clone();
            parts(spec).into_iter().map(move |(part, shape, _)| (format!("{key}.{part}"), shape))
        };
        specs.iter().flat_map(named).collect()
    }

    /// The convolution weight that a layer reads, `[out, in / groups, kernel, kernel]`, as a tensor of its own.
    pub(crate) fn kernel(&self, layer: &Layer) -> Tensor<4> {
        let (whole, slice) = self.shared_kernel(layer);
        cut(whole, &slice)
    }

    /// The whole convolution weight that a layer reads a part of, and which part.
    pub(crate) fn shared_kernel(&self, layer: &Layer) -> (Tensor<4>, WeightSlice) {
        let (reference, Op::Conv2d { kernel, .. }) = (reference(layer), &layer.op) else {
            unreachable!("only convolutions read kernels")
        };
        let whole = match self.slots.get(&format!("{}.weight", reference.key)) {
            Some(Slot::Kernel(index)) => self.parameters.kernels[*index].val(),
            _ => panic!("no kernel `{}`", reference.key),
        };
        let ranges = |segments: &[Segment], size: usize| match segments {
            [] => Vec::from([Range { start: 0, end: size }]),
            some => some.iter().map(|segment| segment.start..segment.end).collect(),
        };
        let [outputs, inputs, _, _] = whole.dims();
        let (outputs, inputs) = (ranges(&reference.outputs, outputs), ranges(&reference.inputs, inputs));
        (whole, WeightSlice { outputs, inputs, kernel: *kernel })
    }

    /// The matrix that a fully connected layer reads, `[out, in]`.
    pub(crate) fn matrix(&self, layer: &Layer) -> Tensor<2> {
        let reference = reference(layer);
        let whole = match self.slots.get(&format!("{}.weight", reference.key)) {
            Some(Slot::Matrix(index)) => self.parameters.matrices[*index].val(),
            _ => panic!("no matrix `{}`", reference.key),
        };
        segments(segments(whole, 0, &reference.outputs), 1, &reference.inputs)
    }

    /// The bias, scale or shift that a layer reads, `[channels]`; `None` if the key has no such part.
    pub(crate) fn vector(&self, layer: &Layer, part: &str) -> Option<Tensor<1>> {
        let reference = reference(layer);
        match self.slots.get(&format!("{}.{part}", reference.key))? {
            Slot::Vector(index) => {
                Some(segments(self.parameters.vectors[*index].val(), 0, &reference.outputs))
            }
            _ => None,
        }
    }

    /// The bias of a convolution or fully connected layer, where it has one.
    pub(crate) fn bias(&self, layer: &Layer) -> Option<Tensor<1>> {
        let has_bias = matches!(layer.op, Op::Conv2d { bias: true, .. } | Op::Linear { bias: true, .. });
        self.vector(layer, "bias").filter(|_| has_bias)
    }

    /// Scale and shift of a batch normalization.
    pub(crate) fn affine(&self, layer: &Layer) -> (Tensor<1>, Tensor<1>) {
        let part = |part| self.vector(layer, part).expect("batch norm has scale and shift");
        (part("scale"), part("shift"))
    }

    /// Every array that an architecture reads, cut to size, as `<layer>.<part>`.
    pub(crate) fn arrays(&self, architecture: &Architecture) -> BTreeMap<String, Values> {
        let mut arrays = BTreeMap::new();
        for layer in &architecture.layers {
            let mut put = |part: &str, shape: Vec<usize>, data: TensorData| {
                let data = data.try_to_vec::<f32>().expect("weights are single precision");
                arrays.insert(format!("{}.{part}", layer.name), Values { shape, data });
            };
            match &layer.op {
                Op::Conv2d { .. } => {
                    let kernel = self.kernel(layer);
                    put("weight", kernel.dims().to_vec(), kernel.into_data());
                }
                Op::Linear { .. } => {
                    let matrix = self.matrix(layer);
                    put("weight", matrix.dims().to_vec(), matrix.into_data());
                }
                Op::BatchNorm => {}
                _ => continue,
            }
            let parts: &[&str] = match layer.op {
                Op::BatchNorm => &["scale", "shift"],
                Op::Conv2d { bias: true, .. } | Op::Linear { bias: true, .. } => &["bias"],
                _ => &[],
            };
            for part in parts {
                let vector = self.vector(layer, part).expect("a declared part is there");
                put(part, vector.dims().to_vec(), vector.into_data());
            }
        }
        arrays
    }

    /// The values of a named weight.
    ///
    /// # Panics
    /// When there is none of this name.
    pub(crate) fn values(&self, name: &str) -> Values {
        let (shape, data) = match self.slots.get(name) {
            Some(Slot::Kernel(index)) => {
                let tensor = self.parameters.kernels[*index].val();
                (tensor.dims().to_vec(), tensor.into_data())
            }
            Some(Slot::Matrix(index)) => {
                let tensor = self.parameters.matrices[*index].val();
                (tensor.dims().to_vec(), tensor.into_data())
            }
            _ => panic!("no weight `{name}`"),
        };
        Values { shape, data: data.try_to_vec::<f32>().expect("weights are single precision") }
    }

    /// Multiplies a named weight by a mask of its shape.
    pub(crate) fn multiply(&mut self, name: &str, mask: &Values) {
        match self.slots.get(name) {
            Some(Slot::Kernel(index)) => masked(&mut self.parameters.kernels[*index], mask),
            Some(Slot::Matrix(index)) => masked(&mut self.parameters.matrices[*index], mask),
            _ => panic!("no weight `{name}`"),
        }
    }

    /// Magnitudes in double precision, as leaves of a graph of `device`, which keeps gradients.
    pub(crate) fn magnitudes(&self, device: &Device) -> Self {
        fn each<const D: usize>(from: &[Param<Tensor<D>>], device: &Device) -> Vec<Param<Tensor<D>>> {
            let magnitude = |param: &Param<Tensor<D>>| {
                let values = param.val().abs().cast(DType::F64).into_data();
                Param::initialized(param.id, Tensor::from_data(values, (device, DType::F64)).require_grad())
            };
            from.iter().map(magnitude).collect()
        }
        let Parameters { kernels, matrices, vectors } = &self.parameters;
        let parameters = Parameters {
            kernels: each(kernels, device),
            matrices: each(matrices, device),
            vectors: each(vectors, device),
        };
        Self { parameters, slots: self.slots.clone() }
    }

    /// Sum of weight times gradient over kernels and matrices, in double precision.
    pub(crate) fn flow(&self, gradients: &Gradients) -> f64 {
        fn sum<const D: usize>(params: &[Param<Tensor<D>>], gradients: &Gradients) -> f64 {
            let flow = |param: &Param<Tensor<D>>| {
                let gradient = param.val().grad(gradients)?;
                let flow = (param.val().inner() * gradient).sum().into_data();
                flow.try_to_vec::<f64>().ok()?.first().copied()
            };
            // A weight that nothing reads has no gradient, and carries nothing.
            params.iter().filter_map(flow).sum()
        }
        sum(&self.parameters.kernels, gradients) + sum(&self.parameters.matrices, gradients)
    }

    /// The architecture's own weights, copied out of shared ones; goes with [`stand_alone`].
    pub(crate) fn inherit(&self, architecture: &Architecture, device: &Device) -> Self {
        Self::from_values(self.detached().arrays(architecture), device)
    }
}

/// The same network with parameters of its own: each key is the layer's name and is read whole.
pub(crate) fn stand_alone(architecture: &Architecture) -> (Architecture, Vec<ParameterSpec>) {
    let mut own = architecture.clone();
    let mut specs = Vec::new();
    for id in architecture.ids().skip(1) {
        let layer = architecture.layer(id);
        let channels = architecture.layer(layer.inputs[0]).output.channels;
        let outputs = layer.output.channels;
        let (kind, inputs) = match layer.op {
            Op::Conv2d { kernel, groups, bias, .. } => {
                let inputs = channels / groups;
                (ParameterKind::Conv2d { outputs, inputs, kernel, bias }, inputs)
            }
            Op::Linear { bias, .. } => (ParameterKind::Linear { outputs, inputs: channels, bias }, channels),
            Op::BatchNorm => (ParameterKind::BatchNorm { channels: outputs }, 0),
            _ => continue,
        };
        own.layers[id.0].weights = Some(WeightRef::leading(layer.name.clone(), outputs, inputs));
        specs.push(ParameterSpec { key: layer.name.clone(), kind });
    }
    (own, specs)
}

/// A tensor that gathers gradients, where the device keeps any.
fn leaf<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    let tensor = Tensor::from_data(data, device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

/// Multiplies a parameter by a mask; it gathers gradients as before.
fn masked<const D: usize>(parameter: &mut Param<Tensor<D>>, mask: &Values) {
    let value = parameter.val();
    let device = value.device();
    let mask = Tensor::from_data(TensorData::new(mask.data.clone(), mask.shape.clone()), &device);
    let value = (value.detach() * mask).detach();
    let value = if device.is_autodiff() { value.require_grad() } else { value };
    *parameter = Param::initialized(parameter.id, value);
}

fn reference(layer: &Layer) -> &WeightRef {
    layer.weights.as_ref().expect("a validated layer with weights has a reference")
}

/// Segments of an axis, joined in order; the whole tensor as it is when that is what they are.
fn segments<const D: usize>(whole: Tensor<D>, axis: usize, segments: &[Segment]) -> Tensor<D> {
    let size = whole.dims()[axis];
    match segments {
        [] => whole,
        [all] if all.start == 0 && all.end == size => whole,
        [one] => whole.narrow(axis, one.start, one.len()),
        many => {
            let parts = many.iter().map(|part| whole.clone().narrow(axis, part.start, part.len())).collect();
            Tensor::cat(parts, axis)
        }
    }
}

enum Fill {
    Constant(f32),
    Normal(f64),
}

fn parts(spec: &ParameterSpec) -> Vec<(&'static str, Vec<usize>, Fill)> {
    match spec.kind {
        ParameterKind::Conv2d { outputs, inputs, kernel, bias } => {
            let fan_in = (inputs * kernel[0] * kernel[1]) as f64;
            let weight = Fill::Normal((2.0 / fan_in).sqrt());
            let mut parts = vec![("weight", vec![outputs, inputs, kernel[0], kernel[1]], weight)];
            parts.extend(bias.then(|| ("bias", vec![outputs], Fill::Constant(0.0))));
            parts
        }
        ParameterKind::Linear { outputs, inputs, bias } => {
            let weight = Fill::Normal((1.0 / inputs as f64).sqrt());
            let mut parts = vec![("weight", vec![outputs, inputs], weight)];
            parts.extend(bias.then(|| ("bias", vec![outputs], Fill::Constant(0.0))));
            parts
        }
        ParameterKind::BatchNorm { channels } => vec![
            ("scale", vec![channels], Fill::Constant(1.0)),
            ("shift", vec![channels], Fill::Constant(0.0)),
        ],
    }
}

/// Normal values by the Box-Muller transform, the same on every machine up to `ln` and `cos`.
fn normal(seed: u64, name: &str, size: usize, deviation: f64) -> Vec<f32> {
    let mut rng = seed::generator(seed, name, &[]);
    let mut draw = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        (radius * angle.cos() * deviation) as f32
    };
    (0..size).map(|_| draw()).collect()
}
