//! Generates the code of the forward pass.

use std::collections::BTreeMap;
use std::fmt::Write;

use kiln_space::{Layer, LayerId, Op, PoolKind};

use super::network::{LINE, Network, burn_activation, inputs};

impl Network<'_> {
    /// Generates the function `forward`. `what` is the first line of its documentation.
    pub(super) fn forward(&self, what: &str) -> String {
        let mut text = format!("    /// {what}\n    ///\n    /// # Shapes\n");
        let (input, output) = (self.model.architecture.input, self.model.card.classes.len());
        let shape = format!("{}, {}, {}", input.channels, input.height, input.width);
        let _ = writeln!(text, "    /// - `raw`: `[batch, {shape}]`\n    /// - output: `[batch, {output}]`");
        text += "    pub fn forward(&self, raw: Tensor<4>) -> Tensor<2> {\n";
        if self.live().any(|(_, layer)| matches!(layer.op, Op::Zero { .. })) {
            text += "        let (batch, device) = (raw.dims()[0], raw.device());\n";
        }
        let mut left = self.reads.clone();
        if self.reads.contains_key(&LayerId(0)) {
            text += &self.line(LayerId(0), "(raw - self.mean.clone()) / self.deviation.clone()");
        }
        for (id, layer) in self.live() {
            let values: Vec<String> =
                inputs(layer).iter().map(|input| self.read(id, *input, &mut left)).collect();
            text += &self.line(id, &self.expression(id, layer, &values));
        }
        let output = LayerId(self.model.architecture.layers.len() - 1);
        let _ = writeln!(text, "        {}.flatten(1, 3)\n    }}", self.names[&output]);
        text
    }

    /// Returns the expression with which the layer `reader` reads a value. The last use of a value moves it,
    /// and earlier uses clone it.
    fn read(&self, reader: LayerId, input: LayerId, left: &mut BTreeMap<LayerId, usize>) -> String {
        let name = &self.names[&input];
        let left = left.get_mut(&self.source(input)).expect("every input is counted");
        *left -= 1;
        let value = if *left == 0 { name.clone() } else { format!("{name}.clone()") };
        let grid = self.integers.plan.owner(input).map(|owner| &self.grids[&owner]);
        match grid {
            // Constant zeros have no quantization grid. They are zero on every grid.
            Some(grid) if !self.is_float(reader) => format!("self.{grid}.steps({value})"),
            Some(grid) if self.integers.read_grid(reader, input).is_some() => {
                format!("self.{grid}.round({value})")
            }
            _ => value,
        }
    }

    /// Returns one or two lines that bind a layer's name to its stored value.
    fn line(&self, id: LayerId, value: &str) -> String {
        let name = &self.names[&id];
        let Some(grid) = self.kept_on(id) else { return format!("        let {name} = {value};\n") };
        let line = format!("        let {name} = self.{grid}.round({value});\n");
        if line.len() <= LINE {
            return line;
        }
        format!("        let {name} = {value};\n        let {name} = self.{grid}.round({name});\n")
    }

    /// Returns the quantization grid on which a layer's value is stored. If a normalization is folded into
    /// the layer, this is the normalization's grid.
    fn kept_on(&self, id: LayerId) -> Option<&str> {
        let folded =
            self.integers.plan.kernels().find(|(kernel, _)| *kernel == id).and_then(|(_, norm)| norm);
        let mut ids = [Some(id), folded].into_iter().flatten();
        let owner = ids.find(|id| self.integers.stored_grid(*id).is_some())?;
        Some(&self.grids[&owner])
    }

    fn expression(&self, id: LayerId, layer: &Layer, values: &[String]) -> String {
        let field = &self.names[&id];
        let first = values.first().map_or("", String::as_str);
        match &layer.op {
            Op::Input => unreachable!("the input is layer 0 alone"),
            Op::Zero { .. } => {
                let [channels, height, width]: [usize; 3] = layer.output.into();
                format!("Tensor::<4>::zeros([batch, {channels}, {height}, {width}], &device)")
            }
            _ if !self.is_float(id) => format!("self.{field}.forward({first})"),
            Op::Conv2d { .. } | Op::BatchNorm => format!("self.{field}.forward({first})"),
            Op::Linear { .. } => format!("layers::fully_connected(&self.{field}, {first})"),
            Op::Activation { kind } => match burn_activation(&layer.op) {
                Some(function) => format!("activation::{function}({first})"),
                None => format!("layers::{}({first})", kind.name()),
            },
            Op::Pool { kind, kernel, stride, padding } => {
                let function = match kind {
                    PoolKind::Max => "max_pool",
                    PoolKind::Average => "average_pool",
                };
                format!("layers::{function}({first}, {kernel:?}, {stride:?}, {padding:?})")
            }
            Op::GlobalPool => format!("layers::global_average({first})"),
            Op::Flatten => format!("layers::flattened({first})"),
            Op::Add => values.join(" + "),
            Op::Concat => format!("Tensor::cat(vec![{}], 1)", values.join(", ")),
            Op::Mul => values.join(" * "),
        }
    }
}
