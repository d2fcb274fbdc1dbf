//! Weights by key. Each declared parameter is one tensor of its largest shape, and each layer reads a part of
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::{Deposit, Deposits, SharedWeight, WeightSlice, cut};
use kiln_space::{Architecture, Layer, Op, ParameterSpec, Segment, WeightRef};

use crate::network::initialization::{Fill, Part, normal, parts};
use crate::network::parameters::Parameters;

/// Index of a named parameter in [`Parameters`].
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
    /// Collects the gradients of kernels and matrices from the layers. It is `None` if burn keeps these
    /// gradients.
    deposits: Option<Deposits>,
}

/// The weight of a fully connected layer, in the form that the kernel reads.
pub(crate) struct SharedMatrix {
    /// `[out, in]`.
    pub(crate) whole: Tensor<2>,
    /// Ranges of rows and columns that the layer reads.
    pub(crate) part: [Range<usize>; 2],
    /// Receives the gradient from the layer. It is `None` if burn keeps the gradient.
    pub(crate) deposit: Option<Deposit>,
}

/// Shape and values of one named parameter, before they become a tensor.
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl Weights {
    /// Draws the initial values of every declared parameter, by the rule in [`parts`]. Each key has its own
    /// random generator, so its values do not depend on other keys.
    pub(crate) fn initialize(specs: &[ParameterSpec], seed: u64, device: &Device) -> Self {
        let named = specs.iter().flat_map(|spec| {
            parts(spec).into_iter().map(move |Part { name, shape, fill }| {
                let name = format!("{}.{name}", spec.key);
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

    /// Builds weights from the given values.
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
        Self { parameters, slots, deposits: None }
    }

    /// Returns the same weights, but with fixed batch-norm scales and shifts, which receive no gradients.
    pub(crate) fn with_fixed_affine(mut self) -> Self {
        for (name, slot) in &self.slots {
            let Slot::Vector(index) = *slot else { continue };
            if matches!(name.rsplit_once('.'), Some((_, "scale" | "shift"))) {
                let vector = &mut self.parameters.vectors[index];
                *vector = vector.clone().set_require_grad(false);
            }
        }
        self
    }

    /// Returns the same weights outside any autodiff graph.
    pub(crate) fn detached(&self) -> Self {
        self.named(self.parameters.valid())
    }

    /// Returns weights with these parameters and the names of `self`.
    pub(crate) fn named(&self, parameters: Parameters) -> Self {
        Self { parameters, slots: self.slots.clone(), deposits: None }
    }

    /// Copies the weights that an architecture reads into a new autodiff graph, with the same values and ids.
    ///
    /// Each thread needs its own graph. burn-autodiff 0.22.1 takes its locks in one order in `backward`, and
    /// in the opposite order when two graphs meet. Threads that share a graph can therefore deadlock. Each
    /// `backward` also visits all leaves of its graph, so parameters that the architecture does not read are
    /// left out.
    pub(crate) fn forked(&self, architecture: &Architecture, device: &Device) -> Self {
        fn take<const D: usize>(
            from: &[Param<Tensor<D>>],
            index: usize,
            to: &mut Vec<Param<Tensor<D>>>,
            device: &Device,
        ) -> usize {
            to.push(from[index].clone().fork(device));
            to.len() - 1
        }
        let read: BTreeSet<&str> = architecture
            .layers
            .iter()
            .filter_map(|layer| Some(layer.weights.as_ref()?.key.as_str()))
            .collect();
        let is_read = |name: &str| name.rsplit_once('.').is_some_and(|(key, _)| read.contains(key));
        let mut parameters = Parameters { kernels: Vec::new(), matrices: Vec::new(), vectors: Vec::new() };
        let mut slots = BTreeMap::new();
        for (name, slot) in self.slots.iter().filter(|(name, _)| is_read(name)) {
            let (from, to) = (&self.parameters, &mut parameters);
            let slot = match *slot {
                Slot::Kernel(index) => Slot::Kernel(take(&from.kernels, index, &mut to.kernels, device)),
                Slot::Matrix(index) => Slot::Matrix(take(&from.matrices, index, &mut to.matrices, device)),
                Slot::Vector(index) => Slot::Vector(take(&from.vectors, index, &mut to.vectors, device)),
            };
            slots.insert(name.clone(), slot);
        }
        Self { parameters, slots, deposits: None }
    }

    /// Returns the same weights, and the [`Deposits`] in which Kiln's own kernels store the gradients of
    /// kernels and matrices. burn keeps the other gradients.
    pub(crate) fn depositing(mut self) -> (Self, Deposits) {
        let deposits = Deposits::default();
        self.deposits = Some(deposits.clone());
        (self, deposits)
    }

    fn deposit(&self, id: ParamId) -> Option<Deposit> {
        self.deposits.as_ref().map(|deposits| deposits.of(id.val()))
    }

    /// Copies the values to another device, outside any autodiff graph.
    pub(crate) fn on(&self, device: &Device) -> Self {
        self.named(self.parameters.valid().to_device(device))
    }

    /// Returns the shape of each named parameter in these declarations.
    pub(crate) fn declared(specs: &[ParameterSpec]) -> BTreeMap<String, Vec<usize>> {
        let named = |spec: &ParameterSpec| {
            let key = spec.key.clone();
            parts(spec).into_iter().map(move |Part { name, shape, .. }| (format!("{key}.{name}"), shape))
        };
        specs.iter().flat_map(named).collect()
    }

    /// Copies the convolution weight that a layer reads to its own tensor, `[out, in / groups, kernel,
    /// kernel]`.
    pub(crate) fn kernel(&self, layer: &Layer) -> Tensor<4> {
        let SharedWeight { whole, slice, .. } = self.shared_kernel(layer);
        cut(whole, &slice)
    }

    /// Returns the whole convolution weight, and the part of it that a layer reads.
    pub(crate) fn shared_kernel(&self, layer: &Layer) -> SharedWeight {
        let (reference, Op::Conv2d { kernel, .. }) = (reference(layer), &layer.op) else {
            unreachable!("only convolutions read kernels")
        };
        let param = match self.slots.get(&format!("{}.weight", reference.key)) {
            Some(Slot::Kernel(index)) => &self.parameters.kernels[*index],
            _ => panic!("no kernel `{}`", reference.key),
        };
        let whole = param.val();
        let ranges = |segments: &[Segment], size: usize| match segments {
            [] => Vec::from([Range { start: 0, end: size }]),
            some => some.iter().map(|segment| segment.start..segment.end).collect(),
        };
        let [outputs, inputs, _, _] = whole.dims();
        let (outputs, inputs) = (ranges(&reference.outputs, outputs), ranges(&reference.inputs, inputs));
        let slice = WeightSlice { outputs, inputs, kernel: *kernel };
        SharedWeight { whole, slice, deposit: self.deposit(param.id) }
    }

    /// Copies the matrix that a fully connected layer reads to its own tensor, `[out, in]`.
    pub(crate) fn matrix(&self, layer: &Layer) -> Tensor<2> {
        let reference = reference(layer);
        segments(segments(self.whole_matrix(reference).val(), 0, &reference.outputs), 1, &reference.inputs)
    }

    /// Returns the whole matrix, the part that a fully connected layer reads, and the deposit for the part's
    /// gradient.
    pub(crate) fn shared_matrix(&self, layer: &Layer) -> SharedMatrix {
        let reference = reference(layer);
        let param = self.whole_matrix(reference);
        let whole = param.val();
        let [outputs, inputs] = whole.dims();
        let range = |segments: &[Segment], size: usize| match segments {
            [] => Some(0..size),
            [one] => Some(one.start..one.end),
            _ => None,
        };
        if let (Some(outputs), Some(inputs)) =
            (range(&reference.outputs, outputs), range(&reference.inputs, inputs))
        {
            return SharedMatrix { whole, part: [outputs, inputs], deposit: self.deposit(param.id) };
        }
        // The kernels read one contiguous range of rows and columns. Parts of another form are copied, and
        // burn computes their gradient.
        let matrix = self.matrix(layer);
        let [outputs, inputs] = matrix.dims();
        SharedMatrix { whole: matrix, part: [0..outputs, 0..inputs], deposit: None }
    }

    fn whole_matrix(&self, reference: &WeightRef) -> &Param<Tensor<2>> {
        match self.slots.get(&format!("{}.weight", reference.key)) {
            Some(Slot::Matrix(index)) => &self.parameters.matrices[*index],
            _ => panic!("no matrix `{}`", reference.key),
        }
    }

    /// Returns the bias, scale or shift that a layer reads, `[channels]`. Returns `None` if there is no
    /// parameter with this name.
    pub(crate) fn vector(&self, layer: &Layer, part: &str) -> Option<Tensor<1>> {
        let reference = reference(layer);
        match self.slots.get(&format!("{}.{part}", reference.key))? {
            Slot::Vector(index) => {
                Some(segments(self.parameters.vectors[*index].val(), 0, &reference.outputs))
            }
            _ => None,
        }
    }

    /// Returns the vector with this name. Returns `None` if there is none.
    pub(crate) fn named_vector(&self, name: &str) -> Option<Tensor<1>> {
        match self.slots.get(name)? {
            Slot::Vector(index) => Some(self.parameters.vectors[*index].val()),
            _ => None,
        }
    }

    /// Returns the bias of a convolution or fully connected layer. Returns `None` if the layer has none.
    pub(crate) fn bias(&self, layer: &Layer) -> Option<Tensor<1>> {
        let has_bias = matches!(layer.op, Op::Conv2d { bias: true, .. } | Op::Linear { bias: true, .. });
        self.vector(layer, "bias").filter(|_| has_bias)
    }

    /// Returns scale and shift of a batch normalization.
    pub(crate) fn affine(&self, layer: &Layer) -> (Tensor<1>, Tensor<1>) {
        let part = |part| self.vector(layer, part).expect("batch norm has scale and shift");
        (part("scale"), part("shift"))
    }

    /// Returns all arrays that an architecture reads, cut to the size that each layer reads, and named
    /// `<layer>.<part>`.
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

    /// Returns the values of the kernel or matrix with this name.
    ///
    /// # Panics
    /// When no kernel or matrix has this name.
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

    /// Returns the gradient of the kernel or matrix with this name, in row-major order. `None` if it has
    /// none.
    pub(crate) fn gradient(&self, name: &str, gradients: &GradientsParams) -> Option<Vec<f32>> {
        let data = match self.slots.get(name)? {
            Slot::Kernel(index) => gradients.get::<4>(self.parameters.kernels[*index].id)?.into_data(),
            Slot::Matrix(index) => gradients.get::<2>(self.parameters.matrices[*index].id)?.into_data(),
            Slot::Vector(_) => return None,
        };
        Some(data.try_to_vec::<f32>().expect("gradients are single precision"))
    }

    /// Multiplies a kernel or matrix by a mask of the same shape.
    pub(crate) fn multiply(&mut self, name: &str, mask: &Values) {
        match self.slots.get(name) {
            Some(Slot::Kernel(index)) => masked(&mut self.parameters.kernels[*index], mask),
            Some(Slot::Matrix(index)) => masked(&mut self.parameters.matrices[*index], mask),
            _ => panic!("no weight `{name}`"),
        }
    }

    /// Sets each value of a vector that is further than `distance` from its center to the nearest value that
    /// is not.
    ///
    /// # Panics
    /// When no vector has this name, or it has another length than `centers`.
    pub(crate) fn keep_near(&mut self, name: &str, centers: &[f32], distance: f32) {
        let Some(Slot::Vector(index)) = self.slots.get(name) else { panic!("no vector `{name}`") };
        let parameter = &mut self.parameters.vectors[*index];
        let value = parameter.val();
        let device = value.device();
        let center = Tensor::<1>::from_data(TensorData::new(centers.to_vec(), [centers.len()]), &device);
        let near = (value.detach() - center.clone()).clamp(-distance, distance);
        let value = (near + center).detach();
        let value = if device.is_autodiff() { value.require_grad() } else { value };
        *parameter = Param::initialized(parameter.id, value);
    }

    /// Copies the part of these shared weights that the architecture reads. The result fits the network that
    /// `stand_alone` returns.
    pub(crate) fn inherit(&self, architecture: &Architecture, device: &Device) -> Self {
        Self::from_values(self.detached().arrays(architecture), device)
    }
}

/// Makes a tensor. On a device with autodiff, the tensor receives gradients.
fn leaf<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    let tensor = Tensor::from_data(data, device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

/// Multiplies a parameter by a mask. The parameter keeps its id and still receives gradients.
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

/// Joins the segments of an axis in order. If the segments cover the whole axis, returns the tensor itself.
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
