//! How large an image may be.

/// Most rows or columns of an example.
pub(super) const MAX_EXAMPLE_SIDE: usize = 1024;
/// Most rows or columns of an image file.
pub(super) const MAX_SIDE: u32 = 16_384;
/// Most bytes that one image may take while it is read.
pub(super) const MAX_IMAGE_BYTES: u64 = 1 << 30;
/// Most bytes of one image file.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 28;
