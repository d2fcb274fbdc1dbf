//! Size limits for image files and examples.

/// Maximum height and width of an example.
pub(super) const MAX_EXAMPLE_SIDE: usize = 1024;
/// Maximum height and width of an image file.
pub(super) const MAX_SIDE: u32 = 16_384;
/// Maximum memory for reading one image, in bytes.
pub(super) const MAX_IMAGE_BYTES: u64 = 1 << 30;
/// Maximum size of an image file in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 28;
