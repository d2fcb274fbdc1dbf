//! Rounding of values to the grids of layers of 8 bits, in single precision.

use burn::tensor::Tensor;
use kiln_export::Grid;

/// How a value is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Rounding {
    /// As it is.
    #[default]
    None,
    /// The nearest value on a grid.
    Nearest(Grid),
    /// The number of steps of a grid, for integer weights.
    Steps(Grid),
}

impl Rounding {
    /// The value as it is read.
    pub(super) fn apply(self, value: Tensor<4>) -> Tensor<4> {
        match self {
            Self::None => value,
            Self::Nearest(grid) => rounded(value, Some(grid)),
            Self::Steps(grid) => in_steps(value, grid),
        }
    }
}

/// The nearest numbers of steps away from zero, as [`Grid::quantize`] has them.
fn in_steps(value: Tensor<4>, grid: Grid) -> Tensor<4> {
    let [least, most] = grid.steps();
    (value / grid.scale).round().clamp(least, most)
}

/// The nearest values on a grid, as [`Grid::round`] has them.
pub(super) fn rounded(value: Tensor<4>, grid: Option<Grid>) -> Tensor<4> {
    match grid {
        Some(grid) => in_steps(value, grid) * grid.scale,
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn tensors_are_rounded_as_numbers_are() {
        let grid = Grid::covering(-1.0, 2.0).unwrap();
        let halves = (0..64).map(|i| (f32::from(i8::try_from(i).unwrap()) - 32.0 + 0.5) * grid.scale);
        let values: Vec<f32> = halves.chain((0..64).map(|i| -1.5 + i as f32 * 0.07)).collect();
        let tensor = Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 4, 4, 4]), &Device::flex());
        let found = rounded(tensor, Some(grid)).into_data().try_to_vec::<f32>().unwrap();
        let expected: Vec<f32> = values.iter().map(|value| grid.round(*value)).collect();
        assert_eq!(found, expected);
        // Read again, what is on the grid is the same number of steps.
        let tensor = Tensor::<4>::from_data(TensorData::new(found, [2, 4, 4, 4]), &Device::flex());
        let found = in_steps(tensor, grid).into_data().try_to_vec::<f32>().unwrap();
        let whole = |value: &f32| f32::from(i16::from(grid.quantize(*value)) - i16::from(grid.zero_point));
        assert_eq!(found, values.iter().map(whole).collect::<Vec<_>>());
    }
}
