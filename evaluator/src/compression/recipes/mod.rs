//! The recipes that come with Kiln.

pub(super) mod codebook;
pub(super) mod distill;
pub(super) mod f16;
pub(super) mod post_training;
pub(super) mod quantization_aware;
pub(super) mod sparse;
pub(super) mod structured;
