//! Cuts the positions of a plane into tiles whose sums fit the registers.

/// Splits positions into tiles of at most `most` vectors, all about equally wide. Returns first position and
/// number of vectors of each tile.
///
/// The last tile may overlap the previous one, so that all its vectors are full. If there are fewer positions
/// than a vector has lanes, the result is one tile of one vector.
pub(crate) fn tiles(positions: usize, lanes: usize, most: usize) -> impl Iterator<Item = [usize; 2]> {
    let vectors = positions.div_ceil(lanes);
    // Uses at most as many vectors as are full. The last tile can then overlap the previous one instead of
    // reading beyond the end.
    let tiles = vectors.div_ceil(most.min(positions / lanes).max(1));
    (0..tiles).map(move |tile| {
        let (width, wider) = (vectors / tiles, vectors % tiles);
        let before = tile * width + tile.min(wider);
        let width = width + usize::from(tile < wider);
        [(before * lanes).min(positions.saturating_sub(width * lanes)), width]
    })
}

#[cfg(test)]
mod tests {
    use super::tiles;

    #[test]
    fn tiles_cover_all_positions_and_no_others() {
        for lanes in [8, 16] {
            for most in 1..=8 {
                for positions in 1..200 {
                    let mut covered = 0;
                    for [at, width] in tiles(positions, lanes, most) {
                        assert!(at <= covered && (1..=most).contains(&width));
                        covered = at + width * lanes;
                    }
                    assert_eq!(covered, positions.max(lanes), "{lanes} lanes, at most {most} vectors");
                }
            }
        }
    }
}
