//! Rounds values to the quantization grids of 8-bit layers, in single precision.

use burn::tensor::Tensor;
use kiln_export::Grid;

use super::straight_through::{LearnedGrid, round_to_own_range};

/// How a step rounds a value that it reads or computes.
#[derive(Clone, Debug, Default)]
pub(super) enum Rounding {
    /// Does not round the value.
    #[default]
    None,
    /// Rounds to the nearest value on the quantization grid.
    Nearest(Grid),
    /// Quantizes the value to an integer, for layers with integer weights.
    Steps(Grid),
    /// Rounds to the nearest value on a quantization grid that is trained.
    Learned(Box<LearnedGrid>),
    /// Rounds to the grid that covers the values of the batch.
    OwnRange,
}

impl Rounding {
    /// Rounds to this grid, or not at all without a grid.
    pub(super) fn nearest(grid: Option<Grid>) -> Self {
        grid.map_or(Self::None, Self::Nearest)
    }

    /// Applies this rounding to a value.
    pub(super) fn apply(&self, value: Tensor<4>) -> Tensor<4> {
        match self {
            Self::None => value,
            Self::Nearest(grid) => rounded(value, *grid),
            Self::Steps(grid) => in_steps(value, *grid),
            Self::Learned(learned) => learned.round(value),
            Self::OwnRange => round_to_own_range(value),
        }
    }
}

/// Quantizes values to integers within the range of the grid, as [`Grid::quantize`] does.
fn in_steps(value: Tensor<4>, grid: Grid) -> Tensor<4> {
    let [least, most] = grid.steps();
    (value / grid.scale).round().clamp(least, most)
}

/// Rounds values to the nearest values on a grid, as [`Grid::round`] does.
fn rounded(value: Tensor<4>, grid: Grid) -> Tensor<4> {
    in_steps(value, grid) * grid.scale
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
        let found = rounded(tensor, grid).into_data().try_to_vec::<f32>().unwrap();
        let expected: Vec<f32> = values.iter().map(|value| grid.round(*value)).collect();
        assert_eq!(found, expected);
        // Quantizing a value that is already on the grid yields the same integer again.
        let tensor = Tensor::<4>::from_data(TensorData::new(found, [2, 4, 4, 4]), &Device::flex());
        let found = in_steps(tensor, grid).into_data().try_to_vec::<f32>().unwrap();
        let whole = |value: &f32| f32::from(i16::from(grid.quantize(*value)) - i16::from(grid.zero_point));
        assert_eq!(found, values.iter().map(whole).collect::<Vec<_>>());
    }
}
