//! A network as it is handed over: frozen, run, measured and converted. Nothing is trained here.

mod arrays;
pub(crate) mod conversion;
pub(crate) mod frozen;
pub(crate) mod inference;
pub(crate) mod matching;
pub(crate) mod provenance;
pub(crate) mod target_scale;
pub(crate) mod trained;
