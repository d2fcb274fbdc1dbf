//! Rounds values to the quantization grids of 8-bit layers, in single precision.

use burn::tensor::Tensor;
use kiln_export::Grid;

/// How a step rounds a value that it reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Rounding {
    /// Does not round the value.
    #[default]
    None,
    /// Rounds to the nearest value on the quantization grid.
    Nearest(Grid),
    /// Quantizes the value to an integer, for layers with integer weights.
    Steps(Grid),
}

impl Rounding {
    /// Applies this rounding to a value.
    pub(super) fn apply(self, value: Tensor<4>) -> Tensor<4> {
        match self {
            Self::None => value,
            Self::Nearest(grid) => rounded(value, Some(grid)),
            Self::Steps(grid) => in_steps(value, grid),
        }
    }
}

/// Quantizes values to integers within the range of the grid, as [`Grid::quantize`] does.
fn in_steps(value: Tensor<4>, grid: Grid) -> Tensor<4> {
    let [least, most] = grid.steps();
    (value / grid.scale).round().clamp(least, most)
}

/// Rounds values to the nearest values on a grid, as [`Grid::round`] does. Without a grid, the values stay
/// unchanged.
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
    fn tensors_round_as_single_numbers_do() {
        let grid = Grid::covering(-1.0, 2.0).unwrap();
        let halves = (0..64).map(|i| (f32::from(i8::try_from(i).unwrap()) - 32.0 + 0.5) * grid.scale);
        let values: Vec<f32> = halves.chain((0..64).map(|i| -1.5 + i as f32 * 0.07)).collect();
        let tensor = Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 4, 4, 4]), &Device::flex());
        let found = rounded(tensor, Some(grid)).into_data().try_to_vec::<f32>().unwrap();
        let expected: Vec<f32> = values.iter().map(|value| grid.round(*value)).collect();
        assert_eq!(found, expected);
        // Quantizing a value that is already on the grid yields the same integer again.
        let tensor = Tensor::<4>::from_data(TensorData::new(found, [2, 4, 4, 4]), &Device::flex());
        let found = in_steps(tensor, grid).into_data().try_to_vec::<f32>().unwrap();
        let whole = |value: &f32| f32::from(i16::from(grid.quantize(*value)) - i16::from(grid.zero_point));
        assert_eq!(found, values.iter().map(whole).collect::<Vec<_>>());
    }
}
