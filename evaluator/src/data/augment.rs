//! Random changes of training examples that keep the label.

use kiln_space::{Settings, SettingsError, Shape};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Random changes of training images. They are drawn again for each example and epoch. Pixels from outside
/// the image have the raw value 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Maximum shift in each direction, in pixels. Shifts are whole pixels, unless the image is also rotated
    /// or scaled.
    pub shift: f64,
    /// Maximum rotation in both directions, in degrees.
    pub rotate_degrees: f64,
    /// Maximum change of scale: `0.1` means factors from 0.9 to 1.1.
    pub scale: f64,
    /// Whether to mirror images horizontally, with probability 1/2.
    pub flip: bool,
    /// Side length in pixels of a square that is filled with the channel means. With 0, no square is filled.
    ///
    /// Source: T. `DeVries` and G. Taylor, "Improved Regularization of Convolutional Neural Networks with
    /// Cutout", 2017, section 3. The center of the square is any pixel, so part of the square may lie outside
    /// the image.
    pub cutout: usize,
}

impl Augmentation {
    /// Refuses values out of range. `settings` is the table that contains the augmentation.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        let bounds = [
            ("shift", self.shift, 0.0..=64.0, "between 0 and 64 pixels"),
            ("rotate_degrees", self.rotate_degrees, 0.0..=180.0, "between 0 and 180"),
            ("scale", self.scale, 0.0..=0.9, "between 0 and 0.9"),
        ];
        if self.cutout > 1024 {
            return Err(SettingsError::value(
                settings.key("augment.cutout"),
                self.cutout,
                "at most 1024 pixels",
            ));
        }
        match bounds.into_iter().find(|(_, value, range, _)| !range.contains(value)) {
            Some((key, value, _, expected)) => {
                Err(SettingsError::value(settings.key(&format!("augment.{key}")), value, expected))
            }
            None => Ok(()),
        }
    }

    /// Applies the changes to the image `from` and writes the result to `to`. `mean` contains the mean of
    /// each channel.
    pub(crate) fn apply(&self, shape: Shape, mean: &[f32], from: &[f32], to: &mut [f32], rng: &mut dyn Rng) {
        self.apply_geometry(shape, from, to, rng);
        if self.flip && rng.random_bool(0.5) {
            for row in to.chunks_exact_mut(shape.width) {
                row.reverse();
            }
        }
        if self.cutout > 0 {
            let middle = [rng.random_range(0..shape.height), rng.random_range(0..shape.width)];
            cut_out(shape, mean, to, middle, self.cutout);
        }
    }

    fn apply_geometry(&self, shape: Shape, from: &[f32], to: &mut [f32], rng: &mut dyn Rng) {
        let mut within = |reach: f64| if reach > 0.0 { rng.random_range(-reach..=reach) } else { 0.0 };
        if self.rotate_degrees > 0.0 || self.scale > 0.0 {
            let (down, right) = (within(self.shift), within(self.shift));
            let (sin, cos) = within(self.rotate_degrees).to_radians().sin_cos();
            let inverse = 1.0 / (1.0 + within(self.scale));
            warp(
                shape,
                from,
                to,
                [[cos * inverse, -sin * inverse], [sin * inverse, cos * inverse]],
                [down, right],
            );
        } else if self.shift >= 1.0 {
            let reach = self.shift as i64;
            let (down, right) = (rng.random_range(-reach..=reach), rng.random_range(-reach..=reach));
            shift(shape, from, to, down, right);
        } else {
            to.copy_from_slice(from);
        }
    }
}

/// Fills a square of `side` pixels around `middle` (row, column) with the mean of each channel.
fn cut_out(shape: Shape, mean: &[f32], to: &mut [f32], middle: [usize; 2], side: usize) {
    let range = |middle: usize, size: usize| {
        let from = middle.saturating_sub(side / 2);
        from..(middle + side - side / 2).min(size)
    };
    let columns = range(middle[1], shape.width);
    for (plane, mean) in to.chunks_exact_mut(shape.positions()).zip(mean) {
        for row in range(middle[0], shape.height) {
            plane[row * shape.width..][columns.clone()].fill(*mean);
        }
    }
}

fn shift(shape: Shape, from: &[f32], to: &mut [f32], down: i64, right: i64) {
    let (height, width) = (shape.height as i64, shape.width as i64);
    to.fill(0.0);
    let columns = right.max(0)..(width + right.min(0)).max(right.max(0));
    if columns.is_empty() {
        return;
    }
    for channel in 0..shape.channels as i64 {
        for row in down.max(0)..height + down.min(0) {
            let target = ((channel * height + row) * width + columns.start) as usize;
            let source = ((channel * height + row - down) * width + columns.start - right) as usize;
            let count = (columns.end - columns.start) as usize;
            to[target..target + count].copy_from_slice(&from[source..source + count]);
        }
    }
}

/// Samples the source bilinearly for each target pixel. The source position is `matrix` times (position -
/// center - `offset`) + center.
fn warp(shape: Shape, from: &[f32], to: &mut [f32], matrix: [[f64; 2]; 2], offset: [f64; 2]) {
    let (height, width) = (shape.height, shape.width);
    let middle = [(height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0];
    for row in 0..height {
        for column in 0..width {
            let place = [row as f64 - middle[0] - offset[0], column as f64 - middle[1] - offset[1]];
            let source = |axis: usize| matrix[axis][0] * place[0] + matrix[axis][1] * place[1] + middle[axis];
            let (y, x) = (source(0), source(1));
            let (top, left) = (y.floor(), x.floor());
            let (below, beside) = ((y - top) as f32, (x - left) as f32);
            for (plane, to) in from.chunks_exact(height * width).zip(to.chunks_exact_mut(height * width)) {
                let pixel = |y: f64, x: f64| {
                    let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
                    if inside { plane[y as usize * width + x as usize] } else { 0.0 }
                };
                let upper = pixel(top, left) * (1.0 - beside) + pixel(top, left + 1.0) * beside;
                let lower = pixel(top + 1.0, left) * (1.0 - beside) + pixel(top + 1.0, left + 1.0) * beside;
                to[row * width + column] = upper * (1.0 - below) + lower * below;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shift_moves_rows_and_columns_and_fills_with_zero() {
        let from: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let mut to = vec![9.0; 9];
        shift(Shape::new(1, 3, 3), &from, &mut to, 1, -1);
        assert_eq!(to, [0.0, 0.0, 0.0, 2.0, 3.0, 0.0, 5.0, 6.0, 0.0]);
        shift(Shape::new(1, 3, 3), &from, &mut to, 0, 5);
        assert_eq!(to, [0.0; 9]);
    }

    #[test]
    fn cut_out_fills_the_part_of_the_square_inside_the_image() {
        let shape = Shape::new(2, 3, 4);
        let mut to = vec![1.0; 24];
        cut_out(shape, &[5.0, 7.0], &mut to, [0, 3], 3);
        let plane = |mean: f32| [1.0, 1.0, mean, mean, 1.0, 1.0, mean, mean, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(to, [plane(5.0), plane(7.0)].concat());
        cut_out(shape, &[0.0, 0.0], &mut to, [1, 1], 2);
        assert_eq!(to[..12], [0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn flip_mirrors_half_of_the_images_and_repeats_with_the_seed() {
        let shape = Shape::new(1, 2, 3);
        let from = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let flip = Augmentation { flip: true, ..Augmentation::default() };
        let run = || {
            let mut rng = crate::seed::generator(1, "augmentation", &[0]);
            let once = |_| {
                let mut to = vec![0.0; 6];
                flip.apply(shape, &[0.0], &from, &mut to, &mut rng);
                to
            };
            (0..100).map(once).collect::<Vec<_>>()
        };
        let images = run();
        assert_eq!(images, run());
        let flipped = images.iter().filter(|image| **image == [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]).count();
        assert!((35..=65).contains(&flipped), "{flipped}");
        assert!(images.iter().filter(|image| **image == from).count() == 100 - flipped);
    }

    #[test]
    fn warp_rotates_around_the_center_and_interpolates() {
        let from: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let shape = Shape::new(1, 3, 3);
        let mut to = vec![9.0; 9];
        warp(shape, &from, &mut to, [[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0]);
        let mut shifted = vec![9.0; 9];
        shift(shape, &from, &mut shifted, 1, -1);
        assert_eq!(to, shifted, "without turning it is a shift");
        warp(shape, &from, &mut to, [[0.0, -1.0], [1.0, 0.0]], [0.0, 0.0]);
        assert_eq!(to, [7.0, 4.0, 1.0, 8.0, 5.0, 2.0, 9.0, 6.0, 3.0], "a quarter turn");
        warp(shape, &from, &mut to, [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.5]);
        assert!((to[1] - 1.5).abs() < 1e-6, "half a pixel mixes two");
    }
}
